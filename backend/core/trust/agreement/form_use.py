"""What people do with the form as the judge filled it in: what they leave, change, add and take out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.changes import same_value
from backend.core.kinds import Kind
from backend.core.measures import Outcome
from backend.core.trust.agreement.project_agreement import RESAMPLES
from backend.core.trust.agreement.resampling import estimate_of_sums, honest_at_the_ends, share
from backend.core.trust.labels import LabelledProject
from backend.core.trust.slices import slice_of
from backend.core.types import Value

_KINDS = 5


@dataclass(frozen=True, slots=True)
class FormUse:
    """How often what became of one control; labels, not tasks, for each person met the form anew."""

    confirmed: int
    """Filled in by the judge and left as it was."""
    changed: int
    added: int
    """Left empty by the judge and filled in by the person."""
    removed: int
    """Filled in by the judge and emptied by the person."""
    empty: int
    """Left empty by both."""
    confirmed_share: Outcome
    """Of what either filled in, how much is as the judge had it; images are drawn as wholes."""


@dataclass(frozen=True, slots=True)
class ControlUse:
    """The use of one control."""

    control: str
    tag: str
    use: FormUse


@dataclass(frozen=True, slots=True)
class ProjectUse:
    """The use of every control that can be read, and of all together."""

    kind: Kind
    labels: int
    """Of people who saw the judge's answer; skips and labels of tasks without one are not among them."""
    controls: tuple[ControlUse, ...]
    """In the form's order."""
    overall: FormUse


def form_use_of(project: LabelledProject) -> ProjectUse:
    """What people who saw the judge's answer did with it, label by label."""
    shown = slice_of(project, "shown")
    labels = [
        (image, task.judge.values, one.values)
        for image, task, own in zip(shown.images, shown.tasks, shown.labels, strict=True)
        if task.judge is not None
        for one in own
        if not one.skipped
    ]
    clusters = np.array([image for image, _, _ in labels], dtype=np.intp)
    names = [control.name for control in project.config.controls]
    became = [[_became(judge.get(name), human.get(name)) for _, judge, human in labels] for name in names]
    controls = tuple(
        ControlUse(control.name, control.tag, _use(of_control, clusters))
        for control, of_control in zip(project.config.controls, became, strict=True)
    )
    every = [kind for of_control in became for kind in of_control]
    together = _use(every, np.tile(clusters, len(names)))
    return ProjectUse(project.kind, len(labels), controls, together)


def _became(judge: Value | None, human: Value | None) -> int:
    """The place of what happened among the fields of FormUse."""
    if judge is None:
        return 4 if human is None else 2
    if human is None:
        return 3
    return 0 if same_value(judge, human) else 1


def _use(became: Iterable[int], clusters: NDArray[np.intp]) -> FormUse:
    places = np.fromiter(became, np.intp)
    counts = np.bincount(places, minlength=_KINDS)
    filled = np.flatnonzero(places != _KINDS - 1)
    sums = np.column_stack([places[filled] == 0, np.ones(len(filled))]).astype(np.float64)
    resampled = estimate_of_sums(
        lambda rows: sums[rows],
        lambda total: share(total[:, 0], total[:, 1]),
        clusters[filled],
        resamples=RESAMPLES,
        empty="no label of someone who saw the judge's answer has anything here, of the judge or of the person",
    )
    confirmed, changed, added, removed, empty = (int(count) for count in counts)
    return FormUse(confirmed, changed, added, removed, empty, honest_at_the_ends(resampled))
