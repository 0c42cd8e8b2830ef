"""Curves from what the judge says of itself to the probability that it is right, and how they are fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backend.core.measures import Array

Method = Literal["temperature", "Platt", "logistic", "isotonic"]

FEWEST_LABELS = 30
FEWEST_OF_EACH = 5
"""Right and wrong ones."""
PLATT_FROM = 100
SEVERAL_FROM = 200
ISOTONIC_FROM = 1_000
PER_WEIGHT = 10
"""Labels of the rarer outcome per fitted number (Peduzzi et al. 1996)."""
_EDGE = 1e-6
_RIDGE = 1e6
"""One over the penalty: next to none, but enough for features that never vary."""


@dataclass(frozen=True, slots=True)
class Curve:
    """P(the judge is right) as sigmoid(intercept + weights times features), put on a stair if there is one."""

    method: Method
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    """A feature is taken minus its centre and over its scale; the first is the logit of the judge's probability."""
    weights: tuple[float, ...]
    """Features beyond these are not looked at."""
    intercept: float
    stair: tuple[tuple[float, float], ...] = ()
    """Score and probability, both rising; between two of them the line that joins them."""

    def probs(self, features: Array) -> Array:
        """One probability per row of features, as `features_of` makes them."""
        score = self.intercept + self._scaled(features) @ np.array(self.weights)
        if self.stair:
            places, heights = np.array(self.stair).T
            stepped: Array = np.interp(score, places, heights)
            return stepped
        return _sigmoid(score)

    def _scaled(self, features: Array) -> Array:
        used: Array = features[:, : len(self.weights)]
        scaled: Array = (used - np.array(self.centres)) / np.array(self.scales)
        return scaled


def features_of(prob: Sequence[float], extras: Sequence[Sequence[float]]) -> Array:
    """The logit of the judge's probability of its own decision, and what else is known of the task; one row each."""
    p = np.clip(np.asarray(prob, dtype=np.float64), _EDGE, 1 - _EDGE)
    beside = np.asarray(extras, dtype=np.float64).reshape(len(p), -1)
    return np.column_stack([np.log(p / (1 - p)), beside])


def method_for(labels: int, rarer: int, features: int) -> Method:
    """What so many labels, so many of them of the rarer outcome, can bear."""
    if labels < PLATT_FROM or rarer < 2 * PER_WEIGHT:
        return "temperature"
    if labels < SEVERAL_FROM or rarer < PER_WEIGHT * (features + 1):
        return "Platt"
    return "logistic" if labels <= ISOTONIC_FROM else "isotonic"


def fit(method: Method, features: Array, right: Array) -> Curve:
    """The curve of greatest likelihood, with Platt's targets: (n+ + 1) / (n+ + 2) for right, 1 / (n- + 2) for wrong.

    They keep the curve finite where features part right from wrong entirely, and where all are right (Platt 1999; Lin,
    Lin, Weng 2007). Temperature: one weight, no intercept (Guo et al. 2017). Isotonic: the rising stair of least
    squares over the logistic score (Zadrozny and Elkan 2002), kept off 0 and 1 by the same targets.
    """
    used = features if method in ("logistic", "isotonic") else features[:, :1]
    plain = method in ("temperature", "Platt")
    centres = np.zeros(used.shape[1]) if plain else used.mean(axis=0)
    spread = np.ones(used.shape[1]) if plain else used.std(axis=0)
    scales = np.where(spread > 0, spread, 1.0)
    weights, intercept = _logistic((used - centres) / scales, right, with_intercept=method != "temperature")
    curve = Curve(method, _floats(centres), _floats(scales), _floats(weights), intercept)
    if method != "isotonic":
        return curve
    score = intercept + ((used - centres) / scales) @ weights
    return Curve(method, curve.centres, curve.scales, curve.weights, intercept, rising_stair(score, right))


def rising_stair(score: Array, right: Array) -> tuple[tuple[float, float], ...]:
    """The corners of the isotonic regression of right on score, by scikit-learn, from left to right."""
    from sklearn.isotonic import IsotonicRegression

    low, high = _targets(right)
    stair = IsotonicRegression(y_min=low, y_max=high).fit(score, right)
    corners = zip(stair.X_thresholds_, stair.y_thresholds_, strict=True)
    return tuple((float(place), float(height)) for place, height in corners)


def _logistic(features: Array, right: Array, *, with_intercept: bool) -> tuple[Array, float]:
    """Every row counts as right with its target's weight and as wrong with the rest, which is likelihood under them."""
    from sklearn.linear_model import LogisticRegression

    low, high = _targets(right)
    target = np.where(right == 1, high, low)
    model = LogisticRegression(C=_RIDGE, fit_intercept=with_intercept, solver="newton-cholesky", tol=1e-8)
    model.fit(
        np.concatenate([features, features]),
        np.concatenate([np.ones(len(right)), np.zeros(len(right))]),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    return model.coef_[0], float(model.intercept_[0]) if with_intercept else 0.0


def _targets(right: Array) -> tuple[float, float]:
    good = float(right.sum())
    return 1 / (len(right) - good + 2), (good + 1) / (good + 2)


def _sigmoid(score: Array) -> Array:
    probs: Array = 1 / (1 + np.exp(-np.clip(score, -500, 500)))
    return probs


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
