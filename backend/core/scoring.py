"""From raw logits to an answer: probabilities over a menu, and the mass that fell outside it."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from backend.core.types import Answer, Question, Scored, Unscored

MIN_LABEL_MASS = 0.5
"""Below this the model wanted to say something that is not on the menu, so there is no answer."""


def read_answer(question: Question, logprobs: Sequence[float]) -> Answer:
    """An answer from the options' log-probabilities over the full vocabulary, in the question's order.

    label_mass = sum of exp(logprob); probability of option i = exp(logprob_i) / label_mass.
    Unscored when the mass is below MIN_LABEL_MASS or not a number.
    """
    masses = [exp(logprob) for logprob in logprobs]
    total = sum(masses)
    if not total >= MIN_LABEL_MASS:
        return Unscored(question, f"only {total:.0%} of the model's answer was on the menu")
    return Scored(question, tuple(mass / total for mass in masses), min(1.0, total))
