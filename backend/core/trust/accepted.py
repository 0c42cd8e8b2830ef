"""Whether the judge accepts a sample, and how likely it holds that it should."""

from __future__ import annotations

from backend.core.deciding import VERDICT, verdict_of
from backend.core.label_config import LabelConfig
from backend.core.trust.labels import Judgement
from backend.core.types import DECISIONS

ACCEPT = DECISIONS[0]


def gives_verdicts(config: LabelConfig) -> bool:
    """Whether the form asks to accept or not."""
    control = config.control(VERDICT)
    return control is not None and ACCEPT in control.labels


def accept_prob(judge: Judgement | None, config: LabelConfig) -> float | None:
    """The judge's probability that a sample is accepted; None where it says nothing.

    Of a verdict without probabilities it is the confidence if that accepts, else an even part of what is left for the
    other verdicts.
    """
    if judge is None:
        return None
    probs, said = judge.probs.get(VERDICT, {}), verdict_of(judge.values)
    if ACCEPT in probs:
        return probs[ACCEPT]
    control = config.control(VERDICT)
    if said is None or control is None:
        return None
    return judge.confidence if said == ACCEPT else (1 - judge.confidence) / max(1, len(control.labels) - 1)
