"""Whether examples help the judge: every measure with and without them on the same rows, and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from backend.core.measures import Estimate, Measure, Outcome, estimate, estimate_difference
from backend.evaluation.measure import (
    BLANK,
    JUDGE,
    OVERALL,
    Bootstrap,
    Group,
    JudgedPair,
    JudgedSample,
    Line,
    Scores,
    measure_pairs,
    measure_samples,
)
from backend.evaluation.samples import LABELLED_BLIND

WITHOUT, WITH, DIFFERENCE = "without examples", "with examples", "difference"
LEAST_IMAGES = 30
"""With fewer the interval of a bootstrap is too short to be believed."""
DECISIVE = "Brier"
"""The measure that the sentence is about: a proper score, which rewards order and honest probabilities alike, fixed
beforehand, so that the best of several is not picked. Where it cannot be computed, the first that can."""
_LOWER_IS_BETTER = frozenset({"ECE", "Brier", "flip rate"})

Finding = Literal["helped", "no measurable difference", "hurt", "too few images", "not computable"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The judge with examples against the same judge without, on the rows that have an answer of both."""

    groups: tuple[Group, ...]
    """Their lines have the measure by `WITHOUT` and `WITH`, and the second less the first by `DIFFERENCE`."""
    about: str
    """The group that the sentence is about: rows labelled blind where there are any, else all."""
    measure: str
    finding: Finding
    sentence: str


@dataclass(frozen=True, slots=True)
class Paired(Bootstrap):
    """Makes lines of two scores, where `Bootstrap` makes one for each: those of the judge and of the baseline."""

    def line(
        self, title: str, measure: Measure, truth: Sequence[float], scores: dict[str, Scores], clusters: Sequence[str]
    ) -> Line:
        """The measure of both and its difference, over the rows where both have a score."""
        both = zip(scores[BLANK], scores[JUDGE], strict=True) if BLANK in scores and JUDGE in scores else ()
        kept = [(at, a, b) for at, (a, b) in enumerate(both) if a is not None and b is not None]
        y, where = [truth[at] for at, _, _ in kept], [clusters[at] for at, _, _ in kept]
        plain, taught = [a for _, a, _ in kept], [b for _, _, b in kept]
        how = {"resamples": self.resamples, "seed": self.seed}
        by: dict[str, Outcome] = {
            WITHOUT: estimate(measure, y, plain, where, **how),
            WITH: estimate(measure, y, taught, where, **how),
            DIFFERENCE: estimate_difference(measure, y, taught, plain, where, **how),
        }
        return Line(title, by)


def compare_samples(rows: Sequence[JudgedSample], bootstrap: Bootstrap) -> Comparison | None:
    """The comparison on samples; None where no row has an answer of both."""
    both = [replace(row, blank=row.plain) for row in rows if row.plain is not None]
    return _compared(measure_samples(both, _paired(bootstrap))) if both else None


def compare_pairs(rows: Sequence[JudgedPair], bootstrap: Bootstrap) -> Comparison | None:
    """The comparison on pairs; None where no row has an answer of both."""
    both = [replace(row, blank=row.plain) for row in rows if row.plain is not None]
    return _compared(measure_pairs(both, _paired(bootstrap))) if both else None


def finding_of(line: Line) -> Finding:
    """What a line says: helped or hurt where the interval of the difference leaves out zero."""
    difference = line.by[DIFFERENCE]
    if not isinstance(difference, Estimate):
        return "not computable"
    if difference.clusters < LEAST_IMAGES or difference.low is None or difference.high is None:
        return "too few images"
    if difference.low <= 0 <= difference.high:
        return "no measurable difference"
    return "helped" if (difference.high < 0) == (line.measure in _LOWER_IS_BETTER) else "hurt"


def _paired(bootstrap: Bootstrap) -> Paired:
    return Paired(bootstrap.resamples, bootstrap.seed)


def _compared(groups: tuple[Group, ...]) -> Comparison:
    group = next((group for group in groups if group.name == LABELLED_BLIND), groups[0])
    computable = [line for line in group.lines if isinstance(line.by[DIFFERENCE], Estimate)]
    line = next((line for line in computable if line.measure == DECISIVE), (computable or list(group.lines))[0])
    finding = finding_of(line)
    return Comparison(groups, group.name, line.measure, finding, f"{_SAID[finding]}{_numbers(group, line)}")


_SAID: dict[Finding, str] = {
    "helped": "The examples helped. ",
    "no measurable difference": "The examples made no measurable difference. ",
    "hurt": "The examples hurt. ",
    "too few images": f"Too few images to tell whether the examples help: it takes {LEAST_IMAGES}. ",
    "not computable": "Nothing can be said of the examples. ",
}


def _numbers(group: Group, line: Line) -> str:
    plain, taught, difference = (line.by[name] for name in (WITHOUT, WITH, DIFFERENCE))
    if not (isinstance(plain, Estimate) and isinstance(taught, Estimate) and isinstance(difference, Estimate)):
        return f"{line.measure}: {'' if isinstance(difference, Estimate) else difference.reason}."
    better = "lower" if line.measure in _LOWER_IS_BETTER else "higher"
    interval = (
        f", 95 % interval {difference.low:+.3f} to {difference.high:+.3f}"
        if difference.low is not None and difference.high is not None
        else ""
    )
    rows = f"{difference.rows} rows on {difference.clusters} images"
    where = rows if group.name == OVERALL else f"{rows}, {group.name}"
    return (
        f"{line.measure} ({better} is better) went from {plain.value:.3f} to {taught.value:.3f}: "
        f"{difference.value:+.3f}{interval}; {where}."
    )
