"""Measures against published and hand-computed numbers, and intervals that cover."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import brier_score_loss, roc_auc_score

from backend.core.measures import (
    AGREEMENT,
    AUROC,
    BRIER,
    ECE,
    KENDALL,
    SPEARMAN,
    Bin,
    Estimate,
    Measure,
    NotComputable,
    average_orders,
    estimate,
    reliability_bins,
    resample_weights,
)

ALL = {"auroc": AUROC, "spearman": SPEARMAN, "kendall": KENDALL, "ece": ECE, "brier": BRIER, "share": AGREEMENT}


def value(measure: Measure, truth: list[float], score: list[float]) -> float:
    outcome = estimate(measure, truth, score, list(range(len(truth))), resamples=2)
    assert isinstance(outcome, Estimate)
    return outcome.value


def test_auroc_of_the_scikit_learn_manual() -> None:
    """Three of the four pairs are in order: 0.1 < 0.35, 0.1 < 0.8, 0.4 < 0.8, but 0.4 > 0.35."""
    assert value(AUROC, [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75


def test_auroc_counts_a_tie_as_half() -> None:
    """Pairs (0.5, 0.5) and (0.5, 0.9): (0.5 + 1) / 2."""
    assert value(AUROC, [0, 1, 1], [0.5, 0.5, 0.9]) == 0.75


def test_spearman_of_the_scipy_manual() -> None:
    assert value(SPEARMAN, [1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(0.8207826816681233, abs=1e-12)


def test_kendall_of_the_scipy_manual() -> None:
    assert value(KENDALL, [12, 2, 1, 12, 2], [1, 4, 7, 1, 0]) == pytest.approx(-0.47140452079103173, abs=1e-12)


def test_brier_of_the_scikit_learn_manual() -> None:
    """(0.1² + 0.1² + 0.2² + 0.3²) / 4 = 0.15 / 4."""
    assert value(BRIER, [0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]) == pytest.approx(0.0375)


def test_ece_by_hand() -> None:
    """30 rows in 15 bins of two. Only the first bin is off: 0 and 0.02 against two good ones, |1 - 0.01| / 15."""
    probs = [0.0, 0.02] + [0.5 + number / 100 for number in range(28)]
    truth = [1.0, 1.0] + [probs[2 + number] for number in range(28)]
    assert value(ECE, truth, probs) == pytest.approx(0.99 / 15)


def test_ece_never_parts_equal_predictions() -> None:
    """All alike fall into one bin, whatever their order: |0.25 - 0.75|."""
    assert value(ECE, [1, 0, 0, 0], [0.75] * 4) == pytest.approx(0.5)


def test_reliability_bins_by_hand() -> None:
    """The two equal ones lie across the middle and go up together: 0.1 | 0.3, 0.3, 0.9."""
    bins = reliability_bins(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.3, 0.3, 0.9]), bins=2)
    assert bins == (Bin(0.1, 0.0, 1), Bin(0.5, 2 / 3, 3))


def test_orders_are_averaged_in_logit_space() -> None:
    """logit 0.8 = 1.3863 and logit 0.6 = 0.4055; their mean 0.8959 is the logit of 0.7101."""
    assert average_orders(0.8, 0.6) == pytest.approx(0.710102, abs=1e-6)
    assert log(0.710102 / 0.289898) == pytest.approx((log(4) + log(1.5)) / 2, abs=1e-5)
    assert average_orders(0.9, 0.1) == pytest.approx(0.5)
    assert 0.999 < average_orders(1.0, 1.0) < 1


def weighted_oracle(name: str, truth: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    if name == "auroc":
        return float(roc_auc_score(truth, score)) if 0 < truth.sum() < len(truth) else float("nan")
    if name == "spearman":
        return float(spearmanr(truth, score).statistic)
    if name == "kendall":
        return float(kendalltau(truth, score).statistic)
    if name == "brier":
        return float(brier_score_loss(truth, score, labels=[0, 1]))
    return float(ALL[name].point(truth, score))


@pytest.mark.parametrize("name", sorted(ALL))
def test_resamples_equal_the_library_on_the_drawn_rows(name: str) -> None:
    """Weights say how often a row was drawn; writing the rows out that often must give the same number."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 40).astype(np.float64)
    score = np.round(rng.random(40), 1)
    weights = rng.integers(0, 3, (20, 40)).astype(np.float64)
    drawn = [np.repeat(np.arange(40), row.astype(int)) for row in weights]
    expected = [weighted_oracle(name, truth[rows], score[rows]) for rows in drawn]
    assert ALL[name].resampled(truth, score, weights) == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_interval_of_two_images_is_exact() -> None:
    """Two images, one all right, one all wrong: a resample has a share of 0, 0.5 or 1 with odds 1 : 2 : 1."""
    outcome = estimate(AGREEMENT, [1, 1, 0, 0], [1, 1, 1, 1], ["a", "a", "b", "b"])
    assert outcome == Estimate(0.5, 0.0, 1.0, rows=4, clusters=2)


def test_one_image_has_no_interval() -> None:
    assert estimate(AGREEMENT, [1, 0], [1, 1], ["a", "a"]) == Estimate(0.5, None, None, rows=2, clusters=1)


def test_what_cannot_be_computed_says_why() -> None:
    clusters = ["a", "b", "c"]
    assert estimate(AUROC, [1, 1, 1], [0.1, 0.2, 0.3], clusters) == NotComputable(
        "only one class among the labels (all good)", 3
    )
    assert estimate(SPEARMAN, [1, 2, 3], [0.5] * 3, clusters) == NotComputable("all scores are the same", 3)
    assert estimate(KENDALL, [4, 4, 4], [1, 2, 3], clusters) == NotComputable("all labels are the same", 3)
    assert estimate(BRIER, [], [], []) == NotComputable("no rows with such a label", 0)


def test_resamples_draw_whole_images_and_are_the_same_for_the_same_seed() -> None:
    index = np.array([0, 0, 1, 2, 2], dtype=np.intp)
    (first,) = resample_weights(index, 50, seed=3)
    (second,) = resample_weights(index, 50, seed=3)
    assert (first == second).all()
    assert (first[:, 0] == first[:, 1]).all()
    assert (first[:, 3] == first[:, 4]).all()
    assert (first[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_clustered_intervals_cover_where_row_intervals_do_not() -> None:
    """40 images with five rows that are all right or all wrong: the truth is 0.5 with 40 independent draws.

    Rows taken as independent give an interval too short by sqrt(5), which covers about 62 % of the time.
    """
    rng = np.random.default_rng(11)
    covered = {"images": 0, "rows": 0}
    for trial in range(200):
        right = np.repeat(rng.integers(0, 2, 40), 5).astype(float)
        for name, clusters in (("images", np.repeat(np.arange(40), 5)), ("rows", np.arange(200))):
            outcome = estimate(AGREEMENT, np.ones(200), right, clusters.tolist(), resamples=200, seed=trial)
            assert isinstance(outcome, Estimate)
            assert outcome.low is not None
            assert outcome.high is not None
            covered[name] += outcome.low <= 0.5 <= outcome.high
    assert 0.89 <= covered["images"] / 200 <= 0.99
    assert covered["rows"] / 200 <= 0.75
