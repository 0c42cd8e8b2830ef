"""The one thread that owns the engine: takes prepared samples from a bounded queue and judges them in batches."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from backend.core.types import Verdict
from backend.errors import EngineDead, EngineError
from backend.service import Failure, JudgeService, Prepared
from backend.vitals import VitalSigns

log = logging.getLogger(__name__)

MAX_WAITING_BYTES = 2**30
"""Of decoded pictures in the queue."""
FIRST_BATCH, LARGEST_BATCH = 8, 256
"""Samples, where the worker is not told how many."""
BATCH_S = 2.0
"""How long a batch should take, about."""
RELOAD_S = 30.0
"""An engine that could not be loaded is tried again after this."""
_PIXEL_BYTES = 4
"""What Pillow needs for one in RGB."""
STOP_S = 30.0
"""How long a batch at hand may take when the worker stops."""

Result = Verdict | Failure


@dataclass(frozen=True, slots=True)
class Job:
    """A sample and where its verdict goes."""

    prepared: Prepared
    done: Future[Result]

    @property
    def size_bytes(self) -> int:
        """Memory of its pictures."""
        return sum(image.width * image.height * _PIXEL_BYTES for image in self.prepared.images)


@dataclass(slots=True)
class Pace:
    """How many samples make a batch: enough to fill a GPU, or several servers, and few enough to be done soon.

    Who asks for one sample waits behind a batch at most.
    """

    batch_size: int
    is_fixed: bool = False

    def took(self, samples: int, seconds: float) -> None:
        """Learn from a batch: twice as many when a full one was done soon, half as many when it took long."""
        if self.is_fixed:
            return
        if seconds > 2 * BATCH_S:
            self.batch_size = max(FIRST_BATCH, self.batch_size // 2)
        elif samples >= self.batch_size and seconds < BATCH_S / 2:
            self.batch_size = min(LARGEST_BATCH, 2 * self.batch_size)


class Worker:
    """Judges in a thread of its own, which loads the engine first. Safe to use from several threads."""

    def __init__(
        self,
        service: JudgeService,
        batch_size: int | None = None,
        vitals: VitalSigns | None = None,
        *,
        on_dead: Callable[[], None] = lambda: None,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """`on_dead` is called when the engine can never answer again in this process.

        Without a batch size the worker finds one: as many as the engine judges in about two seconds.
        """
        self._service = service
        self._pace = Pace(batch_size or FIRST_BATCH, is_fixed=batch_size is not None)
        self.vitals = vitals or VitalSigns()
        self._on_dead = on_dead
        self._max_waiting_bytes = max_waiting_bytes
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._loaded = threading.Event()
        self._tried_s: float | None = None
        """When loading failed last, on the steady clock."""
        self._changed = threading.Condition()
        """Guards all below, and is told of every change."""
        self._lanes: OrderedDict[object, deque[Job]] = OrderedDict()
        """What waits, by who put it in; each lane's first is taken in turn."""
        self._waiting = 0
        self._waiting_bytes = 0
        self._open: dict[str, Future[Result]] = {}
        """Futures of samples that are waiting or being judged, by content key."""
        self._stopping = False
        self.failure: str | None = None
        """Why the engine cannot answer, or None."""
        self.is_dead = False
        """Whether it never will in this process."""

    def start(self) -> None:
        """Start the thread; the engine begins to load."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand, let the others go, and wait for the thread."""
        with self._changed:
            self._stopping = True
            dropped = [job for lane in self._lanes.values() for job in lane]
            self._lanes.clear()
            self._waiting = self._waiting_bytes = 0
            self._changed.notify_all()
        for job in dropped:
            job.done.cancel()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_S)

    @property
    def ready(self) -> bool:
        """Whether the engine is loaded."""
        return self._loaded.is_set()

    def wait_until_loaded(self) -> None:
        """Wait until the engine is loaded, or could not be: then `failure` says why."""
        self._loaded.wait()

    @property
    def batch_size(self) -> int:
        """Samples that the engine is given at once, at most."""
        return self._pace.batch_size

    @property
    def waiting(self) -> int:
        """Samples in the queue."""
        return self._waiting

    @property
    def waiting_bytes(self) -> int:
        """Memory of the pictures in the queue."""
        return self._waiting_bytes

    def offer(self, sample: Prepared, lane: object = None) -> Future[Result] | None:
        """The sample's future, or None where the queue has no room just now. Cancelled when the worker stops.

        Lanes take turns, so that a caller with few samples does not wait behind all of one with many. A sample whose
        content is waiting or being judged already shares that one's future.
        """
        job = Job(sample, Future())
        key = sample.key  # all that the future holds on to: the pictures go when they have been judged
        with self._changed:
            if key in self._open:
                return self._open[key]
            if self._stopping:
                job.done.cancel()
                return job.done
            if self._waiting and self._waiting_bytes + job.size_bytes > self._max_waiting_bytes:
                return None
            self._open[key] = job.done
            self._lanes.setdefault(lane, deque()).append(job)
            self._waiting += 1
            self._waiting_bytes += job.size_bytes
            self._changed.notify_all()
        job.done.add_done_callback(lambda _: self._close(key))
        return job.done

    def _close(self, key: str) -> None:
        with self._changed:
            self._open.pop(key, None)

    def _run(self) -> None:
        """Load, then judge until told to stop, whatever is thrown at this thread."""
        self._guarded_load()
        while batch := self._take():
            try:
                self._judge(batch)
            except BaseException as exc:  # even SystemExit, from some library: this thread is not to end by it
                log.exception("the worker was thrown out of a batch and goes on")
                _fail(batch, f"the judge was broken off ({type(exc).__name__}); the backend's log has the details")
            batch.clear()  # and with it the pictures

    def _take(self) -> list[Job]:
        """Wait for a job, then take what else is there up to a batch; empty when it is time to stop."""
        while True:
            with self._changed:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return []
                taken = [self._pop() for _ in range(min(self._pace.batch_size, self._waiting))]
            if batch := [job for job in taken if job.done.set_running_or_notify_cancel()]:
                return batch

    def _pop(self) -> Job:
        """The first job of the lane whose turn it is."""
        lane, jobs = self._lanes.popitem(last=False)
        job = jobs.popleft()
        if jobs:
            self._lanes[lane] = jobs
        self._waiting -= 1
        self._waiting_bytes -= job.size_bytes
        return job

    def _judge(self, batch: list[Job]) -> None:
        if self.failure is not None:
            self._try_to_load()
        if self.failure is not None:
            _fail(batch, self.failure)
            return
        todo = self._answer_known(batch)
        if not todo:
            return
        began_s = time.monotonic()
        try:
            results = self._service.judge_each([job.prepared for job in todo])
        except EngineDead as exc:
            self._die(exc)
            _fail(todo, str(exc))
        except Exception as exc:
            log.exception("judging failed")
            if len(todo) > 1:  # one by one, so that what is wrong with one sample fails that one alone
                for job in todo:
                    self._judge([job])
                return
            _fail(todo, f"the judge failed ({type(exc).__name__}); the backend's log has the details")
        else:
            self._pace.took(len(todo), time.monotonic() - began_s)
            self.vitals.judged(sum(not isinstance(result, Failure) for result in results))
            for job, result in zip(todo, results, strict=True):
                job.done.set_result(result)

    def _answer_known(self, batch: list[Job]) -> list[Job]:
        """Give those their verdict that another backend has judged while they waited; the others."""
        known = self._service.known([job.prepared for job in batch])
        for job in batch:
            if job.prepared.key in known:
                job.done.set_result(known[job.prepared.key])
        return [job for job in batch if not job.done.done()]

    def _die(self, why: EngineDead) -> None:
        """Have the process end, so that its supervisor starts another."""
        self.is_dead = True
        self.failure = str(why)
        log.critical("the engine is dead, and this process ends: %s", why)
        self._on_dead()

    def _guarded_load(self) -> None:
        """The first load, whatever is thrown at it."""
        try:
            self._try_to_load()
        except BaseException as exc:
            log.exception("the worker was thrown out of loading the engine, and goes on")
            self.failure = f"the engine cannot be loaded: {type(exc).__name__}: {exc}"
            self._tried_s = time.monotonic()
        finally:
            self._loaded.set()

    def _try_to_load(self) -> None:
        """Load the engine unless it is dead or that failed a moment ago; `failure` says how it went."""
        now_s = time.monotonic()
        if self.is_dead or (self._tried_s is not None and now_s - self._tried_s < RELOAD_S):
            return
        try:
            self._service.engine.load()
        except EngineDead as exc:
            self._die(exc)
        except EngineError as exc:
            self.failure = str(exc)
            log.error("the engine cannot be loaded: %s", exc)
        except Exception as exc:
            self.failure = f"the engine cannot be loaded: {type(exc).__name__}: {exc}"
            log.exception("the engine cannot be loaded")
        else:
            self.failure = None
        self._tried_s = None if self.failure is None else time.monotonic()


def _fail(batch: Sequence[Job], reason: str) -> None:
    for job in batch:
        if not job.done.done():
            job.done.set_result(Failure(job.prepared.sample.task, reason, transient=True))
