"""Compares a text with a transcription of the same pages: where they differ, and by how much."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from backend.core.spelling import Normalised, normalise, words

CONTEXT = 40
"""Characters of the transcription shown on either side of a disagreement."""

ALIKE = 0.6
"""Two lines with at least this share of common characters count as versions of one line when lines have moved."""

MOST_LINE_PAIRS = 250_000
"""Lines that differ are paired by likeness up to this many pairs to look at; beyond that, only equal lines are."""

FARTHEST = 64
"""Characters by which a stretch that only one side has is moved at most to find words' edges."""

_EDGE = ".,;:!?…\"'()[]{}-*。、「」『』"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A stretch in which text and transcription differ, widened to whole words."""

    start: int
    """Where it stands in the text, in code points; equal to `end` where something is missing from the text."""
    end: int
    reading: str
    """What the transcription has there, on one line; empty where only the text has something."""
    edits: int
    """Characters inserted, deleted or replaced within it."""
    pages: tuple[int, ...]
    """Indices of the pages it stands on; two where it may stand at the end of one or at the start of the next."""
    mark: tuple[int, int] | None
    """What to mark in the text: the stretch itself, or the word beside what is missing; None in a text without any."""
    versions: tuple[str, str]
    """The passage as the text and as the transcription have it, both between the transcription's own words."""
    cut: tuple[int, int]
    """What to replace in the text, including blanks."""
    patch: str
    """What to put there, so that the text says what the transcription says."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing a text with a transcription finds."""

    disagreements: tuple[Disagreement, ...]
    """In the text's order; their edits add up to the Levenshtein distance."""
    characters: int
    """Length of the normalised transcription."""
    word_edits: int
    words: int
    """Number of words of the transcription."""

    @property
    def edits(self) -> int:
        """Levenshtein distance of the normalised texts, in characters."""
        return sum(disagreement.edits for disagreement in self.disagreements)

    @property
    def character_error_rate(self) -> float:
        """As `error_rate`, over characters."""
        return error_rate(self.edits, self.characters)

    @property
    def word_error_rate(self) -> float:
        """As `error_rate`, over words; a Chinese character counts as a word."""
        return error_rate(self.word_edits, self.words)


def error_rate(edits: int, length: int) -> float:
    """(S + D + I) / N: the fewest replacements, deletions and insertions that turn one text into the other, per unit.

    `length` is N, the units of the reference, here of the transcription; 0 counts as 1. The rate may exceed 1.
    (Levenshtein 1966; as CER and WER in Morris, Maier and Green, "From WER and RIL to MER and WIL", Interspeech 2004.)
    """
    return edits / max(1, length)


def compare(text: str, pages: Sequence[str]) -> Comparison:
    """Compare a text with the transcriptions of its pages.

    Lines that stand elsewhere in the transcription are no errors: they are put into the text's order first, where
    that brings the two closer.
    """
    ours = normalise(text)
    lines = [(page, line) for page, written in enumerate(pages) for line in written.splitlines() if line.strip()]
    theirs = normalise("\n".join(line for _, line in lines))
    if ours.text != theirs.text:
        order = _order(text.splitlines(), [line for _, line in lines])
        moved = [lines[index] for index in order]
        other = normalise("\n".join(line for _, line in moved)) if moved != lines else theirs
        if Levenshtein.distance(ours.text, other.text) < Levenshtein.distance(ours.text, theirs.text):
            lines, theirs = moved, other
    places, their_words = _Places(lines), words(theirs.text)
    return Comparison(
        disagreements=tuple(_disagreement(ours, theirs, places, hunk) for hunk in _hunks(ours, theirs)),
        characters=len(theirs.text),
        word_edits=Levenshtein.distance(words(ours.text), their_words),
        words=len(their_words),
    )


def _order(ours: Sequence[str], theirs: Sequence[str]) -> list[int]:
    """Their lines, by index, in the order of ours; a line that is not among ours stays behind the one before it."""
    wanted, lines = ([" ".join(line.split()) for line in side] for side in (ours, theirs))
    places = _pairs(wanted, lines)
    keys, last = [], -1
    for index in range(len(lines)):
        last = places.get(index, last)
        keys.append(last)
    return sorted(range(len(lines)), key=lambda index: keys[index])


