"""From raw logits to an answer: probabilities over a menu, and the mass that fell outside it."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from backend.core.types import Answer, Question, Scored, Unscored

MIN_LABEL_MASS = 0.5
"""Below this the model wanted to say something that is not on the menu, so there is no answer."""


def read_answer(question: Question, logprobs: Sequence[float], min_label_mass: float = MIN_LABEL_MASS) -> Answer:
    """An answer from the options' log-probabilities over the full vocabulary, in the question's order.

    label_mass = sum of exp(logprob); probability of option i = exp(logprob_i) / label_mass.
    Unscored when the mass is below `min_label_mass` or not a number.
    """
    masses = [exp(logprob) for logprob in logprobs]
    total = sum(masses)
    if not total >= min_label_mass:
        return Unscored(question, f"only {total:.0%} of the model's answer was on the menu")
    return Scored(question, tuple(mass / total for mass in masses), min(1.0, total))
