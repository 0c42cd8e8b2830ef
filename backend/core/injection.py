"""Finds passages of a text that speak to the judge instead of describing the picture. Pure.

English, French, German, Spanish and Chinese. It reads a text as a person would see it: letters
without accents, in lower case, compatibility spellings resolved, invisible characters left out and
smuggled ones made readable. It looks for an order *and* its object ("ignore" + "the previous
instructions", "rate" + "this caption" + "5"), because captions that quote a sign or tell how a film
was rated are ordinary. Of attacks worded anew about half get past it: it flags, it does not protect.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from backend.core.injection_patterns import PATTERNS, Kind

REASONS: dict[Kind, str] = {
    "override": "This passage tells the judge to set its instructions or the picture aside.",
    "demand": "This passage asks the judge for a certain answer or rating.",
    "role": "This passage pretends to be a turn of the conversation with the judge.",
    "token": "This passage holds control tokens of a chat template.",
    "hidden": "This passage holds characters that cannot be seen.",
}
"""What the annotator reads, by kind."""


RULES_HASH = hashlib.sha256("".join(f"{kind}:{rule.pattern}" for kind, rule in PATTERNS).encode()).hexdigest()
"""Part of the fingerprint: other rules flag other texts."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A passage that may steer the judge: `text == whole[start:end]`, offsets in code points."""

    start: int
    end: int
    text: str
    kind: Kind
    reason: str
    """One sentence for the annotator."""


def suspicious(text: str) -> tuple[Finding, ...]:
    """The passages of a task's text, or of a transcription of its image, that speak to the judge; none overlap."""
    shown, origin = _squeezed(*_as_seen(text))
    found: list[tuple[int, int, Kind]] = [
        (origin[start], origin[end - 1] + 1, kind)
        for kind, pattern in PATTERNS
        for start, end in (_span(match) for match in pattern.finditer(shown))
    ]
    found += [(start, end, "hidden") for start, end in _hidden(text)]
    return tuple(_findings(text, found))


def _span(match: re.Match[str]) -> tuple[int, int]:
    """Where the passage stands within the match, which may begin with what has to go before it."""
    return match.span("hit") if "hit" in match.re.groupindex else match.span()


def _findings(text: str, found: list[tuple[int, int, Kind]]) -> Iterator[Finding]:
    """From left to right, the longest first; what overlaps an earlier one is left out."""
    reached = 0
    for start, end, kind in sorted(found, key=lambda item: (item[0], -item[1])):
        if start >= reached:
            yield Finding(start, end, text[start:end], kind, REASONS[kind])
            reached = end


def _as_seen(text: str) -> tuple[str, list[int]]:
    """The text as a person reads it, and for each of its characters the offset in the original."""
    shown: list[str] = []
    origin: list[int] = []
    for index, character in enumerate(text):
        spelled = character.casefold() if character.isascii() else _plain(character)
        shown.append(spelled)
        origin += [index] * len(spelled)
    return "".join(shown), origin


_KEPT = 16
_RUN = re.compile(rf"[\s*_`~#>\[(-]{{{2 * _KEPT + 1},}}")
"""Blanks and marks that the patterns pass over; at every place in a run of thousands they would try it anew."""


def _squeezed(shown: str, origin: list[int]) -> tuple[str, list[int]]:
    """The text with such runs cut to their ends, and to a line break where there is one between."""
    parts: list[str] = []
    kept: list[int] = []
    done = 0
    for run in _RUN.finditer(shown):
        first, last = run.start() + _KEPT, run.end() - _KEPT
        line = shown.find("\n", first, last)
        between = [] if line < 0 else [line]
        parts += [shown[done:first], *(shown[index] for index in between)]
        kept += [*origin[done:first], *(origin[index] for index in between)]
        done = last
    return "".join([*parts, shown[done:]]), kept + origin[done:]


def _plain(character: str) -> str:
    """Compatibility spelling without accents, in lower case; empty for what cannot be seen."""
    if _TAG_FIRST <= character <= _TAG_LAST:
        return chr(ord(character) - 0xE0000).casefold()
    if unicodedata.category(character) == "Cf":
        return ""
    spelled = unicodedata.normalize("NFKD", character)
    return "".join(part for part in spelled if unicodedata.category(part) != "Mn").casefold()


_TAG_FIRST, _TAG_LAST = "\U000e0020", "\U000e007e"
_TAGS = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{1,6}\U000e007f|(?P<hit>[\U000e0000-\U000e007f]+)")
"""Tag characters spell ASCII unseen; after a black flag a few of them are the flag of a region."""
_IN_WORD = re.compile(
    "(?<=[^\\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u9fff])[\u200b\u2060\ufeff]+"
    "(?=[^\\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u9fff])"
)
"""A break of no width within a word, in a script that does not set such breaks."""
_MANY = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff]{4,}|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3,}")
"""Runs that carry data rather than spelling."""
_OVERRIDE = re.compile("[\u202d\u202e]")
_EMBEDDING = re.compile("[\u202a\u202b\u2066-\u2068]")


def _hidden(text: str) -> Iterator[tuple[int, int]]:
    """Where characters stand that are there to be unseen, not to spell a script or an emoji."""
    if text.isascii():
        return
    turning = [_OVERRIDE] if _right_to_left(text) else [_OVERRIDE, _EMBEDDING]
    for pattern in (_TAGS, _IN_WORD, _MANY, *turning):
        for match in pattern.finditer(text):
            start, end = _span(match)
            if start >= 0:
                yield start, end


def _right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)
