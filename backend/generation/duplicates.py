"""What counts as the same picture and the same text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from rapidfuzz.fuzz import ratio as likeness

from backend.core.trust.diversity.repeats import COLOUR_TOLERANCE, IMAGE_DISTANCE, TEXT_RATIO, plain_form
from backend.looks import GRID


class PictureIndex:
    """Pictures seen so far, by their looks."""

    def __init__(self, distance: int = IMAGE_DISTANCE) -> None:
        """`distance` is the largest Hamming distance of perceptual hashes between near duplicates, in bits of 64."""
        self._distance = distance
        self._names: list[str] = []
        self._hashes = np.empty(64, dtype=np.uint64)
        self._colours = np.empty((64, 3 * GRID * GRID), dtype=np.int16)

    def find(self, phash: str, colours: str) -> str | None:
        """The name of the first picture that looks like this one."""
        count = len(self._names)
        bits = np.bitwise_count(self._hashes[:count] ^ np.uint64(int(phash, 16)))
        close = np.flatnonzero(bits <= self._distance)
        away = np.abs(self._colours[close] - _levels(colours)).max(axis=1, initial=0)
        alike = close[away <= COLOUR_TOLERANCE]
        return self._names[int(alike[0])] if len(alike) else None

    def add(self, name: str, phash: str, colours: str) -> None:
        """Remember a picture."""
        count = len(self._names)
        if count == len(self._hashes):
            self._hashes = np.resize(self._hashes, 2 * count)
            self._colours = np.resize(self._colours, (2 * count, self._colours.shape[1]))
        self._hashes[count] = int(phash, 16)
        self._colours[count] = _levels(colours)
        self._names.append(name)


def alike(text: str, others: Iterable[str], ratio: float = TEXT_RATIO) -> str | None:
    """The first of the other texts that says the same, or nearly so.

    Likeness is 100 * (1 - insertions and deletions / length of both), of the texts in lower case with single spaces.
    """
    plain = plain_form(text)
    return next((other for other in others if likeness(plain, plain_form(other)) >= ratio), None)


def _levels(colours: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.frombuffer(bytes.fromhex(colours), dtype=np.uint8).astype(np.int16)
