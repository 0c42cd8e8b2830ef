"""The labels of a project by whether people could see the judge's answer, and what the judge is held against there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.core.deciding import deciding_control, verdict_of
from backend.core.label_config import Control
from backend.core.trust.agreement.answers import NotMeasured, measured_as
from backend.core.trust.labels import Judgement, LabelledProject, LabelledTask, Said
from backend.core.trust.truth import UNDECIDED, consolidated, latest_of_each
from backend.core.types import Value

Seen = Literal["blind", "shown"]


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """The tasks that were labelled blind, or with the judge's answer shown; only those that have such a label."""

    tasks: tuple[LabelledTask, ...]
    labels: tuple[tuple[Said, ...], ...]
    """Per task the latest of every person; skips among them."""
    images: NDArray[np.intp]
    """Per task the number of its image; of one project, the same in all its slices."""
    weights: tuple[float, ...] | None
    """One over the probability with which each task was drawn; None where that is the same for all."""


def slice_of(project: LabelledProject, seen: Seen) -> Slice:
    """The blind or the shown labels of a project. Shown ones have no weights: nobody drew them."""
    found = [(task, latest_of_each(task.blind if seen == "blind" else task.shown)) for task in project.tasks]
    labelled = [(task, labels) for task, labels in found if labels]
    drawn = [task.drawn_with for task, _ in labelled if task.drawn_with is not None]
    numbers: dict[str, int] = {}
    for task in project.tasks:
        numbers.setdefault(task.image, len(numbers))
    uneven = seen == "blind" and len(set(drawn)) > 1
    return Slice(
        tuple(task for task, _ in labelled),
        tuple(labels for _, labels in labelled),
        np.array([numbers[task.image] for task, _ in labelled], dtype=np.intp),
        tuple(1 / prob for prob in drawn) if uneven else None,
    )


@dataclass(frozen=True, slots=True)
class BlindAnswer:
    """A task that was labelled blind, with the one answer of the people who did."""

    task: LabelledTask
    judge: Judgement
    truth: Said | None
    """None for a tie and where nobody decided."""
    weight: float
    """One over the probability with which it was drawn; 1 where that is the same for all."""


def blind_answers(project: LabelledProject) -> tuple[BlindAnswer, ...]:
    """The tasks that were labelled blind and that the judge answered."""
    blind = slice_of(project, "blind")
    weights = blind.weights or (1.0,) * len(blind.tasks)
    return tuple(
        BlindAnswer(task, task.judge, consolidated(labels, project.config), weight)
        for task, labels, weight in zip(blind.tasks, blind.labels, weights, strict=True)
        if task.judge is not None
    )


def judges_value(judge: Judgement, control: Control) -> Value | None:
    """What the judge says in a control; None where it does not answer.

    An empty Pairwise is `undecided`. A control of which several or none may be chosen says none only if the judge has
    probabilities for it; otherwise it was not answered.
    """
    if control.name in judge.values:
        return judge.values[control.name]
    if control.tag == "Pairwise" and not control.shown_when:
        return UNDECIDED
    return () if control.name in judge.probs and measured_as(control) == "sets" else None


def decides(judge: Judgement, project: LabelledProject) -> bool:
    """Whether the judge says anything that can be right or wrong.

    That is a verdict or a preference; on a form without one, any control with a fixed set of answers.
    """
    deciding = deciding_control(project.config)
    if project.config.control(deciding) is not None:
        return verdict_of(judge.values, deciding) is not None
    return any(
        control.name in judge.values and not isinstance(measured_as(control), NotMeasured)
        for control in project.config.controls
    )
