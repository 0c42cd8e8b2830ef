"""How well raters agree beyond chance, be they people or the judge, with intervals that draw whole images.

Every coefficient is 1 for full agreement and about 0 for what chance alone would give; below 0 is worse than chance.
Each is a function of sums over units, so a bootstrap resample is those sums with other weights. The value itself comes
from scikit-learn (kappa) and from the package `krippendorff` (alpha) where they have it; ours on the resamples is held
against theirs by a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.core.measures import RESAMPLES, Array, Outcome
from backend.core.trust.agreement.resampling import Clusters, estimate_of_sums, share

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
    clusters: Clusters
    """What is drawn as one, per unit: its image."""
    weights: Array | None = None
    """One over the probability with which each unit was drawn; None where that is the same for all.

    With them every coefficient is made from weighted sums (Horvitz and Thompson 1952, Hajek 1971), by our own formula.
    """


def confusion(given: Ratings) -> Confusion:
    """The table of two raters, over the units that both rated; counts, whatever the weights."""
    pairs, size = _pairs(given).places.astype(np.intp), len(given.categories)
    counts = np.bincount(pairs[:, 0] * size + pairs[:, 1], minlength=size * size).reshape(size, size)
    return Confusion(given.categories, tuple(tuple(int(cell) for cell in row) for row in counts))


def mean_over_units(
    values: Array,
    clusters: Clusters,
    weights: Array | None = None,
    *,
    resamples: int = RESAMPLES,
) -> Outcome:
    """The weighted mean of one number per unit, such as the share of pairs of raters who agree on it."""
    sums = np.column_stack([values, np.ones(len(values))])
    return estimate_of_sums(
        lambda rows: sums[rows],
        lambda total: share(total[:, 0], total[:, 1]),
        clusters,
        weights=weights,
        resamples=resamples,
    )


def cohen_kappa(given: Ratings, weights: Weights = "identity", *, resamples: int = RESAMPLES) -> Outcome:
    """Cohen's kappa of two raters, (p_o - p_e) / (1 - p_e) with p_e the sum over k of p_1k p_2k (1960; weights: 1968).

    Units that only one rated are left out. It is low when nearly all units are in one category, however well the
    raters agree (Feinstein and Cicchetti 1990): read it beside the percentage and Gwet's coefficient.
    """
    kept, size = _pairs(given), len(given.categories)
    pairs = kept.places.astype(np.intp)
    apart = 1 - _agreement_weights(size, weights)

    def of_sums(total: Array) -> Array:
        cells = total.reshape(-1, size, size)
        by_chance = (
            cells.sum(axis=2)[:, :, None] * cells.sum(axis=1)[:, None, :] / cells.sum(axis=(1, 2))[:, None, None]
        )
        return 1 - share((cells * apart).sum(axis=(1, 2)), (by_chance * apart).sum(axis=(1, 2)))

    def point() -> float:
        from sklearn.metrics import cohen_kappa_score

        first, second = pairs.T
        named = None if weights == "identity" else weights
        return float(cohen_kappa_score(first, second, labels=list(range(size)), weights=named))

    return estimate_of_sums(
        lambda rows: _one_hot(pairs[rows, 0] * size + pairs[rows, 1], size * size),
        of_sums,
        kept.clusters,
        weights=kept.weights,
        resamples=resamples,
        point=point,
    )


def krippendorff_alpha(given: Ratings, level: Level = "nominal", *, resamples: int = RESAMPLES) -> Outcome:
    """Krippendorff's alpha, 1 - D_o / D_e, for two or more raters of whom any may be missing (Krippendorff 2011).

    Units with a single rating are left out. At the interval level numeric categories count with their values, others
    with their places.
    """
    kept, size = _rated(given, at_least=2), len(given.categories)
    counts = _counts(kept)
    numeric = all(not isinstance(category, str) for category in given.categories)
    values = np.array(given.categories if numeric else range(size), dtype=np.float64)

    def sums_of(rows: slice) -> Array:
        some = counts[rows]
        together = some[:, :, None] * some[:, None, :] - np.eye(size) * some[:, :, None]
        sums: Array = (together / (some.sum(axis=1) - 1)[:, None, None]).reshape(len(some), -1)
        return sums

    def of_sums(total: Array) -> Array:
        cells = total.reshape(-1, size, size)
        each = cells.sum(axis=2)
        squares, number = _squared_distances(each, values, level), each.sum(axis=1)
        seen = (cells * squares).sum(axis=(1, 2))
        by_chance = (each[:, :, None] * each[:, None, :] * squares).sum(axis=(1, 2)) / np.maximum(number - 1, 1)
        return 1 - share(seen, by_chance)

    def point() -> float:
        from krippendorff import alpha

        domain = values if level == "interval" else np.arange(size)
        return float(alpha(value_counts=counts, value_domain=domain, level_of_measurement=level))

    return estimate_of_sums(sums_of, of_sums, kept.clusters, weights=kept.weights, resamples=resamples, point=point)


def alpha_of_numbers(
    rows: Sequence[Sequence[float]],
    clusters: Clusters,
    weights: Sequence[float] | None = None,
    *,
    resamples: int = RESAMPLES,
) -> Outcome:
    """Krippendorff's alpha at the interval level of two or more numbers per unit, whatever numbers they are.

    As `krippendorff_alpha`, from sums that do not grow with the number of different values: of m numbers of a unit, the
    squared distances of its pairs sum up to 2 m sum(x squared) - 2 sum(x) squared. Raises ValueError for fewer than two
    in a unit.
    """
    if any(len(row) < 2 for row in rows):
        raise ValueError("every unit needs two numbers or more")
    every = [x for row in rows for x in row]
    centre, scale = (float(np.mean(every)), float(np.std(every)) or 1.0) if every else (0.0, 1.0)
    scaled = [(np.array(row, dtype=np.float64) - centre) / scale for row in rows]
    own = np.array([(len(x), x.sum(), (x * x).sum()) for x in scaled], dtype=np.float64).reshape(len(rows), 3)
    apart = 2 * (own[:, 0] * own[:, 2] - own[:, 1] ** 2) / np.maximum(own[:, 0] - 1, 1)
    sums = np.column_stack([apart, own])

    def of_sums(total: Array) -> Array:
        seen, number, plain, squared = total.T
        by_chance = 2 * (number * squared - plain**2) / np.maximum(number - 1, 1)
        return 1 - share(seen, np.where(by_chance > 1e-9, by_chance, 0))

    w = None if weights is None or not len(rows) else np.asarray(weights, dtype=np.float64) / np.mean(weights)
    return estimate_of_sums(lambda some: sums[some], of_sums, clusters, weights=w, resamples=resamples)


def gwet_ac(given: Ratings, weights: Weights = "identity", *, resamples: int = RESAMPLES) -> Outcome:
    """Gwet's AC1, or AC2 under weights, for two or more raters of whom any may be missing (Gwet 2008; 2014).

    (p_a - p_e) / (1 - p_e) with p_e = T / (K (K - 1)) times the sum over k of pi_k (1 - pi_k), where pi_k is the mean
    share of category k and T the sum of all weights, K for AC1. With the sum of pi_k squared instead it would be
    Scott's pi, which is sometimes published under this name. Stays high where nearly all units are in one category.
    """
    kept, size = _rated(given, at_least=1), len(given.categories)
    counts = _counts(kept)
    alike = _agreement_weights(size, weights)
    several = (counts.sum(axis=1) > 1).astype(np.float64)
    agreed = np.where(several > 0, _agreement_per_unit(counts, alike), 0.0)
    shares = counts / counts.sum(axis=1, keepdims=True)
    sums = np.column_stack([agreed, several, np.ones(len(counts)), shares])

    def of_sums(total: Array) -> Array:
        seen = share(total[:, 0], total[:, 1])
        each = total[:, 3:] / np.maximum(total[:, 2:3], 1e-9)
        by_chance = alike.sum() / (size * (size - 1)) * (each * (1 - each)).sum(axis=1)
        return share(seen - by_chance, 1 - by_chance)

    return estimate_of_sums(lambda rows: sums[rows], of_sums, kept.clusters, weights=kept.weights, resamples=resamples)


def _pairs(given: Ratings) -> Ratings:
    """The units that both of two raters rated."""
    if len(given.places) and given.places.shape[1] != 2:
        raise ValueError(f"two raters are needed, these are {given.places.shape[1]}")
    return _rated(given, at_least=2) if len(given.places) else replace(given, places=np.empty((0, 2)))


def _rated(given: Ratings, at_least: int) -> Ratings:
    """The units with at least so many ratings."""
    enough = (~np.isnan(given.places)).sum(axis=1) >= at_least
    if enough.all():
        return given
    kept = np.flatnonzero(enough)
    weights = None if given.weights is None else given.weights[kept]
    clusters = given.clusters
    own = clusters[kept] if isinstance(clusters, np.ndarray) else tuple(clusters[unit] for unit in kept)
    return Ratings(given.categories, given.places[kept], own, weights)


def _counts(given: Ratings) -> Array:
    """How many raters said each category, per unit."""
    counts: Array = (given.places[:, :, None] == np.arange(len(given.categories))).sum(axis=1).astype(np.float64)
    return counts


def _one_hot(places: NDArray[np.intp], size: int) -> Array:
    cells = np.zeros((len(places), size))
    cells[np.arange(len(places)), places] = 1
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
