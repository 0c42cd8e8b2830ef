"""The continuing audit: whether the accepted tasks that people look at again still keep the promise.

It is looked at after every label, for as long as acceptance goes on, so an ordinary bound would sound a false alarm in
the end. Here the chance of a false alarm, ever, is at most delta: a bet against "at most p of the accepted are wrong"
that starts with 1 and whose expectation never grows while this is true, so that it reaches 1 / delta with probability
at most delta (Ville 1939). The bet is the likelihood of the labels under rates above p, averaged over a beta prior,
over their likelihood under p (the method of mixtures: Robbins 1970; as betting: Waudby-Smith and Ramdas 2023, arXiv
2010.09686). The lower bound is the smallest p that is not refuted so.

Assumes that the tasks looked at again are drawn at random from the accepted, and counts from the first acceptance on: a
long good time before a change makes the alarm slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.core.measures import Array


@dataclass(frozen=True, slots=True)
class Watch:
    """How the continuing audit stands."""

    promise: float
    """The share of wrong ones among the accepted that was promised at most."""
    confidence: float
    """A promise that is kept is never called broken, but with a probability of 1 - confidence."""
    checked: int
    errors: int
    lower_bound: float
    """Of the share of wrong ones, over the whole time."""
    alarm_at: int | None
    """How many were checked when it became clear that the promise is broken; None while it is not. Stays."""


def watch(wrong: Sequence[bool], promise: float, confidence: float = 0.95) -> Watch:
    """The audit's labels in the order in which they came, held against the promise."""
    outcomes = np.asarray(wrong, dtype=np.float64)
    errors, checked = np.cumsum(outcomes), np.arange(1, len(outcomes) + 1, dtype=np.float64)
    limit = -float(np.log(1 - confidence))
    alarms = np.flatnonzero(log_bet(errors, checked, promise, promise) >= limit)
    return Watch(
        promise,
        confidence,
        len(outcomes),
        int(outcomes.sum()),
        _lower_bound(errors, checked, promise, limit),
        int(alarms[0]) + 1 if len(alarms) else None,
    )


def log_bet(errors: Array, checked: Array, rate: float, promise: float) -> Array:
    """The logarithm of what the bet against "at most `rate` are wrong" has become, at each number checked.

    The prior is beta(1, 1 / (3 promise)) cut off below `rate`: most weight lies within a few times the promise.
    """
    from scipy.special import betaln
    from scipy.stats import beta

    a, b = 1.0, max(1.0, 1 / (3 * promise))
    after, before = beta.logsf(rate, a + errors, b + checked - errors), beta.logsf(rate, a, b)
    mixed = betaln(a + errors, b + checked - errors) + after - betaln(a, b) - before
    bet: Array = mixed - errors * np.log(rate) - (checked - errors) * np.log1p(-rate)
    return bet


def _lower_bound(errors: Array, checked: Array, promise: float, limit: float) -> float:
    """By bisection to 1e-6: the larger the rate, the less there is to refute it."""
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        refuted = bool((log_bet(errors, checked, middle, promise) >= limit).any())
        low, high = (middle, high) if refuted else (low, middle)
    return low
