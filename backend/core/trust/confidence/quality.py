"""The share of good samples in a whole project, from the judge's verdicts on all of it and people's on a few.

Prediction-powered inference: the judge's mean over all tasks, put right by how far the judge is off where people
labelled too. However bad the judge, the interval covers; the better it is, the shorter the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.core.measures import LEVEL, Array
from backend.core.trust.acceptance.intervals import Interval, exact, wilson

FEWEST_LABELS = 30
FEWEST_OF_EACH = 5
"""Good and bad ones among the labels, for the normal approximation."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The share of good samples in three ways, from the most to the least that is taken from the judge."""

    labels: int
    tasks: int
    """Without a label."""
    judge_alone: float
    """What the judge says of the tasks without a label, as it is; no measurement, and never to be shown alone."""
    plain: Interval | None
    """PPI, which takes the judge at its word (Angelopoulos et al. 2023, Science 382, arXiv 2301.09633)."""
    tuned: Interval | None
    """PPI++, which takes as much of the judge as helps (Angelopoulos, Duchi, Zrnic 2023, arXiv 2311.01453)."""
    trust: float | None
    """How much that is, from 0 (labels alone) to 1 (plain PPI): lambda."""
    classical: Interval
    """From the labels alone: Wilson's, or Clopper and Pearson's where there are few of a kind."""
    refused: str | None
    """Why there is no PPI interval."""


def quality(
    good: Sequence[bool],
    judged: Sequence[float],
    judged_rest: Sequence[float],
    weights: Sequence[float] | None = None,
) -> Quality:
    """The share of good ones among all tasks like these, the project's among them.

    `good` and `judged` are people's and the judge's word on the labelled tasks, `judged_rest` the judge's on the rest
    of the project, as probabilities or 0 and 1. The labelled tasks must be drawn at random, and the judge not fitted to
    their labels. Where they were drawn unevenly, `weights` are one over the probability with which each was drawn, and
    `judged_rest` are the verdicts on all tasks, for the rest alone is drawn unevenly too.

    Raises ValueError for lengths that do not fit and for no labels.
    """
    y, f = np.asarray(good, dtype=np.float64), np.asarray(judged, dtype=np.float64)
    rest = np.asarray(judged_rest, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64) * len(y) / np.sum(weights)
    if not len(y) or not len(y) == len(f) == len(w):
        raise ValueError("give at least one label, and one verdict and one weight for each")
    refused = _refusal(y, rest)
    alone = float(rest.mean()) if len(rest) else float((w * f).mean())
    classical = _classical(y, w)
    if refused:
        return Quality(len(y), len(rest), alone, None, None, None, classical, refused)
    trust = power_tuning(y, f, rest, w)
    plain, tuned = (prediction_powered(y, f, rest, w, share) for share in (1.0, trust))
    return Quality(len(y), len(rest), alone, plain, tuned, trust, classical, None)


def prediction_powered(y: Array, f: Array, rest: Array, w: Array, trust: float) -> Interval:
    """The interval lambda mean(f of the rest) + mean(w (y - lambda f)), give or take z times its standard error.

    Its variance is var(lambda f of the rest) / N + var(w (y - lambda f)) / n, both about the mean and divided by the
    count. Weights have a mean of 1.
    """
    from scipy.stats import norm

    put_right = w * (y - trust * f)
    value = trust * float(rest.mean()) + float(put_right.mean())
    spread = (trust**2 * float(rest.var()) / len(rest) + float(put_right.var()) / len(y)) ** 0.5
    half = float(norm.isf((1 - LEVEL) / 2)) * spread
    return Interval(value, value - half, value + half)


def power_tuning(y: Array, f: Array, rest: Array, w: Array) -> float:
    """The lambda that makes the variance least: cov(w y, w f) / ((1 + n / N) var(f)), kept between 0 and 1."""
    centre = float(rest.mean()) + float((w * (y - f)).mean())
    ours, theirs, others = w * (y - centre), w * (f - centre), rest - centre
    together = float(((ours - ours.mean()) * (theirs - theirs.mean())).mean())
    spread = float(np.concatenate([theirs, others]).var(ddof=1))
    if spread == 0:
        return 0.0
    return min(1.0, max(0.0, together / ((1 + len(y) / len(rest)) * spread)))


def _refusal(y: Array, rest: Array) -> str | None:
    if not len(rest):
        return "every task has a label: count them"
    if len(y) < FEWEST_LABELS:
        return f"{FEWEST_LABELS - len(y)} more labels are needed, {FEWEST_LABELS} at least"
    rarer = int(min(y.sum(), len(y) - y.sum()))
    if rarer < FEWEST_OF_EACH:
        kind = "good" if y.mean() < 0.5 else "bad"
        return f"only {rarer} of the labels are {kind}, {FEWEST_OF_EACH} at least are needed"
    return None


def _classical(y: Array, w: Array) -> Interval:
    if np.ptp(w) > 0:
        return prediction_powered(y, np.zeros(len(y)), np.zeros(1), w, 0.0)
    count, of = int(y.sum()), len(y)
    return (wilson if min(count, of - count) >= FEWEST_OF_EACH else exact)(count, of, LEVEL)
