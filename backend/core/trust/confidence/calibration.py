"""Confidence that means what it says, learned from blind labels: of the tasks with 0.9, nine in ten are right.

One curve per task kind, because judges over- and undervalue themselves by kind. A kind with too few labels gets none,
and is told how many are missing. Before and after are compared on predictions that were made by a curve which had not
seen the label (cross-fitting by image); the curve that is kept has seen all.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.measures import AUROC, BRIER, ECE, Array, Estimate, NotComputable, Outcome, estimate
from backend.core.trust.confidence.curves import (
    FEWEST_LABELS,
    FEWEST_OF_EACH,
    Curve,
    Method,
    features_of,
    fit,
    method_for,
)

FOLDS = 5
_MEASURED = (("ece", ECE), ("brier", BRIER), ("auroc", AUROC))


@dataclass(frozen=True, slots=True)
class JudgedLabel:
    """A verdict that a person gave a blind label to."""

    task: int
    kind: str
    """Of the task: image-text, qa, document, ..."""
    cluster: Hashable
    """Its image: tasks that share it are never on both sides of a fold."""
    prob: float
    """The judge's probability of its own decision, in [0, 1]."""
    right: bool
    """Whether the person decided the same."""
    extras: tuple[float, ...] = ()
    """What else may tell right from wrong: label mass, least claim, disagreement of orders; as many for all."""


@dataclass(frozen=True, slots=True)
class Goodness:
    """How good probabilities are, each with its interval."""

    ece: Outcome
    """How far off they are on average; read it beside the AUROC, for a constant has none."""
    brier: Outcome
    auroc: Outcome
    """Whether right ones are above wrong ones."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The curve of one kind, and what it is worth."""

    kind: str
    curve: Curve
    labels: int
    wrong: int
    before: Goodness
    after: Goodness
    """Cross-fitted: of labels that the curve had not seen."""


@dataclass(frozen=True, slots=True)
class TooFew:
    """A kind that no curve can be fitted for."""

    kind: str
    labels: int
    missing: int
    """So many more labels are needed, as far as can be foreseen."""
    reason: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """The curves of a judge. Bound to its fingerprint: another judge, another calibration."""

    fingerprint: str
    fitted: tuple[Fitted, ...]
    refused: tuple[TooFew, ...]
    tasks: tuple[int, ...]
    """That were fitted on, rising: never to be used for a certificate of these confidences."""

    def confidence(self, kind: str, prob: float, extras: Sequence[float] = ()) -> float | None:
        """P(the judge is right) of one verdict; None for a kind without a curve, where its own number is all there is.

        Raises ValueError for fewer extras than the curve looks at.
        """
        curve = next((one.curve for one in self.fitted if one.kind == kind), None)
        if curve is None:
            return None
        features = features_of([prob], [extras])
        if features.shape[1] < len(curve.weights):
            raise ValueError(f"the curve of {kind} looks at {len(curve.weights) - 1} extras, {len(extras)} are given")
        return float(curve.probs(features)[0])

    def to_json(self) -> str:
        """As one line that `calibration_from_json` reads."""
        return json.dumps({"type": "calibration", **asdict(self)})


