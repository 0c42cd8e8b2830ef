"""SVG text: shapes and words, and how much room words take in a font that nobody knows beforehand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Literal
from unicodedata import combining, east_asian_width
from xml.etree.ElementTree import Element, SubElement, tostring

SIZE = 13.0
"""Of text, in pixels of the drawing."""
SMALL = 12.0
LINE = 16.0
"""From one line of text to the next."""
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot carry: control characters, lone surrogates, non-characters."""
_PITCH = 7.0
"""From one stroke of a hatching to the next, along x or y."""
_MARGIN = 1.08
"""System fonts differ; the widest usual one, Noto Sans, is about so much wider than Arial."""
_EM = {
    **dict.fromkeys("ijl|'.,:;!`", 0.27),
    **dict.fromkeys(' ftrI()[]{}/\\-"*\N{NO-BREAK SPACE}', 0.34),
    **dict.fromkeys("mwMW%@", 0.88),
}
"""Widths of Arial's characters, as shares of the font's size."""

Anchor = Literal["start", "middle", "end"]
"""`start`, `middle` or `end`: which part of a text stands at its x."""


def clean(text: str) -> str:
    """The text on one line, percent signs kept with their number, with a mark for what XML cannot carry."""
    line = re.sub("[ \t\r\n]+", " ", _FORBIDDEN.sub("\ufffd", text)).strip(" ")
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", line)


def number(value: float) -> str:
    """A coordinate: two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 0.005 else "0"


def text_width(text: str, size: float = SIZE) -> float:
    """About how wide it is, in pixels; rather too much than too little."""
    return sum(map(_em, text)) * size * _MARGIN


def _em(character: str) -> float:
    if character in _EM:
        return _EM[character]
    if combining(character):
        return 0.0
    if east_asian_width(character) in "WF":
        return 1.3 if ord(character) > 0x1F000 else 1.0  # emoji are wider than ideographs
    if character > "\N{DOUBLE LOW-9 QUOTATION MARK}" and character not in "…":
        return 0.9
    return 0.7 if character.isupper() or character > "\x7f" else 0.56


def shortened(text: str, width: float, size: float = SIZE) -> str:
    """The text, or as much of its beginning as has room, with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, width: float, lines: int, size: float = SIZE) -> tuple[str, ...]:
    """The text on at most so many lines, broken at spaces where it can be; the last is shortened."""
    done: list[str] = []
    rest = text[:1000]  # more has no room anyway
    while rest and len(done) < lines - 1 and text_width(rest, size) > width:
        fitting = _fitting(rest, width, size)
        done.append(rest[:fitting].rstrip())
        rest = rest[fitting:].lstrip()
    return (*done, shortened(rest, width, size)) if rest or not done else tuple(done)


def _fitting(text: str, width: float, size: float) -> int:
    """How many characters go on the first line: up to a space or after a joining sign, or as many as have room."""
    room, last = 0.0, 0
    for index, character in enumerate(text):
        if character == " ":
            last = index
        room += text_width(character, size)
        if room > width:
            return last or max(1, index)
        if character in "-/_,:" and index:
            last = index + 1
    return len(text)


