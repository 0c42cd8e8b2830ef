"""An engine that says what it is told: for tests, and for trying out a set-up without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from backend.core.rubric import Rubric
from backend.core.types import Answer, Question, Scored
from backend.engines.base import EngineIdentity, JudgeRequest
from backend.engines.rubrics import default_rubric

Script = Callable[[JudgeRequest, Question], Answer]


def by_hash(request: JudgeRequest, question: Question) -> Answer:
    """Probabilities that follow from a hash of the texts and the question: stable, varied, and without meaning."""
    digest = hashlib.sha256(f"{request.fields}|{question.text}".encode()).digest()
    weights = [1 + digest[index] for index, _ in enumerate(question.options)]
    return Scored(question, tuple(weight / sum(weights) for weight in weights), 1.0)


class ScriptedEngine:
    """Answers every question by a function, and remembers what it was asked."""

    def __init__(self, script: Script = by_hash, rubric: Rubric | None = None) -> None:
        self._script = script
        self._rubric = rubric
        self.asked: list[JudgeRequest] = []

    @property
    def identity(self) -> EngineIdentity:
        """Named after the function, so that another script is another fingerprint."""
        return EngineIdentity("scripted", {"script": getattr(self._script, "__qualname__", "script")})

    @property
    def default_rubric(self) -> Rubric:
        """The rubric it was made with, or the product's default."""
        return self._rubric or default_rubric()

    def load(self) -> None:
        """Nothing to load."""

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        """The script's answers."""
        self.asked += requests
        return [tuple(self._script(request, question) for question in request.questions) for request in requests]