def _pairs(wanted: Sequence[str], lines: Sequence[str]) -> dict[int, int]:
    """Which line stands for which wanted one: equal ones first, then the likeliest of the others."""
    by_line: dict[str, list[int]] = {}
    for place, line in enumerate(wanted):
        by_line.setdefault(line, []).append(place)
    pairs = {index: by_line[line].pop(0) for index, line in enumerate(lines) if by_line.get(line)}
    left = {index: line for index, line in enumerate(lines) if index not in pairs}
    missed = [place for places in by_line.values() for place in places if wanted[place]]
    if len(left) * len(missed) > MOST_LINE_PAIRS:
        return pairs
    for place in missed:
        found = process.extractOne(
            wanted[place], left, scorer=Levenshtein.normalized_similarity, score_cutoff=ALIKE, processor=None
        )
        if found:
            pairs[found[2]] = place
            del left[found[2]]
    return pairs


@dataclass(slots=True)
class _Hunk:
    """A stretch of both normalised texts, aligned with each other."""

    start: int
    end: int
    their_start: int
    their_end: int
    edits: int
    """0 where they agree."""

    def moved(self, by: int) -> _Hunk:
        """The hunk further on in both texts."""
        return _Hunk(self.start + by, self.end + by, self.their_start + by, self.their_end + by, self.edits)


def _hunks(ours: Normalised, theirs: Normalised) -> list[_Hunk]:
    """What differs, in order, each widened until its edges cut no word on either side; what then touches is one."""
    hunks: list[_Hunk] = []
    agreed = 0
    for part in _aligned(ours, theirs):
        if not part.edits:
            _widen_right(hunks, ours, theirs, part.end)
            agreed = part.start
            continue
        _widen_left(part, ours, theirs, agreed)
        if hunks and part.start <= hunks[-1].end and part.their_start <= hunks[-1].their_end:
            last = hunks[-1]
            last.end, last.their_end, last.edits = part.end, part.their_end, last.edits + part.edits
        else:
            hunks.append(part)
    return hunks


def _aligned(ours: Normalised, theirs: Normalised) -> list[_Hunk]:
    """Both texts in stretches that agree and stretches that do not, by the fewest edits.

    "page More" becomes "page" by the loss of "e Mor" as well as of " More". Of such equal ways the one that cuts no
    words is taken, and of those the one that keeps line breaks.
    """
    parts = []
    for op in Levenshtein.opcodes(ours.text, theirs.text):
        edits = 0 if op.tag == "equal" else max(op.src_end - op.src_start, op.dest_end - op.dest_start)
        parts.append(_Hunk(op.src_start, op.src_end, op.dest_start, op.dest_end, edits))
    for at in range(1, len(parts) - 1):
        before, part, after = parts[at - 1 : at + 2]
        one_sided = part.start == part.end or part.their_start == part.their_end
        if one_sided and part.edits and not before.edits and not after.edits:
            by = _shift(part, before.end - before.start, after.end - after.start, ours, theirs)
            parts[at] = part.moved(by)
            before.end, before.their_end = before.end + by, before.their_end + by
            after.start, after.their_start = after.start + by, after.their_start + by
    return parts


def _shift(part: _Hunk, room_left: int, room_right: int, ours: Normalised, theirs: Normalised) -> int:
    """How far to move a stretch that only one side has, where the same letters follow or precede it."""
    side, start, end = (
        (ours, part.start, part.end) if part.start < part.end else (theirs, part.their_start, part.their_end)
    )
    left = right = 0
    while left < min(room_left, FARTHEST) and side.text[start - left - 1] == side.text[end - left - 1]:
        left += 1
    while right < min(room_right, FARTHEST) and side.text[start + right] == side.text[end + right]:
        right += 1

    def cost(by: int) -> tuple[int, bool, int]:
        at = part.moved(by)
        cuts = (ours.joined(at.start), ours.joined(at.end), theirs.joined(at.their_start), theirs.joined(at.their_end))
        return sum(cuts), side.breaks(end + by - 1) and not side.breaks(start + by - 1), abs(by)

    return min(range(-left, right + 1), key=cost)


