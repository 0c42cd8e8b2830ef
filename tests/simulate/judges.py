"""Judges that are simulated, and what they say of a project whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]

GOOD_SAMPLES = 0.75
TASKS = 2_000
EDGE = 0.053
"""Share of wrong verdicts of the judge on the edge, everywhere: just more than the 5 % that are promised, by enough to
remain so whichever tasks are taken away for fitting."""


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """One entry per task in each."""

    good: NDArray[np.bool_]
    """The truth."""
    accept_prob: Array
    """The judge's."""

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Whether the judge decides otherwise than the truth."""
        found: NDArray[np.bool_] = (self.accept_prob > 0.5) != self.good
        return found

    @property
    def own_confidence(self) -> Array:
        """What the judge says of its decision."""
        return np.maximum(self.accept_prob, 1 - self.accept_prob)


@dataclass(frozen=True, slots=True)
class Judge:
    """A kind of judge."""

    name: str
    about: str
    project: Callable[[Generator], Project]
    later: Callable[[Generator], Project]
    """The tasks that come after the certificate was given."""


def seeing(power: float, boast: float) -> Callable[[Generator], Project]:
    """Signal detection: evidence is normal, `power` standard deviations apart for good and bad samples.

    The honest logit of "good" is multiplied with `boast`.
    """

    def make(rng: Generator) -> Project:
        good = rng.random(TASKS) < GOOD_SAMPLES
        evidence = rng.normal(power * (good - 0.5), 1.0)
        honest = power * evidence + np.log(GOOD_SAMPLES / (1 - GOOD_SAMPLES))
        return Project(good, 1 / (1 + np.exp(-np.clip(boast * honest, -30, 30))))

    return make


def on_the_edge(rng: Generator) -> Project:
    """Wrong verdicts at equal distances from the most to the least confident: at any threshold just too many."""
    confidence = np.sort(rng.uniform(0.5, 1.0, TASKS))[::-1]
    accepts = rng.random(TASKS) < GOOD_SAMPLES
    wrong = np.zeros(TASKS, dtype=bool)
    wrong[(np.arange(int(TASKS * EDGE)) / EDGE).astype(np.intp)] = True
    return Project(accepts != wrong, np.where(accepts, confidence, 1 - confidence))


GOOD, MEDIOCRE, BOASTING = seeing(3.0, 1.0), seeing(1.8, 1.0), seeing(1.2, 4.0)

JUDGES = (
    Judge("good", "sees well and knows when it does not", GOOD, GOOD),
    Judge("mediocre", "sees half as well, and knows it", MEDIOCRE, MEDIOCRE),
    Judge("overconfident", "sees little and is sure of it", BOASTING, BOASTING),
    Judge("on the edge", "wrong just more often than promised, however sure", on_the_edge, on_the_edge),
    Judge("drifting", "good at first, poor after the certificate", GOOD, seeing(1.2, 2.5)),
)
