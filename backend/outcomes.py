"""Many tasks in, their outcomes out in order, with a bounded number of them in hand at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, TypeVar

from backend.core.judging import Judging
from backend.core.types import Verdict
from backend.service import Failure, JudgeService, Prepared
from backend.worker import Worker

IN_HAND = 32
"""Tasks whose images are fetched or that wait for the engine, per request: enough to fill batches, few enough that
many requests take turns and memory is bounded."""

_GLANCE_S = 0.5
"""How soon a deadline is seen that was brought forward."""

ASK_AGAIN = "a part of it could not be answered for now"

Value = TypeVar("Value")
Result = Verdict | Failure
Task = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task."""

    task: Task
    result: Result | None
    """None when it has not been judged by the deadline; it may be all the same, a moment later."""


class Deadline:
    """When to stop waiting: after some seconds of the steady clock, or as soon as an event is set."""

    def __init__(self, seconds: float | None = None, stop: threading.Event | None = None) -> None:
        """Without seconds there is no end but the event."""
        self._until_s = None if seconds is None else time.monotonic() + seconds
        self._stop = stop or threading.Event()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be begun or waited for."""
        return self._stop.is_set() or (self._until_s is not None and time.monotonic() >= self._until_s)

    @property
    def left_s(self) -> float:
        """How long until then; infinite where there is no end but the event."""
        return float("inf") if self._until_s is None else max(0.0, self._until_s - time.monotonic())

    def result(self, future: Future[Value]) -> Value:
        """What the future gives. Raises TimeoutError at the deadline, CancelledError when it was called off."""
        while not self.is_over:
            try:
                return future.result(min(_GLANCE_S, self.left_s))
            except TimeoutError:
                if future.done():  # the error is the future's own
                    raise
        return future.result(0)


def judge_tasks(
    service: JudgeService,
    worker: Worker,
    tasks: Iterable[Task],
    judging: Judging,
    *,
    deadline: Deadline | None = None,
    in_hand: int = IN_HAND,
) -> Iterator[Outcome]:
    """The outcome of every task, in order; `tasks` is read on only as far as there is room.

    A verdict that lacks something which may be answered when asked again is a transient Failure here.
    """
    deadline = deadline or Deadline()
    held: deque[tuple[Task, Future[Result | Future[Result]]]] = deque()
    for task in tasks:
        if deadline.is_over:
            yield from _drain(held, deadline)
            yield Outcome(task, None)
            continue
        held.append((task, service.fetchers.submit(_begin, service, worker, task, judging)))
        if len(held) >= in_hand:
            yield _finish(*held.popleft(), deadline)
    yield from _drain(held, deadline)


def _drain(held: deque[tuple[Task, Future[Result | Future[Result]]]], deadline: Deadline) -> Iterator[Outcome]:
    while held:
        yield _finish(*held.popleft(), deadline)


def _begin(service: JudgeService, worker: Worker, task: Task, judging: Judging) -> Result | Future[Result]:
    """In a fetcher's thread: the task's images, then its verdict from the store, or a place in the worker's queue."""
    prepared = service.prepare_one(task, judging)
    if not isinstance(prepared, Prepared):
        return prepared
    known = service.known([prepared])
    return known[prepared.key] if prepared.key in known else worker.submit(prepared)


def _finish(task: Task, begun: Future[Result | Future[Result]], deadline: Deadline) -> Outcome:
    try:
        result = deadline.result(begun)
        if isinstance(result, Future):
            result = deadline.result(result)
    except (TimeoutError, CancelledError):
        begun.cancel()
        return Outcome(task, None)
    return Outcome(task, _named(task, result))


def _named(task: Task, result: Result) -> Result:
    name = str(task.get("id", "without id"))
    if isinstance(result, Failure):
        return result if result.task == name else Failure(name, result.reason, result.transient)
    if result.unsettled:
        return Failure(name, f"task {name}: {ASK_AGAIN}", transient=True)
    return result
