"""What the judge's confidence is worth in a project, as it is and calibrated, on blind labels."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from backend.core.deciding import decides_alike
from backend.core.measures import Bin, reliability_bins
from backend.core.trust.confidence.calibration import (
    Goodness,
    JudgedLabel,
    TooFew,
    calibrate,
    cross_fitted,
    goodness_of,
    too_few,
)
from backend.core.trust.confidence.curves import Method, features_of
from backend.core.trust.labels import Judgement, LabelledProject
from backend.core.trust.slices import blind_answers, decides


@dataclass(frozen=True, slots=True)
class ProjectCalibration:
    """Confidence beside truth, over the tasks that were labelled blind; no label is weighted.

    `after` is cross-fitted: every label is predicted by a curve that has not seen it. It measures what calibration is
    worth; the curve to use is fitted elsewhere, on labels that no certificate is made from.
    """

    labels: int
    right: int
    """Of them, how often people decided as the judge."""
    without_answer: int
    """Tasks left out because people disagree or skipped."""
    undecided: int
    """Tasks left out because the judge decides nothing in them."""
    before: Goodness
    bins_before: tuple[Bin, ...]
    """Neighbouring confidences taken together, from low to high."""
    method: Method | None
    """None where too few labels are there to fit anything."""
    after: Goodness | None
    bins_after: tuple[Bin, ...]
    refused: TooFew | None


def features_of_judgement(judgement: Judgement) -> tuple[float, float, float]:
    """What may tell right from wrong beside the confidence; always three, as a `JudgedLabel`'s extras.

    They are the least label mass of any control; the least probability that any control's answer has, where it was
    answered from probabilities; and the mean entropy of those, each as a share of the most it can be. Where there is
    nothing of the kind they are 1, 1 and 0, as for a judge without doubts.
    """
    answered = [tuple(probs.values()) for probs in judgement.probs.values() if probs]
    return (
        min(judgement.label_mass.values(), default=1.0),
        min((max(probs) for probs in answered), default=1.0),
        sum(_doubt(probs) for probs in answered) / len(answered) if answered else 0.0,
    )


def judged_labels(project: LabelledProject) -> tuple[JudgedLabel, ...]:
    """The tasks with a blind answer in which the judge decides, by rising number, as `calibrate` takes them."""
    return tuple(
        JudgedLabel(
            one.task.task,
            project.kind,
            one.task.image,
            one.judge.confidence,
            decides_alike(one.judge.values, one.truth.values, project.config),
            features_of_judgement(one.judge),
        )
        for one in blind_answers(project)
        if one.truth is not None and decides(one.judge, project)
    )


def calibration_of(project: LabelledProject, *, seed: int = 0) -> ProjectCalibration:
    """The judge's confidence before, and after calibration by labels other than the one it is held against."""
    answers, labels = blind_answers(project), judged_labels(project)
    undecided = sum(not decides(one.judge, project) for one in answers)
    right = np.array([label.right for label in labels], dtype=np.float64)
    probs = np.array([label.prob for label in labels], dtype=np.float64)
    counts = (len(labels), int(right.sum()), len(answers) - undecided - len(labels), undecided)
    clusters = [label.cluster for label in labels]
    before_bins = reliability_bins(right, probs) if labels else ()
    refused = too_few(project.kind, right)
    if refused:
        before = goodness_of(right, probs, clusters, seed)
        return ProjectCalibration(*counts, before, before_bins, None, None, (), refused)
    (found,) = calibrate(labels, project.fingerprint, seed=seed).fitted
    features = features_of([label.prob for label in labels], [label.extras for label in labels])
    unseen = cross_fitted(found.curve.method, features, right, clusters, seed)
    after_bins = reliability_bins(right, unseen)
    return ProjectCalibration(*counts, found.before, before_bins, found.curve.method, found.after, after_bins, None)


def _doubt(probs: tuple[float, ...]) -> float:
    """Shannon's entropy over log(number of options), in [0, 1]."""
    if len(probs) < 2:
        return 0.0
    return -sum(p * log(p) for p in probs if p > 0) / log(len(probs))
