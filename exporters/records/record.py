"""What the exporter knows of a task once all that was said about it is weighed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backend.core.deciding import VERDICT, verdict_of
from backend.core.types import Value

Several = Literal["last", "first", "majority", "all"]
"""Which of several annotations is the row: the latest, the earliest, the latest with the most common verdict, or each
one a row of its own."""
DecidedBy = Literal["confirmed", "corrected", "human", "judge accepted", "judge only"]
TextSource = Literal["human", "judge", "original", "missing", "rejected"]
Reason = Literal["skipped", "empty", "unannotated"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the person who exports decides."""

    several: Several = "last"
    annotator_key: bytes = b""
    """The same key gives a person the same pseudonym in every export; another key cannot be linked to it."""
    annotator: int | None = None
    """Id of the user whose answer counts where they gave one; elsewhere everybody's does."""


@dataclass(frozen=True, slots=True)
class JudgeDetail:
    """What travels unseen with the judge's value in one control; see `backend.core.predictions`."""

    probs: tuple[tuple[str, float], ...] = ()
    """Answer and probability, in the menu's order, summing to 1; empty where the judge has stored none."""
    expected: float | None = None
    """Expected value over numeric answers."""
    label_mass: float | None = None
    """Share of the full vocabulary's probability that fell on the menu, in [0, 1]."""
    flags: tuple[str, ...] = ()
    """With the decision only: what to know before trusting it; see `backend.core.types.Flag`."""
    reliance: float | None = None
    """With the decision only: how much the image matters to it, in [0, 1]; None when that was not measured."""
    features: tuple[tuple[str, float], ...] = ()
    """With the decision only: each requested feature and the probability that it is there; empty where none was."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the task's text and image come from, as far as its data say."""

    generator: str | None = None
    """The model that wrote the text."""
    source: str | None = None
    """The image's name where it was taken from."""
    licence: str | None = None
    """The image's licence."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the dataset. None is missing: nobody said it."""

    task_id: int
    images: Mapping[str, tuple[str | None, ...]]
    """Where the images are to be had, by their key in the task's data: one or a whole list; None where it is empty."""
    texts: Mapping[str, str | None]
    """The task's texts by their key."""
    final_text: str | None
    final_text_source: TextSource
    decided_by: DecidedBy
    corrected_controls: tuple[str, ...] | None
    """What the person changed in the judge's answer; None when they did not start from one."""
    human: Mapping[str, Value] | None
    """What the person said by control; None when no person decided."""
    judge: Mapping[str, Value] | None
    """What the judge had said when the person started, else its newest answer; None without an answer."""
    judge_confidence: float | None
    fingerprint: str | None
    annotators: tuple[str, ...]
    """Pseudonyms of all who annotated the task, in order of time."""
    annotation_count: int
    verdicts_agree: bool | None
    """Whether all annotations give the same verdict; None with fewer than two verdicts."""
    lead_time_s: float | None
    deciding: str = VERDICT
    """The control whose value is the verdict; see `deciding_control`."""
    saw_prediction: bool | None = None
    """Whether the person could see the judge's answer; None when no person decided, or it cannot be told."""
    audit: bool | None = False
    """Whether the task was drawn into the blind slice, or is looked at again after acceptance; None when it cannot be
    told, because of some of its predictions nothing but the number is known."""
    annotation_id: int | None = None
    """The annotation that is the row; None when no person decided."""
    annotator: str | None = None
    """Pseudonym of who gave it."""
    details: Mapping[str, JudgeDetail] = field(default_factory=dict)
    """What is known beside the judge's values, by control."""
    original: str | None = None
    """The text that was judged; where several compete, the preferred one."""
    rejected: tuple[str, ...] = ()
    """Where several texts compete and one is preferred, the others in the task's order."""
    tie: bool | None = None
    """Where several texts compete: whether it was said that none is preferred; None when nobody said anything."""
    provenance: Provenance = Provenance()

    @property
    def human_verdict(self) -> str | None:
        """The person's verdict, or which text they prefer."""
        return verdict_of(self.human, self.deciding)

    @property
    def judge_verdict(self) -> str | None:
        """The judge's verdict, or which text it prefers."""
        return verdict_of(self.judge, self.deciding)

    @property
    def verdict(self) -> str | None:
        """The one that decides: the person's, or the judge's where no person decided."""
        return self.judge_verdict if self.human is None else self.human_verdict


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A task that is not in the dataset, and why."""

    task_id: int
    reason: Reason
