"""Many tasks in, their outcomes out as they come, with a bounded number of them in hand at a time."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from backend.core.judging import Judging
from backend.core.types import Verdict
from backend.service import Failure, JudgeService, Prepared
from backend.worker import Result, Worker

log = logging.getLogger(__name__)

IN_HAND = 32
"""Tasks whose images are fetched or that wait for the engine, per caller, unless two batches are more: enough to fill
batches, few enough that memory is bounded."""

_GLANCE_S = 0.5
"""How soon a deadline is seen that was brought forward."""
_ROOM_S = 0.05
"""How soon room in the worker's queue is seen."""

ASK_AGAIN = "a part of it could not be answered for now"

Task = Mapping[str, Any]


class Stop(Protocol):
    """Says whether to stop; a `threading.Event` does."""

    def is_set(self) -> bool:
        """Whether to stop."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task."""

    task: Task
    result: Result | None
    """None when it has not been judged by the deadline; it may be all the same, a moment later."""


class Deadline:
    """When to stop waiting: after some seconds of the steady clock, or as soon as it is said to."""

    def __init__(self, seconds: float | None = None, stop: Stop | None = None) -> None:
        """Without seconds there is no end but `stop`."""
        self._until_s = None if seconds is None else time.monotonic() + seconds
        self._stop = stop

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be begun or waited for."""
        return (self._stop is not None and self._stop.is_set()) or self.left_s <= 0

    @property
    def left_s(self) -> float:
        """How long until then; infinite where there is no end but being told."""
        return float("inf") if self._until_s is None else max(0.0, self._until_s - time.monotonic())


def judge_tasks(
    service: JudgeService,
    worker: Worker,
    tasks: Iterable[Task],
    judging: Judging,
    *,
    deadline: Deadline | None = None,
    in_hand: int | None = None,
    look_up: bool = True,
) -> Iterator[Outcome]:
    """The outcome of every task, the first that is known first; `tasks` is read on only as far as there is room.

    What is not known at the deadline has none, and nothing more is begun then. A verdict that lacks something which
    may be answered when asked again is a transient Failure here, and so is whatever goes wrong unforeseen. `in_hand`
    are the most tasks that are fetched or wait for the engine; without it two batches, or `IN_HAND` where that is more.
    With `look_up` each task is looked up in the store by itself, so that what is known does not wait behind what is
    not; without, only the worker looks, for a whole batch at once, which is cheaper where nobody waits for one task.
    """
    hand = _Hand(service, worker, judging, look_up)
    deadline = deadline or Deadline()
    source = iter(tasks)
    more = True
    try:
        while True:
            most = in_hand or max(IN_HAND, 2 * worker.batch_size)
            while more and hand.has_room(most) and not deadline.is_over:
                task = next(source, None)
                more = task is not None
                if task is not None:
                    hand.take(task)
            if deadline.is_over or not hand.held:
                break
            if (outcome := hand.next(min(_GLANCE_S, deadline.left_s))) is not None:
                yield outcome
        yield from (Outcome(task, None) for task in hand.held.values())
        if more:
            yield from (Outcome(task, None) for task in source)
    finally:
        hand.let_go()


class _Hand:
    """The tasks that one caller has in hand; only its images are fetched in other threads."""

    def __init__(self, service: JudgeService, worker: Worker, judging: Judging, look_up: bool) -> None:
        self._service = service
        self._look_up = look_up
        self._worker = worker
        self._judging = judging
        self._done: SimpleQueue[tuple[int, Future[Any]]] = SimpleQueue()
        self._fetching: set[Future[Any]] = set()
        self._parked: deque[tuple[int, Prepared]] = deque()
        """Samples for which there was no room in the worker's queue."""
        self._taken = 0
        self.held: dict[int, Task] = {}

    def has_room(self, most: int) -> bool:
        return len(self.held) < most and not self._parked

    def take(self, task: Task) -> None:
        self._taken += 1
        self.held[self._taken] = task
        fetch = _fetch if self._look_up else JudgeService.prepare_one
        fetched = self._service.fetchers.submit(fetch, self._service, task, self._judging)
        self._fetching.add(fetched)
        self._tell(self._taken, fetched)

    def next(self, timeout_s: float) -> Outcome | None:
        """The next outcome, if there is one in time."""
        self._put_parked()
        try:
            number, future = self._done.get(timeout=min(timeout_s, _ROOM_S) if self._parked else timeout_s)
        except Empty:
            return None
        was_fetched = future in self._fetching
        self._fetching.discard(future)
        if future.cancelled():  # the worker stops
            return Outcome(self.held.pop(number), None)
        if (error := future.exception()) is not None:
            task = self.held.pop(number)
            return Outcome(task, _unforeseen(task, error))
        found = future.result()
        if isinstance(found, Prepared):
            self._parked.append((number, found))
            self._put_parked()
            return None
        if was_fetched and isinstance(found, Verdict):
            self._worker.vitals.recalled()
        task = self.held.pop(number)
        return Outcome(task, _named(task, found))

    def let_go(self) -> None:
        """Begin nothing more; what the worker has is judged all the same, and kept."""
        for fetched in self._fetching:
            fetched.cancel()
        self._parked.clear()

    def _put_parked(self) -> None:
        while self._parked:
            number, prepared = self._parked[0]
            judged = self._worker.offer(prepared, lane=self)
            if judged is None:
                return
            self._parked.popleft()
            self._tell(number, judged)

    def _tell(self, number: int, future: Future[Any]) -> None:
        future.add_done_callback(lambda done: self._done.put((number, done)))


def _fetch(service: JudgeService, task: Task, judging: Judging) -> Result | Prepared:
    """In a fetcher's thread: the task with its images, or its verdict where that is in the store."""
    prepared = service.prepare_one(task, judging)
    if not isinstance(prepared, Prepared):
        return prepared
    known = service.known([prepared])
    return known.get(prepared.key, prepared)


def _named(task: Task, result: Result) -> Result:
    name = _name(task)
    if isinstance(result, Failure):  # of another task, where several show the same
        reason = result.reason.replace(f"task {result.task}:", f"task {name}:", 1)
        return result if result.task == name else Failure(name, reason, result.transient)
    if result.unsettled:
        return Failure(name, f"task {name}: {ASK_AGAIN}", transient=True)
    return result


def _unforeseen(task: Task, error: BaseException) -> Failure:
    name = _name(task)
    log.error("task %s failed", name, exc_info=error, extra={"task": name})
    return Failure(name, f"task {name}: {type(error).__name__}; the log has the details", transient=True)


def _name(task: Task) -> str:
    return str(task.get("id", "without id"))
