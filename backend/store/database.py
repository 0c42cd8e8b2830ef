"""The database behind the store: how it is opened, brought up to date, written to, and locked."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from backend.errors import SettingsError, StoreError

log = logging.getLogger(__name__)

HEAD = "0004"
"""The newest migration; a test holds it against the scripts. Alembic is imported only where something is to do."""

BUSY_TIMEOUT_S = 5
"""How long a write waits for another's, which takes milliseconds; a request must be answered in time all the same. Who
does nothing for twice as long in the middle of one is taken for dead."""
LOG_BYTES = 4 * 2**20
"""Of SQLite's write-ahead log between large writes."""
_GLANCE_S = 0.02
CONNECTIONS = 40
"""More than there are threads, so that none waits for another's connection."""
_REACH = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""So that a machine that vanished is noticed in a minute, not hours; what the URL says of these stands above them."""

_NO_URL = "VLM_JUDGE_STORE is neither a path nor a database URL"
_ENCODE = "; write it as postgresql://NAME:PASSWORD@HOST:PORT/DATABASE, with %40 for an @ in name or password"

_migrating = threading.Lock()
"""Alembic keeps the migration at hand in a variable of its module."""


class Database:
    """One open database. Safe to use from several threads and, by its own locks, processes."""

    def __init__(self, where: str) -> None:
        """Open or create it and bring its tables up to date.

        `where` is the path of a SQLite file, whose folder must exist, or a `postgresql://` URL. Raises SettingsError
        when it cannot be opened or written.
        """
        self.url = _database_url(where)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.shown = where if self.is_sqlite else _without_secrets(self.url)
        """Its name for messages, without a password."""
        try:
            self._engine = create_engine(self.url, **self._engine_options())
        except ImportError as exc:
            raise SettingsError(
                f"{self.shown} needs a driver that is not installed ({exc.name or exc}); "
                "install the extra: pip install 'vlm-judge-label-studio[postgres]'"
            ) from exc
        if self.is_sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        else:
            event.listen(self._engine, "connect", _prepare_postgresql)
        try:
            self._bring_up_to_date()
        except (SQLAlchemyError, OSError) as exc:
            self._engine.dispose()
            raise SettingsError(
                f"cannot keep verdicts in {self.shown}: {_said(exc)}; name another place with VLM_JUDGE_STORE"
            ) from exc

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read from. Raises StoreError."""
        with self._explained("read from"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, turn: str | None = None) -> Iterator[Connection]:
        """A transaction that is written whole or not at all. Raises StoreError.

        SQLite has one at a time. PostgreSQL has one at a time of each `turn`, so that it sees what the one before it
        wrote, and no two lock the same rows in different orders.
        """
        with self._explained("write to"), self._engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                if turn is not None and not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _number(f"turn-{turn}")})
                yield connection

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Hold the lock of this name among all that share the database; False when another holds it.

        The system lets go of it when this process ends, however it ends; no clock is involved.
        """
        held = self._file_lock(name) if self.is_sqlite else self._advisory_lock(name)
        with held as got:
            yield got

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _engine_options(self) -> dict[str, Any]:
        pool = {"pool_size": CONNECTIONS, "max_overflow": 10}
        if self.is_sqlite:
            return {"connect_args": {"timeout": BUSY_TIMEOUT_S}, **pool}
        reach = {name: value for name, value in _REACH.items() if name not in self.url.query}
        return {"pool_pre_ping": True, "connect_args": reach, **pool}

    def _bring_up_to_date(self) -> None:
        with self._engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _number("migrations")})
                version = _version(connection)
                if version != HEAD:
                    self._migrate(connection, version)
                # fails where nothing can be written, which a file that can only be read shows in no other way
                connection.execute(text("UPDATE alembic_version SET version_num = version_num"))

    def _migrate(self, connection: Connection, version: str | None) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        # alembic fills in what stands between percent signs
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if version is not None and version not in known:
            raise SettingsError(
                f"{self.shown} was made by a newer vlm-judge (its tables are at {version}, this one knows {HEAD}); "
                "install that version, or name another place with VLM_JUDGE_STORE"
            )
        config.attributes["connection"] = connection
        with _migrating:
            command.upgrade(config, "head")

    @contextmanager
    def _file_lock(self, name: str) -> Iterator[bool]:
        folder = Path(f"{self.url.database}.locks")  # beside the file itself, also when a link leads to it
        try:
            folder.mkdir(exist_ok=True)
            file = (folder / re.sub(r"[^\w.-]", "_", name)).open("w")
        except OSError as exc:
            raise StoreError(f"cannot lock {self.shown}: {exc.strerror}; make room or correct the folder") from exc
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                got = True
            except BlockingIOError:
                got = False
            except OSError as exc:  # a network disk that has no locks
                raise StoreError(
                    f"cannot lock {self.shown}: {exc.strerror}; name a place on a local disk with VLM_JUDGE_STORE"
                ) from exc
            yield got

    @contextmanager
    def _advisory_lock(self, name: str) -> Iterator[bool]:
        key = {"key": _number(name)}
        with self._explained("lock"), self._engine.connect() as connection:
            got = False
            try:
                got = bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar())
                connection.commit()
                yield got
            finally:
                if got:
                    self._unlock(connection, name)

    def _unlock(self, connection: Connection, name: str) -> None:
        """Let go of the lock; where the connection is gone, so is the lock, and what was done under it stands."""
        try:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _number(name)})
            connection.commit()
        except DBAPIError as exc:
            log.warning("the lock %s of the store %s was lost while it was held: %s", name, self.shown, _said(exc))

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, NoConnectionFree) as exc:
            raise StoreError(
                f"cannot {doing} the store {self.shown}: {_said(exc)}; is the disk full, or the database away?"
            ) from exc


def _database_url(where: str) -> URL:
    if "://" not in where:
        if where in ("", ":memory:"):
            raise SettingsError("VLM_JUDGE_STORE must name a file or a postgresql:// URL; unset it for the usual file")
        return URL.create("sqlite", database=str(Path(where).resolve()))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise SettingsError(f"{_NO_URL}{_ENCODE}") from None  # what was said may quote a part of the password
    kind = url.get_backend_name()
    if kind not in ("postgresql", "postgres"):
        raise SettingsError(f"VLM_JUDGE_STORE: {kind}:// is not known; give a path for SQLite, or postgresql://...")
    if "@" in (url.host or ""):  # what stands before it is the end of the password
        raise SettingsError(f"VLM_JUDGE_STORE names no host{_ENCODE}")
    return url.set(drivername="postgresql+psycopg")


def _without_secrets(url: URL) -> str:
    """A PostgreSQL URL without name, password and query, where they may stand too."""
    return URL.create("postgresql", host=url.host, port=url.port, database=url.database).render_as_string()


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Write-ahead logging, so that readers and the writer do not wait for each other; transactions begun by us.

    SQLite moves what is in the log to its place when that is 4 MB. Sooner (`wal_autocheckpoint`) would wait for the
    disk more often, and save megabytes only; but what one large write lets the log grow to is given back.
    """
    connection.isolation_level = None
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")


def _switch_to_wal(connection: Any) -> None:
    """SQLite itself does not wait where several open a new file at once, and all want to switch it."""
    until_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(_GLANCE_S)


def _prepare_postgresql(connection: Any, _: object) -> None:
    """No wait without an end, neither for a lock nor, on the server's side, for a client that vanished."""
    connection.execute(f"SET lock_timeout = '{BUSY_TIMEOUT_S}s'")
    connection.execute(f"SET idle_in_transaction_session_timeout = '{2 * BUSY_TIMEOUT_S}s'")
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    """A transaction that will write takes the lock at once: one that began to read cannot always get it later."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _number(name: str) -> int:
    """A signed 64-bit number for a name, as PostgreSQL's advisory locks want it."""
    return int.from_bytes(hashlib.sha256(f"vlm-judge:{name}".encode()).digest()[:8], "big", signed=True)


def _said(exc: Exception) -> str:
    """The first line of what the driver said."""
    said = str(exc.orig if isinstance(exc, DBAPIError) else exc)
    return next((line.strip() for line in said.splitlines() if line.strip()), type(exc).__name__)
