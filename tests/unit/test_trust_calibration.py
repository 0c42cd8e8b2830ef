"""Learned confidence: published fits, what is refused, and that unseen labels bear it out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.core.measures import ECE, Estimate
from backend.core.trust.confidence.calibration import (
    Calibration,
    Fitted,
    JudgedLabel,
    TooFew,
    calibrate,
    calibration_from_json,
    cross_fitted,
    fold_of,
)
from backend.core.trust.confidence.curves import Curve, features_of, fit, method_for, rising_stair


def overconfident(count: int, seed: int = 0, kind: str = "caption", first: int = 0) -> list[JudgedLabel]:
    """The judge's logit is twice what it should be, and a second number knows as much; two tasks per image."""
    rng = np.random.default_rng(seed)
    z, beside = rng.normal(1.0, 1.2, count), rng.normal(0, 1, count)
    right = rng.random(count) < 1 / (1 + np.exp(-(z + beside)))
    probs = 1 / (1 + np.exp(-2 * z))
    return [
        JudgedLabel(first + row, kind, row // 2, float(probs[row]), bool(right[row]), (float(beside[row]),))
        for row in range(count)
    ]


def fitted(calibration: Calibration, kind: str = "caption") -> Fitted:
    return next(one for one in calibration.fitted if one.kind == kind)


def number(outcome: object) -> float:
    assert isinstance(outcome, Estimate)
    return outcome.value


def test_platt_is_that_of_libsvm() -> None:
    """`test_sigmoid_calibration` of scikit-learn has LIBSVM's A = -0.202613, B = 0.652363; P = 1 / (1 + e^(Af + B))."""
    curve = fit("Platt", np.array([[5.0], [-4.0], [1.0]]), np.array([1.0, 0.0, 0.0]))
    assert curve == Curve(
        "Platt",
        (0.0,),
        (1.0,),
        (pytest.approx(0.20261354391187855, abs=5e-6),),  # type: ignore[arg-type]
        pytest.approx(-0.65236314980010512, abs=5e-6),  # type: ignore[arg-type]
    )


def test_the_stair_of_isotonic_regression_by_hand() -> None:
    """Right: 0 0 1 0 1 1. The 1 and 0 in the middle change places and are pooled to 1/2; the ends keep off 0 and 1:
    with 3 right and 3 wrong at 1/5 and 4/5."""
    stair = rising_stair(np.array([0.0, 1, 2, 3, 4, 5]), np.array([0.0, 0, 1, 0, 1, 1]))
    assert stair == ((0.0, 0.2), (1.0, 0.2), (2.0, 0.5), (3.0, 0.5), (4.0, 0.8), (5.0, 0.8))


def test_temperature_has_one_number() -> None:
    """A quarter of the labels at logit ln 9 are wrong, and the mirror at -ln 9: the weight that fits is 1/2, up to
    Platt's targets. logit 0.75 = ln 3 = ln 9 / 2."""
    z = np.log(9)
    features = np.array([[z]] * 4_000 + [[-z]] * 4_000)
    right = np.array([1.0] * 3_000 + [0.0] * 1_000 + [1.0] * 1_000 + [0.0] * 3_000)
    curve = fit("temperature", features, right)
    assert curve.intercept == 0.0
    assert list(curve.weights) == pytest.approx([0.5], abs=1e-3)
    assert curve.probs(np.array([[z], [0.0]])) == pytest.approx([0.75, 0.5], abs=1e-3)


@pytest.mark.parametrize(
    ("labels", "rarer", "method"),
    [
        (30, 15, "temperature"),
        (99, 40, "temperature"),
        (100, 19, "temperature"),
        (100, 20, "Platt"),
        (199, 80, "Platt"),
        (200, 39, "Platt"),
        (200, 40, "logistic"),
        (1_000, 200, "logistic"),
        (1_001, 200, "isotonic"),
    ],
)
def test_the_method_follows_from_the_labels(labels: int, rarer: int, method: str) -> None:
    """With three features: a logistic curve has four numbers and needs 40 labels of the rarer outcome."""
    assert method_for(labels, rarer, features=3) == method


@pytest.mark.parametrize(
    ("count", "method"), [(60, "temperature"), (150, "Platt"), (600, "logistic"), (1_500, "isotonic")]
)
def test_it_is_better_on_labels_that_it_has_not_seen(count: int, method: str) -> None:
    one = fitted(calibrate(overconfident(count), "judge-1"))
    assert one.curve.method == method
    assert (one.labels, one.wrong) == (count, sum(not label.right for label in overconfident(count)))
    assert number(one.after.brier) < number(one.before.brier)
    if count >= 150:
        assert number(one.after.ece) < number(one.before.ece)
    if method == "logistic":
        assert number(one.after.auroc) > number(one.before.auroc) + 0.05


def test_the_curve_that_is_kept_says_the_truth_about_ten_thousand_new_tasks() -> None:
    """Off by 5 % at most on average, where the judge's own probabilities are off by 12 %."""
    calibration = calibrate(overconfident(900), "judge-1")
    new = overconfident(10_000, seed=1)
    probs = fitted(calibration).curve.probs(features_of([one.prob for one in new], [one.extras for one in new]))
    right = np.array([one.right for one in new], dtype=np.float64)
    assert ECE.point(right, probs) <= 0.05
    assert ECE.point(right, np.array([one.prob for one in new])) == pytest.approx(0.124, abs=5e-4)
    assert calibration.confidence("caption", new[0].prob, new[0].extras) == pytest.approx(probs[0])


def test_labels_of_one_image_are_in_one_fold_and_no_label_is_seen_by_its_own_curve() -> None:
    """A feature that says nothing but is there once for every image gives an AUROC of a half when cross-fitted."""
    clusters = [f"image {row // 4}" for row in range(200)]
    folds = fold_of(clusters, seed=0)
    assert len({(cluster, fold) for cluster, fold in zip(clusters, folds.tolist(), strict=True)}) == 50
    assert np.bincount(folds).tolist() == [40] * 5
    right = np.repeat(np.random.default_rng(2).integers(0, 2, 50), 4).astype(float)
    alike = np.where(right == 1, 1.0, -1.0)[:, None] + np.random.default_rng(3).normal(0, 2, (200, 1))
    honest = cross_fitted("Platt", alike, right, clusters, seed=0)
    for fold in range(5):
        out = folds == fold
        assert honest[out] == pytest.approx(fit("Platt", alike[~out], right[~out]).probs(alike[out]))
    assert fold_of(["one"] * 6, seed=0).tolist() == [0, 1, 2, 3, 4, 0]


def test_kinds_have_their_own_curves_and_those_with_too_little_are_told_what_is_missing() -> None:
    labels = overconfident(150) + overconfident(12, kind="document", first=1_000)
    labels += [replace(one, right=row > 1) for row, one in enumerate(overconfident(40, kind="qa", first=2_000))]
    calibration = calibrate(labels, "judge-1")
    assert [one.kind for one in calibration.fitted] == ["caption"]
    assert calibration.refused == (
        TooFew("document", 12, 18, "18 more blind labels are needed, 30 at least"),
        TooFew(
            "qa",
            40,
            60,
            "the judge was wrong on 2 of 40 blind labels, 5 such ones are needed; "
            "at this rate that takes about 60 more labels",
        ),
    )
    assert calibration.tasks == tuple(range(150))
    assert calibration.confidence("document", 0.9, (0.0,)) is None


@pytest.mark.parametrize("count", [60, 600, 1_500])
def test_a_calibration_can_be_written_and_read(count: int) -> None:
    calibration = calibrate(overconfident(count) + overconfident(12, kind="document", first=5_000), "judge-1")
    assert calibration_from_json(calibration.to_json()) == calibration


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": "certificate"}', '{"type": "calibration", "fitted": [{}]}'])
def test_another_file_is_no_calibration(text: str) -> None:
    with pytest.raises(ValueError, match="this is no calibration of ours"):
        calibration_from_json(text)


def test_the_same_labels_give_the_same_calibration() -> None:
    assert calibrate(overconfident(300), "judge-1") == calibrate(overconfident(300), "judge-1")


def test_probabilities_of_zero_and_one_and_features_that_never_vary_do_no_harm() -> None:
    labels = [replace(one, prob=float(one.prob > 0.5), extras=(1.0,)) for one in overconfident(400)]
    calibration = calibrate(labels, "judge-1")
    for prob in (0.0, 1.0):
        confidence = calibration.confidence("caption", prob, (1.0,))
        assert confidence is not None
        assert 0 < confidence < 1


def test_labels_that_do_not_fit_are_refused() -> None:
    labels = overconfident(60)
    with pytest.raises(ValueError, match="two labels of one task"):
        calibrate([*labels, labels[0]], "judge-1")
    with pytest.raises(ValueError, match="the same number of extras"):
        calibrate([*labels, replace(labels[0], task=99, extras=())], "judge-1")
    calibration = calibrate(overconfident(600), "judge-1")
    with pytest.raises(ValueError, match="the curve of caption looks at 1 extras, 0 are given"):
        calibration.confidence("caption", 0.5)
