"""Agreement between raters, against published numbers, and intervals that draw whole images."""

from __future__ import annotations

import numpy as np
import pytest
from krippendorff import alpha
from sklearn.metrics import cohen_kappa_score

from backend.core.measures import Estimate, NotComputable, Outcome
from backend.core.trust.agreement.raters import (
    Confusion,
    Level,
    Ratings,
    Weights,
    cohen_kappa,
    confusion,
    gwet_ac,
    krippendorff_alpha,
    mean_over_units,
)
from tests.rated import ratings

ABSTRACTORS = (("Ectopic", "Ectopic", 13), ("AIU", "AIU", 20), ("AIU", "NIU", 7), ("NIU", "AIU", 4), ("NIU", "NIU", 56))
"""`cont3x3abstractors` of the R package irrCAC (K. Gwet), on CRAN."""

N = None
FOUR_OBSERVERS = (
    (1, 1, N, 1),
    (2, 2, 3, 2),
    (3, 3, 3, 3),
    (3, 3, 3, 3),
    (2, 2, 2, 2),
    (1, 2, 3, 4),
    (4, 4, 4, 4),
    (1, 1, 2, 1),
    (2, 2, 2, 2),
    (N, 5, 5, 5),
    (N, N, 1, 1),
    (N, N, 3, N),
)
"""Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), section C; also `cac.raw4raters` of irrCAC."""


def abstractors() -> Ratings:
    rows = [(first, second) for first, second, times in ABSTRACTORS for _ in range(times)]
    return ratings(rows, ("Ectopic", "AIU", "NIU"))


def observers() -> Ratings:
    return ratings(FOUR_OBSERVERS, (1, 2, 3, 4, 5))


def value(outcome: Outcome) -> float:
    assert isinstance(outcome, Estimate), outcome
    return outcome.value


def test_two_raters_of_the_irrcac_vignette() -> None:
    """Vignette "overview" of irrCAC: kappa 0.7964094, AC1 0.8493305, alpha 0.7972585.

    Scott's pi is 0.7962397 there: what AC1 would be by the formula with the sum of squares.
    """
    given = abstractors()
    assert value(cohen_kappa(given)) == pytest.approx(0.7964094, abs=5e-8)
    assert value(gwet_ac(given)) == pytest.approx(0.8493305, abs=5e-8)
    assert value(krippendorff_alpha(given)) == pytest.approx(0.7972585, abs=5e-8)


def test_two_raters_with_quadratic_weights() -> None:
    """As the Python port of irrCAC (0.4.4) gives them: kappa 0.89216, AC2 0.94024."""
    given = abstractors()
    assert value(cohen_kappa(given, "quadratic")) == pytest.approx(0.89216, abs=5e-6)
    assert value(gwet_ac(given, "quadratic")) == pytest.approx(0.94024, abs=5e-6)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_four_observers_as_krippendorff_published_it(level: Level, published: float) -> None:
    assert value(krippendorff_alpha(observers(), level)) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize(("weights", "published"), [("identity", 0.77544), ("linear", 0.85874), ("quadratic", 0.914)])
def test_gwets_coefficient_of_four_observers_as_irrcac_gives_it(weights: Weights, published: float) -> None:
    """Gwet's handbook has 0.775 for AC1; the weighted ones as in the tests of irrCAC."""
    assert value(gwet_ac(observers(), weights)) == pytest.approx(published, abs=5e-6)


def test_the_confusion_matrix_leaves_out_what_one_rater_did_not_say() -> None:
    given = ratings([("a", "b"), ("b", "b"), ("a", None), ("b", "a"), ("b", "b")], ("a", "b", "c"))
    assert confusion(given) == Confusion(("a", "b", "c"), ((0, 1, 0), (1, 2, 0), (0, 0, 0)))


