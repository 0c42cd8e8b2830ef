"""Connections to where images lie: each to a checked address, and kept for the next image from there."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore

from backend.addresses import CheckedNetwork, Exchange

KEPT_S = 5.0
"""Longest that a connection waits for its next fetch; most servers wait no shorter."""
MOST_KEPT = 32
"""Connections that wait at a time, over all servers."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a connection may be used for again; one that was let through to a private address serves nothing else."""

    origin: str
    trusted: bool
    context: ssl.SSLContext | None
    """Which certificates are accepted; None for plain HTTP."""


class Connection:
    """One connection; it opens when it is first used, and anew where the server has closed it meanwhile."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.idle_since_s = 0.0
        """On the steady clock."""
        self._network = CheckedNetwork(place.trusted)
        self._pool = httpcore.ConnectionPool(
            place.context,
            max_connections=1,
            keepalive_expiry=KEPT_S,
            network_backend=self._network,
        )

    @contextmanager
    def get(
        self, target: httpcore.URL, headers: list[tuple[bytes, bytes]], exchange: Exchange
    ) -> Iterator[httpcore.Response]:
        """The answer to a GET, whose body may be read inside the block. Raises FetchError and httpcore's errors."""
        self._network.exchange = exchange
        left_s = exchange.left_s()
        timeouts: dict[str, Any] = dict.fromkeys(("connect", "read", "write", "pool"), left_s)
        with self._pool.stream("GET", target, headers=headers, extensions={"timeout": timeouts}) as response:
            yield response

    @property
    def is_open(self) -> bool:
        """Whether it is there and waits for the next request."""
        return any(one.is_idle() for one in self._pool.connections)

    def close(self) -> None:
        """Close it."""
        self._pool.close()


class KeptConnections:
    """Connections that wait for the next fetch. Safe to use from several threads; a connection serves one at a time."""

    def __init__(self) -> None:
        self._kept: list[Connection] = []
        """The one that waited longest first."""
        self._lock = threading.Lock()

    def take(self, place: Place) -> Connection | None:
        """The one for this place that waited shortest; None where none does."""
        with self._lock:
            for at in range(len(self._kept) - 1, -1, -1):
                if self._kept[at].place == place:
                    return self._kept.pop(at)
        return None

    def keep(self, connection: Connection) -> None:
        """Keep it for the next fetch if it is open; those that have waited too long, or are too many, are closed."""
        now_s = time.monotonic()
        connection.idle_since_s = now_s
        with self._lock:
            if connection.is_open:
                self._kept.append(connection)
            over = len(self._kept) - MOST_KEPT
            fresh = [one for at, one in enumerate(self._kept) if at >= over and one.idle_since_s > now_s - KEPT_S]
            old = [one for one in self._kept if one not in fresh]
            self._kept = fresh
        for one in old:
            one.close()
