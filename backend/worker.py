"""The one thread that owns the engine: takes prepared samples from a bounded queue and judges them in batches."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from backend.core.types import Verdict
from backend.errors import EngineError, VlmJudgeError
from backend.service import JudgeService, Prepared

log = logging.getLogger(__name__)

QUEUE_LIMIT = 20_000
"""Samples that may wait; their decoded images are in memory meanwhile."""


@dataclass(frozen=True, slots=True)
class Job:
    """A sample and where its verdict goes."""

    prepared: Prepared
    done: Future[Verdict]


class Worker:
    """Judges in a thread of its own, which loads the engine first."""

    def __init__(self, service: JudgeService, batch_size: int) -> None:
        self._service = service
        self._batch_size = batch_size
        self._jobs: queue.Queue[Job | None] = queue.Queue(QUEUE_LIMIT)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._ready = threading.Event()
        self.failure: str | None = None
        """Why the engine could not be loaded, or None."""

    def start(self) -> None:
        """Start the thread; the engine begins to load."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand, let the others go, and wait for the thread."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is not None:
                job.done.cancel()
        self._jobs.put(None)
        self._thread.join(timeout=30)

    @property
    def ready(self) -> bool:
        """Whether the engine is loaded."""
        return self._ready.is_set()

    @property
    def waiting(self) -> int:
        """Samples in the queue."""
        return self._jobs.qsize()

    def submit(self, samples: Sequence[Prepared]) -> list[Future[Verdict] | None]:
        """A future per sample, in order; None for those that found the queue full."""
        futures: list[Future[Verdict] | None] = []
        for sample in samples:
            job = Job(sample, Future())
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                futures.append(None)
            else:
                futures.append(job.done)
        return futures

    def _run(self) -> None:
        try:
            self._service.engine.load()
        except EngineError as exc:
            self.failure = str(exc)
            log.error("the engine cannot be loaded: %s", exc)
        self._ready.set()
        while batch := self._take():
            self._judge(batch)

    def _take(self) -> list[Job]:
        """Wait for a job, then take what else is there up to a batch; empty when it is time to stop."""
        first = self._jobs.get()
        if first is None:
            return []
        batch = [first]
        while len(batch) < self._batch_size:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            batch.append(job)
        return [job for job in batch if job.done.set_running_or_notify_cancel()] or self._take()

    def _judge(self, batch: list[Job]) -> None:
        if self.failure is not None:
            for job in batch:
                job.done.set_exception(EngineError(self.failure))
            return
        try:
            verdicts = self._service.judge([job.prepared for job in batch])
        except VlmJudgeError as exc:
            self._fail(batch, exc)
        except Exception as exc:
            log.exception("judging failed")
            self._fail(batch, EngineError(f"the judge failed: {exc}"))
        else:
            for job, verdict in zip(batch, verdicts, strict=True):
                job.done.set_result(verdict)

    def _fail(self, batch: list[Job], error: VlmJudgeError) -> None:
        """A batch that fails is tried sample by sample, so that one bad sample does not take the others with it."""
        if len(batch) > 1:
            for job in batch:
                self._judge([job])
        else:
            batch[0].done.set_exception(error)
