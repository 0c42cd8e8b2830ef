"""Projects with a blind slice as `read_project` would find them, made without a Label Studio."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from backend.core.audit import AuditPlan, with_plan
from backend.core.kinds import kind_of
from backend.core.label_config import parse_label_config
from backend.core.trust.acceptance.binding import Binding, digest_of
from backend.core.trust.labels import Judgement, LabelledProject, LabelledTask, Said
from backend.studio import Project
from backend.trust.reading import Reading, content_of
from backend.trust.sweep import Swept
from tests.labelled import IMAGE_TEXT

KEY = "0123456789abcdef"
PLAN = AuditPlan(0.5, KEY)


def drawn(task: LabelledTask, plan: AuditPlan = PLAN) -> LabelledTask:
    """The task as this plan draws it, or does not."""
    return replace(task, drawn_with=plan.drawn_with(task.task, task.data))


def in_order(numbers: Iterable[int], plan: AuditPlan = PLAN) -> list[int]:
    """Those of these tasks that are in the slice, from the first in the order of the draw on."""
    return sorted((n for n in numbers if plan.drawn_with(n, {}) is not None), key=plan.position)


def labelled_project(
    tasks: Iterable[LabelledTask], plan: AuditPlan | None = PLAN, xml: str = IMAGE_TEXT, fingerprint: str = "judge-1"
) -> LabelledProject:
    """A project with this plan in its label config; its tasks are drawn as it says."""
    config = parse_label_config(with_plan(xml, plan) if plan else xml)
    known = tuple(drawn(task, plan) if plan else task for task in tasks)
    return LabelledProject(1, "Cats", config, kind_of(config), fingerprint, known)


def reading_of(
    labelled: LabelledProject,
    *,
    accepted: Mapping[int, tuple[int, ...]] | None = None,
    again: Collection[int] = (),
) -> Reading:
    """What is read of it; tasks are open unless people labelled them or the judge was given them."""
    own = accepted or {}
    contents = ((task.task, content_of(task.data, task.judge)) for task in labelled.tasks)
    return Reading(
        Project(labelled.id, labelled.title, "", labelled.fingerprint, len(labelled.tasks), "1.1795361354"),
        labelled,
        Binding(labelled.fingerprint, digest_of(contents)),
        frozenset(task.task for task in labelled.tasks if not task.said and task.task not in own),
        own,
        frozenset(again),
        (),
        Swept(0, 0, 0, 0),
    )


@dataclass(frozen=True, slots=True)
class Simulated:
    """A project whose truth is known, with a blind slice of which some tasks are labelled."""

    reading: Reading
    wrong: frozenset[int]
    """Tasks on which the judge is."""


def simulated_reading(
    rng: Generator, *, tasks: int, labels: int, power: float = 1.8, good: float = 0.75, plan: AuditPlan = PLAN
) -> Simulated:
    """Signal detection as in `tests.simulate.judges`: the judge sees good and bad samples `power` deviations apart.

    The first `labels` of the slice, in the order of the draw, are labelled by one person who knows the truth.
    """
    truth = rng.random(tasks) < good
    logit = power * rng.normal(power * (truth - 0.5), 1.0) + np.log(good / (1 - good))
    prob = 1 / (1 + np.exp(-logit))
    return simulated_project_of(np.maximum(prob, 1 - prob), (prob > 0.5) != truth, labels, plan)


def simulated_project_of(
    confidence: NDArray[np.float64], wrong: NDArray[np.bool_], labels: int, plan: AuditPlan = PLAN
) -> Simulated:
    """A project of these confidences, where the judge accepts all and people reject what it is wrong about."""
    said_first = set(in_order(range(1, len(wrong) + 1), plan)[:labels])
    made = []
    for number, (sure, is_wrong) in enumerate(zip(confidence.tolist(), wrong.tolist(), strict=True), 1):
        label = Said(number, "ann", {"verdict": ("reject" if is_wrong else "accept",)}, saw_prediction=False)
        judge = Judgement({"verdict": ("accept",)}, sure)
        made.append(LabelledTask(number, {}, f"{number}.png", judge, (label,) if number in said_first else ()))
    return Simulated(reading_of(labelled_project(made, plan)), frozenset((np.flatnonzero(wrong) + 1).tolist()))
