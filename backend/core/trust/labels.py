"""What was said about a project's tasks, by the judge and by people: what every statement of trust is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backend.core.kinds import Kind
from backend.core.label_config import LabelConfig
from backend.core.types import Value


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge says of a task, also where people were not shown it."""

    values: Mapping[str, Value]
    """By control; what it leaves empty is absent."""
    confidence: float
    """Its probability of its own decision, in [0, 1]; 0 where it decides nothing."""
    probs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By control and value, of those that it answered from its probabilities; each sums to 1."""
    label_mass: Mapping[str, float] = field(default_factory=dict)
    """By control: the share of probability that fell on the menu at all."""
    flags: tuple[str, ...] = ()
    """Kinds of `backend.core.types.Flag` that it raised."""
    reliance: float | None = None
    """How much the image matters, as in `Verdict`; None where that was not asked."""
    features: Mapping[str, float] = field(default_factory=dict)
    """By requested feature, the probability that the image has it, in [0, 1]; empty where that was not asked."""


@dataclass(frozen=True, slots=True)
class Said:
    """One person's annotation of a task."""

    annotation: int
    annotator: str
    """The same for the same person, in one project."""
    values: Mapping[str, Value]
    """By control; empty for a skip."""
    saw_prediction: bool
    """Whether the judge's answer could be seen when it was made or changed."""
    skipped: bool = False
    seconds: float | None = None
    """How long the task was open."""
    at: datetime | None = None
    """When it was last changed."""


@dataclass(frozen=True, slots=True)
class LabelledTask:
    """One task with all that was said of it."""

    task: int
    data: Mapping[str, Any]
    image: str
    """Its image, or all of its images, as addresses: what is drawn as one by a bootstrap."""
    judge: Judgement | None
    """None where the judge has not answered."""
    said: tuple[Said, ...] = ()
    """In order of time; what the judge itself put there on its own authority is not among it."""
    drawn_with: float | None = None
    """The probability with which it was drawn into the blind slice; None where it is not in it."""
    counts: bool = True
    """Whether its blind labels are part of a random draw, as those after the first unlabelled task are not."""

    @property
    def blind(self) -> tuple[Said, ...]:
        """What people said who could not see the judge's answer, if the task was drawn for that."""
        if self.drawn_with is None or not self.counts:
            return ()
        return tuple(one for one in self.said if not one.saw_prediction)

    @property
    def shown(self) -> tuple[Said, ...]:
        """What people said who could see it."""
        return tuple(one for one in self.said if one.saw_prediction)


@dataclass(frozen=True, slots=True)
class LabelledProject:
    """A project with all that was said in it."""

    id: int
    title: str
    config: LabelConfig
    kind: Kind
    fingerprint: str
    """The judge whose answers these are."""
    tasks: tuple[LabelledTask, ...]
    """By rising number."""
