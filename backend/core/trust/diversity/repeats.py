"""Which texts of a project say the same or nearly so, and which images are the same or look so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.fuzz import ratio

from backend.core.measures import Array
from backend.core.trust.bias.shares import Index
from backend.core.trust.bias.texts import judged_texts
from backend.core.trust.labels import LabelledProject

IMAGE_DISTANCE = 3
"""Bits of 64 in which the perceptual hashes of near duplicates differ at most; saving a picture smaller or as JPEG
changes up to 2, and no two of 120 drawn boards are closer than 4."""
TEXT_RATIO = 97.0
"""Likeness of near duplicate texts in percent; one word of a short sentence makes more of a difference than that."""
COLOUR_TOLERANCE = 16
"""Steps of 255 by which mean colours of near duplicates differ at most: the perceptual hash is blind to colour."""
MOST_SHOWN = 10
"""Groups of repeats, the largest first."""
_LETTERS = 64
"""Characters that are counted apart; the rarer ones together."""
_CODE_POINTS = 0x110000
_BLOCK = 1_024
_CELLS = 16_000_000
"""Pairs of texts held in memory at once."""
_CHUNK = 250_000
_SHOWN_CHARS = 200

Counts = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RepeatedText:
    """A text with what is the same or nearly the same."""

    text: str
    """The shortest of them; its first 200 characters."""
    texts: int
    tasks: tuple[int, ...]
    """By rising number."""


@dataclass(frozen=True, slots=True)
class TextRepeats:
    """How many texts of a project repeat another."""

    texts: int
    distinct: int
    """Without those that are the same as an earlier one but for case and spaces."""
    kept: int
    """Without those that are nearly the same either; if no two of these were alike, this is all there is."""
    repeated: float
    """The share of texts that are not kept."""
    on_one_image: int
    """Texts that repeat another of their own image, exactly or nearly."""
    groups: tuple[RepeatedText, ...]
    """The largest."""


@dataclass(frozen=True, slots=True)
class RepeatedImage:
    """Images that are the same under different addresses."""

    images: tuple[str, ...]
    tasks: int


@dataclass(frozen=True, slots=True)
class ImageRepeats:
    """How many images a project has."""

    tasks: int
    """Those with an image."""
    images: int
    """By address."""
    most_tasks: int
    """Of one image."""
    compared: int
    """Images whose looks are known; without looks only addresses tell."""
    alike: int
    """Of those, the ones that look like an earlier one."""
    groups: tuple[RepeatedImage, ...]
    """The largest."""


def plain_form(text: str) -> str:
    """The text in lower case with single spaces: what is the same counts as a repeat."""
    return " ".join(text.casefold().split())


def text_repeats(project: LabelledProject) -> TextRepeats | None:
    """The repeats among all judged texts; None where there are none.

    Each repeat is put to the shortest text that it is like. 100,000 captions of 130 characters take about 30 s on two
    cores; the time grows with the square of the number of different texts of like length.
    """
    found = judged_texts(project)
    if not found:
        return None
    numbers: dict[str, int] = {}
    of_text = [numbers.setdefault(plain_form(text), len(numbers)) for _, text in found]
    kept = np.array(near_repeats(tuple(numbers)), dtype=np.intp)[of_text]
    groups = _grouped(kept)
    pairs = {(group, task.image) for (task, _), group in zip(found, kept.tolist(), strict=True)}
    plain = tuple(numbers)
    shown = tuple(
        RepeatedText(plain[group][:_SHOWN_CHARS], len(rows), tuple(sorted({found[row][0].task for row in rows})))
        for group, rows in groups[:MOST_SHOWN]
    )
    left = len(set(kept.tolist()))
    return TextRepeats(len(found), len(numbers), left, 1 - left / len(found), len(found) - len(pairs), shown)


def image_repeats(project: LabelledProject, looks: Mapping[str, tuple[str, str]] | None = None) -> ImageRepeats:
    """The repeats among the tasks' images.

    `looks` has, by address, the perceptual hash (16 hex digits) and the mean colours (96) of an image, as
    `backend.looks.look` gives them.
    """
    count = Counter(task.image for task in project.tasks if task.image)
    known = [image for image in count if image in (looks or {})]
    first = _alike([(looks or {})[image] for image in known])
    groups = [
        RepeatedImage(tuple(known[row] for row in rows), sum(count[known[row]] for row in rows))
        for _, rows in _grouped(first)
    ]
    return ImageRepeats(
        tasks=sum(count.values()),
        images=len(count),
        most_tasks=max(count.values(), default=0),
        compared=len(known),
        alike=len(known) - len(set(first.tolist())),
        groups=tuple(groups[:MOST_SHOWN]),
    )


def near_repeats(texts: Sequence[str]) -> list[int]:
    """For every text the number of the one that is kept for it: its own, or that of a shorter one it is like.

    Likeness is 100 (1 - D / length of both), with D the insertions and deletions between them; it is that of a repeat
    from TEXT_RATIO on. Exact: what is not compared cannot be alike, because D is at least the difference of lengths and
    at least the distance of the counts of every character, |h - h'| (so that |h - h'|^2 in the Euclidean norm is at
    most D^2, which is a matrix product).
    """
    if not texts:
        return []
    share = 1 - TEXT_RATIO / 100
    order = sorted(range(len(texts)), key=lambda number: (len(texts[number]), number))
    ranked = [texts[number] for number in order]
    lengths = np.array([len(text) for text in ranked], dtype=np.float64)
    counts = _letter_counts(ranked)
    keeper = np.arange(len(texts))
    for start, end, others in _blocks(lengths, keeper, share):
        for rank, other in _alike_pairs(ranked, lengths, counts, np.arange(start, end), others, share):
            if keeper[rank] == rank and keeper[other] == other:
                keeper[rank] = other
    kept = [0] * len(texts)
    for rank, number in enumerate(order):
        kept[number] = order[keeper[rank]]
    return kept


def _blocks(lengths: Array, keeper: Index, share: float) -> Iterator[tuple[int, int, Index]]:
    """Stretches of texts by rising length, each with the kept texts that are long enough and the stretch itself."""
    start = 0
    while start < len(lengths):
        shortest = lengths[start] * (1 - share) / (1 + share) - 1e-6
        low = int(np.searchsorted(lengths, shortest))
        before = low + np.flatnonzero(keeper[low:start] == np.arange(low, start))
        size = max(16, min(_BLOCK, _CELLS // (len(before) + _BLOCK)))
        end = min(start + size, len(lengths))
        yield start, end, np.concatenate([before, np.arange(start, end)])
        start = end


def _alike_pairs(
    ranked: Sequence[str], lengths: Array, counts: Counts, block: Index, others: Index, share: float
) -> Iterator[tuple[int, int]]:
    """The pairs of a text of the block and a shorter other that are alike, in order."""
    rows, columns = np.nonzero(
        _may_be_alike(counts[block], counts[others], share * (lengths[block[-1]] + lengths[others]))
    )
    earlier = others[columns] < block[rows]
    rows, columns = block[rows[earlier]], others[columns[earlier]]
    for at in range(0, len(rows), _CHUNK):
        one, other = rows[at : at + _CHUNK], columns[at : at + _CHUNK]
        edits = np.abs(counts[one] - counts[other]).sum(axis=1)
        close = edits <= share * (lengths[one] + lengths[other]) + 1e-6
        one, other = one[close], other[close]
        left, right = [ranked[rank] for rank in one], [ranked[rank] for rank in other]
        likeness = process.cpdist(left, right, scorer=ratio) if left else np.zeros(0)
        same = likeness >= 100 * (1 - share) - 1e-4
        yield from zip(one[same].tolist(), other[same].tolist(), strict=True)


def _may_be_alike(mine: Counts, theirs: Counts, most: Array) -> NDArray[np.bool_]:
    """Whether |h - h'|^2 is at most most^2, by other: whether h h' - (|h|^2 + |h'|^2 - most^2) / 2 is at least 0.

    With room for rounding: what it lets through is compared exactly.
    """
    room = 1.001 * most**2 + 0.5
    half = (room - (theirs.astype(np.float64) ** 2).sum(axis=1)) / 2
    ours = np.column_stack([mine, np.ones(len(mine)), -(mine**2).sum(axis=1) / 2]).astype(np.float32)
    others = np.column_stack([theirs, half, np.ones(len(theirs))]).astype(np.float32)
    may: NDArray[np.bool_] = ours @ others.T >= 0
    return may


def _letter_counts(texts: Sequence[str]) -> Counts:
    """How often each text has each character; a column per character, those beyond the commonest 63 in the last."""
    pieces = [texts[at : at + _BLOCK] for at in range(0, len(texts), _BLOCK)]
    total = np.zeros(_CODE_POINTS, dtype=np.intp)
    for piece in pieces:
        total += np.bincount(_codes(piece), minlength=_CODE_POINTS)
    column = np.full(_CODE_POINTS, _LETTERS - 1)
    column[np.argsort(-total, kind="stable")[: _LETTERS - 1]] = np.arange(_LETTERS - 1)
    counted = [
        np.bincount(
            np.repeat(np.arange(len(piece)) * _LETTERS, [len(text) for text in piece]) + column[_codes(piece)],
            minlength=len(piece) * _LETTERS,
        )
        for piece in pieces
    ]
    return np.concatenate(counted).reshape(len(texts), _LETTERS).astype(np.float32)


def _codes(texts: Sequence[str]) -> NDArray[np.uint32]:
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _alike(looks: Sequence[tuple[str, str]]) -> Index:
    """For every image the number of the first one that it looks like, its own where there is none."""
    hashes = np.array([int(phash, 16) for phash, _ in looks], dtype=np.uint64)
    colours = np.array([list(bytes.fromhex(grid)) for _, grid in looks], dtype=np.int16)
    first = np.arange(len(looks))
    kept = np.zeros(len(looks), dtype=bool)
    for number in range(len(looks)):
        earlier = np.flatnonzero(kept[:number])
        close = earlier[np.bitwise_count(hashes[earlier] ^ hashes[number]) <= IMAGE_DISTANCE]
        alike = close[np.abs(colours[close] - colours[number]).max(axis=1, initial=0) <= COLOUR_TOLERANCE]
        first[number] = alike[0] if len(alike) else number
        kept[number] = not len(alike)
    return first


def _grouped(first: Index) -> list[tuple[int, list[int]]]:
    """The rows that were put to the same one, of those that are more than one; the largest first."""
    rows: dict[int, list[int]] = {}
    for row, group in enumerate(first.tolist()):
        rows.setdefault(group, []).append(row)
    return sorted(((group, each) for group, each in rows.items() if len(each) > 1), key=lambda item: -len(item[1]))
