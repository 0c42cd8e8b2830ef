"""A PostgreSQL server that can be stopped and started again with its data."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.postgres import STOP_TIMEOUT_S, PostgresServer, _as_owner


class Restartable(PostgresServer):
    """A server with a pause."""

    def halt(self) -> None:
        """End it without waiting for its clients, whose transactions are rolled back; its data stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(STOP_TIMEOUT_S)

    def resume(self) -> None:
        """Start it again; it recovers."""
        assert self._process is not None
        assert self._home is not None
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._process.args, stdout=log, stderr=log, start_new_session=True, **_as_owner()
            )
        self._wait()


@contextmanager
def restartable() -> Iterator[Restartable]:
    """A server of the test's own."""
    server = Restartable()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def halted(server: Restartable) -> Iterator[None]:
    """The time in which the server is away."""
    server.halt()
    try:
        yield
    finally:
        server.resume()
