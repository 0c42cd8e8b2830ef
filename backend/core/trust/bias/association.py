"""Whether two numbers of a task go together among tasks that people answer alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.core.measures import RESAMPLES, SPEARMAN, Array, Measure, Outcome, estimate
from backend.core.trust.bias.shares import LEVEL, Index, Observed, Share


def partial_spearman(
    one: Array, other: Array, given: Array, images: Index, weights: Array, resamples: int = RESAMPLES
) -> Outcome:
    """Spearman's correlation of the first two with the third held fixed, and its bootstrap interval over images.

    r = (r12 - r13 r23) / sqrt((1 - r13^2) (1 - r23^2)) of the three rank correlations (Kendall 1942, for Spearman's);
    where the third never varies, r12. Tasks count by their weights.
    """
    scale = weights / weights.mean() if len(weights) else weights

    def resampled(a: Array, b: Array, drawn: Array) -> Array:
        counted = drawn * scale
        r12 = SPEARMAN.resampled(a, b, counted)
        r13, r23 = (np.nan_to_num(SPEARMAN.resampled(c, given, counted)) for c in (a, b))
        left = (1 - r13**2) * (1 - r23**2)
        ratio: Array = np.divide(r12 - r13 * r23, np.sqrt(left), out=np.full(len(drawn), np.nan), where=left > 1e-12)
        return np.clip(ratio, -1.0, 1.0)

    measure = Measure(lambda a, b: float(resampled(a, b, np.ones((1, len(a))))[0]), resampled, needs_variation=True)
    return estimate(measure, one, other, images.tolist(), resamples=resamples)


def partial_p(one: Array, other: Array, given: Array, images: Index, weights: Array) -> float | None:
    """Two-sided, that the first two do not go together with the third held fixed; None where that cannot be told.

    The score test with the variance from the images' sums: of what is left of each after a straight line in the third,
    t = sum of w e1 e2 / sqrt(sum over images of (their w e1 e2)^2), with as many degrees of freedom as images less two.
    """
    from scipy.stats import t

    products = weights * _left(one, given, weights) * _left(other, given, weights)
    sums = np.bincount(images, products)
    count = len(np.unique(images))
    size = float(sums @ sums) ** 0.5
    if count < 4 or size <= 1e-12:
        return None
    return float(2 * t.sf(abs(float(sums.sum())) / size, count - 2))


def sign_p(observed: Observed, mean: float) -> float | None:
    """Two-sided, that the mean is this; None where that cannot be told.

    t = sum of w (y - mean) / sqrt(sum over images of (their w (y - mean))^2), with the images less one as degrees of
    freedom; for differences of two choices and without shared images, the test of McNemar (1947).
    """
    from scipy.stats import t

    sums = np.bincount(observed.images, observed.weights * (observed.values - mean))
    size, count = float(sums @ sums) ** 0.5, len(np.unique(observed.images))
    return float(2 * t.sf(abs(float(sums.sum())) / size, count - 1)) if size > 1e-12 and count > 1 else None


def slope(outcome: Array, group: Array, given: Array, images: Index, weights: Array) -> Share | None:
    """By how much the outcome is higher in the group (1) than outside it (0), with the third held fixed.

    Least squares with the variance from the images' sums (Liang and Zeger 1986). Where the third is 0 or 1, it is the
    difference of Mantel and Haenszel: that within each of the two, weighted by n1 n0 / n. None where it cannot be told.
    """
    from scipy.stats import t

    inside = _left(group, given, weights)
    size = float(weights @ inside**2)
    count = len(np.unique(images))
    if size <= 1e-12 or count < 4:
        return None
    value = float((weights * inside) @ outcome) / size
    errors = _left(outcome, given, weights) - value * inside
    sums = np.bincount(images, weights * inside * errors)
    spread = (count / (count - 3) * float(sums @ sums)) ** 0.5 / size
    half = float(t.isf((1 - LEVEL) / 2, count - 2)) * spread
    return Share(value, value - half, value + half, len(outcome), count)


def mid_ranks(values: Sequence[float] | Array) -> Array:
    """Ranks from 1, equal values sharing the mean of theirs."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), dtype=np.float64)


def _left(values: Array, given: Array, weights: Array) -> Array:
    """What a straight line in the third leaves of the values."""
    total = weights.sum()
    centred, line = values - weights @ values / total, given - weights @ given / total
    size = float(weights @ line**2)
    left: Array = centred - (float((weights * line) @ centred) / size if size > 1e-12 else 0.0) * line
    return left
