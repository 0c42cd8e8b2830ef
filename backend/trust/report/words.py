"""Numbers as a report shows them."""

from __future__ import annotations

from backend.core.measures import Estimate, NotComputable, Outcome
from backend.core.trust.acceptance.intervals import Interval
from backend.core.trust.agreement.spread import Spread
from backend.core.trust.bias.shares import Share
from backend.report.page import Column, Measure

NOT_KNOWN = "–"


def of_outcome(outcome: Outcome | None) -> Measure:
    """A measure with its interval; without a value where it could not be computed."""
    if not isinstance(outcome, Estimate):
        return Measure(None, n=outcome.rows if isinstance(outcome, NotComputable) else None)
    return Measure(outcome.value, outcome.low, outcome.high, outcome.rows)


def of_share(share: Share | None) -> Measure:
    """The same of a group's share."""
    return Measure(None) if share is None else Measure(share.value, share.low, share.high, share.of)


def of_interval(interval: Interval | None, n: int | None = None) -> Measure:
    """The same of an interval."""
    return Measure(None, n=n) if interval is None else Measure(interval.value, interval.low, interval.high, n)


def percent(value: float | None, digits: int = 0) -> str:
    """A share of 1 as a percentage."""
    return NOT_KNOWN if value is None else f"{value * 100:.{digits}f} %"


def short_percent(value: float) -> str:
    """A share that somebody chose, with no more digits than it has: `5 %`, `97.5 %`."""
    return f"{value * 100:.4g} %"


def between(measure: Measure, digits: int = 0) -> str:
    """The interval of a share, such as `66 to 75 %`; empty where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    return f"{measure.low * 100:.{digits}f} to {measure.high * 100:.{digits}f} %"


def share_cell(measure: Measure) -> str:
    """A share with its interval, for a table."""
    interval = between(measure)
    return percent(measure.value) + (f" ({interval})" if measure.value is not None and interval else "")


def number_cell(outcome: Outcome | None) -> str:
    """A coefficient with its interval, for a table."""
    if not isinstance(outcome, Estimate):
        return NOT_KNOWN
    if outcome.low is None or outcome.high is None:
        return f"{outcome.value:.2f}"
    to = "–" if outcome.low >= 0 else " to "
    return f"{outcome.value:.2f} ({outcome.low:.2f}{to}{outcome.high:.2f})"


def spread_cell(spread: Spread | None, digits: int = 1) -> str:
    """Median and quartiles, for a table."""
    if spread is None:
        return NOT_KNOWN
    return f"{spread.median:.{digits}f} ({spread.lower:.{digits}f} to {spread.upper:.{digits}f})"


def columns(*titles: str) -> tuple[Column, ...]:
    """The columns of a table; a title that begins with # is that of numbers."""
    return tuple(Column(title.removeprefix("#"), title.startswith("#")) for title in titles)


def counted(number: int, one: str, many: str = "") -> str:
    """`1 task`, `2 tasks`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
