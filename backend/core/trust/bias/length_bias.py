"""Whether the judge likes long texts, told apart from long texts being better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from backend.core.measures import SPEARMAN, Array, Estimate, NotComputable, Outcome, estimate
from backend.core.trust.bias.association import mid_ranks, partial_p, partial_spearman
from backend.core.trust.bias.groups import GroupStats, describe
from backend.core.trust.bias.metadata import quarters
from backend.core.trust.bias.opinions import Opinions
from backend.core.trust.bias.position_bias import Sides
from backend.core.trust.bias.shares import more_or_fewer
from backend.core.trust.bias.texts import judged_keys, text_in, words_of
from backend.core.trust.labels import LabelledProject

Unit = Literal["characters", "words"]
UNITS: tuple[Unit, ...] = ("characters", "words")

FEWEST_LABELS = 30
WEAK = 0.1
"""Correlations nearer to 0 are not warned of (Cohen 1988 calls this one small)."""


@dataclass(frozen=True, slots=True)
class LengthBias:
    """How the judge goes with the length of the text; where two compete, with the first's length less the second's.

    Longer texts may be better. So it is the third correlation that counts: among tasks that people answer alike.
    """

    unit: Unit
    accept: Outcome
    """Spearman's correlation of the judge's probability of accept, or that the first is better, with the length."""
    error: Outcome
    """Of whether the judge is wrong, on blind labels, with the length."""
    given_people: Outcome
    """As `accept`, on blind labels with what people decide held fixed."""
    quarters: tuple[GroupStats, ...] = ()
    """From the shortest to the longest; where texts compete, by their difference."""
    p: float | None = None
    """That `given_people` is 0."""
    adjusted_p: float | None = None
    warning: str | None = None


def length_bias(
    project: LabelledProject, opinions: Opinions, sides: Sides | None, unit: Unit, resamples: int
) -> LengthBias | None:
    """The correlations; None where no text is judged, or more than two compete."""
    lengths = _lengths(project, unit)
    if lengths is None:
        return None
    prob, people = (opinions.accept_prob, opinions.people_decide) if sides is None else (sides.judge_prob, sides.people)
    parted = quarters(unit, [None if np.isnan(length) else float(length) for length in lengths])
    labelled = ~np.isnan(prob + lengths + people)
    one, other, given = prob[labelled], lengths[labelled], people[labelled]
    images, weights = opinions.images[labelled], opinions.weights[labelled]
    enough = labelled.sum() >= FEWEST_LABELS
    few = NotComputable(f"fewer than {FEWEST_LABELS} blind answers", int(labelled.sum()))
    return LengthBias(
        unit=unit,
        accept=_spearman(prob, lengths, opinions, resamples),
        error=_spearman(opinions.wrong, lengths, opinions, resamples),
        given_people=partial_spearman(one, other, given, images, weights, resamples) if enough else few,
        quarters=describe(opinions, parted) if parted else (),
        p=partial_p(mid_ranks(one), mid_ranks(other), mid_ranks(given), images, weights) if enough else None,
    )


def length_warning(found: LengthBias) -> str | None:
    """A sentence where the correlation is more than weak; whether it is sure is for the caller to say."""
    r = found.given_people
    if not isinstance(r, Estimate) or abs(r.value) < WEAK or r.low is None or r.high is None:
        return None
    likes = "long" if r.value > 0 else "short"
    said = (
        f"length: the judge likes {likes} texts: where people decide alike, it goes with the number of {found.unit} "
        f"(Spearman {r.value:.2f}, {r.low:.2f} to {r.high:.2f})."
    )
    if len(found.quarters) < 2 or found.quarters[0].leniency is None or found.quarters[-1].leniency is None:
        return said
    short, long = found.quarters[0], found.quarters[-1]
    return (
        f"{said} It accepts {more_or_fewer(long.leniency)} of the longest quarter ({long.name} {found.unit}) than "
        f"people who labelled blind, and {more_or_fewer(short.leniency)} of the shortest ({short.name})."
    )


def _lengths(project: LabelledProject, unit: Unit) -> Array | None:
    keys = judged_keys(project.config)
    if not 1 <= len(keys) <= 2:
        return None
    texts = [[text_in(task, key) for key in keys] for task in project.tasks]
    sizes = np.array([[_length(text, unit) for text in row] for row in texts], dtype=np.float64).reshape(-1, len(keys))
    return sizes[:, 0] if len(keys) == 1 else sizes[:, 0] - sizes[:, 1]


def _length(text: str | None, unit: Unit) -> float:
    if text is None:
        return float("nan")
    return float(len(text) if unit == "characters" else len(words_of(text)))


def _spearman(values: Array, lengths: Array, opinions: Opinions, resamples: int) -> Outcome:
    known = ~np.isnan(values + lengths)
    images = opinions.images[known].tolist()
    return estimate(SPEARMAN, values[known], lengths[known], images, resamples=resamples)
