"""Several servers as one: who is asked, how often, how many at a time, and what is done when one fails."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from backend.engines.remote.dialects import Dialect
from backend.engines.remote.gate import Gate
from backend.engines.remote.wire import BadReply, Refused, Wire
from backend.errors import EngineError

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Wire, Dialect], Awaitable[T]]
Probe = Callable[[Wire], Awaitable[Dialect]]

_POLL_S = 0.2
_MOST_FAILURES = 4
"""After so many server errors in a row a request is given up: it is likely to be what breaks the server."""
_MOST_TIMEOUTS = 3
"""After so many deadlines missed in a row a server counts as dead."""
_HOMES = 10_000
"""Keys whose server is remembered."""
_FAILING = frozenset({408, 500, 502, 503, 504})
_TOO_MUCH = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Policy:
    """How servers are treated."""

    concurrency: int = 64
    """Most requests that one server gets at a time."""
    deadline_s: float = 60.0
    """How long one request may take from when a server could first take it, with all retries."""
    probe_s: float = 30.0
    """How long a server may take to show what it speaks."""
    backoff_s: float = 0.5
    """The first wait before a retry; each further one is twice as long, and all vary by half."""
    rest_s: float = 1.0
    """How long a dead server is left alone before it is tried again; twice as long after each failure."""
    longest_rest_s: float = 60.0


class CallFailed(Exception):
    """A request got no answer; the message says why."""

    def __init__(self, reason: str, transient: bool = True) -> None:
        """`transient` is False where the servers would refuse it again."""
        super().__init__(reason)
        self.transient = transient


class _Again(Exception):
    """A request is to be tried again after a while."""

    def __init__(self, wait_s: float = 0.0) -> None:
        super().__init__()
        self.wait_s = wait_s


@dataclass(slots=True, eq=False)
class Server:
    """One server and how it fares."""

    wire: Wire
    gate: Gate
    rest_s: float
    dialect: Dialect | None = None
    """How it is asked; None while it is dead."""
    trouble: str = ""
    """Why it is dead."""
    again_at_s: float = 0.0
    """When a dead server is tried again, on the loop's clock."""
    timeouts: int = 0
    """Deadlines missed since the last answer."""
    under_way: int = 0
    """Requests that it has, or that wait for room at its gate."""
    revival: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Trip:
    """One request's way through the servers."""

    key: bytes
    clock: asyncio.Timeout
    avoid: set[Server] = field(default_factory=set)
    """Servers that failed it since all others did."""
    dropped: set[Server] = field(default_factory=set)
    """Servers whose connection was lost under it."""
    failures: int = 0
    waits: int = 0
    at: Server | None = None
    """The server that has it now."""
    entered_s: float = 0.0

    def start_clock(self, deadline_s: float) -> None:
        """Begin to count, once."""
        if self.clock.when() is None:
            self.clock.reschedule(asyncio.get_running_loop().time() + deadline_s)


