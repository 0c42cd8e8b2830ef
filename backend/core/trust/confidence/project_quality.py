"""The share of good samples in a project: those that people accept, by the judge's verdicts and the blind labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.core.measures import NotComputable
from backend.core.trust.accepted import ACCEPT, accept_prob, gives_verdicts
from backend.core.trust.confidence.quality import Quality, quality
from backend.core.trust.labels import LabelledProject
from backend.core.trust.slices import slice_of
from backend.core.trust.truth import consolidated, decision_of


@dataclass(frozen=True, slots=True)
class ProjectQuality:
    """The share of tasks whose text people accept, over the whole project."""

    quality: Quality
    without_answer: int
    """Tasks labelled blind where people disagree or skipped; they are left out, so look into them if they are many."""
    without_verdict: int
    """Tasks of which the judge says nothing; they count with its mean over the others, which says nothing either."""
    weighted: bool
    """Whether tasks were drawn with unequal probability, and count with one over it."""


def quality_of(project: LabelledProject) -> ProjectQuality | NotComputable:
    """The share of good samples by prediction-powered inference, beside that from the labels alone."""
    config, tasks = project.config, project.tasks
    if not gives_verdicts(config):
        return NotComputable("the form has no verdict that accepts a sample, so none is called good", len(tasks))
    known = {task.task: prob for task in tasks if (prob := accept_prob(task.judge, config)) is not None}
    if not known:
        return NotComputable("the judge has not decided any task yet", len(tasks))
    mean = float(np.mean(list(known.values())))
    blind = slice_of(project, "blind")
    answers = [consolidated(labels, config) for labels in blind.labels]
    used = [number for number, answer in enumerate(answers) if answer is not None]
    if not used:
        return NotComputable("no task was labelled blind with an answer that people agree on", len(tasks))
    good = [decision_of(answer.values, config) == ACCEPT for answer in answers if answer is not None]
    labelled = [blind.tasks[number].task for number in used]
    weights = None if blind.weights is None else [blind.weights[number] for number in used]
    without_label = {task.task for task in tasks} - (set(labelled) if weights is None else set())
    found = quality(
        good,
        [known.get(task, mean) for task in labelled],
        [known.get(task, mean) for task in sorted(without_label)],
        weights=weights,
    )
    return ProjectQuality(found, len(answers) - len(used), len(tasks) - len(known), weights is not None)
