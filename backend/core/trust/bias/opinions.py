"""What judge and people say of each task of a project, as numbers: what groups and biases are counted from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.deciding import decides_alike
from backend.core.label_config import LabelConfig
from backend.core.measures import Array
from backend.core.trust.accepted import ACCEPT, accept_prob, gives_verdicts
from backend.core.trust.bias.shares import Index, Observed
from backend.core.trust.labels import Judgement, LabelledProject, LabelledTask
from backend.core.trust.slices import decides
from backend.core.trust.truth import consolidated, decision_of
from backend.core.types import DECISIONS


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """One entry per task of the project, in its order; NaN where there is none."""

    images: Index
    """The same number for the same image; a task without an image has a number of its own."""
    accepted: Array
    """Whether the judge accepts, of the tasks that it gives a verdict on."""
    accept_prob: Array
    """How sure it is that it should, by `accept_prob`."""
    confidence: Array
    """The judge's in its decision."""
    wrong: Array
    """Whether the judge, where it decides, does so otherwise than people who did not see its answer; 1 where these have
    no answer."""
    people_accept: Array
    """Whether those people accept; NaN where they have no answer."""
    people_decide: Array
    """Their decision as a number that rises from reject (0) over fix (1) to accept (2)."""
    weights: Array
    """One over the probability with which the task was drawn into the blind slice; 1 where it is not in it."""

    def of_project(self, values: Array) -> Observed:
        """What is known of any task, each counted once."""
        known = ~np.isnan(values)
        return Observed(values[known], self.images[known], np.ones(int(known.sum())))

    def of_slice(self, values: Array) -> Observed:
        """What is known from blind labels, weighted as the tasks were drawn."""
        known = ~np.isnan(values)
        return Observed(values[known], self.images[known], self.weights[known])

    @property
    def lenient(self) -> Array:
        """The judge's acceptance less people's, blind: 1 for wrongly accepted, -1 for wrongly not accepted."""
        return self.accepted - self.people_accept


def opinions_of(project: LabelledProject) -> Opinions:
    """The numbers of a project's tasks."""
    rows = [_row(task, project) for task in project.tasks]
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 7).T
    return Opinions(images_of(project), *columns)


def images_of(project: LabelledProject) -> NDArray[np.intp]:
    """A number per task, the same for the same image."""
    numbers: dict[str | int, int] = {}
    keys = (task.image or task.task for task in project.tasks)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)


def _row(task: LabelledTask, project: LabelledProject) -> tuple[float, ...]:
    none, judge = float("nan"), task.judge
    weight = 1.0 if task.drawn_with is None else 1 / task.drawn_with
    people = _people(task, project.config)
    if judge is None:
        return none, none, none, none, *people, weight
    said = decision_of(judge.values, project.config) if gives_verdicts(project.config) else None
    accepted = none if said is None else float(said == ACCEPT)
    prob = accept_prob(judge, project.config)
    sure = none if prob is None else prob
    return accepted, sure, judge.confidence, _wrong(task, judge, project), *people, weight


def _wrong(task: LabelledTask, judge: Judgement, project: LabelledProject) -> float:
    if not task.blind or not decides(judge, project):
        return float("nan")
    answer = consolidated(task.blind, project.config)
    return float(answer is None or not decides_alike(judge.values, answer.values, project.config))


def _people(task: LabelledTask, config: LabelConfig) -> tuple[float, float]:
    """Whether people accept, and what they decide."""
    answer = consolidated(task.blind, config) if task.blind and gives_verdicts(config) else None
    said = decision_of(answer.values, config) if answer else None
    if said not in DECISIONS:
        return float("nan"), float("nan")
    return float(said == ACCEPT), float(len(DECISIONS) - 1 - DECISIONS.index(said))
