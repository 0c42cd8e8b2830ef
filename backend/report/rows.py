"""Plots with a label per row: intervals, and bars of shares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from backend.report.figures import MINUS, extent, interval, known, triple
from backend.report.frame import GAP, LEGEND_SIGN, is_narrow, label_lines, legend, upright_reference, x_axis
from backend.report.page import Axis, IntervalRow, Intervals, Measure, ShareRow, Shares, Unit
from backend.report.svg import LINE, SMALL, Drawing, Scale, clean, shortened, text_width
from backend.report.words import share_of

_LABEL_SHARE = 0.34
"""Of a wide drawing's width, at most, for labels."""
_COUNTED_WIDTH = 84.0
"""At most, for the name of what is counted."""
_PITCH = 19.0
"""From one series of a row to the next."""
_BAR = 22.0
_PADDING = 9.0
"""Below each row."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the parts of each row are, in pixels; the same for all rows."""

    label_width: float
    left: float
    right: float
    """From `left` to `right` is the plot."""
    value_end: float
    """Values are set to the right, up to here."""
    labels_above: bool
    """Whether a row's label has a line of its own."""


def interval_axis(plot: Intervals) -> Axis:
    """The axis with both its ends, so that parts of the plot have the same."""
    values = [
        value
        for row in plot.rows
        for one in row.measures
        if known(one.value) is not None
        for value in (one.value, *(interval(one) or ()))
    ]
    low, high = extent(plot.axis, [*values, plot.reference.value if plot.reference else None])
    return Axis(plot.axis.label, plot.axis.unit, low, high)


def draw_intervals(plot: Intervals, drawing: Drawing) -> str:
    """A dot with its whisker per row and series, on one axis, with value, interval and number at the right."""
    axis, columns = interval_axis(plot), _interval_columns(plot, drawing)
    scale = Scale(*extent(axis, ()), columns.left, columns.right)

    def sign(x: float, y: float, series: int) -> None:
        drawing.line(x, y, x + LEGEND_SIGN - 8, y, f"whisker s{series % 4}")
        drawing.marker(x + (LEGEND_SIGN - 8) / 2, y, series)

    top = legend(drawing, 0, plot.series, sign) + LINE + 8
    drawing.text(drawing.width, top - 8, _counted(plot.counted), "small quiet", "end")
    heights = [_interval_height(row, columns) for row in plot.rows]
    bottom = top + sum(heights)
    end = x_axis(drawing, scale, axis, top, bottom)
    if plot.reference:
        upright_reference(drawing, scale, plot.reference, axis.unit, top, bottom)
    for row, y in zip(plot.rows, accumulate(heights, initial=top), strict=False):
        if y > top:
            drawing.line(0, y, drawing.width, y, "between")
        _interval_row(drawing, row, axis.unit, columns, scale, y)
    return drawing.finished(end)


def _interval_columns(plot: Intervals, drawing: Drawing) -> _Columns:
    narrow, every = is_narrow(drawing), [one for row in plot.rows for one in row.measures]
    counts = max(text_width(text, SMALL) for text in (_counted(plot.counted), *map(_count, every)))
    value_end = drawing.width - counts - 14
    values = max((text_width(_value(one, plot.axis.unit, narrow), SMALL) for one in every), default=0.0)
    if narrow:
        return _Columns(drawing.width, 7, value_end - values - 12, value_end, labels_above=True)
    label_width = _label_width((row.label for row in plot.rows), drawing)
    return _Columns(label_width, label_width + 20, value_end - values - 18, value_end, labels_above=False)


def _label_width(labels: Iterable[str], drawing: Drawing) -> float:
    return min(max((text_width(clean(label)) for label in labels), default=0.0), drawing.width * _LABEL_SHARE)


def _counted(text: str) -> str:
    return shortened(clean(text), _COUNTED_WIDTH, SMALL)


def _count(one: Measure) -> str:
    return "" if one.n is None else f"{one.n:,}"


def _value(one: Measure, unit: Unit, short: bool) -> str:
    """`82 % (75–88)`; when short, `82 %`."""
    value, low, high = triple(one, unit)
    if not value:
        return "none" if short else "not measured"
    if short or not low:
        return value
    return f"{value} ({low} to {high})" if low.startswith(MINUS) else f"{value} ({low}–{high})"


def _lines(label: str, columns: _Columns) -> tuple[tuple[str, ...], str]:
    return label_lines(label, columns.label_width, 2)


def _interval_height(row: IntervalRow, columns: _Columns) -> float:
    labels, series = len(_lines(row.label, columns)[0]) * LINE, len(row.measures) * _PITCH
    return (labels + series + 2 if columns.labels_above else max(labels, series)) + _PADDING