@dataclass(frozen=True, slots=True)
class Scale:
    """Where on the drawing the values of an axis are."""

    low: float
    high: float
    start: float
    """Where `low` is, in pixels."""
    end: float

    def at(self, value: float) -> float:
        """In pixels; values beyond the ends are at the ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


class Drawing:
    """A picture in the making: shapes lie over those that were put in before. Colours come from the page's classes."""

    def __init__(self, name: str, width: float, title: str, description: str) -> None:
        """Begin an empty one; `name` is no other drawing's on the page."""
        self.width = width
        self.name = name
        self._root = Element("svg", {"role": "img", "aria-labelledby": f"{name}-title {name}-desc"})
        SubElement(self._root, "title", {"id": f"{name}-title"}).text = clean(title)
        SubElement(self._root, "desc", {"id": f"{name}-desc"}).text = clean(description)

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: Anchor = "start", whole: str = "") -> None:
        """Write text with its baseline at y; `whole` is shown when it is pointed at."""
        self._add("text", x=x, y=y, kind=kind, hint=whole, text=clean(text), anchor=anchor)

    def upright(self, x: float, y: float, text: str, kind: str = "", whole: str = "") -> None:
        """Write text that is read upwards, from y on, with its middle at x."""
        turned = f"rotate(-90 {number(x)} {number(y)})"
        self._add("text", x=x, y=y + SMALL * 0.35, kind=kind, hint=whole, text=clean(text), transform=turned)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Draw a straight line."""
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, kind=kind)

    def box(self, x: float, y: float, width: float, height: float, kind: str, **more: str) -> None:
        """Draw a rectangle."""
        self._add("rect", x=x, y=y, width=max(0.0, width), height=max(0.0, height), kind=kind, **more)

    def path(self, points: Sequence[tuple[float, float]], kind: str, *, closed: bool = False) -> None:
        """Draw a line through the points."""
        steps = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._add("polygon" if closed else "polyline", points=steps, kind=kind)

    def marker(self, x: float, y: float, series: int, radius: float = 4.5) -> None:
        """Draw the sign of a series: each has its own shape beside its own colour."""
        kind = f"marker s{series % 4}"
        match series % 4:
            case 0:
                self._add("circle", cx=x, cy=y, r=radius, kind=kind)
            case 1:
                side = radius * 1.7
                self._add("rect", x=x - side / 2, y=y - side / 2, width=side, height=side, kind=f"{kind} hollow")
            case 2:
                out = radius * 1.3
                self.path(((x, y - out), (x + out, y), (x, y + out), (x - out, y)), kind, closed=True)
            case _:
                out = radius * 1.25
                self.path(
                    ((x, y - out), (x + out, y + out * 0.8), (x - out, y + out * 0.8)), f"{kind} hollow", closed=True
                )

    def ring(self, x: float, y: float) -> None:
        """Draw a ring around a point that is to be seen."""
        self._add("circle", cx=x, cy=y, r=6, kind="ring")

    def part(self, x: float, y: float, width: float, height: float, part: int) -> None:
        """Draw a part of a whole, in its colour and with its hatching."""
        edged = " edged" if min(width, height) >= 4 else ""  # the edge would leave nothing of less
        self.box(x, y, width, height, f"part p{part % 5}{edged}")
        strokes = hatching(x + 0.5, y + 0.5, width - 1, height - 1, part % 5)
        if strokes:
            # Real strokes, since browsers print a pattern as a picture of many megabytes.
            self._add("path", d=strokes, kind=f"hatch p{part % 5}")

    def finished(self, height: float) -> str:
        """The whole drawing, so high."""
        self._root.set("viewBox", f"0 0 {number(self.width)} {number(height)}")
        self._root.set("width", number(self.width))
        self._root.set("height", number(height))
        return tostring(self._root, encoding="unicode")

    def _add(
        self, tag: str, kind: str = "", hint: str = "", text: str = "", anchor: str = "start", **more: float | str
    ) -> None:
        attributes = {name: value if isinstance(value, str) else number(value) for name, value in more.items()}
        if kind:
            attributes["class"] = kind
        if anchor != "start":
            attributes["text-anchor"] = anchor
        element = SubElement(self._root, tag, attributes)
        if text:
            element.text = text
        if hint:
            SubElement(element, "title").text = clean(hint)


def hatching(x: float, y: float, width: float, height: float, part: int) -> str:
    """The strokes of a part within a rectangle, as path data: none, rising, upright, falling, level by its number."""
    if min(width, height) <= 0:
        return ""
    right, bottom = x + width, y + height
    match part:
        case 1:
            lines = [
                ((max(x, at - bottom), min(bottom, at - x)), (min(right, at - y), max(y, at - right)))
                for at in _steps(x + y, right + bottom)
            ]
        case 2:
            lines = [((at, y), (at, bottom)) for at in _steps(x, right)]
        case 3:
            lines = [
                ((max(x, at + y), max(y, x - at)), (min(right, at + bottom), min(bottom, right - at)))
                for at in _steps(x - bottom, right - y)
            ]
        case 4:
            lines = [((x, at), (right, at)) for at in _steps(y, bottom)]
        case _:
            lines = []
    return "".join(f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}" for (x1, y1), (x2, y2) in lines)


def _steps(low: float, high: float) -> list[float]:
    """Multiples of the distance between strokes, within both."""
    return [at * _PITCH for at in range(floor(low / _PITCH) + 1, ceil(high / _PITCH))]
