"""Intervals and bounds for the share behind a count: k out of n draws."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its two-sided confidence interval, all in [0, 1]."""

    value: float
    low: float
    high: float


def wilson(count: int, of: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval (1927), the one to take for a share that is only to be known (Brown, Cai, DasGupta 2001).

    Covers about as often as it says on average over shares, not for each of them. Raises ValueError for no draws.
    """
    from scipy.stats import norm

    _must_be_a_count(count, of)
    z = float(norm.isf((1 - confidence) / 2))
    share, scale = count / of, 1 + z * z / of
    middle = (share + z * z / (2 * of)) / scale
    half = z * (share * (1 - share) / of + z * z / (4 * of * of)) ** 0.5 / scale
    return Interval(share, 0.0 if count == 0 else middle - half, 1.0 if count == of else middle + half)


def exact(count: int, of: int, confidence: float = 0.95) -> Interval:
    """The interval of Clopper and Pearson (1934): covers at least as often as it says, whatever the share."""
    tail = (1 - confidence) / 2
    return Interval(count / of, lower_bound(count, of, tail), upper_bound(count, of, tail))


def upper_bound(count: int, of: int, delta: float) -> float:
    """The share that is not exceeded, but with probability delta: Clopper and Pearson, one-sided.

    It is at most a exactly when P(Binomial(of, a) <= count) is at most delta. Raises ValueError for no draws.
    """
    from scipy.stats import beta

    _must_be_a_count(count, of)
    return 1.0 if count == of else float(beta.ppf(1 - delta, count + 1, of - count))


def lower_bound(count: int, of: int, delta: float) -> float:
    """The share that is reached, but with probability delta: Clopper and Pearson, one-sided. Raises ValueError."""
    from scipy.stats import beta

    _must_be_a_count(count, of)
    return 0.0 if count == 0 else float(beta.ppf(delta, count, of - count + 1))


def _must_be_a_count(count: int, of: int) -> None:
    if not 0 <= count <= of or of == 0:
        raise ValueError(f"{count} of {of} is no share: give at least one draw, and no more counted than drawn")
