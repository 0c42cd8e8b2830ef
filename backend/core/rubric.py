"""Rubrics: what is asked, on which scale, and what an answer means for the decision.

A rubric is a YAML file. Each level of a criterion says in a sentence what it means and which
decision it calls for; the decision on a sample is the strictest that any criterion calls for,
unless a criterion's weight gives it more say, less, or none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails

from backend.core.placed_yaml import read_placed
from backend.core.prompts import YES_NO, quote
from backend.core.types import Decision, Option, Question
from backend.errors import RubricError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Level(_Strict):
    """One step of a scale."""

    value: Annotated[int, Field(ge=0, le=9)]
    """The digit that is answered."""
    means: str
    """What a sample of this level is like, in a sentence; the judge reads it."""
    decision: Decision
    """What it calls for."""


class Criterion(_Strict):
    """One line of the rubric."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Binds it to the control of that name in the label config."""
    title: str
    """What it is called in the judge's reasons."""
    question: str
    """What the judge is asked; its levels follow."""
    levels: Annotated[tuple[Level, ...], Field(min_length=2, max_length=10)]
    """From worst to best."""
    needs: Literal["candidate", "context", "requested"] | None = None
    """The role of a text without which the criterion is not asked."""
    weight: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 1.0
    """How much say it has: 2 counts as if it stood there twice, 0 is asked and shown but decides nothing.

    The exponent on the criterion's share in `verdict.decision_probs`.
    """

    @field_validator("levels")
    @classmethod
    def _ascending(cls, levels: tuple[Level, ...]) -> tuple[Level, ...]:
        values = [level.value for level in levels]
        if values != sorted(set(values)):
            raise ValueError(f"the levels must have different values in ascending order, not {values}")
        return levels


class Checks(_Strict):
    """Wording of the yes/no questions that gather evidence."""

    claim: Annotated[str, Field(pattern=r"\{claim\}")]
    """Whether the image supports one statement of the text."""
    word: Annotated[str, Field(pattern=r"\{word\}")]
    """Whether it supports one word of a doubted statement; may hold `{claim}` too."""
    feature: Annotated[str | None, Field(pattern=r"\{feature\}")] = None
    """Whether a requested feature is there; None asks for it as for a claim."""
    painted: str | None = None
    """Whether writing in the image speaks to the judge; yes leaves the decision to a person. None does not ask."""
    claim_decision: Literal["fix", "reject"] | None = None
    """What a claim that the image does not support calls for; None leaves the decision to the criteria."""
    feature_decision: Literal["fix", "reject"] | None = None
    """What a requested feature that is not there calls for; None leaves the decision to the criteria."""
    skip_words: tuple[str, ...] = ()
    """Words that carry no claim of their own, such as articles, in lower case; they are never asked about."""


class Requests(_Strict):
    """Wording of what the judge is asked to write; None where it is not to be asked."""

    caption: str | None = None
    """A text for the picture, when samples are generated."""
    vqa: str | None = None
    """A question about the picture and its answer, when samples are generated."""
    ocr: str | None = None
    """Everything that stands written in the picture: generated samples, and the blind reading of documents."""
    correct: str | None = None
    """The text as it should be, asked of samples that were found wanting."""
    box: Annotated[str | None, Field(pattern=r"\{claim\}")] = None
    """Where in the picture a claim is decided; answered by a box."""
    claims: str | None = None
    """The text cut into single claims; None cuts it at its punctuation."""


class Comparison(_Strict):
    """Wording of the choice between two texts, which are shown as A and B in both orders."""

    question: str
    """Which of the two is better; answered by A or B."""


class Transcribing(_Strict):
    """What the character error rate between the text and a blind reading of the images calls for, beside the criteria.

    The reading itself is worded in `requests.ocr`.
    """

    fix_above: Annotated[float, Field(ge=0)] = 0.0
    """The largest rate, as a fraction, that calls for nothing; a text with a higher one needs mending."""
    reject_above: Annotated[float, Field(ge=0)] = 0.2
    """The largest rate that is worth mending; not below `fix_above`."""
    question: Annotated[str, Field(pattern=r"\{a\}[\s\S]*\{b\}")] = (
        "One passage of the image was read in two ways.\nA: {a}\nB: {b}\n"
        "Which of the two stands in the image, letter for letter? Answer A or B."
    )
    """Asked where text and reading differ; `{a}` and `{b}` stand for the two versions of the passage."""

    @field_validator("reject_above")
    @classmethod
    def _not_below(cls, reject_above: float, info: ValidationInfo) -> float:
        if reject_above < info.data.get("fix_above", 0.0):
            raise ValueError(f"must not be below fix_above ({info.data['fix_above']})")
        return reject_above


