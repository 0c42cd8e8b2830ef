"""The one thread that owns the engine: takes prepared samples from a bounded queue and judges them in batches."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from backend.core.types import Verdict
from backend.errors import EngineError
from backend.service import Failure, JudgeService, Prepared

log = logging.getLogger(__name__)

QUEUE_LIMIT = 20_000
"""Samples that may wait; their decoded images are in memory meanwhile."""


@dataclass(frozen=True, slots=True)
class Job:
    """A sample and where its verdict goes."""

    prepared: Prepared
    done: Future[Verdict | Failure]


class Worker:
    """Judges in a thread of its own, which loads the engine first."""

    def __init__(self, service: JudgeService, batch_size: int) -> None:
        self._service = service
        self._batch_size = batch_size
        self._jobs: queue.Queue[Job | None] = queue.Queue(QUEUE_LIMIT)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._ready = threading.Event()
        self._open: dict[str, Future[Verdict | Failure]] = {}
        """Futures of samples that are waiting or being judged, by content key; guarded by the lock."""
        self._lock = threading.Lock()
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

    def submit(self, samples: Sequence[Prepared]) -> list[Future[Verdict | Failure] | None]:
        """A future per sample, in order; None for those that found the queue full.

        A sample whose content is waiting or being judged already shares that one's future.
        """
        return [self._submit(sample) for sample in samples]

    def _submit(self, sample: Prepared) -> Future[Verdict | Failure] | None:
        with self._lock:
            if sample.key in self._open:
                return self._open[sample.key]
            job = Job(sample, Future())
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                return None
            self._open[sample.key] = job.done
        job.done.add_done_callback(lambda _: self._close(sample.key))
        return job.done

    def _close(self, key: str) -> None:
        with self._lock:
            self._open.pop(key, None)

    def _run(self) -> None:
        try:
            self._service.engine.load()
        except EngineError as exc:
            self.failure = str(exc)
            log.error("the engine cannot be loaded: %s", exc)
        except Exception as exc:
            self.failure = f"the engine cannot be loaded: {type(exc).__name__}: {exc}"
            log.exception("the engine cannot be loaded")
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
        try:
            results = self._results([job.prepared for job in batch])
        except Exception as exc:
            log.exception("judging failed")
            if len(batch) > 1:  # one by one, so that what is wrong with one sample fails that one alone
                for job in batch:
                    self._judge([job])
                return
            reason = f"the judge failed ({type(exc).__name__}); the backend's log has the details"
            results = [Failure(job.prepared.sample.task, reason) for job in batch]
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, Failure):
                log.warning("not judged: %s", result.reason)
            job.done.set_result(result)

    def _results(self, samples: list[Prepared]) -> list[Verdict | Failure]:
        if self.failure is not None:
            return [Failure(sample.sample.task, self.failure) for sample in samples]
        return self._service.judge_each(samples)
