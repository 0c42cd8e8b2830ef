"""Which features were requested of the samples, how often, and how often they are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backend.core.label_config import Control, LabelConfig
from backend.core.sample import data_value, role_of
from backend.core.trust.bias.opinions import images_of
from backend.core.trust.bias.shares import Observed, Share, share
from backend.core.trust.diversity.repeats import plain_form
from backend.core.trust.labels import LabelledProject, LabelledTask
from backend.core.trust.truth import consolidated_value, value_in
from backend.core.types import Value

RATING = "requested_features"
"""The Rating, named like the criterion, that says how completely the requested features are there."""
ALL_THERE = 0.75
"""Of the way from the worst to the best rating: 4 of 5 stars, from which on the rubrics say that all is there."""
MOST_LISTED = 200
_FOUND = 0.5
_REQUESTED = "requested"


@dataclass(frozen=True, slots=True)
class RequestedFeature:
    """One feature that was requested."""

    text: str
    """In lower case."""
    tasks: int
    """That request it."""
    share: float
    """Of the tasks that request anything."""
    found: Share | None
    """Of those tasks, the ones in which the judge finds this feature; None where it was not asked about it."""
    all_found: Share | None
    """Of those that the judge rated, the ones with everything that was requested there, this feature among it."""
    people_all_found: Share | None
    """The same of people who labelled blind."""


@dataclass(frozen=True, slots=True)
class Requested:
    """All that was requested in a project."""

    tasks: int
    """That request anything."""
    distinct: int
    once: int
    """Features that a single task requests."""
    features: tuple[RequestedFeature, ...]
    """The commonest 200, from the commonest to the rarest."""
    rarest: tuple[str, ...]
    """The rarest ten of all."""


def requested_features(project: LabelledProject) -> Requested | None:
    """What the tasks request; None where no task requests anything.

    Ratings are of all features of a task together, so for a single one they give the least share of tasks in which it
    is there.
    """
    asking: dict[str, list[int]] = defaultdict(list)
    for row, task in enumerate(project.tasks):
        for feature in requested_of(task, project.config):
            asking[feature].append(row)
    if not asking:
        return None
    tasks = len({row for rows in asking.values() for row in rows})
    ordered = sorted(asking, key=lambda feature: (-len(asking[feature]), feature))
    seen = _Seen.of(project)
    listed = tuple(seen.feature(text, asking[text], tasks) for text in ordered[:MOST_LISTED])
    once = sum(len(rows) == 1 for rows in asking.values())
    return Requested(tasks, len(ordered), once, listed, tuple(reversed(ordered[-10:])))


def requested_of(task: LabelledTask, config: LabelConfig) -> tuple[str, ...]:
    """The features a task requests, comma separated in what the form shows as requested, else in `requested`."""
    keys = [text.key for text in config.texts if role_of(text.name) == "requested"] or [_REQUESTED]
    values = [value for key in keys if isinstance(value := data_value(task.data, key), str)]
    return tuple(dict.fromkeys(plain for value in values for item in value.split(",") if (plain := plain_form(item))))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What judge and people say of each task's features."""

    project: LabelledProject
    images: Sequence[int]
    probs: Sequence[Mapping[str, float]]
    judge: Sequence[float | None]
    people: Sequence[float | None]

    @classmethod
    def of(cls, project: LabelledProject) -> _Seen:
        control = project.config.control(RATING)
        rated = control is not None and control.tag == "Rating" and control.max_rating > 1
        return cls(
            project,
            images_of(project).tolist(),
            [_found_by_judge(task) for task in project.tasks],
            [_by_judge(task, control) if control and rated else None for task in project.tasks],
            [_by_people(task, control) if control and rated else None for task in project.tasks],
        )

    def feature(self, text: str, rows: Sequence[int], tasks: int) -> RequestedFeature:
        found = {row: float(self.probs[row][text] >= _FOUND) for row in rows if text in self.probs[row]}
        return RequestedFeature(
            text=text,
            tasks=len(rows),
            share=len(rows) / tasks,
            found=self._share(found),
            all_found=self._share({row: value for row in rows if (value := self.judge[row]) is not None}),
            people_all_found=self._share(
                {row: value for row in rows if (value := self.people[row]) is not None}, weighted=True
            ),
        )

    def _share(self, values: Mapping[int, float], *, weighted: bool = False) -> Share | None:
        if not values:
            return None
        drawn = [self.project.tasks[row].drawn_with or 1.0 for row in values]
        weights = [1 / prob if weighted else 1.0 for prob in drawn]
        images = np.array([self.images[row] for row in values], dtype=np.intp)
        return share(Observed(np.array(list(values.values())), images, np.array(weights)))


def _found_by_judge(task: LabelledTask) -> Mapping[str, float]:
    return {plain_form(feature): prob for feature, prob in task.judge.features.items()} if task.judge else {}


def _by_judge(task: LabelledTask, control: Control) -> float | None:
    return _all_there(value_in(task.judge.values, control), control) if task.judge else None


def _by_people(task: LabelledTask, control: Control) -> float | None:
    return _all_there(consolidated_value(task.blind, control), control)


def _all_there(stars: Value | None, control: Control) -> float | None:
    if not isinstance(stars, int | float):
        return None
    return float((stars - 1) / (control.max_rating - 1) >= ALL_THERE)
