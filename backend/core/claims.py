"""Splits a text into the pieces that are checked one by one, without knowing its language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_BOUNDARY = re.compile(r"(?<![.,;:!?…])[.,;:!?…]+(?=\s|$|[\"'”’»)\]])|[。，、；：！？]+|\n+")
_TRIM = " \t\r\n\"'“”‘’«»()[]{}「」『』-–—*•#>"
_CLOSING = ".,;:!?…。，、；：！？"
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text and where it stands: `text == whole[start:end]`, offsets in code points."""

    start: int
    end: int
    text: str


def split_claims(text: str, most: int = 24) -> tuple[Piece, ...]:
    """Cut at punctuation that ends a clause; a decimal point or a comma within a number ends none.

    At most `most` pieces come back: beyond that, neighbours are joined evenly, so that the pieces
    always cover the whole text.
    """
    edges = [0, *(match.end() for match in _BOUNDARY.finditer(text)), len(text)]
    pieces = [piece for start, end in pairwise(edges) if (piece := _trimmed(text, start, end))]
    if len(pieces) <= most:
        return tuple(pieces)
    groups = [pieces[len(pieces) * i // most : len(pieces) * (i + 1) // most] for i in range(most)]
    return tuple(_trimmed(text, group[0].start, group[-1].end) or group[0] for group in groups)


def locate_claims(text: str, claims: Sequence[str]) -> tuple[Piece, ...]:
    """Where claims that were copied from the text stand in it, in the text's order.

    What does not stand there letter for letter (case aside) is left out; when that leaves more than a fifth of the
    text's words uncovered, nothing comes back.
    """
    lowered, pieces, at = text.lower(), [], 0
    for claim in claims:
        wanted = claim.strip(_TRIM + _CLOSING).lower()
        start = lowered.find(wanted, at) if wanted and len(lowered) == len(text) else -1
        if start >= 0 and (piece := _trimmed(text, start, start + len(wanted))):
            pieces.append(piece)
            at = piece.end
    words = [match.start() for match in _WORD.finditer(text)]
    covered = sum(any(piece.start <= word < piece.end for piece in pieces) for word in words)
    return tuple(pieces) if words and covered >= 0.8 * len(words) else ()


def split_words(piece: Piece) -> tuple[Piece, ...]:
    """The words of a piece, placed in the whole text. Scripts without spaces give one word per run of letters."""
    return tuple(
        Piece(piece.start + match.start(), piece.start + match.end(), match.group())
        for match in _WORD.finditer(piece.text)
    )


def _trimmed(text: str, start: int, end: int) -> Piece | None:
    """The stretch without surrounding blanks, quotes, brackets and closing punctuation; None when nothing is left."""
    while end > start and (text[end - 1] in _CLOSING or text[end - 1].isspace()):
        end -= 1
    while start < end and text[start] in _TRIM:
        start += 1
    while end > start and text[end - 1] in _TRIM:
        end -= 1
    return Piece(start, end, text[start:end]) if _WORD.search(text, start, end) else None
