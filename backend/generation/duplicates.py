"""What counts as the same picture and the same text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.errors import GenerationError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_DISTANCE = 3
"""Bits of 64 in which the perceptual hashes of near duplicates differ at most; saving a picture smaller or as JPEG
changes up to 2, and no two of 120 drawn boards are closer than 4."""
TEXT_RATIO = 97.0
"""Likeness of near duplicate texts in percent; one word of a short sentence makes more of a difference than that."""
_COLOUR_TOLERANCE = 16
"""Steps of 255 by which mean colours of near duplicates differ at most: the perceptual hash is blind to colour."""
_GRID = 4


def look(picture: Image.Image) -> tuple[str, str]:
    """The perceptual hash of a picture in RGB (16 hex digits) and its mean colours in a 4 x 4 grid (96 hex digits)."""
    imagehash = _installed("imagehash")
    from PIL import Image

    colours = picture.resize((_GRID, _GRID), Image.Resampling.BOX).tobytes()
    return str(imagehash.phash(picture)), colours.hex()


class PictureIndex:
    """Pictures seen so far, by their looks."""

    def __init__(self, distance: int = IMAGE_DISTANCE) -> None:
        """`distance` is the largest Hamming distance of perceptual hashes between near duplicates, in bits of 64."""
        self._distance = distance
        self._names: list[str] = []
        self._hashes = np.empty(64, dtype=np.uint64)
        self._colours = np.empty((64, 3 * _GRID * _GRID), dtype=np.int16)

    def find(self, phash: str, colours: str) -> str | None:
        """The name of the first picture that looks like this one."""
        count = len(self._names)
        bits = np.bitwise_count(self._hashes[:count] ^ np.uint64(int(phash, 16)))
        close = np.flatnonzero(bits <= self._distance)
        away = np.abs(self._colours[close] - _levels(colours)).max(axis=1, initial=0)
        alike = close[away <= _COLOUR_TOLERANCE]
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
    fuzz = _installed("rapidfuzz.fuzz")
    plain = _plain(text)
    return next((other for other in others if fuzz.ratio(plain, _plain(other)) >= ratio), None)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _levels(colours: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.frombuffer(bytes.fromhex(colours), dtype=np.uint8).astype(np.int16)


def _installed(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as exc:
        package = name.partition(".")[0]
        raise GenerationError(
            f"{package} is not installed; install it with: pip install 'vlm-judge-label-studio[generate]'"
        ) from exc
