"""What a report consists of, whatever it is about: text, tables and plots, in sections.

Any text may come from the project and is shown as it is written; what stands between backticks in a sentence is shown
as code. A measured number that is not finite counts as absent; where a bar or a reference line stands is finite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "warning", "bad", "neutral"]
"""Which colour and sign a statement has; its words have to say the same."""
Unit = Literal["percent", "number", "count", "seconds"]
"""How a value is shown: a share of 1 as percent, two decimals, a whole number, or seconds."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What is laid off along one side of a plot."""

    label: str
    unit: Unit = "percent"
    low: float | None = None
    """The axis begins here, or lower where a value is lower; None: where the values begin."""
    high: float | None = None
    """The axis ends here, or higher where a value is higher; None: where the values end."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A line across a plot that values are compared with, such as the error that was promised."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with what is known of its certainty."""

    value: float | None
    """None: it could not be measured."""
    low: float | None = None
    high: float | None = None
    """Both ends of its interval; None: there is none."""
    n: int | None = None
    """How many observations it is from."""


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """What was measured of one thing."""

    label: str
    measures: tuple[Measure, ...]
    """One per series, in their order."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """A dot with its interval per row, or several where there are several series (blind and shown, say)."""

    title: str
    axis: Axis
    rows: tuple[IntervalRow, ...]
    series: tuple[str, ...] = ("",)
    """Their names; one without a name needs no legend."""
    reference: Reference | None = None
    counted: str = "labels"
    """What `n` counts."""
    caption: str = ""
    """How to read it."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Verdicts of about the same confidence."""

    mean_prob: float
    share_true: float
    """The share of them that was right."""
    rows: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often the judge was right, at each confidence it had: before and after calibration."""

    title: str
    before: tuple[Bin, ...]
    after: tuple[Bin, ...] | None = None
    """None: nothing was calibrated, and there is one panel only."""
    before_label: str = "As the judge says it"
    after_label: str = "Calibrated"
    x: str = "confidence of the judge"
    y: str = "share that was right"
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A series of points that belong together, by rising x."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A point that the reader is shown."""

    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One or several lines over two axes: risk against coverage, review saved at each risk."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    """Up to four differ in colour and dash."""
    marks: tuple[Mark, ...] = ()
    horizontal: Reference | None = None
    """A value of y."""
    vertical: Reference | None = None
    """A value of x."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """How often one said this when the other said that."""

    title: str
    row_title: str
    """Who says what the rows are named after, such as `Person`."""
    column_title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """One tuple per row, with a number per column."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class ShareRow:
    """How one whole falls into parts."""

    label: str
    counts: tuple[int, ...]
    """One per part, in their order."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Bars of equal length that show what share each part has."""

    title: str
    parts: tuple[str, ...]
    """Up to five differ in colour and pattern."""
    rows: tuple[ShareRow, ...]
    counted: str = "tasks"
    """What the counts count."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class HistogramBar:
    """Values from `low` to `high`."""

    low: float
    high: float
    counts: tuple[int, ...]
    """One per series, in their order; they are stacked."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many there are of each size."""

    title: str
    axis: Axis
    bars: tuple[HistogramBar, ...]
    """By rising value, without overlap."""
    series: tuple[str, ...] = ("",)
    """Their names; one without a name needs no legend."""
    reference: Reference | None = None
    counted: str = "tasks"
    caption: str = ""


Plot = Intervals | Reliability | Curve | Matrix | Shares | Histogram


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text."""

    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What must not be overlooked."""

    level: Level
    title: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    numeric: bool = False
    """Whether its cells are numbers, which are set to the right."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text; numbers come as they are to be shown."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    note: str = ""
    """Stands below it, small."""
    flagged: tuple[int, ...] = ()
    """Which rows (from 0) call for attention."""


Block = Paragraph | Notice | Table | Plot


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report."""

    id: str
    """Its anchor: letters, digits and hyphens, and no other section's."""
    title: str
    lead: str
    """What it says, in a sentence or two, for who reads no further; may be empty."""
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the few numbers that decide."""

    value: str
    """As it is to be shown: `71 %`."""
    sentence: str
    """What it means, without the number: `of the tasks need no person`."""
    interval: str = ""
    """As it is to be shown: `66 to 75 %`; empty where there is none."""
    level: Level = "neutral"
    share: Measure | None = None
    """Value and interval as shares of 1, where they are to be drawn on a bar from 0 to 100 %."""


@dataclass(frozen=True, slots=True)
class Page:
    """The whole report."""

    title: str
    subtitle: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    """What and of when it is: name and value."""
    headlines: tuple[Headline, ...] = ()
    notices: tuple[Notice, ...] = ()
    """What must be known before anything else is read."""
    sections: tuple[Section, ...] = ()
    footnotes: tuple[str, ...] = ()
    """How the numbers were made; a sentence or two each."""
