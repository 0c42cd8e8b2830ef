"""Statistics that are functions of sums over units, with intervals that draw whole images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from backend.core.measures import LEVEL, RESAMPLES, Array, Estimate, NotComputable, Outcome, resample_weights
from backend.core.trust.acceptance.intervals import exact

SEED = 0
"""Of everything that is drawn, so that a report of the same labels is the same."""
GROUPS = 1_000
"""More images than this are dealt at random into so many groups, and the groups are drawn.

Of images drawn independently, groups of equal number are drawn independently too, and a sum over groups is the sum over
images; so the interval is the same but for a random error in its length of about sqrt(1 / 2000), two in a hundred.
"""
_CELLS = 2_000_000
"""Numbers held in memory at once."""

Clusters = Sequence[Hashable] | NDArray[np.intp]
"""What is drawn as one, an entry per unit; fastest as whole numbers from 0."""
SumsOf = Callable[[slice], Array]
"""What is added up of some units, one row each."""


def estimate_of_sums(
    sums_of: SumsOf,
    of_sums: Callable[[Array], Array],
    clusters: Clusters,
    *,
    weights: Array | None = None,
    resamples: int = RESAMPLES,
    point: Callable[[], float] | None = None,
    empty: str = "no unit with ratings by two",
    undefined: str = "only one category was used, so there is no chance to correct for",
) -> Outcome:
    """What `of_sums` makes of the sums over all units, with its 95 % percentile bootstrap interval.

    `of_sums` takes one row of sums per resample and gives one value each, NaN where there is none; `clusters` has one
    entry per unit. Weights of units, as one over the probability with which each was drawn, multiply what is added up.
    `point` is another way to the value itself, as by a library; it is not taken under weights.
    """
    if not len(clusters):
        return NotComputable(empty, 0)
    groups, count = _groups(clusters)
    sums = _sums_by_group(sums_of, groups, weights)
    whole = float(of_sums(sums.sum(axis=0, keepdims=True))[0])
    if np.isnan(whole):
        return NotComputable(undefined, len(clusters))
    value = point() if point and weights is None else whole
    low, high = percentiles(of_sums(draws(len(sums), resamples) @ sums)) if count > 1 else (None, None)
    return Estimate(value, low, high, len(clusters), count)


@lru_cache(maxsize=2)
def draws(groups: int, resamples: int) -> Array:
    """How often each group is in each resample, of shape (resamples, groups); kept, for a project has many measures."""
    drawn = np.concatenate(list(resample_weights(np.arange(groups, dtype=np.intp), resamples, SEED)))
    drawn.setflags(write=False)
    return drawn


def percentiles(drawn: Array) -> tuple[float, float] | tuple[None, None]:
    """The 95 % interval of a measure's values on resamples, those without a value left out; Nones for none at all."""
    known = drawn[~np.isnan(drawn)]
    if not known.size:
        return None, None
    low, high = np.quantile(known, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def honest_at_the_ends(share: Outcome) -> Outcome:
    """A share of all or nothing with the interval of Clopper and Pearson, images counting as the draws.

    Resampling what is all alike gives an interval without length, as if nothing else could have been seen.
    """
    if not isinstance(share, Estimate) or share.value not in (0.0, 1.0):
        return share
    ends = exact(round(share.value * share.clusters), share.clusters, LEVEL)
    return replace(share, low=ends.low, high=ends.high)


def group_of_each(clusters: Clusters) -> NDArray[np.intp]:
    """The number of the group, of `GROUPS` at most, that each unit's cluster is in."""
    return _groups(clusters)[0]


def share(parts: Array, wholes: Array) -> Array:
    """Part over whole; NaN where the whole is nothing."""
    shares: Array = np.divide(parts, wholes, out=np.full(len(wholes), np.nan), where=np.abs(wholes) > 1e-12)
    return shares


def _groups(clusters: Clusters) -> tuple[NDArray[np.intp], int]:
    index, count = _numbered(clusters)
    if count <= GROUPS:
        return index, count
    dealt = np.random.default_rng(SEED).permutation(count) % GROUPS
    return dealt[index].astype(np.intp), count


def _numbered(clusters: Clusters) -> tuple[NDArray[np.intp], int]:
    """The clusters as numbers without gaps, and how many there are."""
    if isinstance(clusters, np.ndarray):
        present = np.bincount(clusters) > 0
        return (np.cumsum(present) - 1)[clusters], int(present.sum())
    numbers: dict[Hashable, int] = {}
    index = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.intp)
    return index, len(numbers)


def _sums_by_group(sums_of: SumsOf, groups: NDArray[np.intp], weights: Array | None) -> Array:
    width, count = sums_of(slice(0, 1)).shape[1], int(groups.max()) + 1
    total = np.zeros(count * width)
    step = max(1, _CELLS // width)
    for at in range(0, len(groups), step):
        rows = slice(at, at + step)
        added = sums_of(rows) if weights is None else sums_of(rows) * weights[rows, None]
        places = groups[rows, None] * width + np.arange(width)
        total += np.bincount(places.ravel(), weights=added.ravel(), minlength=count * width)
    return total.reshape(count, width)
