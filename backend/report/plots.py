"""Draws plots as SVG, once for wide screens and paper and once for phones, with the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeVar

from backend.report.matrix import draw_matrix
from backend.report.page import Curve, Histogram, Intervals, Matrix, Plot, Reliability, Shares
from backend.report.planes import draw_curve, draw_histogram
from backend.report.reliability import draw_reliability
from backend.report.rows import draw_intervals, draw_shares, interval_axis
from backend.report.svg import Drawing
from backend.report.words import EMPTY, description

Form = Literal["wide", "narrow"]
WIDTHS: dict[Form, float] = {"wide": 780.0, "narrow": 340.0}
"""In pixels. Each is shown at about its size, so that its text is as large as the text around it."""
MOST_LINES: dict[Form, int] = {"wide": 36, "narrow": 30}
"""Lines of rows on one drawing, so that it fits on a sheet of paper; more make several drawings."""

T = TypeVar("T")


def draw(plot: Plot, name: str, form: Form) -> tuple[str, ...]:
    """The plot as one SVG, or several where it would be too high; none where there is nothing to show.

    `name` is no other plot's on the page: the ids within the drawings begin with it.
    """
    if description(plot) == EMPTY:
        return ()
    parts = _parts(plot, MOST_LINES[form])
    drawings = []
    for number, part in enumerate(parts, start=1):
        title = plot.title if len(parts) == 1 else f"{plot.title} ({number} of {len(parts)})"
        drawing = Drawing(f"{name}-{form}-{number}", WIDTHS[form], title, description(part))
        drawings.append(_drawn(part, drawing))
    return tuple(drawings)


def _drawn(plot: Plot, drawing: Drawing) -> str:
    match plot:
        case Intervals():
            return draw_intervals(plot, drawing)
        case Reliability():
            return draw_reliability(plot, drawing)
        case Curve():
            return draw_curve(plot, drawing)
        case Matrix():
            return draw_matrix(plot, drawing)
        case Shares():
            return draw_shares(plot, drawing)
        case Histogram():
            return draw_histogram(plot, drawing)


def _parts(plot: Plot, most: int) -> Sequence[Plot]:
    """The plot in pieces of at most so many lines, on axes of the same length."""
    match plot:
        case Intervals():
            whole = replace(plot, axis=interval_axis(plot))
            return [replace(whole, rows=rows) for rows in _chunks(plot.rows, most // (len(plot.series) + 1))]
        case Shares():
            return [replace(plot, rows=rows) for rows in _chunks(plot.rows, most // 2)]
        case _:
            return [plot]


def _chunks(rows: tuple[T, ...], most: int) -> list[tuple[T, ...]]:
    """Pieces of nearly the same length."""
    pieces = -(-len(rows) // max(1, most))
    return [rows[len(rows) * at // pieces : len(rows) * (at + 1) // pieces] for at in range(pieces)]
