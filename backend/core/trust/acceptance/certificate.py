"""A certificate: of the tasks above this confidence at most such a share is wrong; or the word that none can be given.

The argument, which is that of Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052) and of Trust or Escalate
(Jung et al., ICLR 2025, arXiv 2407.18370), here made from the random draw alone:

1. The project's tasks, their confidences and whether the judge is wrong about each are fixed, whoever knows them. Only
   the blind slice is random: every set of that many tasks was as likely. Nothing is assumed about how tasks came to be,
   and tasks that share an image do no harm, as long as tasks were drawn, and not images.
2. A threshold t that was fixed without looking at the slice accepts a fixed set of tasks. Of these, given how many are
   in the slice, a random sample without replacement is in it. If more than the share a of the accepted were wrong, as
   few as k errors among n would have at most the probability P(Binomial(n, a) <= k): for counts below the mean, drawing
   without replacement spreads less (Hoeffding 1963, Uhlmann 1966). So the test that rejects "too many are wrong" when
   this is at most delta errs with probability delta at most. It is the same as the upper bound of Clopper and Pearson
   being at most a.
3. The thresholds are tried in an order fixed beforehand, from most to least confident, each at the full delta, until
   one fails. The first threshold in that order whose set really has too many wrong must be rejected for anything false
   to be claimed; that alone has probability delta. So all that were passed hold at once (fixed-sequence testing:
   Maurer, Hothorn, Lehmacher 1995), though the error among the accepted need not grow steadily.
4. The order must not depend on the slice. It does not: the thresholds are those that accept 5, 10, ... 100 % of the
   project (equal confidences are accepted together), and the first one tried is the first that is expected, not seen,
   to have enough labels above it. That depends on the size of the slice and on the project's confidences alone.

The confidences must not have been fitted on the slice's labels: leave the tasks used for fitting out of both the slice
and the project. Every task of the slice must be labelled: if people skip the hard ones, what is left is no random draw,
so count a skip as wrong. A second look at a grown slice is a second chance to be wrong; looks share delta, see
`Promise`. With one annotator per task, "wrong" means: that annotator says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray

from backend.core.measures import Array
from backend.core.trust.acceptance.binding import Binding
from backend.core.trust.acceptance.intervals import upper_bound

STEPS = 20
"""Thresholds on the way, at equal shares of the project."""
START = 1.25
"""Labels expected above the first threshold, as a multiple of what is enough without an error ..."""
START_SHARE = 1 / 3
"""... and as a share of the slice; the larger counts, for with few labels a single error ends it all."""
LATER_LOOKS = 0.2
"""Share of what is left of delta that every look leaves to those after it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """At most `max_error` of the accepted are wrong, unless this is one of the 1 - `confidence` of unlucky slices."""

    max_error: float
    confidence: float
    look: int | None = None
    """None: the slice is looked at this one time. Else the number of this look, from 1, of however many to come.

    Looks then get 80 %, 16 %, 3.2 %, ... of delta, which add up to it.
    """

    def __post_init__(self) -> None:
        """Raises ValueError."""
        for name, value in (("max_error", self.max_error), ("confidence", self.confidence)):
            if not 0 < value < 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {value}")
        if self.look is not None and self.look < 1:
            raise ValueError(f"looks are counted from 1, not {self.look}")

    @property
    def delta(self) -> float:
        """What this look may spend of the probability of a broken promise."""
        whole = 1 - self.confidence
        return whole if self.look is None else whole * (1 - LATER_LOOKS) * LATER_LOOKS ** (self.look - 1)

    @property
    def next(self) -> Promise:
        """The same promise at the next look; itself if only one is planned."""
        return self if self.look is None else replace(self, look=self.look + 1)


