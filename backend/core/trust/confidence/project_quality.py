"""The share of good samples in a project: those that people accept, by the judge's verdicts and the blind labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.core.agreement import NotComputable
from backend.core.deciding import VERDICT, deciding_control
from backend.core.trust.confidence.quality import Quality, quality
from backend.core.trust.labels import Judgement, LabelledProject
from backend.core.trust.slices import slice_of
from backend.core.trust.truth import consolidated, decision_of

ACCEPT = "accept"


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


def quality_of(project: LabelledProject, confidence: float = 0.95) -> ProjectQuality | NotComputable:
    """The share of good samples by prediction-powered inference, beside that from the labels alone."""
    config, tasks = project.config, project.tasks
    control = config.control(VERDICT)
    if control is None or deciding_control(config) != VERDICT or ACCEPT not in control.labels:
        return NotComputable("the form has no verdict that accepts a sample, so none is called good", len(tasks))
    known = {task.task: prob for task in tasks if (prob := accept_prob(task.judge, len(control.labels))) is not None}
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
        confidence,
        weights,
    )
    return ProjectQuality(found, len(answers) - len(used), len(tasks) - len(known), weights is not None)


def accept_prob(judge: Judgement | None, verdicts: int) -> float | None:
    """The judge's probability that a sample is accepted; None where it says nothing.

    Of a verdict without probabilities it is the confidence if that accepts, else an even part of what is left for the
    other verdicts. The interval holds however good that is.
    """
    if judge is None:
        return None
    if (probs := judge.probs.get(VERDICT)) and ACCEPT in probs:
        return probs[ACCEPT]
    value = judge.values.get(VERDICT)
    decided = value[0] if isinstance(value, tuple) and value else None
    if decided is None:
        return None
    return judge.confidence if decided == ACCEPT else (1 - judge.confidence) / max(1, verdicts - 1)
