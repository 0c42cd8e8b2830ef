"""Shares of tasks with their intervals, differences of shares, and whether groups differ; tasks may share an image.

Tasks of one image are not independent, and a slice that was drawn unevenly counts by one over the probability of being
drawn. Both make a share less certain than its count says, by the design effect: the variance from the images' sums over
that of as many independent tasks. Intervals take the count divided by that effect (Kish 1965).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from backend.core.measures import Array

Index = NDArray[np.intp]

LEVEL = 0.95
EXPECTED = 5.0
"""With fewer of the rarer outcome expected in a group, chi-square is no approximation (Cochran 1954)."""
DRAWS = 19_999
FEW_DRAWS = 999
_LARGE_P = 0.1
_SEED = 0


@dataclass(frozen=True, slots=True)
class Share:
    """A share of tasks, a mean, or a difference of such, with its 95 % interval."""

    value: float
    low: float
    high: float
    of: int
    """Tasks it is said of."""
    images: int
    """Independent units among them."""


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What was observed of some tasks, one entry per task in each."""

    values: Array
    """0 or 1, or for a difference of two such -1, 0 or 1."""
    images: Index
    """The same number for the same image."""
    weights: Array
    """One over the probability with which it was drawn, up to a factor."""

    def where(self, chosen: NDArray[np.bool_]) -> Observed:
        """Those of the tasks."""
        return Observed(self.values[chosen], self.images[chosen], self.weights[chosen])

    @property
    def mean(self) -> float:
        """The weighted mean."""
        return float(self.weights @ self.values / self.weights.sum())

    @property
    def even(self) -> bool:
        """Whether all weigh the same."""
        return bool(np.ptp(self.weights) <= 1e-9 * self.weights.max())

    @property
    def plain(self) -> bool:
        """Whether all weigh the same and none share an image."""
        return self.even and len(np.unique(self.images)) == len(self.images)

    def influence(self) -> Array:
        """By image, how much it moves the mean; the sum over images is 0. As long as the highest image number."""
        parts: Array = self.weights * (self.values - self.mean) / self.weights.sum()
        return np.bincount(self.images, parts).astype(np.float64)


@dataclass(frozen=True, slots=True)
class GroupTest:
    """Whether groups differ in what was observed."""

    p: float
    method: str
    """In words."""


Interval = Callable[[Observed, float], Share]


def share(observed: Observed, level: float = LEVEL) -> Share:
    """The share of ones: Wilson's interval (1927) at the effective count (Franco, Little, Louis, Slud 2019).

    With z replaced by Student's t of the images less one where tasks share images or weigh differently (Korn and
    Graubard 1998). At 0 and 1, where no design effect can be seen, the count is that of the images.
    """
    p, n = observed.mean, _effective(observed, level)
    z = _normal(level)
    scale = 1 + z * z / n
    middle = (p + z * z / (2 * n)) / scale
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / scale
    low, high = 0.0 if p == 0 else middle - half, 1.0 if p == 1 else middle + half
    return Share(p, low, high, len(observed.values), _count(observed.images))


def net_share(observed: Observed, level: float = LEVEL) -> Share:
    """The share of +1 less that of -1: the interval of Bonett and Price (2012) at the effective count.

    With a = (ones + 1) / (n + 2) and b = (minus ones + 1) / (n + 2): a - b give or take
    z sqrt((a + b - (a - b)^2) / (n + 2)).
    """
    n, z = _effective(observed, level), _normal(level)
    total = observed.weights.sum()
    up, down = (float(observed.weights[observed.values == sign].sum() / total) for sign in (1, -1))
    a, b = (up * n + 1) / (n + 2), (down * n + 1) / (n + 2)
    half = z * ((a + b - (a - b) ** 2) / (n + 2)) ** 0.5
    value = up - down
    low, high = min(value, max(-1.0, a - b - half)), max(value, min(1.0, a - b + half))
    return Share(value, low, high, len(observed.values), _count(observed.images))


