"""Rubrics: what is asked, on which scale, and what an answer means for the decision.

A rubric is a YAML file. Each level of a criterion says in a sentence what it means and which
decision it calls for; the decision on a sample is the strictest that any criterion calls for.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backend.core.types import Decision, Option, Question
from backend.errors import RubricError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Level(_Strict):
    """One step of a scale."""

    value: Annotated[int, Field(ge=0, le=9)]
    means: str
    decision: Decision


class Criterion(_Strict):
    """One line of the rubric."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Binds it to the control of that name in the label config."""
    title: str
    question: str
    levels: Annotated[tuple[Level, ...], Field(min_length=2, max_length=10)]
    """From worst to best."""
    needs: str | None = None
    """A text role without which the criterion is not asked, e.g. `requested`."""

    @model_validator(mode="after")
    def _ascending(self) -> Criterion:
        values = [level.value for level in self.levels]
        if values != sorted(set(values)):
            raise ValueError(f"the levels of {self.id} must have different values in ascending order, not {values}")
        return self


class Checks(_Strict):
    """Wording of the yes/no questions that gather evidence."""

    claim: Annotated[str, Field(pattern=r"\{claim\}")]
    word: Annotated[str, Field(pattern=r"\{word\}")]
    claim_decision: Literal["fix", "reject"] | None = None
    """What a claim that the image does not support calls for; None leaves the decision to the criteria."""
    feature_decision: Literal["fix", "reject"] | None = None
    """What a requested feature that is not there calls for; None leaves the decision to the criteria."""
    skip_words: tuple[str, ...] = ()
    """Words that carry no claim of their own, such as articles, in lower case; they are never asked about."""


class Rubric(_Strict):
    """The criteria and the rule from answers to a decision."""

    name: str
    instructions: str
    """The system message; empty for none."""
    show_levels: bool = True
    """Whether a question lists its levels; a model trained on one wording does without."""
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)]
    checks: Checks

    @model_validator(mode="after")
    def _unique(self) -> Rubric:
        ids = [criterion.id for criterion in self.criteria]
        if len(ids) != len(set(ids)):
            raise ValueError(f"criteria need different ids, not {ids}")
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
            text = f"{text}\n{scale}\nAnswer with one digit only."
        return Question(
            criterion.id, text, tuple(Option(str(level.value), str(level.value)) for level in criterion.levels)
        )


def parse_rubric(text: str, source: str) -> Rubric:
    """Read a rubric from YAML text; `source` names it in errors. Raises RubricError saying where and why."""
    try:
        data: Any = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise RubricError(f"{source} is not valid YAML: {exc}") from exc
    if not isinstance(data, dict):
        raise RubricError(f"{source} must hold the fields of a rubric, such as name, instructions and criteria")
    try:
        return Rubric.model_validate(data)
    except ValidationError as exc:
        reasons = "; ".join(
            f"{'.'.join(str(part) for part in error['loc']) or 'rubric'}: {error['msg']}" for error in exc.errors()
        )
        raise RubricError(f"{source} is not a valid rubric: {reasons}") from exc


def load_rubric(path: Path) -> Rubric:
    """Read a rubric from a YAML file. Raises RubricError if it cannot be read or is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise RubricError(f"cannot read the rubric {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise RubricError(f"the rubric {path} is not UTF-8 text; save it as UTF-8") from exc
    return parse_rubric(text, str(path))