@dataclass(frozen=True, slots=True)
class BlindLabel:
    """What a person who did not see the verdict says of it."""

    task: int
    wrong: bool
    """Whether the judge is."""
    probability: float = 1.0
    """With which the task was drawn into the slice; only whether it is the same for all matters here."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is promised, for whom, and on what evidence."""

    promise: Promise
    threshold: float
    """Tasks with this confidence or more may be accepted."""
    accepted: int
    """Tasks of the project from the threshold on, those of the slice among them."""
    tasks: int
    labels_above: int
    errors_above: int
    labels: int
    upper_bound: float
    """Of the share of wrong ones among the accepted (Clopper and Pearson at this threshold); at most max_error."""
    binding: Binding

    def to_json(self) -> str:
        """As one line that `certificate_from_json` reads."""
        return json.dumps({"type": "certificate", **asdict(self)})


@dataclass(frozen=True, slots=True)
class NoCertificate:
    """Why none can be given, and what would help."""

    reason: str
    labels: int
    more_above: int | None = None
    """Blind labels, all without an error, that are missing above the first threshold; None where none would help."""
    more: int | None = None
    """So many more labels of the whole project are expected to bring those."""
    threshold: float | None = None
    """The first one tried."""
    labels_above: int = 0
    errors_above: int = 0


def certificate_from_json(text: str) -> Certificate:
    """What `to_json` wrote. Raises ValueError for anything else."""
    try:
        found = json.loads(text)
        if found.pop("type") != "certificate":
            raise ValueError("another type")
        promise, binding = Promise(**found.pop("promise")), Binding(**found.pop("binding"))
        return Certificate(promise=promise, binding=binding, **found)
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise ValueError(f"this is no certificate of ours: {exc}; certify anew") from exc


def enough_without_error(max_error: float, delta: float, errors: int = 0) -> int:
    """The fewest labels with so many errors whose upper bound is at most `max_error`; 59 for 5 % at 95 %."""
    from scipy.stats import binom

    low, high = errors + 1, errors + 2
    while binom.cdf(errors, high, max_error) > delta:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if binom.cdf(errors, middle, max_error) <= delta else (middle + 1, high)
    return low


def must_fit(labels: Sequence[BlindLabel], project: Mapping[int, float], fitted_on: Collection[int]) -> None:
    """Raises ValueError for labels that no statement can be made from, as `certify` says."""
    tasks = [label.task for label in labels]
    if len(set(tasks)) < len(tasks):
        raise ValueError("two labels of one task: make one of them first, by majority for example")
    if foreign := sorted(set(tasks) - project.keys()):
        raise ValueError(f"task {foreign[0]} is labelled but not in the project")
    if used := sorted(set(fitted_on) & project.keys()):
        raise ValueError(
            f"the confidence was fitted on task {used[0]} and {len(used) - 1} others of these: "
            "leave them out of the labels and of the project"
        )
    if not all(map(isfinite, project.values())):
        raise ValueError("a confidence is not a finite number: leave out tasks without a verdict")


def certify(
    promise: Promise,
    labels: Sequence[BlindLabel],
    project: Mapping[int, float],
    binding: Binding,
    fitted_on: Collection[int] = (),
) -> Certificate | NoCertificate:
    """The lowest threshold that can be certified, by the argument at the top of this module.

    `project` has the confidence of every task that may be accepted at all, those of the slice among them. Raises
    ValueError for labels of tasks that are not in it, for two labels of one task, for confidences that are no numbers
    and for tasks that the confidence was fitted on.
    """
    must_fit(labels, project, fitted_on)
    if len({label.probability for label in labels}) > 1:
        return NoCertificate(
            "the slice was not drawn evenly, so its errors cannot simply be counted; certify each stratum by itself",
            len(labels),
        )
    least = enough_without_error(promise.max_error, promise.delta)
    if len(labels) < least:
        missing = least - len(labels)
        return NoCertificate(f"{missing} more blind labels without error are needed", len(labels), missing, missing)
    ladder = _ladder(project, len(labels), least)
    above = _counted(ladder, labels, project)
    passed = _passed(promise, above)
    if not passed:
        return _none(promise, ladder[0], len(project), above[0], len(labels))
    (threshold, accepted), (count, errors) = ladder[passed - 1], above[passed - 1]
    bound = upper_bound(errors, count, promise.delta)
    return Certificate(
        promise, threshold, accepted, len(project), count, errors, len(labels), min(bound, promise.max_error), binding
    )