def mean(observed: Observed, level: float = LEVEL) -> Share:
    """The mean, give or take t times its standard error over images; nothing wider than [0, 1] is ever observed."""
    value, images = observed.mean, _count(observed.images)
    if images < 2:
        return Share(value, 0.0, 1.0, len(observed.values), images)
    half = students(level, images) * _variance(observed) ** 0.5
    return Share(value, max(0.0, value - half), min(1.0, value + half), len(observed.values), images)


def difference(first: Observed, second: Observed, interval: Interval = share, level: float = LEVEL) -> Share:
    """The first less the second, from the interval of each (MOVER: Zou and Donner 2008; for Wilson's: Newcombe 1998).

    low = d - sqrt((p - l)^2 - 2 r (p - l)(u' - p') + (u' - p')^2), and high likewise, where r is the correlation of the
    two that comes from images that both have tasks of; without such images r = 0.
    """
    one, other = interval(first, level), interval(second, level)
    r = _correlation(first, second)
    gap = one.value - other.value
    below, above = one.value - one.low, one.high - one.value
    below_other, above_other = other.value - other.low, other.high - other.value
    low = gap - max(0.0, below**2 - 2 * r * below * above_other + above_other**2) ** 0.5
    high = gap + max(0.0, above**2 - 2 * r * above * below_other + below_other**2) ** 0.5
    images = _count(np.concatenate([first.images, second.images]))
    return Share(gap, low, high, one.of + other.of, images)


def homogeneity(observed: Observed, groups: Index) -> GroupTest | str:
    """Whether the groups, numbered from 0 without a gap, may all have the same mean; why not tested, in words.

    Pearson's chi-square where tasks are independent. Where they share images or weigh differently, the score test with
    the variance from the images' sums (Rotnitzky and Jewell 1990), which holds whether images lie within groups or
    across them. Where the rarer outcome is too rare for either, the exact test with fixed margins by drawing tables
    (Freeman and Halton 1951), of one task per image.
    """
    if np.ptp(observed.values) == 0:
        return "all have the same outcome"
    if _rarest(observed.values, groups) >= EXPECTED:
        return _chi_square(observed, groups)
    if not observed.even:
        return "too few of the rarer outcome, in a slice that was drawn unevenly"
    chosen = np.sort(_one_per_image(observed.images))
    return _exact(observed.values[chosen], groups[chosen])


def adjusted(ps: list[float]) -> list[float]:
    """P-values made good for their number, whatever they have to do with each other (Benjamini and Yekutieli 2001)."""
    from scipy.stats import false_discovery_control

    return [float(p) for p in false_discovery_control(ps, method="by")] if ps else []


def percent(one: Share | None) -> str:
    """A share as a sentence gives it, e.g. `81 % (76-85)`; with a decimal below 10 %."""
    if one is None:
        return "an unknown share"
    digits = 1 if one.value < 0.0995 else 0
    value, low, high = (f"{100 * number:.{digits}f}" for number in (one.value, one.low, one.high))
    return f"{value} % ({low}-{high})"


def more_or_fewer(one: Share | None) -> str:
    """A difference as a sentence gives it, e.g. `10 points more (4 to 16)` or `3 points fewer (-6 to 0)`."""
    if one is None:
        return "an unknown share more or fewer"
    word = "more" if one.value >= 0 else "fewer"
    value, low, high = (round(100 * number) for number in (one.value, one.low, one.high))
    return f"{abs(value)} point{'' if abs(value) == 1 else 's'} {word} ({low} to {high})"


def _effective(observed: Observed, level: float) -> float:
    """So many independent tasks would be as certain; at least a part of one."""
    n, images = len(observed.values), _count(observed.images)
    if observed.plain:
        return float(n)
    most = min(float(n), float(observed.weights.sum() ** 2 / (observed.weights**2).sum()))
    if images < 2:
        return 1.0
    spread = float(observed.weights @ (observed.values - observed.mean) ** 2 / observed.weights.sum())
    variance = _variance(observed)
    found = float(images) if spread == 0 else n * spread / (n - 1) / variance if variance > 0 else most
    widened = (_normal(level) / students(level, images)) ** 2
    return min(most, found) * widened


