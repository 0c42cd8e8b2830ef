"""Risk against coverage: if everything above a confidence were accepted unseen, how much would that be, and how wrong.

What was observed, not what is promised: the thresholds are looked at after the labels. A promise is a certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.core.deciding import can_stand_alone, decides_alike
from backend.core.measures import Array
from backend.core.trust.acceptance.intervals import exact
from backend.core.trust.labels import LabelledProject
from backend.core.trust.slices import BlindAnswer, blind_answers

LEVELS = (0.01, 0.02, 0.05, 0.1)
MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """What lies at or above one confidence."""

    threshold: float
    coverage: float
    """Share of all tasks of the project, in [0, 1], that could be accepted so."""
    labels: int
    wrong: int
    """Counts of blind labels; a task where people disagree or only skipped is wrong, as for a certificate."""
    risk: float
    """Share of wrong ones; where tasks were drawn with unequal probability, weighted by one over it."""
    low: float | None
    """The interval of Clopper and Pearson, pointwise; None where tasks are weighted, which it does not know."""
    high: float | None


@dataclass(frozen=True, slots=True)
class ReviewSaved:
    """The largest part of the project above a threshold where so little was wrong."""

    at_most: float
    point: RiskPoint | None
    """None where no threshold has so little."""


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """Risk against coverage, and what review could be saved at which observed risk."""

    tasks: int
    labels: int
    """Blind labels of tasks that the judge may decide alone."""
    weighted: bool
    points: tuple[RiskPoint, ...]
    """From the surest on; at most 200, evenly among the labels' confidences."""
    saved: tuple[ReviewSaved, ...]


def risk_curve(project: LabelledProject, levels: Sequence[float] = LEVELS) -> RiskCurve:
    """The curve over the tasks whose answer `can_stand_alone`; others are never accepted unseen and cover nothing."""
    config = project.config
    alone = np.sort(
        [
            task.judge.confidence
            for task in project.tasks
            if task.judge is not None and can_stand_alone(task.judge.values, config)
        ]
    ).astype(np.float64)
    labels = sorted(
        (one for one in blind_answers(project) if can_stand_alone(one.judge.values, config)),
        key=lambda one: -one.judge.confidence,
    )
    points = _Points(
        np.array([one.judge.confidence for one in labels]),
        np.array([_wrong(one, project) for one in labels], dtype=np.float64),
        np.array([one.weight for one in labels]),
        alone,
        len(project.tasks),
    )
    saved = tuple(ReviewSaved(level, points.largest(level)) for level in levels)
    return RiskCurve(len(project.tasks), len(labels), points.weighted, points.thinned(), saved)


def _wrong(one: BlindAnswer, project: LabelledProject) -> bool:
    return one.truth is None or not decides_alike(one.judge.values, one.truth.values, project.config)


class _Points:
    """One point per different confidence of the labels, from the highest; made only where it is asked for."""

    def __init__(self, confidences: Array, wrong: Array, weights: Array, alone: Array, tasks: int) -> None:
        self.weighted = len(weights) > 0 and float(np.ptp(weights)) > 0
        self._confidences, self._alone, self._tasks = confidences, alone, tasks
        self._wrong = np.cumsum(wrong)
        self._risks = np.cumsum(weights * wrong) / np.cumsum(weights)
        self._last = np.flatnonzero(np.append(np.diff(confidences) != 0, True)) if len(wrong) else np.arange(0)

    def largest(self, at_most: float) -> RiskPoint | None:
        """The one that covers most with no more than such a risk."""
        fit = self._last[self._risks[self._last] <= at_most]
        return self._point(int(fit[-1])) if len(fit) else None

    def thinned(self) -> tuple[RiskPoint, ...]:
        """All of them, or as many as there may be."""
        places = np.unique(np.linspace(0, len(self._last) - 1, min(len(self._last), MOST_POINTS)).round().astype(int))
        return tuple(self._point(int(self._last[place])) for place in places)

    def _point(self, at: int) -> RiskPoint:
        labels, wrong = at + 1, int(self._wrong[at])
        threshold = float(self._confidences[at])
        interval = None if self.weighted else exact(wrong, labels)
        return RiskPoint(
            threshold=threshold,
            coverage=float(len(self._alone) - np.searchsorted(self._alone, threshold)) / self._tasks,
            labels=labels,
            wrong=wrong,
            risk=float(self._risks[at]),
            low=interval.low if interval else None,
            high=interval.high if interval else None,
        )
