"""The continuing audit: no false alarm but rarely, however often it is looked at, and an alarm when it is due."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta

from backend.core.trust.acceptance.watch import Watch, log_bet, watch


def test_the_bet_is_the_mean_likelihood_over_the_likelihood() -> None:
    """3 errors of 20 against 5 %, by integrating the likelihood over the prior beta(1, 20/3) above 5 %."""
    prior = beta(1, 20 / 3)
    mean, _ = quad(lambda rate: rate**3 * (1 - rate) ** 17 * prior.pdf(rate) / prior.sf(0.05), 0.05, 1)
    bet = log_bet(np.array([3.0]), np.array([20.0]), 0.05, 0.05)
    assert bet[0] == pytest.approx(np.log(mean / (0.05**3 * 0.95**17)), rel=1e-6)


def test_the_bet_gains_nothing_on_average_while_the_promise_is_kept() -> None:
    """The expectation after n labels is exactly 1 at 5 %, and less below: what Ville's inequality needs."""
    from scipy.stats import binom

    errors = np.arange(31).astype(np.float64)
    bets = np.exp(log_bet(errors, np.full(31, 30.0, dtype=np.float64), 0.05, 0.05))
    assert float((bets * binom.pmf(errors, 30, 0.05)).sum()) == pytest.approx(1.0, rel=1e-9)
    assert float((bets * binom.pmf(errors, 30, 0.02)).sum()) < 1


def test_nothing_wrong_is_no_alarm_and_nothing_checked_neither() -> None:
    assert watch([False] * 300, 0.05) == Watch(0.05, 0.95, 300, 0, 0.0, None)
    assert watch([], 0.05) == Watch(0.05, 0.95, 0, 0, 0.0, None)


def test_an_alarm_stays() -> None:
    """Three errors in a row are enough against 5 %, and 200 good ones after them do not take it back."""
    found = watch([True] * 3 + [False] * 200, 0.05)
    assert (found.checked, found.errors, found.alarm_at) == (203, 3, 3)
    assert found.lower_bound > 0.05


def test_the_lower_bound_passes_the_promise_when_the_alarm_sounds() -> None:
    rng = np.random.default_rng(4)
    for rate in (0.04, 0.1, 0.2):
        for _ in range(30):
            found = watch((rng.random(120) < rate).tolist(), 0.05)
            assert (found.lower_bound > 0.05 - 1e-6) == (found.alarm_at is not None)


def test_false_alarms_are_rare_over_a_thousand_looks_and_a_broken_promise_is_found() -> None:
    """At exactly 5 % one in 20 may ring, ever. A look at an ordinary 95 % bound after each label rings far oftener."""
    rng = np.random.default_rng(9)
    checked = np.arange(1, 1_001).astype(np.float64)
    rung, ordinary, found = 0, 0, []
    for _ in range(200):
        errors = np.cumsum(rng.random(1_000) < 0.05).astype(np.float64)
        rung += bool((log_bet(errors, checked, 0.05, 0.05) >= -np.log(0.05)).any())
        low = beta.ppf(0.05, np.maximum(errors, 1e-9), checked - errors + 1)
        ordinary += bool((low > 0.05).any())
        worse = np.cumsum(rng.random(1_000) < 0.15).astype(np.float64)
        alarms = np.flatnonzero(log_bet(worse, checked, 0.05, 0.05) >= -np.log(0.05))
        found.append(alarms[0] + 1)
    assert rung <= 16
    assert ordinary >= 40
    assert np.median(found) < 60
    assert max(found) < 400
