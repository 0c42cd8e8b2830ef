"""Numbers as they are shown: values with their units, intervals, and where an axis has its ticks."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor, isfinite, log10

from backend.report.page import Axis, Measure, Unit

ABSENT = "–"
MINUS = "\N{MINUS SIGN}"
_SUFFIX: dict[Unit, str] = {
    "percent": "\N{NO-BREAK SPACE}%",
    "number": "",
    "count": "",
    "seconds": "\N{NO-BREAK SPACE}s",
}
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def known(value: float | None) -> float | None:
    """The value, or None where it is no finite number."""
    return value if value is not None and isfinite(value) else None


def shown(value: float | None, unit: Unit) -> str:
    """`71 %`, `0.82`, `1,240`, `41 s`; a dash for what is absent."""
    value = known(value)
    return ABSENT if value is None else _bare(value, unit) + _SUFFIX[unit]


def _bare(value: float, unit: Unit, decimals: int | None = None) -> str:
    """Without its unit; None: as many decimals as are usual, without zeros at the end."""
    size = abs(value)
    match unit:
        case "percent":
            text = _percent(size * 100, decimals)
        case "number":
            text = f"{size:,.2f}"
        case "count":
            text = f"{size:,.0f}"
        case "seconds":
            text = f"{size:,.1f}".removesuffix(".0") if size < 9.95 else f"{size:,.0f}"
    return _signed(value, text)


def _percent(value: float, decimals: int | None) -> str:
    """What is not quite none or all is never rounded to 0 or 100."""
    places = decimals if decimals is not None else int(value < 9.95 or 90 < value < 100)
    least = 10.0**-places
    if 0 < value < least / 2:
        return f"<{least:g}"
    if 100 - least / 2 <= value < 100:
        return f">{100 - least:g}"
    text = f"{value:,.{places}f}"
    return text.removesuffix(".0") if decimals is None else text


def _signed(value: float, text: str) -> str:
    return f"{MINUS}{text}" if value < 0 and any(digit in text for digit in "123456789") else text


def triple(measure: Measure, unit: Unit) -> tuple[str, str, str]:
    """Value with its unit, and both ends of its interval without, all with the same decimals; empty where absent.

    Percent has a decimal where the interval is short or near none, since there it matters.
    """
    value, ends = known(measure.value), interval(measure)
    if value is None or ends is None:
        return ("", "", "") if value is None else (shown(value, unit), "", "")
    low, high = ends
    decimals = int(high - low < 0.05 or high <= 0.2)
    return (_bare(value, unit, decimals) + _SUFFIX[unit], _bare(low, unit, decimals), _bare(high, unit, decimals))


def exact(value: float | None, unit: Unit) -> str:
    """As in a table of numbers: percent with one decimal, other numbers with three, without their unit."""
    value = known(value)
    if value is None:
        return ABSENT
    match unit:
        case "percent":
            text = f"{abs(value) * 100:.1f}"
        case "number":
            text = f"{abs(value):,.3f}"
        case "count":
            text = f"{abs(value):,.0f}"
        case "seconds":
            text = f"{abs(value):,.1f}"
    return _signed(value, text)


def headed(label: str, unit: Unit) -> str:
    """The head of a column of `exact` numbers."""
    suffix = _SUFFIX[unit].strip()
    return f"{label},\N{NO-BREAK SPACE}{suffix}" if suffix else label


def interval(measure: Measure) -> tuple[float, float] | None:
    """Both ends, in order; None where one is absent."""
    low, high = known(measure.low), known(measure.high)
    return None if low is None or high is None else (min(low, high), max(low, high))


def spoken(measure: Measure, unit: Unit, counted: str) -> str:
    """`82 %, interval 75 to 88, 142 labels`."""
    value, low, high = triple(measure, unit)
    parts = [value or "not measured"]
    if low:
        parts.append(f"interval {low} to {high}")
    if measure.n is not None:
        parts.append(f"{measure.n:,} {counted}")
    return ", ".join(parts)


def extent(axis: Axis, values: Iterable[float | None]) -> tuple[float, float]:
    """Where an axis begins and ends so that all values are on it; it has a length also where there is none."""
    found = [value for value in map(known, values) if value is not None]
    low = min([*found, *([] if axis.low is None else [axis.low])], default=0.0)
    high = max([*found, *([] if axis.high is None else [axis.high])], default=1.0)
    if high - low <= max(abs(high) * 1e-9, 1e-12):
        low, high = _around(low, axis)
    marks = ticks(low, high, 5, whole=axis.unit == "count")
    step = marks[1] - marks[0]
    if axis.low is None or low < axis.low:
        low = floor(low / step + 1e-9) * step
    if axis.high is None or high > axis.high:
        high = ceil(high / step - 1e-9) * step
    return low, high


def _around(value: float, axis: Axis) -> tuple[float, float]:
    """A range around a lone value, which stays a share where it is one, and begins where the axis has to."""
    if axis.unit == "percent" and 0 <= value <= 1:
        low, high = max(0.0, value - 0.1), min(1.0, value + 0.1)
    else:
        half = abs(value) / 2 or 1.0
        low, high = value - half, value + half
    return (low if axis.low is None else value, high)


def ticks(low: float, high: float, most: int, whole: bool = False) -> tuple[float, ...]:
    """Round values from `low` to `high`, at least two, and about `most` at most; whole ones, if wanted."""
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** floor(log10(rough))
    steps = (factor * power for factor in _STEPS)
    step = next(step for step in steps if step >= rough * (1 - 1e-9) and not (whole and step % 1))
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    marks = tuple(number * step for number in range(first, last + 1))
    return marks if len(marks) > 1 else (low, high)


def tick_texts(marks: tuple[float, ...], unit: Unit) -> tuple[str, ...]:
    """All with the same number of decimals, as few as show them as they are."""
    scaled = [mark * (100 if unit == "percent" else 1) for mark in marks]
    decimals = next((places for places in range(7) if all(_is_round(value, places) for value in scaled)), 7)
    return tuple(_signed(value, f"{abs(value):,.{decimals}f}") + _SUFFIX[unit] for value in scaled)


def _is_round(value: float, decimals: int) -> bool:
    return abs(round(value, decimals) - value) <= 1e-6 * max(1.0, abs(value))
