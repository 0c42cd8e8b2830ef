"""Runs the conversations of many samples at once: every round's steps go to the engine in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from backend.core.flow import Ask, Flow, Step, Write
from backend.core.prompts import render_fields
from backend.core.rubric import Rubric
from backend.core.types import Answer, Reply, Unscored, Unwritten
from backend.engines.base import Engine, JudgeRequest, Passage, WriteRequest

if TYPE_CHECKING:
    from PIL import Image

Result = TypeVar("Result")

GREY = (128, 128, 128)
"""What is shown instead of an image, to see how much the image matters."""


@dataclass(frozen=True, slots=True)
class Pictured:
    """What a flow's steps are shown with."""

    images: tuple[Image.Image, ...]
    rubric: Rubric
    passages: tuple[Passage, ...] = ()
    """What stands before it in every question; nothing is written from it."""


@dataclass(frozen=True, slots=True)
class Ran(Generic[Result]):
    """How a flow ended."""

    result: Result
    settled: bool
    """False when something was not answered that may be when asked again."""


def run_flows(engine: Engine, flows: Sequence[Flow[Result]], pictured: Sequence[Pictured]) -> list[Ran[Result]]:
    """Run every flow to its end, in order. Raises EngineError.

    Flows advance in step: a round asks the engine once for the answers and once for the texts of all of them.
    """
    results: dict[int, Result] = {}
    unsettled: set[int] = set()
    steps: dict[int, tuple[Step, ...]] = {}
    for index, flow in enumerate(flows):
        _advance(flow, None, index, steps, results)
    while steps:
        replies = _round(engine, steps, pictured)
        steps = {}
        unsettled |= {index for index, received in replies.items() if any(map(_transient, received))}
        for index, received in replies.items():
            _advance(flows[index], received, index, steps, results)
    return [Ran(results[index], index not in unsettled) for index in range(len(flows))]


def _transient(received: tuple[Answer, ...] | Reply) -> bool:
    replies = received if isinstance(received, tuple) else (received,)
    return any(isinstance(reply, Unscored | Unwritten) and reply.transient for reply in replies)


def _advance(
    flow: Flow[Result],
    received: tuple[Any, ...] | None,
    index: int,
    steps: dict[int, tuple[Step, ...]],
    results: dict[int, Result],
) -> None:
    try:
        steps[index] = next(flow) if received is None else flow.send(received)
    except StopIteration as stop:
        results[index] = stop.value


def _round(
    engine: Engine, steps: dict[int, tuple[Step, ...]], pictured: Sequence[Pictured]
) -> dict[int, tuple[Any, ...]]:
    asks = [
        (index, place, step) for index, row in steps.items() for place, step in enumerate(row) if isinstance(step, Ask)
    ]
    writes = [
        (index, place, step)
        for index, row in steps.items()
        for place, step in enumerate(row)
        if isinstance(step, Write)
    ]
    replies: dict[int, list[Any]] = {index: [()] * len(row) for index, row in steps.items()}
    needed = [item for item in asks if item[2].questions]
    if needed:
        answered = engine.answer([_judge_request(step, pictured[index]) for index, _, step in needed])
        for (index, place, _), answers in zip(needed, answered, strict=True):
            replies[index][place] = answers
    if writes:
        written = engine.write([_write_request(step, pictured[index]) for index, _, step in writes])
        for (index, place, _), reply in zip(writes, written, strict=True):
            replies[index][place] = reply
    return {index: tuple(row) for index, row in replies.items()}


def _judge_request(step: Ask, shown: Pictured) -> JudgeRequest:
    images = _images(step.images, shown)
    if step.blank:
        images = tuple(blank(image) for image in images)
    return JudgeRequest(
        images,
        shown.rubric.instructions,
        render_fields(step.texts),
        step.questions,
        shown.rubric.max_pixels,
        shown.passages,
    )


def _write_request(step: Write, shown: Pictured) -> WriteRequest:
    return WriteRequest(
        _images(step.images, shown),
        shown.rubric.instructions,
        render_fields(step.texts),
        step.writing,
        max_pixels=shown.rubric.max_pixels,
    )


def _images(chosen: tuple[int, ...] | None, shown: Pictured) -> tuple[Image.Image, ...]:
    return shown.images if chosen is None else tuple(shown.images[index] for index in chosen)


def blank(image: Image.Image) -> Image.Image:
    """A grey image of the same size."""
    from PIL import Image as pil

    return pil.new("RGB", image.size, GREY)
