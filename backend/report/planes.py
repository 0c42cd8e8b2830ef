"""Plots over two axes: curves, and histograms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from backend.report.figures import extent, known
from backend.report.frame import (
    LEGEND_SIGN,
    Area,
    Labels,
    Point,
    is_narrow,
    legend,
    reference_text,
    room_for_ticks,
    upright_reference,
    x_axis,
    y_axis,
)
from backend.report.page import Axis, Curve, Histogram, HistogramBar, Line
from backend.report.svg import LINE, SMALL, Drawing, Scale, clean, shortened

MOST_POINTS = 300
"""Of a line; more are not seen, and make the page large."""
_FEW_POINTS = 12
"""Lines of at most so many have a marker at each."""
_RIGHT = 20.0
"""Free right of the plot, for half of the last tick's text."""
_HEIGHTS = {"curve": (290.0, 230.0), "histogram": (180.0, 170.0)}
"""Of the plot within its axes, on a wide and on a narrow drawing."""


def draw_curve(plot: Curve, drawing: Drawing) -> str:
    """Lines that differ by colour and dash, over two axes, with points that are named beside them."""
    lines = [(line, _finite(line)) for line in plot.lines]
    x, y = _scales(plot, [points for _, points in lines], drawing)

    def sign(left: float, middle: float, series: int) -> None:
        drawing.line(left, middle, left + LEGEND_SIGN - 8, middle, f"line s{series % 4}")
        if len(lines[series][1]) <= _FEW_POINTS:
            drawing.marker(left + (LEGEND_SIGN - 8) / 2, middle, series, 3.5)

    top = legend(drawing, 0, [line.name for line, _ in lines], sign)
    area = _area(drawing, plot.y, plot.vertical is not None, top, "curve", (y.low, y.high))
    x, y = Scale(x.low, x.high, area.left, area.right), Scale(y.low, y.high, area.bottom, area.top)
    y_axis(drawing, y, plot.y.unit, area.left, area.right)
    end = x_axis(drawing, x, plot.x, area.top, area.bottom)
    placed = [[(x.at(one), y.at(other)) for one, other in points] for _, points in lines]
    if plot.vertical:
        upright_reference(drawing, x, plot.vertical, plot.x.unit, area.top, area.bottom)
    if plot.horizontal:
        drawing.line(area.left, y.at(plot.horizontal.value), area.right, y.at(plot.horizontal.value), "reference")
    for series, points in enumerate(placed):
        _line(drawing, points, series)
    _labels(plot, drawing, area, placed, x, y)
    return drawing.finished(end)


def _finite(line: Line) -> list[Point]:
    """The points that have both numbers, by rising x."""
    points = [(x, y) for x, y in line.points if known(x) is not None and known(y) is not None]
    points.sort(key=lambda point: point[0])
    step = max(1, (len(points) - 1) // MOST_POINTS)
    return points if step == 1 else [*points[:-1:step], points[-1]]


def _scales(plot: Curve, lines: Sequence[Sequence[Point]], drawing: Drawing) -> tuple[Scale, Scale]:
    """How far the axes reach."""
    points = [*(point for line in lines for point in line), *((mark.x, mark.y) for mark in plot.marks)]
    xs = [*(x for x, _ in points), plot.vertical.value if plot.vertical else None]
    ys = [*(y for _, y in points), plot.horizontal.value if plot.horizontal else None]
    return Scale(*extent(plot.x, xs), 0, drawing.width), Scale(*extent(plot.y, ys), 0, 1)


def _area(drawing: Drawing, y: Axis, has_line: bool, top: float, kind: str, reach: tuple[float, float]) -> Area:
    """Where the plot is within its axes; names what y is above it."""
    label = shortened(clean(y.label), drawing.width, SMALL)
    drawing.text(0, top + 12, label, "small quiet", whole=y.label if label != clean(y.label) else "")
    start = top + LINE + (LINE + 10 if has_line else 10)
    left = room_for_ticks(*reach, y.unit)
    return Area(left, start, drawing.width - _RIGHT, start + _HEIGHTS[kind][is_narrow(drawing)])


def _line(drawing: Drawing, points: Sequence[Point], series: int) -> None:
    if len(points) > 1:
        drawing.path(points, f"line s{series % 4}")
    if len(points) <= _FEW_POINTS:
        for x, y in points:
            drawing.marker(x, y, series, 3.5)


def _labels(plot: Curve, drawing: Drawing, area: Area, placed: Sequence[Sequence[Point]], x: Scale, y: Scale) -> None:
    lines = list(placed)
    if plot.horizontal:
        level = y.at(plot.horizontal.value)
        lines.append([(area.left, level), (area.right, level)])
    if plot.vertical:
        across = x.at(plot.vertical.value)
        lines.append([(across, area.top), (across, area.bottom)])
    labels = Labels(drawing, area, lines)
    known_marks = [mark for mark in plot.marks if known(mark.x) is not None and known(mark.y) is not None]
    marks = [(mark, x.at(mark.x), y.at(mark.y)) for mark in known_marks]
    for _, across, down in marks:
        labels.keep_clear(Area(across - 8, down - 8, across + 8, down + 8))
        drawing.ring(across, down)
    if plot.horizontal:
        labels.along(y.at(plot.horizontal.value), reference_text(plot.horizontal, plot.y.unit), "small reference-label")
    for mark, across, down in marks:
        labels.beside(across, down, mark.label, "small strong")


def draw_histogram(plot: Histogram, drawing: Drawing) -> str:
    """A bar per range of values, stacked where there are several series."""
    edges = [value for bar in plot.bars for value in (bar.low, bar.high)]
    reach = extent(plot.axis, [*edges, plot.reference.value if plot.reference else None])
    counts = Axis(plot.counted, "count", low=0)
    height = extent(counts, [sum(bar.counts) for bar in plot.bars] or [1])

    def sign(left: float, middle: float, part: int) -> None:
        drawing.part(left, middle - 6, LEGEND_SIGN - 8, 12, part)

    top = legend(drawing, 0, plot.series, sign)
    area = _area(drawing, counts, plot.reference is not None, top, "histogram", height)
    x, y = Scale(*reach, area.left, area.right), Scale(*height, area.bottom, area.top)
    y_axis(drawing, y, "count", area.left, area.right)
    end = x_axis(drawing, x, plot.axis, area.bottom, area.bottom)
    for bar in plot.bars:
        _stack(drawing, bar, x, y)
    if plot.reference:
        upright_reference(drawing, x, plot.reference, plot.axis.unit, area.top, area.bottom)
    return drawing.finished(end)


def _stack(drawing: Drawing, bar: HistogramBar, x: Scale, y: Scale) -> None:
    left, right = x.at(bar.low), x.at(bar.high)
    gap = min(1.0, (right - left) / 8)
    for part, (count, below) in enumerate(zip(bar.counts, accumulate(bar.counts, initial=0), strict=False)):
        if count > 0:
            upper, lower = y.at(below + count), y.at(below)
            drawing.part(left + gap, upper, max(2.0, right - left - 2 * gap), lower - upper, part)