class Servers:
    """Sends each request to the server its key belongs to, and to another when that one fails. One event loop's own."""

    def __init__(self, wires: Sequence[Wire], probe: Probe, policy: Policy) -> None:
        self._probe = probe
        self._policy = policy
        self._servers = [Server(wire, Gate(policy.concurrency), policy.rest_s) for wire in wires]
        self._homes: OrderedDict[bytes, Server] = OrderedDict()
        """The server that each key went to, the one used last at the end."""

    @property
    def names(self) -> str:
        """All servers, for people."""
        return ", ".join(server.wire.address for server in self._servers)

    async def open(self) -> None:
        """Find out what each server speaks. Raises EngineError when one is set up wrongly or all are dead."""
        await asyncio.gather(*(self._look_at(server) for server in self._servers))
        dead = [f"{server.wire.address} ({server.trouble})" for server in self._servers if server.dialect is None]
        if len(dead) == len(self._servers):
            raise EngineError(f"no judge server answers: {', '.join(dead)}; start one, or set VLM_JUDGE_SERVERS")
        for server in dead:
            log.warning("judge server %s will be tried again", server)

    async def call(self, key: bytes, work: Work[T]) -> T:
        """What `work` gives on a server. Raises CallFailed with the reason once no retry can help.

        Requests with the same key go to the same server while it lives. A new key goes to one that has less than its
        share to do, because whoever waits for a whole batch waits for the server that has most of it; of those to the
        one with the highest hash of key and address (rendezvous hashing), so that all who ask these servers tend to
        agree.
        """
        clock = asyncio.timeout(None)
        trip = _Trip(key, clock)
        try:
            async with clock:
                return await self._until_answered(trip, work)
        except TimeoutError as exc:
            raise CallFailed(self._overdue(trip)) from exc
        except BadReply as exc:
            raise CallFailed(str(exc)) from exc

    async def _until_answered(self, trip: _Trip, work: Work[T]) -> T:
        while True:
            server = self._pick(trip)
            try:
                if server is None:
                    trip.start_clock(self._policy.deadline_s)
                    raise _Again(_POLL_S)
                server.under_way += 1
                try:
                    return await self._try(server, trip, work)
                finally:
                    server.under_way -= 1
            except _Again as again:
                await asyncio.sleep(again.wait_s)

    async def _try(self, server: Server, trip: _Trip, work: Work[T]) -> T:
        async with server.gate.slot() as entered_s:
            if server.dialect is None or (server.gate.pause_s > 0 and self._ready(trip)):
                raise _Again
            trip.start_clock(self._policy.deadline_s)
            while (pause_s := server.gate.pause_s) > 0:
                self._refuse_long(server, pause_s)
                await asyncio.sleep(pause_s)
            trip.at, trip.entered_s = server, entered_s
            try:
                result = await work(server.wire, server.dialect)
            except httpx.TransportError as exc:
                trip.at = None
                self._lost(server, trip, exc)
                raise _Again from exc
            except Refused as exc:
                trip.at = None
                raise _Again(self._wait_after(exc, server, trip)) from exc
            server.gate.went_well()
            server.timeouts = 0
            return result

    def _lost(self, server: Server, trip: _Trip, exc: httpx.TransportError) -> None:
        """A connection failed: a kept one may just have been old, but a new one that fails means a dead server."""
        if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout) or server in trip.dropped:
            self._bury(server, _unreachable(exc))
        trip.dropped.add(server)

    def _wait_after(self, refused: Refused, server: Server, trip: _Trip) -> float:
        """Seconds to wait before the next try. Raises CallFailed where none can help."""
        if refused.status not in _TOO_MUCH | _FAILING:
            raise CallFailed(f"{server.wire.address} refused it: {refused}", transient=False) from refused
        if refused.status in _TOO_MUCH:
            server.gate.went_badly(trip.entered_s, refused.retry_after_s or 0.0)
        else:
            trip.failures += 1
        if trip.failures >= _MOST_FAILURES:
            raise CallFailed(f"{server.wire.address} failed at it {_MOST_FAILURES} times: {refused}") from refused
        if refused.status in _FAILING:
            trip.avoid.add(server)
            if self._fresh(trip):
                return 0.0
        trip.waits += 1
        if refused.retry_after_s is not None:
            self._refuse_long(server, refused.retry_after_s)
            return refused.retry_after_s
        return float(self._policy.backoff_s * 2 ** (trip.waits - 1) * random.uniform(0.5, 1.5))

    def _refuse_long(self, server: Server, pause_s: float) -> None:
        """Raise CallFailed for a wait that no request outlives."""
        if pause_s > self._policy.deadline_s:
            raise CallFailed(f"{server.wire.address} asks to be left alone for {pause_s:.0f} s")

    def _overdue(self, trip: _Trip) -> str:
        server = trip.at
        if server is None:
            troubles = {server.trouble for server in self._servers if server.trouble}
            why = f" ({'; '.join(sorted(troubles))})" if troubles else ""
            return f"no answer within {self._policy.deadline_s:g} s from {self.names}{why}"
        server.gate.went_badly(trip.entered_s)
        server.timeouts += 1
        if server.timeouts >= _MOST_TIMEOUTS:
            self._bury(server, "it answers too slowly")
        return f"no answer within {self._policy.deadline_s:g} s from {server.wire.address}"

    def _pick(self, trip: _Trip) -> Server | None:
        """The living server that the key belongs to, one that has not failed the trip if there is any."""
        self._revive_due()
        if not self._fresh(trip):
            trip.avoid.clear()
        candidates = self._ready(trip) or self._fresh(trip)
        home = self._homes.get(trip.key)
        if not candidates or home in candidates:
            return home if candidates else None
        share = (1 + sum(server.under_way for server in candidates)) / len(candidates)
        roomy = [server for server in candidates if server.under_way < share]
        chosen = max(roomy, key=lambda server: _weight(trip.key, server))
        if home is None or home.dialect is None:
            self._settle(trip.key, chosen)
        return chosen

    def _settle(self, key: bytes, server: Server) -> None:
        """Have what else comes with this key go to the same server."""
        self._homes[key] = server
        self._homes.move_to_end(key)
        while len(self._homes) > _HOMES:
            self._homes.popitem(last=False)

    def _fresh(self, trip: _Trip) -> list[Server]:
        """The living servers that have not failed the trip."""
        return [server for server in self._servers if server.dialect is not None and server not in trip.avoid]

    def _ready(self, trip: _Trip) -> list[Server]:
        """Those of them that do not want to be left alone."""
        return [server for server in self._fresh(trip) if server.gate.pause_s <= 0]

    def _bury(self, server: Server, trouble: str) -> None:
        if server.dialect is not None:
            log.warning(
                "judge server %s is dead: %s; trying again in %g s", server.wire.address, trouble, server.rest_s
            )
            server.dialect = None
        server.trouble = trouble
        server.again_at_s = asyncio.get_running_loop().time() + server.rest_s

    def _revive_due(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for server in self._servers:
            if server.dialect is None and server.revival is None and server.again_at_s <= now_s:
                server.revival = asyncio.create_task(self._revive(server))

    async def _revive(self, server: Server) -> None:
        try:
            await self._look_at(server)
        except EngineError as exc:
            server.trouble = str(exc)
        finally:
            server.revival = None
        if server.dialect is None:
            server.rest_s = min(self._policy.longest_rest_s, server.rest_s * 2)
            self._bury(server, server.trouble)
        else:
            self._homes.clear()  # so that it gets its share at once
            log.info("judge server %s is back", server.wire.address)

    async def _look_at(self, server: Server) -> None:
        """Bring a server to life, or note its trouble. Raises EngineError when it is set up wrongly."""
        try:
            async with asyncio.timeout(self._policy.probe_s):
                server.dialect = await self._probe(server.wire)
        except httpx.TransportError as exc:
            server.trouble = _unreachable(exc)
        except (Refused, BadReply) as exc:
            server.trouble = f"it answered: {exc}"
        except TimeoutError:
            server.trouble = f"it took longer than {self._policy.probe_s:g} s"
        else:
            server.trouble, server.timeouts, server.rest_s = "", 0, self._policy.rest_s


def _weight(key: bytes, server: Server) -> bytes:
    return hashlib.sha256(key + server.wire.address.encode()).digest()


def _unreachable(exc: httpx.TransportError) -> str:
    return f"it cannot be reached: {str(exc) or type(exc).__name__}"
