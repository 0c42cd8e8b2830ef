"""How well raters agree beyond chance, be they people or the judge, with intervals that draw whole images.

Every coefficient is 1 for full agreement and about 0 for what chance alone would give; below 0 is worse than chance.
Each is a function of sums over units, so a bootstrap resample is those sums with other weights. The value itself comes
from scikit-learn (kappa) and from the package `krippendorff` (alpha) where they have it; ours on the resamples is held
against theirs by a test.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backend.core.agreement import RESAMPLES, Array, Measure, NotComputable, Outcome, estimate

Category = str | int | float
Weights = Literal["identity", "linear", "quadratic"]
"""How much a near miss counts as agreement: nothing, in proportion to the steps between, or to their square."""
Level = Literal["nominal", "ordinal", "interval"]
"""What differences between categories mean: nothing, their order only, or their distance."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often the first rater said the row's category and the second the column's."""

    categories: tuple[Category, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Which category each rater gave to each unit."""

    categories: tuple[Category, ...]
    """The whole scale, from low to high where it has an order; also those that nobody used."""
    places: Array
    """Units by raters: the category's place on the scale from 0; NaN where the rater said nothing."""
    clusters: tuple[Hashable, ...]
    """What is drawn as one, per unit: its image."""


def ratings(
    rows: Sequence[Sequence[Category | None]],
    categories: Sequence[Category],
    clusters: Sequence[Hashable] | None = None,
) -> Ratings:
    """Ratings from one row per unit with one entry per rater, None where there is none.

    Without clusters every unit is its own. Raises ValueError for a category that is not on the scale, for rows of
    different lengths and for clusters that do not fit.
    """
    place = {category: float(number) for number, category in enumerate(categories)}
    foreign = {value for row in rows for value in row if value is not None and value not in place}
    if foreign:
        raise ValueError(f"{sorted(foreign, key=str)[0]!r} is none of the categories {tuple(categories)}")
    if len({len(row) for row in rows}) > 1 or (clusters is not None and len(clusters) != len(rows)):
        raise ValueError("every unit needs one entry per rater, None where there is none, and one cluster")
    cells = [[np.nan if value is None else place[value] for value in row] for row in rows]
    width = len(rows[0]) if rows else 0
    drawn = tuple(range(len(rows))) if clusters is None else tuple(clusters)
    return Ratings(tuple(categories), np.array(cells, dtype=np.float64).reshape(len(rows), width), drawn)


def confusion(given: Ratings) -> Confusion:
    """The table of two raters, over the units that both rated."""
    pairs, _ = _pairs(given)
    size = len(given.categories)
    counts = _one_hot_pairs(pairs, size).sum(axis=0).reshape(size, size).astype(int)
    return Confusion(given.categories, tuple(tuple(int(cell) for cell in row) for row in counts))


def percent_agreement(
    given: Ratings, weights: Weights = "identity", *, resamples: int = RESAMPLES, seed: int = 0
) -> Outcome:
    """The mean over units, rated by two or more, of the share of pairs of raters who agree; not corrected for chance.

    Under weights a near miss counts as part of an agreement.
    """
    counts, clusters = _counts(given, at_least=2)
    agreed = _agreement_per_unit(counts, _agreement_weights(len(given.categories), weights))
    sums = np.column_stack([agreed, np.ones(len(agreed))])
    return _outcome(sums, lambda total: _over(total[:, 0], total[:, 1]), clusters, resamples, seed)


def cohen_kappa(given: Ratings, weights: Weights = "identity", *, resamples: int = RESAMPLES, seed: int = 0) -> Outcome:
    """Cohen's kappa of two raters, (p_o - p_e) / (1 - p_e) with p_e the sum over k of p_1k p_2k (1960; weights: 1968).

    Units that only one rated are left out. It is low when nearly all units are in one category, however well the
    raters agree (Feinstein and Cicchetti 1990): read it beside the percentage and Gwet's coefficient.
    """
    pairs, clusters = _pairs(given)
    size = len(given.categories)
    apart = 1 - _agreement_weights(size, weights)

    def of_sums(total: Array) -> Array:
        cells = total.reshape(-1, size, size)
        by_chance = (
            cells.sum(axis=2)[:, :, None] * cells.sum(axis=1)[:, None, :] / cells.sum(axis=(1, 2))[:, None, None]
        )
        return 1 - _over((cells * apart).sum(axis=(1, 2)), (by_chance * apart).sum(axis=(1, 2)))

    def point() -> float:
        from sklearn.metrics import cohen_kappa_score

        first, second = pairs.astype(np.intp).T
        named = None if weights == "identity" else weights
        return float(cohen_kappa_score(first, second, labels=list(range(size)), weights=named))

    return _outcome(_one_hot_pairs(pairs, size), of_sums, clusters, resamples, seed, point)


def krippendorff_alpha(
    given: Ratings, level: Level = "nominal", *, resamples: int = RESAMPLES, seed: int = 0
) -> Outcome:
    """Krippendorff's alpha, 1 - D_o / D_e, for two or more raters of whom any may be missing (Krippendorff 2011).

    Units with a single rating are left out. At the interval level numeric categories count with their values, others
    with their places.
    """
    counts, clusters = _counts(given, at_least=2)
    size = len(given.categories)
    numeric = all(not isinstance(category, str) for category in given.categories)
    values = np.array(given.categories if numeric else range(size), dtype=np.float64)
    together = counts[:, :, None] * counts[:, None, :] - np.eye(size) * counts[:, :, None]
    sums = (together / (counts.sum(axis=1) - 1)[:, None, None]).reshape(len(counts), -1)

    def of_sums(total: Array) -> Array:
        cells = total.reshape(-1, size, size)
        each = cells.sum(axis=2)
        squares, number = _squared_distances(each, values, level), each.sum(axis=1)
        seen = (cells * squares).sum(axis=(1, 2))
        by_chance = (each[:, :, None] * each[:, None, :] * squares).sum(axis=(1, 2)) / np.maximum(number - 1, 1)
        return 1 - _over(seen, by_chance)

    def point() -> float:
        from krippendorff import alpha

        domain = values if level == "interval" else np.arange(size)
        return float(alpha(value_counts=counts, value_domain=domain, level_of_measurement=level))

    return _outcome(sums, of_sums, clusters, resamples, seed, point)


def gwet_ac(given: Ratings, weights: Weights = "identity", *, resamples: int = RESAMPLES, seed: int = 0) -> Outcome:
    """Gwet's AC1, or AC2 under weights, for two or more raters of whom any may be missing (Gwet 2008; 2014).

    (p_a - p_e) / (1 - p_e) with p_e = T / (K (K - 1)) times the sum over k of pi_k (1 - pi_k), where pi_k is the mean
    share of category k and T the sum of all weights, K for AC1. With the sum of pi_k squared instead it would be
    Scott's pi, which is sometimes published under this name. Stays high where nearly all units are in one category.
    """
    counts, clusters = _counts(given, at_least=1)
    size = len(given.categories)
    alike = _agreement_weights(size, weights)
    several = (counts.sum(axis=1) > 1).astype(np.float64)
    agreed = np.where(several > 0, _agreement_per_unit(counts, alike), 0.0)
    shares = counts / counts.sum(axis=1, keepdims=True)
    sums = np.column_stack([agreed, several, np.ones(len(counts)), shares])

    def of_sums(total: Array) -> Array:
        seen = _over(total[:, 0], total[:, 1])
        each = total[:, 3:] / np.maximum(total[:, 2:3], 1e-9)
        by_chance = alike.sum() / (size * (size - 1)) * (each * (1 - each)).sum(axis=1)
        return _over(seen - by_chance, 1 - by_chance)

    return _outcome(sums, of_sums, clusters, resamples, seed)


def _outcome(
    sums: Array,
    of_sums: Callable[[Array], Array],
    clusters: Sequence[Hashable],
    resamples: int,
    seed: int,
    point: Callable[[], float] | None = None,
) -> Outcome:
    """The coefficient with its interval. `estimate` wants a truth and a score per row; here the row's sums are both."""
    if not len(sums):
        return NotComputable("no unit with ratings by two", 0)
    if np.isnan(of_sums(sums.sum(axis=0, keepdims=True))[0]):
        return NotComputable("only one category was used, so there is no chance to correct for", len(sums))
    measure = Measure(
        lambda _truth, _score: point() if point else float(of_sums(sums.sum(axis=0, keepdims=True))[0]),
        lambda _truth, _score, drawn: of_sums(drawn @ sums),
    )
    numbers = np.arange(len(sums), dtype=np.float64)
    return estimate(measure, numbers, numbers, clusters, resamples=resamples, seed=seed)


def _pairs(given: Ratings) -> tuple[Array, tuple[Hashable, ...]]:
    if len(given.places) and given.places.shape[1] != 2:
        raise ValueError(f"two raters are needed, these are {given.places.shape[1]}")
    if not len(given.places):
        return np.empty((0, 2)), ()
    both = np.flatnonzero(~np.isnan(given.places).any(axis=1))
    return given.places[both], tuple(given.clusters[unit] for unit in both)


def _counts(given: Ratings, at_least: int) -> tuple[Array, tuple[Hashable, ...]]:
    """How many raters said each category, per unit with at least so many ratings."""
    counts = (given.places[:, :, None] == np.arange(len(given.categories))).sum(axis=1).astype(np.float64)
    kept = np.flatnonzero(counts.sum(axis=1) >= at_least)
    return counts[kept], tuple(given.clusters[unit] for unit in kept)


def _one_hot_pairs(pairs: Array, size: int) -> Array:
    cells = np.zeros((len(pairs), size * size))
    cells[np.arange(len(pairs)), (pairs[:, 0] * size + pairs[:, 1]).astype(np.intp)] = 1
    return cells


def _agreement_weights(size: int, weights: Weights) -> Array:
    if weights == "identity":
        return np.eye(size)
    steps = np.abs(np.arange(size)[:, None] - np.arange(size)[None, :]) / max(size - 1, 1)
    alike: Array = 1 - (steps if weights == "linear" else steps**2)
    return alike


def _agreement_per_unit(counts: Array, alike: Array) -> Array:
    raters = counts.sum(axis=1)
    agreed: Array = (counts * (counts @ alike - 1)).sum(axis=1) / np.maximum(raters * (raters - 1), 1)
    return agreed


def _squared_distances(each: Array, values: Array, level: Level) -> Array:
    """Of all pairs of categories, per resample; ordinal ones depend on how often the categories between were used."""
    if level == "nominal":
        size = len(values)
        return np.broadcast_to(1 - np.eye(size), (len(each), size, size))
    middles = np.cumsum(each, axis=1) - each / 2 if level == "ordinal" else np.broadcast_to(values, each.shape)
    squares: Array = (middles[:, :, None] - middles[:, None, :]) ** 2
    return squares


def _over(parts: Array, wholes: Array) -> Array:
    """NaN where the whole is nothing."""
    shares: Array = np.divide(parts, wholes, out=np.full(len(wholes), np.nan), where=np.abs(wholes) > 1e-12)
    return shares
