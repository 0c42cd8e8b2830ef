"""What plots have around them: legends, axes with their ticks, reference lines, and room for labels within them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from backend.report.figures import shown, tick_texts, ticks
from backend.report.page import Axis, Reference, Unit
from backend.report.svg import LINE, SIZE, SMALL, Drawing, Scale, clean, shortened, text_width, wrapped

NARROW = 500.0
"""A drawing that is less wide is for a phone."""
LEGEND_SIGN = 26.0
"""Pixels that the sign before a name takes."""
GAP = 8.0
"""Least distance between two texts on one line."""
_STEP = 5.0
"""Lines are kept clear of at points so far apart."""

Sign = Callable[[float, float, int], None]
"""Draws the sign of a series by its number: from x on, `LEGEND_SIGN` less a gap wide, with its middle at y."""
Point = tuple[float, float]


def is_narrow(drawing: Drawing) -> bool:
    """Whether it is for a phone."""
    return drawing.width < NARROW


def legend(drawing: Drawing, y: float, names: Sequence[str], sign: Sign) -> float:
    """Name the series from y down, on as many lines as it takes; the y below it. Does nothing where none has a name."""
    if not any(names):
        return y
    x, top = 0.0, y
    for number, name in enumerate(names):
        lines, whole = label_lines(name, drawing.width - LEGEND_SIGN, 2)
        width = LEGEND_SIGN + max(map(text_width, lines))
        if x and x + width > drawing.width:
            x, top = 0.0, top + LINE + 4
        sign(x, top + LINE / 2, number)
        for line in lines:
            drawing.text(x + LEGEND_SIGN, top + 12.5, line, whole=whole)
            top += LINE if line is not lines[-1] else 0
        x += width + 18
    return top + LINE + 6


def fitting_ticks(scale: Scale, unit: Unit, room: float, upright: bool = False) -> tuple[tuple[float, str], ...]:
    """Ticks with their texts: as many as have so much room each or, along x, as their texts take.

    Fewer are taken where those stand at both ends of the axis.
    """
    most = max(2, min(11, int(abs(scale.end - scale.start) / room) + 1))
    choices = [ticks(scale.low, scale.high, number, whole=unit == "count") for number in range(most, 1, -1)]
    fitting = [marks for marks in choices if upright or _have_room(scale, marks, unit)] or choices[-1:]
    best = next((marks for marks in fitting if _at_ends(scale, marks)), fitting[0])
    return tuple(zip(best, tick_texts(best, unit), strict=True))


def _have_room(scale: Scale, marks: tuple[float, ...], unit: Unit) -> bool:
    widest = max(text_width(text, SMALL) for text in tick_texts(marks, unit)) + GAP
    return widest * (len(marks) - 1) <= abs(scale.at(marks[-1]) - scale.at(marks[0]))


def _at_ends(scale: Scale, marks: tuple[float, ...]) -> bool:
    near = (scale.high - scale.low) * 1e-6
    return abs(marks[0] - scale.low) <= near and abs(marks[-1] - scale.high) <= near


def x_axis(drawing: Drawing, scale: Scale, axis: Axis, top: float, bottom: float) -> float:
    """Lay off x below the plot, with a thin line upwards from each tick; the y below all of it."""
    last = -GAP
    for mark, text in fitting_ticks(scale, axis.unit, 64):
        x = scale.at(mark)
        drawing.line(x, top, x, bottom, "grid")
        half = text_width(text, SMALL) / 2
        middle = min(max(x, half), drawing.width - half)
        if middle - half >= last + GAP / 2:
            drawing.text(middle, bottom + 17, text, "small quiet", "middle")
            last = middle + half
    drawing.line(scale.start, bottom, scale.end, bottom, "axis")
    label = shortened(clean(axis.label), drawing.width, SMALL)
    half = text_width(label, SMALL) / 2
    middle = min(max((scale.start + scale.end) / 2, half), drawing.width - half)
    drawing.text(middle, bottom + 36, label, "small quiet", "middle", axis.label if label != clean(axis.label) else "")
    return bottom + 43 if label else bottom + 24


def y_axis(drawing: Drawing, scale: Scale, unit: Unit, left: float, right: float) -> None:
    """Lay off y left of the plot, with a thin line to the right from each tick."""
    for mark, text in fitting_ticks(scale, unit, 52, upright=True):
        y = scale.at(mark)
        drawing.line(left, y, right, y, "grid")
        drawing.text(left - 7, y + 4, text, "small quiet", "end")


def room_for_ticks(low: float, high: float, unit: Unit) -> float:
    """Pixels left of a plot that the texts of its y axis need."""
    texts = (text for most in range(2, 12) for text in tick_texts(ticks(low, high, most, unit == "count"), unit))
    return max(text_width(text, SMALL) for text in texts) + 10


def reference_text(line: Reference, unit: Unit) -> str:
    """`promised: 5 %`."""
    value = shown(line.value, unit)
    return f"{clean(line.label)}: {value}" if line.label else value


def upright_reference(drawing: Drawing, scale: Scale, line: Reference, unit: Unit, top: float, bottom: float) -> None:
    """Draw the line of a value of x, with its label above the plot."""
    whole = reference_text(line, unit)
    text = shortened(whole, scale.end - scale.start, SMALL)
    x, half = scale.at(line.value), text_width(text, SMALL) / 2
    drawing.line(x, top - 3, x, bottom, "reference")
    middle = min(max(x, scale.start + half), max(scale.end - half, scale.start + half))
    drawing.text(middle, top - 8, text, "small reference-label", "middle", whole if text != whole else "")


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def holds(self, other: Area) -> bool:
        """Whether the other lies within it."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def meets(self, other: Area) -> bool:
        """Whether they have something in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def points_within(self, points: Iterable[Point]) -> int:
        """How many of the points lie in it."""
        return sum(self.left <= x <= self.right and self.top <= y <= self.bottom for x, y in points)


class Labels:
    """The labels within a plot: each stands where it hides the least, and no two at the same place."""

    def __init__(self, drawing: Drawing, area: Area, lines: Iterable[Sequence[Point]]) -> None:
        """Begin with none; `lines` are what they should keep clear of."""
        self._drawing = drawing
        self._area = area
        self._points = [point for line in lines for point in _dense(line)]
        self._taken: list[Area] = []

    def keep_clear(self, area: Area) -> None:
        """Leave this free of labels."""
        self._taken.append(area)

    def beside(self, x: float, y: float, label: str, kind: str = "small") -> None:
        """Write a label near a point, with a thin line to it where it is not next to it."""
        lines = wrapped(clean(label), max(90.0, (self._area.right - self._area.left) * 0.42), 3, SMALL)
        width, height = max(text_width(line, SMALL) for line in lines), len(lines) * (LINE - 1)
        places = [_place(x, y, width, height, out, turn) for out in _DISTANCES for turn in _TURNS]
        best = min(places, key=self._cost)
        if (abs(best.left - x) > 24 and abs(best.right - x) > 24) or min(abs(best.top - y), abs(best.bottom - y)) > 20:
            self._drawing.line(x, y, min(max(x, best.left), best.right), min(max(y, best.top), best.bottom), "leader")
        self._write(best, lines, kind, label)

    def along(self, y: float, label: str, kind: str) -> None:
        """Write a label above or below a level line."""
        left, right = self._area.left + 6, self._area.right - 6
        lines = (shortened(label, right - left, SMALL),)
        width, height = text_width(lines[0], SMALL), LINE - 1
        starts = [left + (right - left - width) * share for share in (1.0, 0.0, 0.75, 0.5, 0.25)]
        tops = [y - height - 3, y + 3]
        places = [Area(start, top, start + width, top + height) for top in tops for start in starts]
        self._write(min(places, key=self._cost), lines, kind, label)

    def _write(self, place: Area, lines: Sequence[str], kind: str, whole: str) -> None:
        for number, line in enumerate(lines):
            hint = whole if lines[-1].endswith("…") else ""
            self._drawing.text(place.left, place.top + 11.5 + number * (LINE - 1), line, f"{kind} over", whole=hint)
        self._taken.append(place)

    def _cost(self, place: Area) -> float:
        collisions = sum(place.meets(other) for other in self._taken)
        return (collisions + (not self._area.holds(place))) * 10_000 + place.points_within(self._points)


_DISTANCES = (10, 26, 46, 70, 100, 140, 190)
_TURNS = ((1, -1), (1, 1), (-1, -1), (-1, 1), (1, 0), (-1, 0), (0, -1), (0, 1))
"""Where a label is looked for, from its point: right above first."""


def _place(x: float, y: float, width: float, height: float, out: float, turn: tuple[int, int]) -> Area:
    across, down = turn
    left = x - width / 2 + across * (width / 2 + out)
    top = y - height / 2 + down * (height / 2 + out * (0.6 if across else 1))
    return Area(left, top, left + width, top + height)


def _dense(line: Sequence[Point]) -> list[Point]:
    """Points along a line, close to each other."""
    points = list(line[:1])
    for (x1, y1), (x2, y2) in pairwise(line):
        steps = max(1, int(max(abs(x2 - x1), abs(y2 - y1)) / _STEP))
        points += [(x1 + (x2 - x1) * step / steps, y1 + (y2 - y1) * step / steps) for step in range(1, steps + 1)]
    return points


def label_lines(label: str, width: float, lines: int) -> tuple[tuple[str, ...], str]:
    """A row's label as it has room, and the whole of it where it has not."""
    text = clean(label)
    shown_lines = wrapped(text, width, lines, SIZE)
    return shown_lines, text if "".join(shown_lines).replace(" ", "") != text.replace(" ", "") else ""
