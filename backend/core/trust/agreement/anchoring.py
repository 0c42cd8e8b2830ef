"""Whether people move towards what the judge shows them: agreement of those who saw its answer and those who did not.

Which tasks are blind was drawn at random, so the two differ by what people saw, as far as both were labelled in full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backend.core.measures import Array, Estimate, NotComputable, Outcome
from backend.core.trust.agreement.answers import NotMeasured, measured_as
from backend.core.trust.agreement.project_agreement import RESAMPLES, Rows, agreed_share, judge_and_people
from backend.core.trust.agreement.resampling import estimate_of_sums, honest_at_the_ends, share
from backend.core.trust.labels import LabelledProject
from backend.core.trust.slices import slice_of

NO_BLIND = "no task with an answer of the judge and a blind label"
NO_SHOWN = "no task with a label of someone who saw the judge's answer"


@dataclass(frozen=True, slots=True)
class Anchoring:
    """One control: how often people agree with the judge without and with its answer before them."""

    control: str
    blind: Outcome
    """Percent agreement, in [0, 1]; weighted where tasks were drawn with unequal probability."""
    shown: Outcome
    difference: Outcome
    """Shown minus blind; above 0 where people move towards the judge."""
    sentence: str


def anchoring_of(project: LabelledProject) -> tuple[Anchoring, ...]:
    """Every control with a fixed set of answers, in the form's order.

    Images are drawn as wholes, with the blind and the shown tasks of one together.
    """
    blind, shown = slice_of(project, "blind"), slice_of(project, "shown")
    return tuple(
        _anchoring(control.name, judge_and_people(blind, control, measured), judge_and_people(shown, control, measured))
        for control in project.config.controls
        if not isinstance(measured := measured_as(control), NotMeasured)
    )


def _anchoring(control: str, blind: Rows, shown: Rows) -> Anchoring:
    sums = np.concatenate([_sums(blind, 0), _sums(shown, 2)])
    clusters = np.concatenate([blind.clusters, shown.clusters])

    def outcome(of_sums: Callable[[Array], Array], part: slice, reason: str) -> Outcome:
        own = sums[part]
        return estimate_of_sums(
            lambda rows: own[rows], of_sums, clusters[part], resamples=RESAMPLES, empty=reason, undefined=reason
        )

    first = len(blind.items)
    without = honest_at_the_ends(outcome(_share_blind, slice(0, first), NO_BLIND))
    with_it = honest_at_the_ends(outcome(_share_shown, slice(first, None), NO_SHOWN))
    difference = outcome(
        lambda total: _share_shown(total) - _share_blind(total), slice(None), NO_SHOWN if first else NO_BLIND
    )
    return Anchoring(control, without, with_it, difference, _sentence(control, without, with_it, difference))


def _share_blind(total: Array) -> Array:
    return share(total[:, 0], total[:, 1])


def _share_shown(total: Array) -> Array:
    return share(total[:, 2], total[:, 3])


def _sums(rows: Rows, place: int) -> Array:
    weights = np.ones(len(rows.items)) if rows.weights is None else np.array(rows.weights)
    sums = np.zeros((len(rows.items), 4))
    sums[:, place] = weights * np.array([agreed_share(row) for row in rows.items])
    sums[:, place + 1] = weights
    return sums


def _sentence(control: str, blind: Outcome, shown: Outcome, difference: Outcome) -> str:
    for side in (blind, shown):
        if isinstance(side, NotComputable):
            return f"`{control}`: whether people move towards the judge cannot be told, there is {side.reason}."
    said = (
        f"`{control}`: people who saw the judge's answer agree with it in {_percent(shown)}, "
        f"people who did not in {_percent(blind)}"
    )
    if not isinstance(difference, Estimate) or difference.low is None or difference.high is None:
        return f"{said}."
    if difference.low > 0:
        return f"{said}: oftener than chance explains."
    if difference.high < 0:
        return f"{said}: more seldom than chance explains."
    return f"{said}, which may be chance."


def _percent(outcome: Outcome) -> str:
    return f"{outcome.value * 100:.0f} %" if isinstance(outcome, Estimate) else "no share"
