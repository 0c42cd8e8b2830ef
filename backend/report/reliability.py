"""The reliability plot: how often the judge was right at each confidence, beside what it should have been."""

from __future__ import annotations

from math import sqrt

from backend.report.figures import known, tick_texts
from backend.report.frame import GAP, Area, fitting_ticks, is_narrow
from backend.report.page import Bin, Reliability
from backend.report.svg import SMALL, Drawing, Scale, clean, shortened, text_width
from backend.report.words import panels

_SIDES = (300.0, 272.0)
"""Of the square within the axes, on a wide and on a narrow drawing."""
_LEFT = text_width(tick_texts((1.0,), "percent")[0], SMALL) + 10
_ABOVE = 48.0
"""For the panel's name and that of its y axis."""
_BELOW = 44.0
_APART = 24.0
"""Between panels that stand under each other."""


def draw_reliability(plot: Reliability, drawing: Drawing) -> str:
    """A square per panel, beside each other where there is room; the larger a dot, the more verdicts it stands for."""
    narrow = is_narrow(drawing)
    every = panels(plot)
    side = _SIDES[narrow]
    height = _ABOVE + side + _BELOW
    most = max((one.rows for _, bins in every for one in bins), default=1)
    for number, (name, bins) in enumerate(every):
        left = 0.0 if narrow else number * (drawing.width / 2 + GAP)
        top = number * (height + _APART) if narrow else 0.0
        _panel(
            drawing,
            plot,
            name,
            bins,
            Area(left + _LEFT, top + _ABOVE, left + _LEFT + side, top + _ABOVE + side),
            number,
            most,
        )
    rows = len(every) if narrow else 1
    return drawing.finished(rows * height + (rows - 1) * _APART)


def _panel(
    drawing: Drawing, plot: Reliability, name: str, bins: tuple[Bin, ...], area: Area, series: int, most: int
) -> None:
    left, width = area.left - _LEFT, area.right - area.left + _LEFT
    x, y = Scale(0, 1, area.left, area.right), Scale(0, 1, area.bottom, area.top)
    drawing.text(left, area.top - 34, shortened(clean(name), width), "strong", whole=name)
    drawing.text(left, area.top - 14, shortened(clean(plot.y), width, SMALL), "small quiet", whole=plot.y)
    _axes(drawing, x, y)
    middle = (x.start + x.end) / 2
    drawing.text(
        middle, y.start + 36, shortened(clean(plot.x), area.right - area.left, SMALL), "small quiet", "middle", plot.x
    )
    drawing.line(x.start, y.start, x.end, y.end, "diagonal")
    drawing.text(x.start + 9, y.end + 18, "too modest", "small quiet")
    drawing.text(x.end - 9, y.start - 11, "too sure", "small quiet", "end")
    placed = [one for one in bins if known(one.mean_prob) is not None and known(one.share_true) is not None]
    placed.sort(key=lambda one: one.mean_prob)
    for one in placed:
        drawing.line(
            x.at(one.mean_prob), y.at(one.share_true), x.at(one.mean_prob), y.at(one.mean_prob), f"off s{series}"
        )
    drawing.path([(x.at(one.mean_prob), y.at(one.share_true)) for one in placed], f"thin s{series}")
    for one in placed:
        drawing.marker(x.at(one.mean_prob), y.at(one.share_true), series, 3.5 + 5.5 * sqrt(one.rows / most))


def _axes(drawing: Drawing, x: Scale, y: Scale) -> None:
    for mark, text in fitting_ticks(x, "percent", 58):
        drawing.line(x.at(mark), y.start, x.at(mark), y.end, "grid")
        drawing.line(x.start, y.at(mark), x.end, y.at(mark), "grid")
        half = text_width(text, SMALL) / 2
        drawing.text(min(x.at(mark), drawing.width - half), y.start + 17, text, "small quiet", "middle")
        drawing.text(x.start - 7, y.at(mark) + 4, text, "small quiet", "end")
    drawing.line(x.start, y.start, x.end, y.start, "axis")
    drawing.line(x.start, y.start, x.start, y.end, "axis")
