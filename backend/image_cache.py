"""Bytes that were fetched lately, so that what many tasks show is fetched once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import TTLCache

from backend.errors import ImageError

MAX_AGE_S = 300.0
"""What lies behind an address may change; older bytes are fetched anew."""
LARGEST_SHARE = 4
"""Bytes that would take more than one part in so many are not kept, lest one image drives out all others."""
OVERHEAD_BYTES = 512
"""What an entry takes beside its bytes: key, order, age."""


class ImageCache:
    """A cache bounded in bytes; least recently used out first. Safe to use from several threads.

    Per key one fetch is in flight at a time: who asks meanwhile waits for it, and gets its bytes or its error. Errors
    are not kept.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`max_bytes` 0 keeps nothing; `clock` is in seconds and never goes back."""
        self._kept: TTLCache[bytes, bytes] = TTLCache(max_bytes, MAX_AGE_S, clock, _cost)
        self._flights: dict[bytes, _Flight] = {}
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Memory taken by what is kept, also by what is too old but not yet gone."""
        with self._lock:
            return int(self._kept.currsize)

    def get(self, key: bytes, fetch: Callable[[], bytes]) -> bytes:
        """The bytes kept under a key, or else what `fetch` returns. Raises ImageError where `fetch` does."""
        while True:
            with self._lock:
                content = self._find(key)
                if content is not None:
                    return content
                flight = self._flights.get(key)
                if flight is None:
                    ours = self._flights[key] = _Flight()
                    break
            flight.landed.wait()
            if flight.error is not None:
                raise type(flight.error)(str(flight.error)) from flight.error
            if flight.content is not None:
                return flight.content
            # Whoever fetched was interrupted; it is our turn.
        return self._fly(key, ours, fetch)

    def _fly(self, key: bytes, flight: _Flight, fetch: Callable[[], bytes]) -> bytes:
        try:
            flight.content = fetch()
            return flight.content
        except ImageError as exc:
            flight.error = exc
            raise
        finally:
            with self._lock:
                del self._flights[key]
                if flight.content is not None and LARGEST_SHARE * _cost(flight.content) <= self._kept.maxsize:
                    self._kept[key] = flight.content
            flight.landed.set()

    def _find(self, key: bytes) -> bytes | None:
        try:
            return self._kept[key]
        except KeyError:
            return None


@dataclass(slots=True)
class _Flight:
    """One fetch that others may wait for; `landed` is set when it has content, an error, or neither."""

    landed: threading.Event = field(default_factory=threading.Event)
    content: bytes | None = None
    error: ImageError | None = None


def _cost(content: bytes) -> int:
    return len(content) + OVERHEAD_BYTES
