"""How many prediction requests are served at a time: the rest are told to come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backend.errors import VlmJudgeError

_SHORTEST_S, _LONGEST_S = 1, 120


class Busy(VlmJudgeError):
    """Too many tasks wait; answered with 503 and `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Admission:
    """Counts requests and their tasks. Safe to use from several threads."""

    def __init__(self, max_tasks: int, max_requests: int, rate: Callable[[], float]) -> None:
        """`rate` says how many samples a second are judged, 0 when that is not known."""
        self._max_tasks = max_tasks
        self._max_requests = max_requests
        self._rate = rate
        self._lock = threading.Lock()
        self._tasks = 0
        self.requests = 0
        """Requests that are being answered."""

    @contextmanager
    def admitted(self, tasks: int) -> Iterator[None]:
        """Hold a place for a request with so many tasks. A request that comes alone always gets one. Raises Busy."""
        with self._lock:
            if self.requests and (self.requests >= self._max_requests or self._tasks + tasks > self._max_tasks):
                raise Busy(self._message(), self._retry_after_s())
            self.requests += 1
            self._tasks += tasks
        try:
            yield
        finally:
            with self._lock:
                self.requests -= 1
                self._tasks -= tasks

    def _message(self) -> str:
        most = (
            f"{self._max_requests} requests"
            if self.requests >= self._max_requests
            else f"{self._max_tasks} tasks, by VLM_JUDGE_QUEUE_LIMIT"
        )
        return (
            f"{self.requests} requests with {self._tasks} tasks are being judged, and the backend takes at most {most} "
            "at a time; ask again later"
        )

    def _retry_after_s(self) -> int:
        rate = self._rate()
        wait_s = self._tasks / rate if rate else _LONGEST_S / 4
        return round(min(max(wait_s, _SHORTEST_S), _LONGEST_S))
