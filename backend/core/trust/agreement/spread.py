"""Medians and quartiles, with intervals that draw whole images."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.measures import Array, Estimate, NotComputable, Outcome, resample_weights
from backend.core.trust.agreement.resampling import SEED, group_of_each, percentiles


@dataclass(frozen=True, slots=True)
class Spread:
    """Where numbers lie: a quarter is below the lower quartile, half below the median."""

    count: int
    lower: float
    median: float
    upper: float


def spread_of(values: Sequence[float]) -> Spread | None:
    """None for no numbers. Between two numbers quartiles are on the line that joins them."""
    if not values:
        return None
    lower, median, upper = np.quantile(np.asarray(values, dtype=np.float64), (0.25, 0.5, 0.75))
    return Spread(len(values), float(lower), float(median), float(upper))


def median_and_ratio(
    one: Sequence[float],
    other: Sequence[float],
    clusters: tuple[Sequence[Hashable], Sequence[Hashable]],
    *,
    resamples: int,
) -> tuple[Outcome, Outcome, Outcome]:
    """The median of each of two samples and the second over the first, each with its bootstrap interval.

    Clusters that both samples have numbers of are drawn for both at once. A ratio to 0 is none.
    """
    sides: list[Array] = [np.asarray(side, dtype=np.float64) for side in (one, other)]
    groups = group_of_each((*clusters[0], *clusters[1]))
    parts = (groups[: len(one)], groups[len(one) :])
    medians: list[Array] = [np.empty(0) for _ in sides]
    if len(groups):
        drawn = list(resample_weights(np.arange(int(groups.max()) + 1, dtype=np.intp), resamples, SEED))
        medians = [_medians(side, part, drawn) for side, part in zip(sides, parts, strict=True)]
    counts = [len(set(side)) for side in clusters]
    outcomes = [
        _outcome(float(np.median(side)), found, len(side), count)
        if len(side)
        else NotComputable("no label with a time", 0)
        for side, found, count in zip(sides, medians, counts, strict=True)
    ]
    return outcomes[0], outcomes[1], _ratio(sides, medians, len({*clusters[0], *clusters[1]}))


def _ratio(sides: Sequence[Array], medians: Sequence[Array], clusters: int) -> Outcome:
    rows = len(sides[0]) + len(sides[1])
    if not len(sides[0]) or not len(sides[1]):
        return NotComputable("no label with a time on one side", rows)
    below = float(np.median(sides[0]))
    if below == 0:
        return NotComputable("the first median is 0", rows)
    ratios = np.divide(medians[1], medians[0], out=np.full(len(medians[0]), np.nan), where=medians[0] > 0)
    return _outcome(float(np.median(sides[1])) / below, ratios, rows, clusters)


def _outcome(value: float, drawn: Array, rows: int, clusters: int) -> Estimate:
    low, high = percentiles(drawn) if clusters > 1 else (None, None)
    return Estimate(value, low, high, rows, clusters)


def _medians(values: Array, groups: NDArray[np.intp], drawn: Sequence[Array]) -> Array:
    """The median on every resample, NaN where nothing was drawn; of an even number the mean of the middle two."""
    order = np.argsort(values)
    ranked, places = values[order], groups[order]
    return np.array([_median(ranked, weights[places]) for piece in drawn for weights in piece])


def _median(ranked: Array, times: Array) -> float:
    below = np.cumsum(times)
    if not len(below) or below[-1] == 0:
        return float("nan")
    lower, upper = np.searchsorted(below, below[-1] / 2, "left"), np.searchsorted(below, below[-1] / 2, "right")
    return float(ranked[lower] + ranked[upper]) / 2