def certify_strata(
    promise: Promise,
    strata: Mapping[str, tuple[Sequence[BlindLabel], Mapping[int, float]]],
    binding: Binding,
    fitted_on: Collection[int] = (),
) -> dict[str, Certificate | NoCertificate]:
    """One certificate per stratum, each drawn evenly in itself; all hold at once, as they share delta (Bonferroni)."""
    each = replace(promise, confidence=1 - (1 - promise.confidence) / max(len(strata), 1))
    return {name: certify(each, labels, project, binding, fitted_on) for name, (labels, project) in strata.items()}


def _ladder(project: Mapping[int, float], labels: int, least: int) -> list[tuple[float, int]]:
    """The thresholds to try, each with how many tasks it accepts, in the order in which they are tried.

    From the first that is expected to have enough labels above it; the last one, which accepts all, is always there.
    """
    confidences = np.sort(np.fromiter(project.values(), dtype=np.float64, count=len(project)))[::-1]
    places = np.ceil(np.arange(1, STEPS + 1) * len(confidences) / STEPS).astype(np.intp) - 1
    thresholds = np.unique(confidences[places])[::-1]
    accepted = _how_many_reach(confidences, thresholds)
    wanted = max(START * least, START_SHARE * labels)
    tried = accepted * labels / len(confidences) >= wanted
    tried[-1] = True
    return [(float(t), int(count)) for t, count in zip(thresholds[tried], accepted[tried], strict=True)]


def _counted(
    ladder: Sequence[tuple[float, int]], labels: Iterable[BlindLabel], project: Mapping[int, float]
) -> list[tuple[int, int]]:
    """Labels and errors above each threshold."""
    rows = [(project[label.task], label.wrong) for label in labels]
    thresholds = np.array([threshold for threshold, _ in ladder])
    everyone = np.sort([confidence for confidence, _ in rows])[::-1]
    wrong = np.sort([confidence for confidence, is_wrong in rows if is_wrong])[::-1]
    counts, errors = _how_many_reach(everyone, thresholds), _how_many_reach(wrong, thresholds)
    return [(int(count), int(k)) for count, k in zip(counts, errors, strict=True)]


def _how_many_reach(descending: Array, thresholds: Array) -> NDArray[np.intp]:
    counts: NDArray[np.intp] = np.searchsorted(-descending, -thresholds, side="right")
    return counts


def _passed(promise: Promise, above: Sequence[tuple[int, int]]) -> int:
    """How many thresholds pass before the first that does not."""
    from scipy.stats import binom

    counts, errors = np.array(above).T
    failed = np.flatnonzero(binom.cdf(errors, counts, promise.max_error) > promise.delta)
    return int(failed[0]) if len(failed) else len(above)


def _none(promise: Promise, first: tuple[float, int], tasks: int, above: tuple[int, int], labels: int) -> NoCertificate:
    (threshold, accepted), (count, errors) = first, above
    needed = enough_without_error(promise.max_error, promise.next.delta, errors)
    missing = max(needed - count, 1)
    reason = (
        f"{errors} of {count} blind labels of the most confident {accepted / tasks:.0%} of the tasks say the judge is "
        f"wrong; {missing} more there without error are needed"
    )
    if errors and errors / count >= promise.max_error:
        reason += f", and at this rate of errors ({errors / count:.1%}) no number of labels will do"
    return NoCertificate(reason, labels, missing, ceil(missing * tasks / accepted), threshold, count, errors)