class Rubric(_Strict):
    """The criteria and the rule from answers to a decision."""

    name: str
    """What it is called; part of the judge's fingerprint, as all of the rubric is."""
    instructions: str
    """The system message; empty for none."""
    show_levels: bool = True
    """Whether a question lists its levels; a model trained on one wording does without."""
    answer_form: str = "Answer with one digit only."
    """Said after the levels."""
    only_wording: bool = False
    """Whether the judge it was written for understands no other, so that it serves for every kind of project."""
    max_pixels: Annotated[int, Field(ge=28 * 28)] | None = None
    """Largest area of an image as the model sees it for this kind of sample; None leaves it to the engine."""
    criteria: tuple[Criterion, ...] = ()
    """What is asked; may be empty where texts are compared."""
    checks: Checks
    """The questions about single statements, words and features."""
    requests: Requests = Requests()
    """What the judge is asked to write."""
    comparison: Comparison | None = None
    """For samples with several candidate texts; None judges each by the criteria and compares the results."""
    transcription: Transcribing | None = None
    """For documents; None reads nothing blind."""

    @field_validator("criteria")
    @classmethod
    def _unique(cls, criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        ids = [criterion.id for criterion in criteria]
        if len(ids) != len(set(ids)):
            raise ValueError(f"criteria need different ids, not {ids}")
        if criteria and not any(criterion.weight for criterion in criteria):
            raise ValueError("at least one criterion needs a weight above 0, or nothing is ever decided")
        return criteria

    @field_validator("transcription")
    @classmethod
    def _readable(cls, transcription: Transcribing | None, info: ValidationInfo) -> Transcribing | None:
        requests = info.data.get("requests")
        if transcription is not None and requests is not None and requests.ocr is None:
            raise ValueError("transcription needs requests.ocr, the wording of the blind reading")
        return transcription

    @model_validator(mode="after")
    def _asks_something(self) -> Rubric:
        if not self.criteria and self.comparison is None:
            raise ValueError("a rubric needs criteria, or a comparison for samples with several texts")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON of everything in the rubric, 64 hex digits."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def question(self, criterion: Criterion) -> Question:
        """The criterion as a question whose options are its levels' digits."""
        text = criterion.question
        if self.show_levels:
            scale = "\n".join(f"{level.value} = {level.means}" for level in reversed(criterion.levels))
            text = f"{text}\n{scale}\n{self.answer_form}"
        return Question(
            criterion.id, text, tuple(Option(str(level.value), str(level.value)) for level in criterion.levels)
        )

    def feature_question(self, number: int, feature: str) -> Question:
        """Whether the image shows a requested feature."""
        template = self.checks.feature or self.checks.claim.replace("{claim}", "{feature}")
        return Question(f"feature:{number}", template.replace("{feature}", quote(feature)), YES_NO)


def parse_rubric(text: str, source: str) -> Rubric:
    """Read a rubric from YAML text; `source` names it in errors. Raises RubricError with every line that is wrong."""
    try:
        placed = read_placed(text)
    except ValueError as exc:
        raise RubricError(f"{source} is not valid YAML: {exc}") from exc
    if not isinstance(placed.data, dict):
        raise RubricError(f"{source} must hold the fields of a rubric, such as name, instructions and criteria")
    try:
        return Rubric.model_validate(placed.data)
    except ValidationError as exc:
        found = sorted((placed.line_of(error["loc"]), _reason(error)) for error in innermost(exc.errors()))
        reasons = "".join(f"\n  line {line}: {reason}" for line, reason in found)
        raise RubricError(f"{source} is not a valid rubric:{reasons}") from exc


def innermost(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow from one within them, such as a list too short for want of a valid entry."""
    places = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if not any(len(place) > len(error["loc"]) and place[: len(error["loc"])] == error["loc"] for place in places)
    ]


def _reason(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    said = error["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said


def load_rubric(path: Path) -> Rubric:
    """Read a rubric from a YAML file. Raises RubricError if it cannot be read or is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise RubricError(f"cannot read the rubric {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise RubricError(f"the rubric {path} is not UTF-8 text; save it as UTF-8") from exc
    return parse_rubric(text, str(path))
