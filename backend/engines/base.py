"""The seam between the judge and whatever runs the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from backend.core.rubric import Rubric
from backend.core.types import Answer, Question, Reply, Writing

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of the prompt that stands before the sample, the same for many of them."""

    images: tuple[Image.Image, ...]
    text: str
    """What stands behind its images, rendered and neutralised."""


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One sample as a model takes it, and what to ask about it."""

    images: tuple[Image.Image, ...]
    instructions: str
    """The system message; empty for none."""
    fields: str
    """The sample's texts, rendered and neutralised."""
    questions: tuple[Question, ...]
    max_pixels: int | None = None
    """Largest area of an image as the model sees it; None is the engine's own."""
    passages: tuple[Passage, ...] = ()
    """What stands before the sample's own images, in the same turn of the conversation; usually nothing."""


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One sample as a model takes it, and what to write about it."""

    images: tuple[Image.Image, ...]
    instructions: str
    """The system message; empty for none."""
    fields: str
    """The sample's texts, rendered and neutralised; empty when there are none yet."""
    writing: Writing
    temperature: float = 0.0
    """0 writes what is likeliest; above it, replies vary with `seed`."""
    seed: int = 0
    max_pixels: int | None = None
    """As in `JudgeRequest`."""


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """What decides an engine's answers; part of the fingerprint, known without loading anything."""

    name: str
    """Short, for people: starts the fingerprint."""
    details: Mapping[str, str]
    """Model, revision or content hash, precision, processor size, library versions."""


class Engine(Protocol):
    """Answers questions about samples and writes about them. Owned by one thread, which calls `load` first."""

    @property
    def identity(self) -> EngineIdentity:
        """Available before `load`."""

    @property
    def default_rubric(self) -> Rubric:
        """The rubric this engine is asked with when the user chose none."""

    def load(self) -> None:
        """Get ready to answer; nothing to do when it was done before.

        Raises EngineError saying what is missing, after which it may be called again, or EngineDead.
        """

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        """One tuple per request, one answer per question, in order. Raises EngineError."""

    def write(self, requests: Sequence[WriteRequest]) -> list[Reply]:
        """One reply per request, in order; each fits its schema or says why there is none. Raises EngineError."""
