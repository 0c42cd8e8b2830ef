"""An engine that says what it is told: for tests, and for trying out a set-up without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from backend.core.prompts import PAINTED
from backend.core.rubric import Rubric
from backend.core.types import Answer, Question, Reply, Scored, Unwritten
from backend.engines.base import EngineIdentity, JudgeRequest, WriteRequest
from backend.engines.rubrics import default_rubric

Script = Callable[[JudgeRequest, Question], Answer]
Author = Callable[[WriteRequest], Reply]


def by_hash(request: JudgeRequest, question: Question) -> Answer:
    """Probabilities that follow from a hash of the texts and the question: stable, varied, and without meaning.

    Only that something in the image speaks to the judge is never said: it would leave half of all samples undecided.
    """
    if question.id == PAINTED:
        return Scored(question, (0.0, 1.0), 1.0)
    digest = hashlib.sha256(f"{request.fields}|{question.text}".encode()).digest()
    weights = [1 + digest[index] for index, _ in enumerate(question.options)]
    return Scored(question, tuple(weight / sum(weights) for weight in weights), 1.0)


def nothing(request: WriteRequest) -> Reply:
    """Leaves everything unwritten."""
    return Unwritten(request.writing, "the scripted engine was given nothing to write")


class ScriptedEngine:
    """Answers every question and writes every reply by a function."""

    def __init__(
        self,
        script: Script = by_hash,
        rubric: Rubric | None = None,
        author: Author = nothing,
        *,
        remembered: int = 10_000,
    ) -> None:
        """So many of the last requests stay in `asked` and `wrote`, with their pictures."""
        self._script = script
        self._author = author
        self._rubric = rubric
        self._remembered = remembered
        self.asked: list[JudgeRequest] = []
        self.wrote: list[WriteRequest] = []

    @property
    def identity(self) -> EngineIdentity:
        """Named after the function, so that another script is another fingerprint."""
        script, author = (getattr(given, "__qualname__", "script") for given in (self._script, self._author))
        return EngineIdentity("scripted", {"script": script, "author": author})

    @property
    def default_rubric(self) -> Rubric:
        """The rubric it was made with, or the product's default."""
        return self._rubric or default_rubric()

    def load(self) -> None:
        """Nothing to load."""

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        """The script's answers."""
        self.asked += requests
        del self.asked[: max(0, len(self.asked) - self._remembered)]
        return [tuple(self._script(request, question) for question in request.questions) for request in requests]

    def write(self, requests: Sequence[WriteRequest]) -> list[Reply]:
        """The author's replies."""
        self.wrote += requests
        del self.wrote[: max(0, len(self.wrote) - self._remembered)]
        return [self._author(request) for request in requests]
