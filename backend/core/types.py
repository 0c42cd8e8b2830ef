"""The nouns the whole product speaks in: samples, questions, answers, evidence, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Decision = Literal["accept", "fix", "reject"]
DECISIONS: tuple[Decision, ...] = ("accept", "fix", "reject")

TextRole = Literal["candidate", "context", "requested"]


@dataclass(frozen=True, slots=True)
class TextField:
    """One text of a sample."""

    name: str
    """The key in the task's data, e.g. `caption`."""
    value: str
    role: TextRole = "candidate"
    """`candidate` is what is judged, `context` helps to judge it (a question), `requested` lists features."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where one image of a sample is to be had; not its bytes."""

    name: str
    """The key in the task's data, e.g. `image`."""
    uri: str
    """As Label Studio stores it: an address, `/data/...`, or a data URI."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is judged: the named images and texts of one task, as the label config binds them."""

    task: str
    """The task's id, only ever used to name it in messages."""
    images: tuple[ImageRef, ...]
    texts: tuple[TextField, ...]

    @property
    def candidate(self) -> TextField:
        """The text being judged; the first field with that role."""
        return next(text for text in self.texts if text.role == "candidate")

    @property
    def requested(self) -> tuple[str, ...]:
        """The features asked for, one item each, in the task's order; empty when none were asked for."""
        items = (item.strip() for text in self.texts if text.role == "requested" for item in text.value.split(","))
        return tuple(item for item in items if item)


@dataclass(frozen=True, slots=True)
class Option:
    """One entry of a question's menu."""

    value: str
    """What the answer means, e.g. `4` or `yes`."""
    token: str
    """The text the model has to say for it; must be a single token right after the prompt."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing asked of the judge, with the menu it has to answer from."""

    id: str
    text: str
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer read from the model's probabilities."""

    question: Question
    probs: tuple[float, ...]
    """One per option in the question's order; renormalised over the menu, so they sum to 1."""
    label_mass: float
    """Share of the full vocabulary's probability that fell on the menu, in [0, 1]."""

    def prob(self, value: str) -> float:
        """The probability of the option with this value, in [0, 1]."""
        return next(p for p, option in zip(self.probs, self.question.options, strict=True) if option.value == value)

    @property
    def expected(self) -> float:
        """Expected value over numeric options: sum of value times probability."""
        return sum(float(o.value) * p for o, p in zip(self.question.options, self.probs, strict=True))

    @property
    def best(self) -> str:
        """The value of the most probable option; the earlier one wins a tie."""
        return max(zip(self.probs, self.question.options, strict=True), key=lambda pair: pair[0])[1].value


@dataclass(frozen=True, slots=True)
class Unscored:
    """A question that has no answer, and why. Never replaced by a made-up number."""

    question: Question
    reason: str


Answer = Scored | Unscored


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the candidate text that the image does not support."""

    start: int
    """Offset of the first character, in Unicode code points."""
    end: int
    """Offset after the last character."""
    text: str
    support_prob: float
    """The judge's probability that the image supports it, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One requested feature and the judge's probability that it is there."""

    text: str
    support_prob: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a person can check a verdict against."""

    spans: tuple[Span, ...] = ()
    features: tuple[Feature, ...] = ()
    rationale: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All answers of one sample and what follows from them."""

    answers: tuple[Answer, ...]
    """One per criterion of the rubric, in the rubric's order."""
    decision: Decision | None
    """None when too much is unscored for a decision; the rationale says why."""
    decision_probs: Mapping[Decision, float]
    """Probability per decision, summing to 1; empty when `decision` is None."""
    confidence: float
    """Probability of `decision`, in [0, 1]; 0 when there is none, so that it is reviewed first."""
    evidence: Evidence
    fingerprint: str