def _widen_right(hunks: Sequence[_Hunk], ours: Normalised, theirs: Normalised, until: int) -> None:
    if hunks:
        last = hunks[-1]
        while last.end < until and (ours.joined(last.end) or theirs.joined(last.their_end)):
            last.end += 1
            last.their_end += 1


def _widen_left(hunk: _Hunk, ours: Normalised, theirs: Normalised, until: int) -> None:
    while hunk.start > until and (ours.joined(hunk.start) or theirs.joined(hunk.their_start)):
        hunk.start -= 1
        hunk.their_start -= 1


def _disagreement(ours: Normalised, theirs: Normalised, places: _Places, hunk: _Hunk) -> Disagreement:
    mine, other = ours.text[hunk.start : hunk.end], theirs.text[hunk.their_start : hunk.their_end]
    left, right = _core(mine, other)
    start, end = ours.extent(hunk.start + left[0], hunk.start + left[1])
    read = theirs.extent(hunk.their_start + right[0], hunk.their_start + right[1])
    before, after = _context(theirs.text, hunk.their_start, hunk.their_end)
    patch = theirs.source[slice(*theirs.extent(hunk.their_start, hunk.their_end))]
    return Disagreement(
        start=start,
        end=end,
        reading=" ".join(theirs.source[slice(*read)].split()),
        edits=hunk.edits,
        pages=places.pages(theirs, hunk),
        mark=(start, end) if start < end else _neighbour(ours, hunk.start),
        versions=(before + mine + after, before + other + after),
        cut=ours.extent(hunk.start, hunk.end),
        patch=patch if "\n" in ours.source else re.sub(r"\s+", " ", patch),
    )


def _core(mine: str, other: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where both stand within themselves without blanks and shared punctuation at the ends."""
    a, b = mine.strip(), other.strip()
    head = _shared(a, b)
    tail = _shared(a[head:][::-1], b[head:][::-1])
    at, their = len(mine) - len(mine.lstrip()) + head, len(other) - len(other.lstrip()) + head
    return (at, at + len(a) - head - tail), (their, their + len(b) - head - tail)


def _shared(a: str, b: str) -> int:
    """Length of the punctuation with which both begin."""
    least = min(len(a), len(b))
    return next((at for at in range(least) if a[at] != b[at] or a[at] not in _EDGE), least)


def _context(text: str, start: int, end: int) -> tuple[str, str]:
    """The words before and after a stretch."""
    before, after = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
    if start > CONTEXT:
        before = before[before.find(" ") + 1 :]
    if end + CONTEXT < len(text) and " " in after:
        after = after[: after.rfind(" ")]
    return before, after


def _neighbour(ours: Normalised, at: int) -> tuple[int, int] | None:
    """The word before a place in the normalised text, or else the one after it."""
    end = len(ours.text[:at].rstrip()) or min(len(ours.text), at + 1)
    if not end:
        return None
    start = end - 1
    while ours.joined(start):
        start -= 1
    while ours.joined(end):
        end += 1
    return ours.extent(start, end)


class _Places:
    """On which page a place in the transcription stands."""

    def __init__(self, lines: Sequence[tuple[int, str]]) -> None:
        self._lines = lines
        self._edges = [0, *accumulate(len(line) + 1 for _, line in lines)]

    def pages(self, theirs: Normalised, hunk: _Hunk) -> tuple[int, ...]:
        """Those of the hunk's characters, or of the characters on both sides of an empty hunk."""
        text = theirs.text
        if not text:
            return ()
        first, last = hunk.their_start, hunk.their_end - 1
        if last < first:
            first = max(0, len(text[:first].rstrip()) - 1)
            last = min(last + 1 + text[last + 1 : last + 2].isspace(), len(text) - 1)
        elif first < last and text[first].isspace():
            first += 1
        touched = range(self._line(theirs.starts[first]), self._line(theirs.starts[last]) + 1)
        return tuple(sorted({self._lines[index][0] for index in touched}))

    def _line(self, offset: int) -> int:
        return bisect_right(self._edges, offset) - 1


def correct(text: str, disagreements: Sequence[Disagreement]) -> str:
    """The text with these stretches as the transcription has them; they must be in the text's order."""
    for disagreement in reversed(disagreements):
        start, end = disagreement.cut
        text = text[:start] + disagreement.patch + text[end:]
    return text
