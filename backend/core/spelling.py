"""How a text is spelled when it is compared with another reading of the same page, and the way back.

Both are compared as a reader sees them. Quotation marks, dashes, ligatures, full-width and presentation forms and
invisible characters are spelled one way; blanks and line breaks in a row are one blank, and none between Chinese or
Japanese characters, where a line break means nothing. Letters, digits, accents, case and other punctuation are never
touched: x² is not x2. A word broken by a hyphen at the end of a line counts as written so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

_SPELLING = (
    dict.fromkeys("‘’‚‛′`´ʼ‹›", "'")  # noqa: RUF001 - look-alikes on purpose
    | dict.fromkeys("“”„‟″«»", '"')
    | dict.fromkeys("‐‑‒–—―−﹘﹣", "-")  # noqa: RUF001
    | {"…": "..."}
)
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_FORMS = ("<wide>", "<narrow>", "<noBreak>", "<initial>", "<medial>", "<final>", "<isolated>")
_LIGATURES = range(0xFB00, 0xFB18)
_IDEOGRAPHS = "\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Characters that are words of their own: Chinese ones, kana, and their punctuation."""
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+")


@dataclass(frozen=True, slots=True)
class Normalised:
    """A text as it is compared, and where each of its characters stands in the text it was made from."""

    source: str
    text: str
    starts: tuple[int, ...]
    """Per character, the offset of what it was made from, in code points; never descending."""
    ends: tuple[int, ...]

    def extent(self, start: int, end: int) -> tuple[int, int]:
        """The offsets in the source of a stretch of the normalised text; an empty one follows what stands before it."""
        if start == end:
            at = self.ends[start - 1] if start else self.starts[0] if self.starts else 0
            return at, at
        return self.starts[start], self.ends[end - 1]

    def breaks(self, at: int) -> bool:
        """Whether this character stands for a line break."""
        return self.text[at] == " " and "\n" in self.source[self.starts[at] : self.ends[at]]

    def joined(self, at: int) -> bool:
        """Whether a cut before this character would go through a word, or through what one source character became."""
        if not 0 < at < len(self.text):
            return False
        before, after = self.text[at - 1], self.text[at]
        if self.starts[at - 1] == self.starts[at] or unicodedata.combining(after):
            return True
        return not (before.isspace() or after.isspace() or _IDEOGRAPH.match(before) or _IDEOGRAPH.match(after))


def normalise(text: str) -> Normalised:
    """The text as it is compared, with the way back."""
    letters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    blank = False
    for start, end in _segments(text):
        for letter in _spelled(text[start:end]):
            if letter.isspace():
                blank = True
                continue
            if blank and letters and not (_IDEOGRAPH.match(letters[-1]) and _IDEOGRAPH.match(letter)):
                gap = (ends[-1], start) if ends[-1] <= start else (start, end)
                letters.append(" ")
                starts.append(gap[0])
                ends.append(gap[1])
            blank = False
            letters.append(letter)
            starts.append(start)
            ends.append(end)
    return Normalised(text, "".join(letters), tuple(starts), tuple(ends))


def _segments(text: str) -> Iterator[tuple[int, int]]:
    """The stretches that NFC may rewrite, one after the other: mostly single characters."""
    if text.isascii():
        yield from pairwise(range(len(text) + 1))
        return
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or text[at].isascii() or not _composes(text[start:at], text[at]):
            yield start, at
            start = at


def _composes(head: str, letter: str) -> bool:
    """Whether a letter changes or is changed by what stands before it, as an accent or a Hangul vowel is."""
    if unicodedata.combining(letter):
        return True
    whole = unicodedata.normalize("NFC", head + letter)
    return whole != unicodedata.normalize("NFC", head) + unicodedata.normalize("NFC", letter)


@lru_cache(maxsize=65_536)
def _spelled(segment: str) -> str:
    return "".join(_spelling(letter) for letter in unicodedata.normalize("NFC", segment))


def _spelling(letter: str) -> str:
    if _INVISIBLE.match(letter):
        return ""
    if ord(letter) in _LIGATURES or unicodedata.decomposition(letter).startswith(_FORMS):
        letter = unicodedata.normalize("NFKC", letter)
    return "".join(_SPELLING.get(part, part) for part in letter)


def words(text: str) -> list[str]:
    """The words of a normalised text, each with the punctuation it touches; a Chinese character is one."""
    return _WORD.findall(text)
