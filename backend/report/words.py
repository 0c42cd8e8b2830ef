"""Each plot in words, for those who do not see it, and its numbers as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from backend.report.figures import ABSENT, exact, headed, interval, shown, spoken
from backend.report.page import (
    Bin,
    Column,
    Curve,
    Histogram,
    IntervalRow,
    Intervals,
    Matrix,
    Measure,
    Plot,
    Reliability,
    Shares,
    Table,
)

EMPTY = "There is nothing to show yet."
MOST_SPOKEN = 30
"""Rows that are put into words; the table has them all."""
MOST_POINTS = 40
"""Points of a line in the table, evenly taken, the first and the last among them."""

T = TypeVar("T")


def description(plot: Plot) -> str:
    """The plot in words, with its numbers."""
    match plot:
        case Intervals():
            parts = _intervals(plot)
        case Reliability():
            parts = _reliability(plot)
        case Curve():
            parts = _curve(plot)
        case Matrix():
            parts = _matrix(plot)
        case Shares():
            parts = _shares(plot)
        case Histogram():
            parts = _histogram(plot)
    return _sentences(parts) if parts else EMPTY


def _sentences(parts: Sequence[str]) -> str:
    said = [f"{part}." for part in parts[:MOST_SPOKEN]]
    more = len(parts) - MOST_SPOKEN
    return " ".join([*said, f"{more:,} more are in the table below."] if more > 0 else said)


def _intervals(plot: Intervals) -> list[str]:
    rows = [f"{row.label}: {_measures(plot, row)}" for row in plot.rows]
    if plot.reference and rows:
        rows.insert(0, f"Line at {shown(plot.reference.value, plot.axis.unit)}: {plot.reference.label}")
    return rows


def _measures(plot: Intervals, row: IntervalRow) -> str:
    named = zip(plot.series, row.measures, strict=True)
    return "; ".join(f"{name} {spoken(one, plot.axis.unit, plot.counted)}".strip() for name, one in named)


def _reliability(plot: Reliability) -> list[str]:
    return [
        f"{name}: at confidence {shown(one.mean_prob, 'percent')}, {shown(one.share_true, 'percent')} were right, "
        f"{one.rows:,} labels"
        for name, bins in panels(plot)
        for one in bins
    ]


def panels(plot: Reliability) -> tuple[tuple[str, tuple[Bin, ...]], ...]:
    """The panels by name, with the bins that hold anything."""
    every = ((plot.before_label, plot.before), (plot.after_label, plot.after))
    return tuple((name, tuple(one for one in bins if one.rows > 0)) for name, bins in every if bins is not None)


def _curve(plot: Curve) -> list[str]:
    x, y = plot.x, plot.y
    parts = [
        f"{line.name}: from {y.label} {shown(line.points[0][1], y.unit)} at {x.label} "
        f"{shown(line.points[0][0], x.unit)} to {shown(line.points[-1][1], y.unit)} "
        f"at {shown(line.points[-1][0], x.unit)}"
        for line in plot.lines
        if line.points
    ]
    if parts:
        parts += [
            f"{one.label}: {x.label} {shown(one.x, x.unit)}, {y.label} {shown(one.y, y.unit)}" for one in plot.marks
        ]
        for axis, line in ((y, plot.horizontal), (x, plot.vertical)):
            parts += [f"Line at {axis.label} {shown(line.value, axis.unit)}: {line.label}"] if line else []
    return parts


def _matrix(plot: Matrix) -> list[str]:
    return [
        f"{plot.row_title} {row}: "
        + ", ".join(
            f"{plot.column_title} {column} {count:,}" for column, count in zip(plot.columns, counts, strict=True)
        )
        for row, counts in zip(plot.rows, plot.counts, strict=True)
        if counts
    ]


def _shares(plot: Shares) -> list[str]:
    return [
        f"{row.label}: {sum(row.counts):,} {plot.counted}"
        + "".join(
            f", {part} {share_of(count, sum(row.counts))}" for part, count in zip(plot.parts, row.counts, strict=True)
        )
        for row in plot.rows
    ]


def share_of(count: int, total: int) -> str:
    """`71 %`; a dash where there is no whole."""
    return shown(count / total, "percent") if total else ABSENT


def _histogram(plot: Histogram) -> list[str]:
    unit = plot.axis.unit
    bars = [
        f"{shown(bar.low, unit)} to {shown(bar.high, unit)}: "
        + "; ".join(
            f"{name} {count:,} {plot.counted}".strip() for name, count in zip(plot.series, bar.counts, strict=True)
        )
        for bar in plot.bars
    ]
    if plot.reference and bars:
        bars.insert(0, f"Line at {shown(plot.reference.value, unit)}: {plot.reference.label}")
    return bars


def numbers(plot: Plot) -> Table:
    """What the plot was drawn from."""
    match plot:
        case Intervals():
            return _interval_table(plot)
        case Reliability():
            return _reliability_table(plot)
        case Curve():
            return _curve_table(plot)
        case Matrix():
            return _matrix_table(plot)
        case Shares():
            return _shares_table(plot)
        case Histogram():
            return _histogram_table(plot)


def _columns(texts: Iterable[str], numeric: Iterable[str]) -> tuple[Column, ...]:
    return (*map(Column, texts), *(Column(title, numeric=True) for title in numeric))


def _interval_table(plot: Intervals) -> Table:
    unit, several = plot.axis.unit, any(plot.series)
    rows = tuple(
        (row.label, *([name] if several else []), *_cells(one, plot))
        for row in plot.rows
        for name, one in zip(plot.series, row.measures, strict=True)
    )
    ends = (headed("from", unit), headed("to", unit))
    titles = _columns(("", "") if several else ("",), (headed(plot.axis.label, unit), *ends, plot.counted))
    return Table(titles, rows, plot.title)


def _cells(one: Measure, plot: Intervals) -> tuple[str, ...]:
    low, high = interval(one) or (None, None)
    unit = plot.axis.unit
    return (exact(one.value, unit), exact(low, unit), exact(high, unit), exact(one.n, "count"))


def _reliability_table(plot: Reliability) -> Table:
    rows = tuple(
        (name, exact(one.mean_prob, "percent"), exact(one.share_true, "percent"), exact(one.rows, "count"))
        for name, bins in panels(plot)
        for one in bins
    )
    return Table(_columns(("",), (headed(plot.x, "percent"), headed(plot.y, "percent"), "labels")), rows, plot.title)


def _curve_table(plot: Curve) -> Table:
    rows = tuple(
        (line.name, exact(x, plot.x.unit), exact(y, plot.y.unit))
        for line in plot.lines
        for x, y in _evenly(line.points)
    )
    note = "Some points of each line, evenly taken." if any(len(one.points) > MOST_POINTS for one in plot.lines) else ""
    heads = (headed(plot.x.label, plot.x.unit), headed(plot.y.label, plot.y.unit))
    return Table(_columns(("",), heads), rows, plot.title, note)


def _evenly(points: Sequence[T]) -> Sequence[T]:
    if len(points) <= MOST_POINTS:
        return points
    return [points[round(index * (len(points) - 1) / (MOST_POINTS - 1))] for index in range(MOST_POINTS)]


def _matrix_table(plot: Matrix) -> Table:
    rows = tuple(
        (row, *(exact(count, "count") for count in counts)) for row, counts in zip(plot.rows, plot.counts, strict=True)
    )
    return Table(_columns((f"{plot.row_title} / {plot.column_title}",), plot.columns), rows, plot.title)


def _shares_table(plot: Shares) -> Table:
    rows = tuple(
        (
            row.label,
            *(f"{count:,} ({share_of(count, sum(row.counts))})" for count in row.counts),
            f"{sum(row.counts):,}",
        )
        for row in plot.rows
    )
    return Table(_columns(("",), (*plot.parts, plot.counted)), rows, plot.title)


def _histogram_table(plot: Histogram) -> Table:
    unit = plot.axis.unit
    rows = tuple(
        (exact(bar.low, unit), exact(bar.high, unit), *(exact(count, "count") for count in bar.counts))
        for bar in plot.bars
    )
    heads = (
        headed(f"{plot.axis.label} from", unit),
        headed("to", unit),
        *(name or plot.counted for name in plot.series),
    )
    return Table(_columns((), heads), rows, plot.title)
