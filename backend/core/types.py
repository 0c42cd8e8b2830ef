"""The nouns the whole product speaks in: samples, questions, answers, evidence, verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
    generator: str = ""
    """The model that wrote the text, as the task's `generator` says; empty when it does not."""
    data: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The task's data, for label configs that draw choices from it."""

    @property
    def candidates(self) -> tuple[TextField, ...]:
        """The texts being judged: one, several to choose from, or none where only the image counts."""
        return tuple(text for text in self.texts if text.role == "candidate")

    @property
    def candidate(self) -> TextField | None:
        """The first text being judged, or None."""
        return next(iter(self.candidates), None)

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
    transient: bool = False
    """Whether it may be answered when asked again: a server was away."""


Answer = Scored | Unscored


@dataclass(frozen=True, slots=True)
class Writing:
    """Something the judge is asked to write, in a given form."""

    id: str
    text: str
    """The request, as it stands in the prompt."""
    schema: str
    """JSON Schema of the reply, as canonical JSON; the engine lets nothing else be written."""
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Written:
    """A reply that fits its schema."""

    writing: Writing
    json: str
    """The reply as JSON text."""
    frames: tuple[tuple[int, int], ...] = ()
    """Per image, the width and height that coordinates in the reply are measured in."""

    @property
    def value(self) -> Any:
        """The reply as Python data; half a character (a lone surrogate) in it is read as U+FFFD."""
        value = json.loads(self.json)
        if "\\ud" not in self.json.lower():
            return value
        whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return json.loads(whole)


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A request that was not fulfilled, and why."""

    writing: Writing
    reason: str
    transient: bool = False
    """As in `Unscored`."""


Reply = Written | Unwritten


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
class ImageArea:
    """Where in an image a claim is decided."""

    image: str
    """The image's key in the task's data."""
    x: float
    """Left edge in percent of the image's width, in [0, 100]; `y`, `width` and `height` likewise."""
    y: float
    width: float
    height: float
    claim: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A stretch in which a text differs from what was read blind in its images."""

    start: int
    """Where it stands in the text, in code points; equal to `end` where the text lacks something."""
    end: int
    text: str
    """What the text has there; empty where it lacks something."""
    reading: str
    """What was read there, on one line; empty where nothing was."""
    edits: int
    """Characters to insert, delete or replace."""
    pages: tuple[int, ...]
    """Indices of the images it stands in."""
    support_prob: float | None
    """The judge's probability that the text has it right, in [0, 1]; None when it was not asked or gave no answer."""


@dataclass(frozen=True, slots=True)
class Transcription:
    """What the judge read in the images without seeing the text, and how far the text is from it."""

    text: str
    character_error_rate: float
    """Edits that turn the text into the transcription, per character of the transcription; may exceed 1."""
    word_error_rate: float
    """The same, counted in words."""
    checked_error_rate: float
    """The character error rate without the differences in which the judge, asked again, found the text right."""
    differences: tuple[Difference, ...] = ()
    """In the text's order."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a person can check a verdict against."""

    spans: tuple[Span, ...] = ()
    features: tuple[Feature, ...] = ()
    rationale: str = ""
    areas: tuple[ImageArea, ...] = ()
    claims: tuple[Span, ...] = ()
    """Every claim of the text that was scored, supported or not."""
    corrected: str | None = None
    """The text as the judge would have it; None when it was not asked or had nothing better."""
    transcription: Transcription | None = None


@dataclass(frozen=True, slots=True)
class Preference:
    """Which of several candidate texts the judge prefers."""

    names: tuple[str, ...]
    """The candidates' keys in the task's data, in the task's order."""
    probs: tuple[float, ...]
    """Probability that each is the best, summing to 1."""
    winner: str | None
    """The name of the preferred one; None when the orders of showing them disagree, or it cannot be told."""


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A marked stretch of a text; offsets in code points, the end excluded."""

    start: int
    end: int
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Box:
    """A marked rectangle; all four in percent of the image, from its top left corner."""

    x: float
    y: float
    width: float
    height: float
    label: str
    """Empty where the control draws rectangles without naming them."""
    page: int | None = None
    """Which image of a list it is on, from 0; None where the object shows a single image."""


Value = int | float | str | tuple[str, ...] | tuple[tuple[str, ...], ...] | tuple[TextSpan, ...] | tuple[Box, ...]

Origin = Literal["prediction", "prediction-changed", "manual"]
"""Who made a region, as Label Studio says: the judge's untouched, the judge's edited, a person's."""


@dataclass(frozen=True, slots=True)
class ControlValue:
    """What one control says; the type of `value` follows from the control's tag."""

    control: str
    tag: str
    value: Value
    origin: Origin = "prediction"
    """Of several regions the most human one: `manual` before `prediction-changed` before `prediction`."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A control of the project's own, with what the judge puts into it."""

    value: ControlValue
    prob: float | None
    """The judge's probability of the value, in [0, 1], of several answers the least sure one's; None for what it wrote
    rather than chose."""


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A control of the project's own that stays empty, and why."""

    control: str
    reason: str


FormEntry = Filled | Unfilled


@dataclass(frozen=True, slots=True)
class Flag:
    """Something about a sample that a person should know before trusting its verdict."""

    kind: Literal["instructions", "image-independent", "own-family"]
    """Text that addresses the judge; a verdict that is the same without the image; text by the judge's own family."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All answers of one sample and what follows from them."""

    answers: tuple[Answer, ...]
    """One per criterion of the rubric, in the rubric's order; for a choice between candidates, the comparison's."""
    decision: Decision | None
    """None when too much is unscored for a decision; the rationale says why."""
    decision_probs: Mapping[Decision, float]
    """Probability per decision, summing to 1; empty when there can be none."""
    confidence: float
    """Probability of what was decided, in [0, 1]; 0 when nothing was, so that it is reviewed first."""
    evidence: Evidence
    fingerprint: str
    preference: Preference | None = None
    """Where the sample is a choice between candidates; `decision` is None then."""
    form: tuple[FormEntry, ...] = ()
    """The project's own controls, in the label config's order."""
    flags: tuple[Flag, ...] = ()
    reliance: float | None = None
    """How much the image matters: total variation distance, in [0, 1], between the decisions with and without it."""
    unsettled: bool = False
    """Whether something in it was not answered that may be when asked again: it is not to be kept."""