def test_kappa_falls_where_nearly_all_is_good_and_ac1_does_not() -> None:
    """The paradox of Feinstein and Cicchetti: 90 both good, 5 and 5 apart; p_o = 0.9.

    kappa: p_e = 0.95² + 0.05² = 0.905, (0.9 - 0.905) / 0.095 = -1/19. AC1: p_e = 2 * 0.95 * 0.05 = 0.095, 0.805/0.905.
    """
    rows = [("good", "good")] * 90 + [("good", "bad")] * 5 + [("bad", "good")] * 5
    given = ratings(rows, ("bad", "good"))
    assert value(cohen_kappa(given)) == pytest.approx(-1 / 19)
    assert value(gwet_ac(given)) == pytest.approx(0.805 / 0.905)


def drawn_again(given: Ratings, units: list[int]) -> Ratings:
    return Ratings(given.categories, given.places[units], tuple(units))


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_on_resamples_is_the_librarys(level: Level) -> None:
    """One cluster holds everything but a few units: the interval's ends are values of the library on drawn units."""
    rng = np.random.default_rng(3)
    places = rng.integers(0, 4, (12, 3)).astype(float)
    places[rng.random((12, 3)) < 0.15] = np.nan
    given = Ratings((1, 2, 4, 8), places, ("a",) * 6 + ("b",) * 6)
    outcome = krippendorff_alpha(given, level)
    values = np.array([1.0, 2, 4, 8])
    halves = []
    for units in ([*range(6)] * 2, [*range(6, 12)] * 2, [*range(12)]):
        data = np.where(np.isnan(places[units]), np.nan, values[np.nan_to_num(places[units]).astype(int)]).T
        halves.append(float(alpha(reliability_data=data, value_domain=values, level_of_measurement=level)))
    assert isinstance(outcome, Estimate)
    assert outcome.value == pytest.approx(halves[2], abs=1e-9)
    assert (outcome.low, outcome.high) == pytest.approx((min(halves), max(halves)), abs=1e-9)


@pytest.mark.parametrize("weights", ["identity", "linear", "quadratic"])
def test_kappa_on_resamples_is_the_librarys(weights: Weights) -> None:
    """Two clusters: the ends of the interval are kappa with one of them drawn twice."""
    rng = np.random.default_rng(7)
    first, second = rng.integers(0, 4, 40), rng.integers(0, 4, 40)
    second[:15] = first[:15]
    given = Ratings((1, 2, 3, 4), np.column_stack([first, second]).astype(float), ("a",) * 20 + ("b",) * 20)
    outcome = cohen_kappa(given, weights)
    named = None if weights == "identity" else weights
    ends = [cohen_kappa_score(first[half], second[half], weights=named) for half in (slice(20), slice(20, 40))]
    assert isinstance(outcome, Estimate)
    assert (outcome.low, outcome.high) == pytest.approx((min(ends), max(ends)))
    assert (outcome.rows, outcome.clusters) == (40, 2)


def test_intervals_draw_whole_images() -> None:
    """Ten claims of one image agree, ten of another do not: with the images drawn, anything from 0 to 1 can come."""
    agreed = np.array([1.0] * 10 + [0.0] * 10)
    by_image = mean_over_units(agreed, ["one"] * 10 + ["two"] * 10)
    assert by_image == Estimate(0.5, 0.0, 1.0, rows=20, clusters=2)
    by_row = mean_over_units(agreed, range(20))
    assert isinstance(by_row, Estimate)
    assert by_row.low is not None
    assert by_row.low > 0.2


def test_what_has_no_value_says_why() -> None:
    same = ratings([("a", "a")] * 5, ("a", "b"))
    why = NotComputable("only one category was used, so there is no chance to correct for", 5)
    assert cohen_kappa(same) == why
    assert krippendorff_alpha(same) == why
    assert value(gwet_ac(same)) == 1.0
    alone = ratings([("a", None), (None, "b")], ("a", "b"))
    assert cohen_kappa(alone) == NotComputable("no unit with ratings by two", 0)
    assert cohen_kappa(ratings([], ("a", "b"))) == NotComputable("no unit with ratings by two", 0)


def test_kappa_of_more_than_two_raters_is_refused() -> None:
    with pytest.raises(ValueError, match="two raters are needed, these are 3"):
        cohen_kappa(ratings([("a", "a", "b")], ("a", "b")))
