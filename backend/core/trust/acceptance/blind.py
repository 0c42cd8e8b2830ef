"""The labels of the blind slice, and which of them are a random draw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from backend.core.audit import AuditPlan, group_of
from backend.core.deciding import can_stand_alone, decides_alike
from backend.core.label_config import LabelConfig
from backend.core.trust.acceptance.certificate import BlindLabel
from backend.core.trust.labels import LabelledProject, LabelledTask, Said
from backend.core.trust.truth import consolidated


@dataclass(frozen=True, slots=True)
class BlindSlice:
    """What has been labelled of a slice that was drawn evenly.

    Tasks stand in the order of the draw, so that those before the first unlabelled one are a random draw themselves,
    whatever order people took them in.
    """

    drawn: int
    """Tasks in the slice that the judge has answered."""
    labelled: tuple[LabelledTask, ...]
    """Those before the first that nobody has labelled."""
    missing: tuple[int, ...]
    """Unlabelled tasks with labelled ones after them: when these are labelled, those count too."""
    beyond: int
    """Labelled tasks after the first unlabelled one, which do not count yet."""


def strata_of(project: LabelledProject, plan: AuditPlan) -> dict[str, tuple[LabelledTask, ...]]:
    """The tasks by what they were drawn with: all together, or each group by itself where shares differ.

    A group that came after the draw has the share of the whole, which may be another than those of its fellows.
    """
    groups: dict[str, list[LabelledTask]] = {}
    for task in project.tasks:
        groups.setdefault(group_of(task.data, plan.by) if plan.by else "", []).append(task)
    shares = dict(plan.shares)
    if len({shares.get(name, plan.share) for name in groups}) < 2:
        return {"": project.tasks}
    return {name: tuple(tasks) for name, tasks in sorted(groups.items())}


def blind_slice_of(tasks: Iterable[LabelledTask], plan: AuditPlan) -> BlindSlice:
    """The slice among tasks that were drawn with the same probability."""
    drawn = sorted(
        (task for task in tasks if task.drawn_with is not None and task.judge is not None),
        key=lambda task: plan.position(task.task),
    )
    first = next((place for place, task in enumerate(drawn) if not task.said), len(drawn))
    last = max((place for place, task in enumerate(drawn) if task.said), default=-1)
    missing = tuple(task.task for task in drawn[first : last + 1] if not task.said)
    beyond = sum(bool(task.said) for task in drawn[first:])
    return BlindSlice(len(drawn), tuple(drawn[:first]), missing, beyond)


def only_random(project: LabelledProject, plan: AuditPlan) -> LabelledProject:
    """The project with the blind labels that are a random draw, and no others: those before the first gap.

    Where the slice is labelled in part, a task is as likely to be among them as it was to be drawn, times that part.
    """
    likelihood: dict[int, float] = {}
    for tasks in strata_of(project, plan).values():
        found = blind_slice_of(tasks, plan)
        for task in found.labelled:
            likelihood[task.task] = (task.drawn_with or 1.0) * len(found.labelled) / found.drawn
    return replace(project, tasks=tuple(_counted(task, likelihood) for task in project.tasks))


def _counted(task: LabelledTask, likelihood: Mapping[int, float]) -> LabelledTask:
    if task.drawn_with is None:
        return task
    counts = task.task in likelihood
    return replace(task, drawn_with=likelihood.get(task.task, task.drawn_with), counts=counts)


def population_of(tasks: Iterable[LabelledTask], config: LabelConfig) -> tuple[LabelledTask, ...]:
    """The tasks whose answer could do without a person at all; see `can_stand_alone`."""
    return tuple(task for task in tasks if task.judge is not None and can_stand_alone(task.judge.values, config))


def is_wrong(task: LabelledTask, labels: Sequence[Said], config: LabelConfig) -> bool:
    """Whether the judge is wrong by these labels; a tie, skips only and no label at all count as wrong."""
    answer = consolidated(labels, config)
    return answer is None or task.judge is None or not decides_alike(task.judge.values, answer.values, config)


def labels_of(found: BlindSlice, config: LabelConfig, population: Mapping[int, float]) -> tuple[BlindLabel, ...]:
    """The labels of the slice that are about these tasks."""
    return tuple(
        BlindLabel(task.task, is_wrong(task, task.blind, config), task.drawn_with or 1.0)
        for task in found.labelled
        if task.task in population
    )


def digest_of_look(labels: Iterable[BlindLabel], promised: str) -> str:
    """One hash for what the labels say and what is to be promised by them, hexadecimal: the same are the same look.

    Another promise by the same labels is another look, because the one that they please is what will be kept of it.
    """
    said = ";".join(f"{label.task}:{int(label.wrong)}" for label in sorted(labels, key=lambda label: label.task))
    return hashlib.sha256(f"{promised};{said}".encode()).hexdigest()
