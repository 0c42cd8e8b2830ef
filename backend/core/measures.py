"""How well a judge agrees with people: measures, and intervals from a bootstrap that draws whole images.

Every measure takes the truth and the score, one number per row each. `point` is its value on the data as they are,
from scikit-learn or scipy where they have it; `resampled` is its value on many resamples at once, where a resample is
a row of weights that say how often each data row was drawn. Both give the same number for weights of one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 1_000
LEVEL = 0.95
ECE_BINS = 15
TIE = 0.5
"""Truth or choice of a pair that is neither the first (1) nor the second (0)."""

_CELLS = 2_000_000
"""Weights held in memory at once."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure's value, with its percentile interval."""

    value: float
    low: float | None
    """None when no interval can be given, as with a single image."""
    high: float | None
    rows: int
    clusters: int
    """Independent units, that is images, among the rows."""


@dataclass(frozen=True, slots=True)
class NotComputable:
    """Why a measure has no value on these data."""

    reason: str
    rows: int


Outcome = Estimate | NotComputable


@dataclass(frozen=True, slots=True)
class Measure:
    """One number that says how a score goes with the truth."""

    point: Callable[[Array, Array], float]
    resampled: Callable[[Array, Array, Array], Array]
    """Truth, score and weights of shape (resamples, rows); one value per resample, NaN where it has none."""
    needs_classes: bool = False
    """Whether the truth must hold both 0 and 1."""
    needs_variation: bool = False
    """Whether truth and score must both vary."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Neighbouring predictions, taken together."""

    mean_prob: float
    share_true: float
    rows: int


