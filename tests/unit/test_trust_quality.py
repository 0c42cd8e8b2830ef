"""Shares and the quality of a project: published intervals, the library's numbers, and coverage."""

from __future__ import annotations

import numpy as np
import pytest

from backend.core.trust.acceptance.intervals import Interval, exact, lower_bound, upper_bound, wilson
from backend.core.trust.confidence.quality import Quality, quality

NEWCOMBE = {
    (81, 263): ((0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148): ((0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20): ((0.0000, 0.1611), (0.0000, 0.1684)),
    (1, 29): ((0.0061, 0.1718), (0.0009, 0.1776)),
}
"""Newcombe, Statistics in Medicine 17 (1998), table I: Wilson's interval (method 3) and the exact one (method 5)."""

Y = [
    1,
    1,
    0,
    1,
    1,
    0,
    1,
    1,
    1,
    0,
    1,
    1,
    0,
    1,
    1,
    1,
    1,
    0,
    1,
    1,
    1,
    0,
    1,
    1,
    1,
    1,
    1,
    0,
    1,
    1,
    1,
    1,
    0,
    1,
    0,
    1,
    1,
    1,
    1,
    1,
]
F = [0.9, 0.8, 0.9, 0.7, 0.95, 0.4, 0.15, 0.6, 0.9, 0.2, 0.75, 0.2, 0.95, 0.8, 0.7, 0.9, 0.65, 0.1, 0.8, 0.9]
F += [0.95, 0.35, 0.6, 0.7, 0.9, 0.85, 0.8, 0.5, 0.9, 0.7, 0.8, 0.6, 0.2, 0.9, 0.45, 0.7, 0.95, 0.8, 0.85, 0.9]
REST = [0.9, 0.8, 0.7, 0.6, 0.5, 0.95, 0.85, 0.3, 0.2, 0.75] * 30


@pytest.mark.parametrize("case", sorted(NEWCOMBE))
def test_intervals_of_newcombe(case: tuple[int, int]) -> None:
    by_wilson, by_clopper_and_pearson = NEWCOMBE[case]
    for interval, published in ((wilson(*case), by_wilson), (exact(*case), by_clopper_and_pearson)):
        assert (round(interval.low, 4), round(interval.high, 4)) == published
        assert interval.value == case[0] / case[1]


def test_bounds_at_the_ends() -> None:
    """No error among n: 1 - delta^(1/n), which is 4.95 % for 59; and the same from the other side."""
    assert upper_bound(0, 59, 0.05) == pytest.approx(1 - 0.05 ** (1 / 59), abs=1e-12)
    assert upper_bound(5, 5, 0.05) == 1.0
    assert lower_bound(0, 5, 0.05) == 0.0
    assert lower_bound(59, 59, 0.05) == pytest.approx(0.05 ** (1 / 59), abs=1e-12)
    with pytest.raises(ValueError, match="0 of 0 is no share"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="3 of 2 is no share"):
        upper_bound(3, 2, 0.05)


def approx(value: float, low: float, high: float) -> Interval:
    return Interval(pytest.approx(value, abs=1e-8), pytest.approx(low, abs=1e-8), pytest.approx(high, abs=1e-8))  # type: ignore[arg-type]


def test_ppi_and_ppi_plus_plus_are_those_of_the_authors_library() -> None:
    """`ppi_mean_ci` and `ppi_mean_pointestimate` of ppi-python 0.2.3, alpha 0.05, with lam=1 and lam=None."""
    found = quality([y == 1 for y in Y], F, REST)
    assert found.plain == approx(0.73875, 0.62473041, 0.85276959)
    assert found.tuned == approx(0.74533153, 0.63269078, 0.85797229)
    assert found.trust == pytest.approx(0.81844018)
    assert found.classical == wilson(31, 40)
    assert (found.labels, found.tasks, found.refused) == (40, 300, None)
    assert found.judge_alone == pytest.approx(0.655)


def test_ppi_with_weights_is_that_of_the_authors_library() -> None:
    """The same with w=[1, 2, 1, 2, ...]; without the judge (lam=0) it is what the labels alone say."""
    found = quality([y == 1 for y in Y], F, REST, weights=[1.0, 2.0] * 20)
    assert found.plain == approx(0.75083333, 0.64001572, 0.86165095)
    assert found.tuned == found.plain
    assert found.classical == approx(0.76666667, 0.60966552, 0.92366782)


def test_a_judge_that_says_nothing_is_not_taken_into_account() -> None:
    rng = np.random.default_rng(2)
    good = rng.random(300) < 0.7
    found = quality(good.tolist(), rng.random(300).tolist(), rng.random(3_000).tolist())
    assert found.trust is not None
    assert found.trust < 0.15
    assert found.tuned is not None
    assert found.plain is not None
    assert found.tuned.high - found.tuned.low < found.plain.high - found.plain.low


def test_a_perfect_judge_is_worth_all_its_verdicts() -> None:
    """y = f on the labels, so nothing has to be put right: the interval is that of the 3,000 verdicts."""
    rng = np.random.default_rng(4)
    good, rest = rng.random(200) < 0.7, (rng.random(3_000) < 0.7).astype(float)
    found = quality(good.tolist(), good.astype(float).tolist(), rest.tolist())
    share = float(rest.mean())
    half = 1.959963985 * (share * (1 - share) / 3_000) ** 0.5
    assert found.plain == approx(share, share - half, share + half)


def test_too_little_has_no_ppi_interval_and_says_why() -> None:
    few = quality([True] * 20, [0.9] * 20, [0.75] * 100)
    assert few == Quality(20, 100, 0.75, None, None, None, exact(20, 20), "10 more labels are needed, 30 at least")
    one_kind = quality([True] * 58 + [False] * 2, [0.9] * 60, [0.8] * 100)
    assert one_kind.refused == "only 2 of the labels are bad, 5 at least are needed"
    assert one_kind.classical == exact(58, 60)
    assert quality([True, False] * 30, [0.9] * 60, []).refused == "every task has a label: count them"
    with pytest.raises(ValueError, match="at least one label"):
        quality([], [], [0.5])


def test_an_uneven_draw_covers_with_weights_and_not_without() -> None:
    """Doubtful tasks are drawn four times as often. Unweighted, the share of good ones comes out far too low."""
    rng = np.random.default_rng(8)
    covered = {"weighted": 0, "unweighted": 0}
    for _ in range(200):
        f = rng.beta(4, 1.5, 1_500)
        good = rng.random(1_500) < f
        chance = np.where(f < 0.6, 0.4, 0.1)
        drawn = rng.random(1_500) < chance
        for name, weights in (("weighted", (1 / chance[drawn]).tolist()), ("unweighted", None)):
            found = quality(good[drawn].tolist(), f[drawn].tolist(), f.tolist(), weights=weights)
            covered[name] += found.classical.low <= good.mean() <= found.classical.high
            assert found.tuned is not None
            if name == "weighted":
                covered["tuned"] = covered.get("tuned", 0) + (found.tuned.low <= good.mean() <= found.tuned.high)
    assert covered["weighted"] >= 184
    assert covered["tuned"] >= 184
    assert covered["unweighted"] <= 20
