"""What a running judge has done so far, counted where it happens: for the status page, the metrics and the progress."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime

RATE_WINDOW_S = 60.0
"""The rate is of what was judged in this time."""
FAILURES_KEPT = 100


@dataclass(frozen=True, slots=True)
class FailureNote:
    """One task that could not be judged."""

    task: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Vitals:
    """A snapshot."""

    started_at: datetime
    up_s: float
    judged: int
    """Samples judged by the engine; those answered from the store not counted."""
    recalled: int
    """Tasks answered from the store."""
    delivered: int
    """Predictions written back to Label Studio."""
    failed: int
    rate: float
    """Samples judged per second, since the first batch of the last minute."""
    batches: int
    idle_s: float
    """Since a batch was last finished, or since the start."""
    failures: tuple[FailureNote, ...]
    """The newest first, at most `FAILURES_KEPT`."""
    requests: tuple[tuple[str, int], ...]
    """Prediction requests by outcome: `answered`, `busy` (503), `refused` (4xx), `failed` (5xx)."""


class VitalSigns:
    """The counters. Safe to use from several threads; all times but `started_at` and `at` are of a steady clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started_at = datetime.now(UTC)
        self._began_s = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._recent: deque[tuple[float, int]] = deque()
        self._last_s = self._began_s
        self._failures: deque[FailureNote] = deque(maxlen=FAILURES_KEPT)

    def judged(self, count: int) -> None:
        """A batch of this many samples was judged."""
        now_s = time.monotonic()
        with self._lock:
            self._counts["judged"] += count
            self._counts["batches"] += 1
            self._recent.append((now_s, count))
            self._last_s = now_s
            self._forget(now_s)

    def recalled(self) -> None:
        """A task was answered from the store."""
        with self._lock:
            self._counts["recalled"] += 1

    def delivered(self, count: int) -> None:
        """So many predictions were written back to Label Studio."""
        with self._lock:
            self._counts["delivered"] += count

    def failed(self, task: str, reason: str) -> None:
        """A task could not be judged."""
        with self._lock:
            self._counts["failed"] += 1
            self._failures.appendleft(FailureNote(task, reason, datetime.now(UTC)))

    def requested(self, outcome: str) -> None:
        """A prediction request ended so."""
        with self._lock:
            self._requests[outcome] += 1

    def snapshot(self) -> Vitals:
        """The counters as they are now."""
        now_s = time.monotonic()
        with self._lock:
            self._forget(now_s)
            up_s = now_s - self._began_s
            since_s = now_s - self._recent[0][0] if self._recent else 0.0
            return Vitals(
                started_at=self._started_at,
                up_s=up_s,
                judged=self._counts["judged"],
                recalled=self._counts["recalled"],
                delivered=self._counts["delivered"],
                failed=self._counts["failed"],
                rate=sum(count for _, count in self._recent) / max(since_s, 1.0),
                batches=self._counts["batches"],
                idle_s=now_s - self._last_s,
                failures=tuple(self._failures),
                requests=tuple(sorted(self._requests.items())),
            )

    def _forget(self, now_s: float) -> None:
        while self._recent and self._recent[0][0] < now_s - RATE_WINDOW_S:
            self._recent.popleft()