def _interval_row(drawing: Drawing, row: IntervalRow, unit: Unit, columns: _Columns, scale: Scale, top: float) -> None:
    lines, whole = _lines(row.label, columns)
    inner = _interval_height(row, columns) - _PADDING
    middle = top + _PADDING / 2 + inner / 2
    first = top + _PADDING / 2 if columns.labels_above else middle - len(lines) * LINE / 2
    if columns.labels_above:  # no line of the plot goes through it
        drawing.box(0, first + 1, max(map(text_width, lines)), len(lines) * LINE - 1, "card")
    _label(drawing, lines, first, whole)
    at = middle - len(row.measures) * _PITCH / 2 + _PITCH / 2
    if columns.labels_above:
        at += (len(lines) * LINE + 2) / 2
    for series, one in enumerate(row.measures):
        _measure(drawing, one, series, scale, at + series * _PITCH)
        kind = "small" if known(one.value) is not None else "small quiet"
        drawing.text(columns.value_end, at + series * _PITCH + 4, _value(one, unit, columns.labels_above), kind, "end")
        drawing.text(drawing.width, at + series * _PITCH + 4, _count(one), "small quiet", "end")


def _label(drawing: Drawing, lines: tuple[str, ...], top: float, whole: str) -> None:
    for number, line in enumerate(lines):
        drawing.text(0, top + number * LINE + 12, line, whole=whole)


def _measure(drawing: Drawing, one: Measure, series: int, scale: Scale, y: float) -> None:
    value, ends = known(one.value), interval(one)
    if value is None:
        return
    if ends is not None:
        low, high = map(scale.at, ends)
        kind = f"s{series % 4}"
        drawing.line(low, y, high, y, f"whisker {kind}")
        for x in (low, high):
            drawing.line(x, y - 4, x, y + 4, f"cap {kind}")
    drawing.marker(scale.at(value), y, series)


def draw_shares(plot: Shares, drawing: Drawing) -> str:
    """A bar per row, from none to all, in the colours and patterns of the parts, with the whole's size at the right."""
    columns = _share_columns(plot, drawing)

    def sign(x: float, y: float, part: int) -> None:
        drawing.part(x, y - 6, LEGEND_SIGN - 8, 12, part)

    top = legend(drawing, 0, plot.parts, sign) + LINE + 2
    drawing.text(drawing.width, top - 4, _counted(plot.counted), "small quiet", "end")
    heights = [_share_height(row, columns) for row in plot.rows]
    for row, y in zip(plot.rows, accumulate(heights, initial=top), strict=False):
        _share_row(drawing, row, columns, y)
    return drawing.finished(top + sum(heights))


def _share_columns(plot: Shares, drawing: Drawing) -> _Columns:
    totals = (f"{sum(row.counts):,}" for row in plot.rows)
    counts = max(text_width(text, SMALL) for text in (_counted(plot.counted), *totals))
    if is_narrow(drawing):
        return _Columns(drawing.width - counts - 14, 0, drawing.width, drawing.width, labels_above=True)
    label_width = _label_width((row.label for row in plot.rows), drawing)
    return _Columns(label_width, label_width + 16, drawing.width - counts - 14, drawing.width, labels_above=False)


def _share_height(row: ShareRow, columns: _Columns) -> float:
    labels = len(_lines(row.label, columns)[0]) * LINE
    return (labels + _BAR + 4 if columns.labels_above else max(labels, _BAR)) + _PADDING


def _share_row(drawing: Drawing, row: ShareRow, columns: _Columns, top: float) -> None:
    lines, whole = _lines(row.label, columns)
    inner = _share_height(row, columns) - _PADDING
    first = top if columns.labels_above else top + (inner - len(lines) * LINE) / 2
    bar = top + inner - _BAR if columns.labels_above else top + (inner - _BAR) / 2
    _label(drawing, lines, first, whole)
    beside = first + 12 if columns.labels_above else bar + _BAR / 2 + 4
    drawing.text(drawing.width, beside, f"{sum(row.counts):,}", "small quiet", "end")
    _bar(drawing, row.counts, columns.left, columns.right, bar)


def _bar(drawing: Drawing, counts: tuple[int, ...], left: float, right: float, y: float) -> None:
    total = sum(counts)
    if total <= 0:
        drawing.box(left, y, right - left, _BAR, "nothing-bar")
        drawing.text((left + right) / 2, y + _BAR / 2 + 4, "none", "small quiet", "middle")
        return
    for part, (count, before) in enumerate(zip(counts, accumulate(counts, initial=0), strict=False)):
        x, width = left + (right - left) * before / total, (right - left) * count / total
        if width > 0:
            drawing.part(x, y, width, _BAR, part)
        text = share_of(count, total)
        if text_width(text, SMALL) + GAP <= width:
            drawing.text(x + width / 2, y + _BAR / 2 + 4, text, f"small on-part p{part % 5}", "middle")
