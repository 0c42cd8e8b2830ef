"""Whether the judge prefers a text for where it stands.

Every two texts are shown in both orders, and a preference that turns round with them is left undecided. So a liking for
a place mostly shows as undecided; what is left of it shows as more winners on one side than people choose there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.core.deciding import deciding_control
from backend.core.label_config import Control
from backend.core.measures import Array
from backend.core.sides import chosen_text, compares, competing
from backend.core.trust.bias.association import sign_p
from backend.core.trust.bias.opinions import images_of
from backend.core.trust.bias.shares import Index, Observed, Share, more_or_fewer, net_share, percent, share
from backend.core.trust.labels import LabelledProject, LabelledTask
from backend.core.trust.truth import consolidated, decision_of, value_in
from backend.core.types import ControlValue, Value

FEWEST = 20
"""Preferences by both, or by the judge where people gave too few."""


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Preferences of a project, one entry per task; NaN where there is none."""

    texts: int
    """That compete."""
    judge: Array
    """1 the first text, 0 another one, 0.5 undecided."""
    judge_prob: Array
    """The judge's probability that the first is the best; as `judge` where it is not kept."""
    people: Array
    """As `judge`, by people who did not see its answer."""
    images: Index
    weights: Array
    """One over the probability with which the task was drawn into the blind slice."""


@dataclass(frozen=True, slots=True)
class PositionBias:
    """What becomes of the place of a text in the judge's preferences."""

    judged: int
    unanswered: int
    """Judged tasks without any answer in the form; an empty Pairwise counts as undecided."""
    undecided: Share | None
    """Of the answered: the two orders disagree, or it cannot be told."""
    first: Share | None
    """Of the judge's decided preferences, those for the text that stands first."""
    by_chance: float
    """What that would be if texts were put in their places by chance: one over their number."""
    people_first: Share | None
    """The same of people who labelled blind."""
    people_undecided: Share | None
    more_than_people: Share | None
    """How much oftener the judge prefers the first than people do, on tasks that both decide."""
    against: str = ""
    """What `first` is tested against: `people`, or `chance` where people decided too few."""
    p: float | None = None
    adjusted_p: float | None = None
    refused: str | None = None
    """Why it is not tested."""
    warning: str | None = None


def sides_of(project: LabelledProject) -> Sides | None:
    """The preferences of a project; None where no texts compete."""
    config = project.config
    control = config.control(deciding_control(config))
    if not compares(config) or control is None or control.name == "verdict":
        return None
    rows = [_row(task, project, control) for task in project.tasks]
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T
    return Sides(len(competing(config)), columns[0], columns[1], columns[2], images_of(project), columns[3])


def position_bias(project: LabelledProject, sides: Sides) -> PositionBias:
    """The share of first winners, against people's where enough of both decide, else against chance."""
    judged = sum(task.judge is not None for task in project.tasks)
    answered, decided = ~np.isnan(sides.judge), _decided(sides.judge)
    both = decided & _decided(sides.people)
    even = np.ones(len(sides.judge))
    found = PositionBias(
        judged=judged,
        unanswered=judged - int(answered.sum()),
        undecided=_share(sides, (sides.judge == 0.5).astype(np.float64), answered, even),
        first=_share(sides, sides.judge, decided, even),
        by_chance=1 / sides.texts,
        people_first=_share(sides, sides.people, _decided(sides.people), sides.weights),
        people_undecided=_share(
            sides, (sides.people == 0.5).astype(np.float64), ~np.isnan(sides.people), sides.weights
        ),
        more_than_people=net_share(_observed(sides, sides.judge - sides.people, both, sides.weights))
        if both.any()
        else None,
    )
    if both.sum() >= FEWEST:
        p = sign_p(_observed(sides, sides.judge - sides.people, both, sides.weights), 0.0)
        return replace(found, against="people", p=p)
    if decided.sum() >= FEWEST:
        return replace(found, against="chance", p=sign_p(_observed(sides, sides.judge, decided, even), found.by_chance))
    return replace(found, refused=f"fewer than {FEWEST} tasks have a preference")


def position_warning(found: PositionBias, notable: float) -> str | None:
    """A sentence where the judge surely prefers a place by something; whether surely is for the caller to say."""
    if found.against == "people" and found.more_than_people and abs(found.more_than_people.value) >= notable:
        more = more_or_fewer(found.more_than_people)
        return (
            f"position: the judge prefers the first text in {percent(found.first)} of the tasks, people who labelled "
            f"blind in {percent(found.people_first)}; where both decide, that is {more}."
        )
    if found.against == "chance" and found.first and not found.first.low <= found.by_chance <= found.first.high:
        return (
            f"position: the judge prefers the first text in {percent(found.first)} of the tasks; if texts were put in "
            "their places by chance, that is too uneven."
        )
    return None


def _row(task: LabelledTask, project: LabelledProject, control: Control) -> tuple[float, float, float, float]:
    config, none = project.config, float("nan")
    first = competing(config)[0]

    def side(value: Value | None) -> float:
        if value is None:
            return none
        chosen = chosen_text(ControlValue(control.name, control.tag, value), config)
        return 0.5 if chosen is None else float(chosen.name == first.name)

    judge = side(value_in(task.judge.values, control)) if task.judge else none
    probs = task.judge.probs.get(control.name, {}) if task.judge else {}
    answer = consolidated(task.blind, config) if task.blind else None
    people = side(value_in(answer.values, control)) if answer and decision_of(answer.values, config) else none
    weight = 1.0 if task.drawn_with is None else 1 / task.drawn_with
    return judge, probs.get(first.key, judge), people, weight


def _decided(values: Array) -> NDArray[np.bool_]:
    decided: NDArray[np.bool_] = (values == 0) | (values == 1)
    return decided


def _observed(sides: Sides, values: Array, chosen: NDArray[np.bool_], weights: Array) -> Observed:
    return Observed(values[chosen], sides.images[chosen], weights[chosen])


def _share(sides: Sides, values: Array, chosen: NDArray[np.bool_], weights: Array) -> Share | None:
    return share(_observed(sides, values, chosen, weights)) if chosen.any() else None