def estimate(
    measure: Measure,
    truth: Sequence[float] | Array,
    score: Sequence[float] | Array,
    clusters: Sequence[Hashable],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Outcome:
    """The measure with its 95 % percentile bootstrap interval (Efron 1979), drawing clusters with replacement.

    Rows of one cluster are always drawn together (Field and Welsh 2007), because rows that share an image are not
    independent. Resamples without a value, as when one class was not drawn, are left out.
    """
    y, x = np.asarray(truth, dtype=np.float64), np.asarray(score, dtype=np.float64)
    reason = _missing(measure, y, x)
    if reason:
        return NotComputable(reason, len(y))
    index = _cluster_index(clusters)
    low, high = _interval(lambda weights: measure.resampled(y, x, weights), index, resamples, seed)
    return Estimate(measure.point(y, x), low, high, len(y), int(index.max()) + 1)


def estimate_difference(
    measure: Measure,
    truth: Sequence[float] | Array,
    score: Sequence[float] | Array,
    other: Sequence[float] | Array,
    clusters: Sequence[Hashable],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Outcome:
    """The measure of one score less that of another on the same rows, with its interval as in `estimate`.

    Both are taken on the same resamples, so that what makes rows hard for both cancels out.
    """
    y, a, b = (np.asarray(values, dtype=np.float64) for values in (truth, score, other))
    reason = _missing(measure, y, a) or _missing(measure, y, b)
    if reason:
        return NotComputable(reason, len(y))
    index = _cluster_index(clusters)
    low, high = _interval(
        lambda weights: measure.resampled(y, a, weights) - measure.resampled(y, b, weights), index, resamples, seed
    )
    return Estimate(measure.point(y, a) - measure.point(y, b), low, high, len(y), int(index.max()) + 1)


def _interval(
    resampled: Callable[[Array], Array], index: NDArray[np.intp], resamples: int, seed: int
) -> tuple[float, float] | tuple[None, None]:
    """The percentile interval of a value by resample; without ends for one cluster, and where none has a value."""
    if int(index.max()) == 0:
        return None, None
    drawn = np.concatenate([resampled(weights) for weights in resample_weights(index, resamples, seed)])
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return None, None
    return float(np.quantile(drawn, (1 - LEVEL) / 2)), float(np.quantile(drawn, (1 + LEVEL) / 2))


def resample_weights(index: NDArray[np.intp], resamples: int, seed: int) -> Iterator[Array]:
    """How often each row is in each resample, in pieces of shape (some, rows); the same for the same seed."""
    rng = np.random.default_rng(seed)
    count = int(index.max()) + 1
    step = max(1, _CELLS // len(index))
    for at in range(0, resamples, step):
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=min(step, resamples - at))
        yield drawn[:, index].astype(np.float64)


def reliability_bins(truth: Array, probs: Array, bins: int = ECE_BINS) -> tuple[Bin, ...]:
    """The predictions in bins of equal mass from low to high; equal predictions are never parted."""
    inverse = np.unique(probs, return_inverse=True)[1]
    counts = np.bincount(inverse).astype(np.float64)
    numbers = _equal_mass(counts[None, :], bins)[0][inverse]
    return tuple(
        Bin(float(probs[inside].mean()), float(truth[inside].mean()), int(inside.sum()))
        for number in range(bins)
        if (inside := numbers == number).any()
    )


def average_orders(first_prob: float, first_prob_swapped: float) -> float:
    """P(first is better) from both orders, averaged in logit space: sigmoid((logit p + logit q) / 2).

    Both are probabilities of the same text, once shown first and once shown second. Clipped to stay off 0 and 1.
    """
    logits = [log(p / (1 - p)) for p in (min(max(q, 1e-6), 1 - 1e-6) for q in (first_prob, first_prob_swapped))]
    return 1 / (1 + exp(-sum(logits) / 2))


def _missing(measure: Measure, truth: Array, score: Array) -> str | None:
    if not len(truth):
        return "no rows with such a label"
    if measure.needs_classes and len(np.unique(truth)) < 2:
        return "only one class among the labels" + (" (all good)" if truth[0] == 1 else " (all bad)")
    if measure.needs_variation:
        if len(truth) < 3:
            return "fewer than three rows"
        for values, name in ((truth, "labels"), (score, "scores")):
            if len(np.unique(values)) < 2:
                return f"all {name} are the same"
    return None


def _cluster_index(clusters: Sequence[Hashable]) -> NDArray[np.intp]:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.intp)


def _by_value(values: Array, weights: Array) -> Array:
    """Total weight per distinct value, ascending; shape (resamples, distinct)."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values[order]) != 0]))
    masses: Array = np.add.reduceat(weights[:, order], starts, axis=1)
    return masses


def _auroc(truth: Array, score: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, score))


def _auroc_resampled(truth: Array, score: Array, weights: Array) -> Array:
    good, bad = _by_value(score, weights * truth), _by_value(score, weights * (1 - truth))
    beaten = np.cumsum(bad, axis=1) - bad / 2
    return _ratio((good * beaten).sum(axis=1), good.sum(axis=1) * bad.sum(axis=1))


def _ranks(values: Array, weights: Array) -> Array:
    """Mid-ranks of the drawn rows, of shape (resamples, rows)."""
    masses = _by_value(values, weights)
    middle = np.cumsum(masses, axis=1) - (masses - 1) / 2
    ranks: Array = middle[:, np.unique(values, return_inverse=True)[1]]
    return ranks


def _spearman(truth: Array, score: Array) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(truth, score).statistic)


def _spearman_resampled(truth: Array, score: Array, weights: Array) -> Array:
    total = weights.sum(axis=1, keepdims=True)
    a, b = _ranks(truth, weights), _ranks(score, weights)
    a -= (weights * a).sum(axis=1, keepdims=True) / total
    b -= (weights * b).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    return _ratio((weights * a * b).sum(axis=1), spread)


def _kendall(truth: Array, score: Array) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(truth, score, variant="b", method="asymptotic").statistic)


def _kendall_resampled(truth: Array, score: Array, weights: Array) -> Array:
    drawn = (np.repeat(np.arange(len(truth)), row.astype(np.intp)) for row in weights)
    return np.array([_kendall(truth[rows], score[rows]) for rows in drawn])


def _equal_mass(masses: Array, bins: int) -> NDArray[np.intp]:
    """The bin of each distinct value: that of the middle of its mass."""
    middle = np.cumsum(masses, axis=1) - masses / 2
    numbers = (bins * middle / masses.sum(axis=1, keepdims=True)).astype(np.intp)
    within: NDArray[np.intp] = np.minimum(numbers, bins - 1)  # values that were not drawn may lie after the last bin
    return within


def _ece(truth: Array, probs: Array) -> float:
    return float(_ece_resampled(truth, probs, np.ones((1, len(truth))))[0])


def _ece_resampled(truth: Array, probs: Array, weights: Array) -> Array:
    masses, gaps = _by_value(probs, weights), _by_value(probs, weights * (truth - probs))
    places = _equal_mass(masses, ECE_BINS) + ECE_BINS * np.arange(len(weights))[:, None]
    per_bin = np.bincount(places.ravel(), weights=gaps.ravel(), minlength=ECE_BINS * len(weights))
    errors: Array = np.abs(per_bin.reshape(len(weights), ECE_BINS)).sum(axis=1) / weights.sum(axis=1)
    return errors


def _brier(truth: Array, probs: Array) -> float:
    from sklearn.metrics import brier_score_loss

    return float(brier_score_loss(truth, probs, pos_label=1, labels=[0, 1]))


def _brier_resampled(truth: Array, probs: Array, weights: Array) -> Array:
    return _mean(weights, (truth - probs) ** 2)


def _share(truth: Array, choice: Array) -> float:
    return float(np.mean(truth == choice))


def _share_resampled(truth: Array, choice: Array, weights: Array) -> Array:
    return _mean(weights, (truth == choice).astype(np.float64))


def _ratio(parts: Array, wholes: Array) -> Array:
    """NaN where the whole is nothing."""
    ratios: Array = np.divide(parts, wholes, out=np.full(len(wholes), np.nan), where=wholes > 1e-9)
    return ratios


def _mean(weights: Array, values: Array) -> Array:
    means: Array = weights @ values / weights.sum(axis=1)
    return means


AUROC = Measure(_auroc, _auroc_resampled, needs_classes=True)
"""P(score of a good row > score of a bad row) + P(equal) / 2 (Hanley and McNeil 1982)."""

SPEARMAN = Measure(_spearman, _spearman_resampled, needs_variation=True)
"""Pearson's correlation of the mid-ranks (Spearman 1904)."""

KENDALL = Measure(_kendall, _kendall_resampled, needs_variation=True)
"""tau-b = (P - Q) / sqrt((P + Q + T) (P + Q + U)), with T and U the pairs tied in one alone (Kendall 1945)."""

ECE = Measure(_ece, _ece_resampled)
"""Sum over 15 bins of equal mass of |mean truth - mean probability|, weighted by mass (Nixon et al. 2019).

A constant prediction of the base rate has an ECE of 0: read it beside the AUROC.
"""

BRIER = Measure(_brier, _brier_resampled)
"""Mean of (probability - truth) squared (Brier 1950)."""

AGREEMENT = Measure(_share, _share_resampled)
"""Share of rows where choice and truth are the same: accuracy, pair accuracy, or how often something is 1."""