def calibration_from_json(text: str) -> Calibration:
    """What `to_json` wrote. Raises ValueError for anything else."""
    try:
        found = json.loads(text)
        if found["type"] != "calibration":
            raise ValueError("another type")
        return Calibration(
            str(found["fingerprint"]),
            tuple(_fitted_from(one) for one in found["fitted"]),
            tuple(TooFew(**one) for one in found["refused"]),
            tuple(found["tasks"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise ValueError(f"this is no calibration of ours: {exc}; calibrate anew") from exc


def calibrate(labels: Sequence[JudgedLabel], fingerprint: str, *, seed: int = 0) -> Calibration:
    """One curve per kind that has enough labels.

    Temperature from 30 labels on, Platt from 100, logistic on all features from 200, isotonic above 1,000; the last
    three only if the rarer outcome was seen ten times per fitted number, else the one before.
    The seed decides folds and resamples. Raises ValueError for two labels of one task or extras of unlike number.
    """
    if len({label.task for label in labels}) < len(labels):
        raise ValueError("two labels of one task: make one of them first, by majority for example")
    if len({len(label.extras) for label in labels}) > 1:
        raise ValueError("every label needs the same number of extras")
    kinds = sorted({label.kind for label in labels})
    outcomes = [_of_kind(kind, [label for label in labels if label.kind == kind], seed) for kind in kinds]
    fitted = tuple(one for one in outcomes if isinstance(one, Fitted))
    known = {one.kind for one in fitted}
    tasks = tuple(sorted(label.task for label in labels if label.kind in known))
    return Calibration(fingerprint, fitted, tuple(one for one in outcomes if isinstance(one, TooFew)), tasks)


def _of_kind(kind: str, labels: Sequence[JudgedLabel], seed: int) -> Fitted | TooFew:
    right = np.array([label.right for label in labels], dtype=np.float64)
    if refusal := too_few(kind, right):
        return refusal
    probs = np.array([label.prob for label in labels], dtype=np.float64)
    features = features_of([label.prob for label in labels], [label.extras for label in labels])
    clusters = [label.cluster for label in labels]
    rarer = int(min(right.sum(), len(right) - right.sum()))
    method = method_for(len(labels), rarer, features.shape[1])
    return Fitted(
        kind,
        fit(method, features, right),
        len(labels),
        int(len(right) - right.sum()),
        goodness_of(right, probs, clusters, seed),
        goodness_of(right, cross_fitted(method, features, right, clusters, seed), clusters, seed),
    )


def cross_fitted(method: Method, features: Array, right: Array, clusters: Sequence[Hashable], seed: int) -> Array:
    """The probability of each row by a curve fitted without its fold; rows of one cluster are in one fold."""
    folds = fold_of(clusters, seed)
    probs = np.empty(len(right))
    for fold in range(folds.max() + 1):
        out = folds == fold
        probs[out] = fit(method, features[~out], right[~out]).probs(features[out])
    return probs


def fold_of(clusters: Sequence[Hashable], seed: int) -> NDArray[np.intp]:
    """Five folds of about as many clusters each, shuffled; fewer if there are fewer clusters, but two at least.

    A single cluster is parted by rows: there is no other way.
    """
    names = list(dict.fromkeys(clusters))
    if len(names) < 2:
        return np.arange(len(clusters), dtype=np.intp) % FOLDS
    dealt = np.random.default_rng(seed).permutation(len(names)) % min(FOLDS, len(names))
    place = dict(zip(names, dealt, strict=True))
    return np.array([place[cluster] for cluster in clusters], dtype=np.intp)


def too_few(kind: str, right: Array) -> TooFew | None:
    """Why so many labels, right and wrong ones, are too few for a curve; None if they are enough."""
    labels, rarer = len(right), int(min(right.sum(), len(right) - right.sum()))
    if labels < FEWEST_LABELS:
        missing = FEWEST_LABELS - labels
        return TooFew(kind, labels, missing, f"{missing} more blind labels are needed, {FEWEST_LABELS} at least")
    if rarer >= FEWEST_OF_EACH:
        return None
    short = FEWEST_OF_EACH - rarer
    missing = ceil(short * labels / max(rarer, 1))
    outcome = "wrong" if right.mean() > 0.5 else "right"
    return TooFew(
        kind,
        labels,
        missing,
        f"the judge was {outcome} on {rarer} of {labels} blind labels, {FEWEST_OF_EACH} such ones are needed; "
        f"at this rate that takes about {missing} more labels",
    )


def goodness_of(right: Array, probs: Array, clusters: Sequence[Hashable], seed: int) -> Goodness:
    """How good probabilities of being right are, 1 and 0 in `right`, with intervals that draw whole clusters."""
    return Goodness(**{name: estimate(measure, right, probs, clusters, seed=seed) for name, measure in _MEASURED})


def _fitted_from(found: dict[str, Any]) -> Fitted:
    curve = {name: value for name, value in found["curve"].items() if name not in ("method", "intercept", "stair")}
    return Fitted(
        str(found["kind"]),
        Curve(
            found["curve"]["method"],
            intercept=float(found["curve"]["intercept"]),
            stair=tuple((float(place), float(height)) for place, height in found["curve"]["stair"]),
            **{name: tuple(float(one) for one in values) for name, values in curve.items()},
        ),
        int(found["labels"]),
        int(found["wrong"]),
        *(Goodness(**{name: _outcome_from(one) for name, one in found[when].items()}) for when in ("before", "after")),
    )


def _outcome_from(found: dict[str, Any]) -> Outcome:
    return NotComputable(**found) if "reason" in found else Estimate(**found)
