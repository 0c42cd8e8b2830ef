"""A real PostgreSQL server for tests, from the distribution's package (`make postgres`); its fixtures are a plugin."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from backend.label_studio_server import HOST, free_port

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}
"""Fast, since nothing needs to outlive the run; and enough connections for several backends at once."""


class PostgresServer:
    """One server on a free port of 127.0.0.1 with data in a folder of its own; TCP and passwords only."""

    def __init__(self) -> None:
        self.user = "tests"
        self.password = secrets.token_hex(12)
        self.port = free_port()
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 while it is not running."""
        return self._process.pid if self._process else 0

    def url(self, database: str = "postgres") -> str:
        """A database's address as `VLM_JUDGE_STORE` takes it, with its password."""
        address = URL.create("postgresql", self.user, self.password, HOST, self.port, database)
        return address.render_as_string(hide_password=False)

    def new_database(self) -> str:
        """The address of a new, empty database."""
        name = f"tests_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run one statement in the database `postgres`, outside any transaction."""
        engine = create_engine(sqlalchemy_url(self.url()), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def start(self) -> None:
        """Make the data folder and return when the server takes connections."""
        # Not pytest's own temporary folder, which only the user who runs the tests may enter.
        self._home = Path(tempfile.mkdtemp(prefix="vlm-judge-postgres-"))
        password_file = self._home / "password"
        password_file.write_text(self.password)
        for path in (self._home, password_file):
            path.chmod(0o700)
            shutil.chown(path, **_owner())
        data = self._home / "data"
        options = ("--username", self.user, "--pwfile", password_file, "--auth", "scram-sha-256")
        subprocess.run(
            [program("initdb"), "--pgdata", data, *options, "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"],
            check=True,
            capture_output=True,
            **_as_owner(),
        )
        settings = SETTINGS | {"listen_addresses": HOST, "port": str(self.port), "unix_socket_directories": ""}
        command = [str(program("postgres")), "-D", str(data)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **_as_owner())
        self._wait()

    def stop(self) -> None:
        """End the server, its clients or not, and remove its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast": does not wait for clients, unlike SIGTERM
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_TIMEOUT_S)
            self._process = None
        if self._home is not None:
            shutil.rmtree(self._home)
            self._home = None

    def _wait(self) -> None:
        assert self._process is not None
        assert self._home is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.execute("SELECT 1")
            except OperationalError as exc:
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {(self._home / 'log').read_text()}") from exc
                time.sleep(0.05)
            else:
                return


def sqlalchemy_url(address: str) -> URL:
    """A `postgresql://` address for SQLAlchemy with psycopg 3, which is what is installed."""
    return make_url(address).set(drivername="postgresql+psycopg")


def program(name: str) -> Path:
    """A program of the newest PostgreSQL here; Debian keeps `initdb` and `postgres` off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which(name)
    if not found and on_path is None:
        pytest.fail(f"there is no {name} of PostgreSQL; say `make postgres`", pytrace=False)
    return found[-1] if found else Path(str(on_path))


def libpq_environment(server: PostgresServer) -> Mapping[str, str]:
    """The environment in which `psql` finds this server as its first user."""
    return os.environ | {
        "PGHOST": HOST,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
    }


def _owner() -> dict[str, Any]:
    """Whom the server runs as: us, or, since PostgreSQL refuses root, the user that its package made."""
    if os.geteuid() != 0:
        return {"user": os.geteuid(), "group": os.getegid()}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def _as_owner() -> dict[str, Any]:
    """How `subprocess` starts a program as that user, in a folder that it may enter."""
    return {"cwd": "/", **(_owner() | {"extra_groups": []} if os.geteuid() == 0 else {})}
