"""The seam between the judge and whatever runs the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from backend.core.rubric import Rubric
from backend.core.types import Answer, Question

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One sample as a model takes it, and what to ask about it."""

    images: tuple[Image.Image, ...]
    instructions: str
    """The system message; empty for none."""
    fields: str
    """The sample's texts, rendered and neutralised."""
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """What decides an engine's answers; part of the fingerprint, known without loading anything."""

    name: str
    """Short, for people: starts the fingerprint."""
    details: Mapping[str, str]
    """Model, revision or content hash, precision, processor size, library versions."""


class Engine(Protocol):
    """Answers questions about samples. Owned by one thread; `load` is called once, in that thread."""

    @property
    def identity(self) -> EngineIdentity:
        """Available before `load`."""

    @property
    def default_rubric(self) -> Rubric:
        """The rubric this engine is asked with when the user chose none."""

    def load(self) -> None:
        """Get ready to answer. Raises EngineError saying what is missing."""

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        """One tuple per request, one answer per question, in order."""
