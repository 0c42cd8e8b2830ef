"""The confusion matrix: how often one said this when the other said that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backend.report.frame import is_narrow, label_lines
from backend.report.page import Matrix
from backend.report.svg import LINE, SMALL, Drawing, clean, shortened, text_width
from backend.report.words import share_of

MOST_NAMES = 12
"""Rows or columns that are drawn; the rarest are taken together, and the table has them all."""
_UPRIGHT = 96.0
"""Height for names of columns that are written upwards."""
_HEAD = LINE + 8
_APART = 12.0
"""Between the names of rows and the fields."""


def draw_matrix(plot: Matrix, drawing: Drawing) -> str:
    """A field per pair, the darker the larger its share of its row, outlined where both say the same."""
    narrow = is_narrow(drawing)
    least = 38.0 if narrow else 44.0
    room = drawing.width - _label_width(plot, drawing) - _APART
    shown = _folded(plot, min(MOST_NAMES, max(2, int(room / least))))
    label_width = _label_width(shown, drawing)
    left = label_width + _APART
    width = min(104.0, (drawing.width - left - 2) / max(1, len(shown.columns)))
    height = 30.0 if narrow else 42.0
    _title(drawing, f"{clean(plot.column_title)} →", left)
    top = _column_names(drawing, shown, left, width) + 4
    for row, (name, counts) in enumerate(zip(shown.rows, shown.counts, strict=True)):
        y = top + row * height
        lines, whole = label_lines(name, label_width, 2)
        first = y + (height - len(lines) * LINE) / 2 + 12
        for number, line in enumerate(lines):
            drawing.text(0, first + number * LINE, line, whole=whole)
        for column, count in enumerate(counts):
            same = name == shown.columns[column]
            _field(drawing, left + column * width, y, width, height, count, sum(counts), same, narrow)
    end = top + len(shown.rows) * height
    _title(drawing, f"↑ {clean(plot.row_title)}", 0, end + LINE + 2)
    return drawing.finished(end + LINE + 8)


def _label_width(plot: Matrix, drawing: Drawing) -> float:
    return min(drawing.width * 0.3, max((text_width(clean(name)) for name in plot.rows), default=0.0))


def _title(drawing: Drawing, text: str, x: float, y: float = 12.0) -> None:
    drawing.text(x, y, shortened(text, drawing.width - x, SMALL), "small quiet", whole=text)


def _column_names(drawing: Drawing, plot: Matrix, left: float, width: float) -> float:
    """Write them level where they have room, else upwards; the y below them."""
    names = [label_lines(name, width - 8, 2) for name in plot.columns]
    words = [word for name in plot.columns for word in name.split()]
    if width > _UPRIGHT or (
        all(not whole for _, whole in names) and all(text_width(word) <= width - 8 for word in words)
    ):
        deepest = max((len(lines) for lines, _ in names), default=1)
        for column, (lines, whole) in enumerate(names):
            for number, line in enumerate(lines):
                y = _HEAD + 12 + (deepest - len(lines) + number) * LINE
                drawing.text(left + (column + 0.5) * width, y, line, "", "middle", whole)
        return _HEAD + deepest * LINE
    written = [shortened(clean(name), _UPRIGHT, SMALL) for name in plot.columns]
    below = _HEAD + max(text_width(text, SMALL) for text in written)
    for column, (name, text) in enumerate(zip(plot.columns, written, strict=True)):
        drawing.upright(left + (column + 0.5) * width, below, text, "small", name)
    return below


def _field(
    drawing: Drawing, x: float, y: float, width: float, height: float, count: int, total: int, same: bool, narrow: bool
) -> None:
    share = count / total if total > 0 else 0.0
    drawing.box(x + 1, y + 1, width - 2, height - 2, "field")
    drawing.box(x + 1, y + 1, width - 2, height - 2, "heat", style=f"fill-opacity:{0.9 * share:.2f}")
    if same:
        drawing.box(x + 2, y + 2, width - 4, height - 4, "same")
    middle = y + height / 2 + 4.5
    drawing.text(
        x + width / 2,
        middle if narrow else middle - 8,
        _fitting(count, width),
        "count strong" if same else "count",
        "middle",
    )
    if not narrow:
        drawing.text(x + width / 2, middle + 8, share_of(count, total), "small", "middle")


def _fitting(count: int, width: float) -> str:
    """`1,240`, or `1k` where there is no room."""
    text = f"{count:,}"
    if text_width(text) <= width - 4:
        return text
    return f"{count / 1e3:.0f}k" if count < 999_500 else f"{count / 1e6:.0f}M"


def _folded(plot: Matrix, most: int) -> Matrix:
    """With the rarest names taken together as the last, where there are more than so many."""
    by_row = [sum(counts) for counts in plot.counts]
    by_column = [sum(counts[column] for counts in plot.counts) for column in range(len(plot.columns))]
    totals: dict[str, int] = {}
    for name, total in (*zip(plot.rows, by_row, strict=True), *zip(plot.columns, by_column, strict=True)):
        totals[name] = totals.get(name, 0) + total
    kept = frozenset(sorted(totals, key=lambda name: -totals[name])[: most - 1])
    if len(plot.columns) > most:
        kept_at = [at for at, name in enumerate(plot.columns) if name in kept]
        counts = tuple(
            tuple([*(row[at] for at in kept_at), sum(row) - sum(row[at] for at in kept_at)]) for row in plot.counts
        )
        plot = replace(plot, columns=_names(plot.columns, kept), counts=counts)
    if len(plot.rows) > most:
        rest = [counts for name, counts in zip(plot.rows, plot.counts, strict=True) if name not in kept]
        rows = [counts for name, counts in zip(plot.rows, plot.counts, strict=True) if name in kept]
        plot = replace(plot, rows=_names(plot.rows, kept), counts=(*rows, tuple(map(sum, zip(*rest, strict=True)))))
    return plot


def _names(names: Sequence[str], kept: frozenset[str]) -> tuple[str, ...]:
    found = tuple(name for name in names if name in kept)
    return (*found, f"{len(names) - len(found):,} others")
