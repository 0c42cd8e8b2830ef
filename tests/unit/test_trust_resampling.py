"""Sums over units, drawn by image: many images in groups, weights, and numbers of any value."""

from __future__ import annotations

import numpy as np
import pytest
from krippendorff import alpha
from sklearn.metrics import cohen_kappa_score

from backend.core.measures import Estimate, NotComputable, Outcome
from backend.core.trust.agreement.raters import (
    Ratings,
    alpha_of_numbers,
    cohen_kappa,
    gwet_ac,
    krippendorff_alpha,
    mean_over_units,
)
from backend.core.trust.agreement.resampling import GROUPS, group_of_each
from tests.rated import ratings


def found(outcome: Outcome) -> Estimate:
    assert isinstance(outcome, Estimate), outcome
    return outcome


def test_many_images_in_groups_give_the_interval_of_the_normal_approximation() -> None:
    """0.9 of 20,000 images: 0.9 give or take 1.96 sqrt(0.09 / 20,000) = 0.00416."""
    values = np.tile([1.0] * 9 + [0.0], 2_000)
    outcome = found(mean_over_units(values, np.arange(20_000)))
    assert outcome.value == pytest.approx(0.9)
    assert (outcome.rows, outcome.clusters) == (20_000, 20_000)
    assert outcome.low is not None
    assert outcome.high is not None
    assert (outcome.high - outcome.low) / 2 == pytest.approx(0.00416, rel=0.1)


def test_units_of_an_image_stay_in_one_group() -> None:
    images = np.repeat(np.arange(3_000), 2)
    groups = group_of_each(images)
    assert (groups[::2] == groups[1::2]).all()
    assert set(np.bincount(groups)) == {6}
    assert len(set(groups.tolist())) == GROUPS
    assert group_of_each(["a", "b", "a"]).tolist() == [0, 1, 0]
    assert group_of_each(np.array([7, 2, 7])).tolist() == [1, 0, 1]


def test_names_and_numbers_of_images_give_the_same_interval() -> None:
    rng = np.random.default_rng(1)
    values = rng.random(40)
    numbers = np.arange(40) // 3
    assert mean_over_units(values, numbers) == mean_over_units(values, [str(number) for number in numbers])


def test_a_weight_of_two_is_two_units_for_kappa_and_ac() -> None:
    """Every coefficient but alpha, which counts how many values there are, is the same for a unit twice."""
    rows = [("a", "a"), ("a", "b"), ("b", "b"), ("c", "b"), ("c", "c")]
    weights = [1, 2, 1, 3, 2]
    twice = [row for row, times in zip(rows, weights, strict=True) for _ in range(times)]
    weighted, repeated = ratings(rows, "abc", weights), ratings(twice, "abc")
    for measure in (cohen_kappa, gwet_ac):
        assert found(measure(weighted)).value == pytest.approx(found(measure(repeated)).value)
    first, second = zip(*rows, strict=True)
    by_library = cohen_kappa_score(first, second, sample_weight=weights)
    assert found(cohen_kappa(weighted)).value == pytest.approx(by_library)


def test_equal_weights_change_nothing() -> None:
    rng = np.random.default_rng(2)
    places = rng.integers(0, 4, (60, 3)).astype(float)
    places[rng.random((60, 3)) < 0.2] = np.nan
    plain = Ratings((1, 2, 3, 4), places, np.arange(60))
    same = Ratings((1, 2, 3, 4), places, np.arange(60), np.ones(60))
    for level in ("nominal", "ordinal", "interval"):
        one, other = (found(krippendorff_alpha(given, level)) for given in (plain, same))
        assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high))


def test_alpha_of_numbers_is_the_librarys_at_the_interval_level() -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(1e6, 5, (30, 1)) + rng.normal(0, 2, (30, 4))
    data[rng.random((30, 4)) < 0.3] = np.nan
    data[:, :2] = np.nan_to_num(data[:, :2], nan=1e6)
    rows = [[float(x) for x in row if not np.isnan(x)] for row in data]
    outcome = found(alpha_of_numbers(rows, np.arange(30)))
    assert outcome.value == pytest.approx(alpha(reliability_data=data.T, level_of_measurement="interval"), abs=1e-6)
    scale = sorted({x for row in rows for x in row})
    by_category = found(krippendorff_alpha(_padded(rows, scale), "interval"))
    assert (outcome.low, outcome.high) == pytest.approx((by_category.low, by_category.high), abs=1e-6)


def _padded(rows: list[list[float]], scale: list[float]) -> Ratings:
    widest = max(map(len, rows))
    return ratings([(*row, *[None] * (widest - len(row))) for row in rows], scale)


def test_numbers_that_do_not_differ_have_no_alpha() -> None:
    why = "only one category was used, so there is no chance to correct for"
    assert alpha_of_numbers([[3, 3], [3, 3]], [0, 1]) == NotComputable(why, 2)
    with pytest.raises(ValueError, match="two numbers or more"):
        alpha_of_numbers([[3]], [0])
    assert alpha_of_numbers([], []) == NotComputable("no unit with ratings by two", 0)
