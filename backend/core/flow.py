"""Judging as a conversation: a flow says what it wants asked or written, is sent the replies, and ends in a result.

A flow is a generator and knows nothing of models. Whoever runs flows gathers the steps of many samples into batches, so
that a question that came up late costs no more than one that was known from the start.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from backend.core.types import Answer, Question, Reply, TextField, Writing


@dataclass(frozen=True, slots=True)
class Ask:
    """Questions about a sample, all of them behind one reading of its images and texts."""

    questions: tuple[Question, ...]
    texts: tuple[TextField, ...]
    """The texts as they are shown, in this order."""
    images: tuple[int, ...] | None = None
    """Which of the sample's images are shown, by index; None shows all."""
    blank: bool = False
    """Whether grey pictures of the same size are shown instead."""


@dataclass(frozen=True, slots=True)
class Write:
    """Something to be written about a sample."""

    writing: Writing
    texts: tuple[TextField, ...]
    images: tuple[int, ...] | None = None
    """As in `Ask`."""


Step = Ask | Write
Result = TypeVar("Result")
Flow = Generator[tuple[Step, ...], tuple[Any, ...], Result]
"""Yields steps; is sent one tuple of answers per Ask and one reply per Write, in order; returns the result."""


def ask(*steps: Ask) -> Flow[tuple[tuple[Answer, ...], ...]]:
    """Put the questions of all steps in one round; one tuple of answers per step."""
    answers: tuple[tuple[Answer, ...], ...] = (yield steps) if steps else ()
    return answers


def write(*steps: Write) -> Flow[tuple[Reply, ...]]:
    """Have all of it written in one round; one reply per step."""
    replies: tuple[Reply, ...] = (yield steps) if steps else ()
    return replies


def together(flows: Sequence[Flow[Result]]) -> Flow[tuple[Result, ...]]:
    """Several flows as one, with their results in order: every round holds the steps of all that go on."""
    results: dict[int, Result] = {}
    waiting: dict[int, tuple[Step, ...]] = {}

    def advance(index: int, received: tuple[Any, ...] | None) -> None:
        try:
            waiting[index] = next(flows[index]) if received is None else flows[index].send(received)
        except StopIteration as stop:
            results[index] = stop.value

    for index in range(len(flows)):
        advance(index, None)
    while waiting:
        asked, waiting = waiting, {}
        replies = iter((yield tuple(step for steps in asked.values() for step in steps)))
        for index, steps in asked.items():
            advance(index, tuple(next(replies) for _ in steps))
    return tuple(results[index] for index in range(len(flows)))


def by_id(answers: Sequence[Answer]) -> dict[str, Answer]:
    """The answers by the id of their question."""
    return {answer.question.id: answer for answer in answers}