def _variance(observed: Observed) -> float:
    """Of the mean, from the images' sums."""
    images = _count(observed.images)
    return images / (images - 1) * float((observed.influence() ** 2).sum())


def _correlation(first: Observed, second: Observed) -> float:
    a, b = first.influence(), second.influence()
    shared = min(len(a), len(b))
    both = float(a[:shared] @ b[:shared])
    size = float((a @ a) * (b @ b)) ** 0.5
    return both / size if size > 0 else 0.0


def _rarest(values: Array, groups: Index) -> float:
    """Of the outcomes but the commonest, how many are expected in the smallest group."""
    counts = np.unique(values, return_counts=True)[1]
    return float((1 - counts.max() / len(values)) * np.bincount(groups).min())


def _chi_square(observed: Observed, groups: Index) -> GroupTest:
    """The score U(g) = sum over tasks of w (1[in g] - share of g) (y - mean), squared over its variance."""
    from scipy.special import chdtrc

    centred = _membership(groups, observed.weights)
    off = observed.weights * (observed.values - observed.mean)
    plain = observed.plain
    if plain:
        variance: Array = float(((observed.values - observed.mean) ** 2).mean()) * centred.T @ centred
        method = "chi-square"
    else:
        sums: Array = np.stack([np.bincount(observed.images, off * column) for column in centred.T], axis=1)
        variance, method = sums.T @ sums, "chi-square, images kept together"
    score = off @ centred
    statistic = float(score @ np.linalg.pinv(variance, hermitian=True) @ score)
    return GroupTest(float(chdtrc(centred.shape[1], statistic)), method)


def _membership(groups: Index, weights: Array) -> Array:
    """A column per group but the last, which follows from the others: 1 in it, less the group's share."""
    inside = np.equal.outer(groups, np.arange(int(groups.max()))).astype(np.float64)
    centred: Array = inside - weights @ inside / weights.sum()
    return centred


def _exact(values: Array, groups: Index) -> GroupTest | str:
    """The share of drawn tables that are at least as far from equal means as this one, by the chi-square distance.

    Only where a few tables say that it is small is it worth drawing many.
    """
    levels, number = np.unique(values, return_inverse=True)
    table = np.zeros((int(groups.max()) + 1, len(levels)), dtype=np.intp)
    np.add.at(table, (groups, number), 1)
    table = table[table.sum(axis=1) > 0]
    if len(levels) < 2 or len(table) < 2:
        return "too few are left with one task per image"
    off = levels - values.mean()
    few = _drawn_p(table, off, FEW_DRAWS, _SEED)
    return GroupTest(few if few > _LARGE_P else _drawn_p(table, off, DRAWS, _SEED + 1), "exact, by drawn tables")


def _drawn_p(table: Index, off: Array, draws: int, seed: int) -> float:
    from scipy.stats import random_table

    rows = table.sum(axis=1)
    drawn = random_table(rows, table.sum(axis=0), seed=seed).rvs(draws)
    far = ((drawn @ off) ** 2 / rows).sum(axis=1)
    seen = float(((table @ off) ** 2 / rows).sum())
    return float((1 + (far >= seen * (1 - 1e-9)).sum()) / (draws + 1))


def _one_per_image(images: Index) -> Index:
    mixed = np.random.default_rng(_SEED).permutation(len(images))
    chosen: Index = mixed[np.unique(images[mixed], return_index=True)[1]]
    return chosen


def _count(images: Index) -> int:
    return len(np.unique(images))


def _normal(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def students(level: float, images: int) -> float:
    """Student's t for a two-sided interval, with the images less one as degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(images - 1, (1 + level) / 2))
