"""How many requests one server gets at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_FIRST_LIMIT = 8


class Gate:
    """Lets one more request in for every round that went well, half as many when that was too much.

    Additive increase, multiplicative decrease. The limit grows only while it is used up, and is cut at most once for
    the requests that were under way together. Belongs to one event loop.
    """

    def __init__(self, most: int) -> None:
        """`most` is a limit that growth never passes."""
        self._most = most
        self._limit = float(min(_FIRST_LIMIT, most))
        self._busy = 0
        self._cut_at_s = float("-inf")
        self._paused_until_s = float("-inf")
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many requests may be under way now."""
        return int(self._limit)

    @property
    def pause_s(self) -> float:
        """How long the server still wants to be left alone; 0 or less when it does not."""
        return self._paused_until_s - _now_s()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait for room and keep it; gives the time of entry, as `went_badly` wants it."""
        await self._enter()
        try:
            yield _now_s()
        finally:
            self._busy -= 1
            self._wake()

    def went_well(self) -> None:
        """A request that still holds its slot was answered."""
        if self._busy >= self.limit:
            self._limit = min(self._most, self._limit + 1 / self._limit)

    def went_badly(self, entered_s: float, pause_s: float = 0.0) -> None:
        """A request was too much for the server, which wants to be left alone for `pause_s`."""
        self._paused_until_s = max(self._paused_until_s, _now_s() + pause_s)
        if entered_s >= self._cut_at_s:
            self._limit = max(1.0, self._limit / 2)
            self._cut_at_s = _now_s()

    async def _enter(self) -> None:
        while self._busy >= self.limit:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise
        self._busy += 1

    def _wake(self) -> None:
        room = self.limit - self._busy
        while room > 0 and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                room -= 1


def _now_s() -> float:
    return asyncio.get_running_loop().time()
