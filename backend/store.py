"""Keeps verdicts by content, so that the same images and texts are judged once, wherever they appear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter
from sqlalchemy import URL, Column, DateTime, MetaData, String, Table, Text, create_engine, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from backend.core.types import Verdict
from backend.errors import SettingsError

_METADATA = MetaData()
_VERDICTS = Table(
    "verdicts",
    _METADATA,
    Column("content_key", String(64), primary_key=True),
    Column("fingerprint", String(200), nullable=False, index=True),
    Column("verdict", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

_READ_AT_ONCE = 500
"""Keys per query; SQLite limits the number of bound values."""


class VerdictStore:
    """Verdicts in a SQLite file. Safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; its folder must exist. Raises SettingsError when it cannot be written."""
        self._engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": 30})
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            _METADATA.create_all(self._engine)
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails where the file can only be read
        except DatabaseError as exc:
            self._engine.dispose()
            raise SettingsError(
                f"cannot keep verdicts in {path}: {exc.orig}; name another file with VLM_JUDGE_STORE"
            ) from exc

    def get(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """The verdicts that are there, by content key."""
        found: dict[str, Verdict] = {}
        with self._engine.connect() as connection:
            for at in range(0, len(keys), _READ_AT_ONCE):
                part = list(keys[at : at + _READ_AT_ONCE])
                query = select(_VERDICTS.c.content_key, _VERDICTS.c.verdict).where(_VERDICTS.c.content_key.in_(part))
                for key, text in connection.execute(query):
                    found[key] = verdict_from_json(text)
        return found

    def put(self, verdicts: Mapping[str, Verdict]) -> None:
        """Keep the verdicts; a key that is there already stays as it is."""
        now = datetime.now(UTC)
        rows = [
            {"content_key": k, "fingerprint": v.fingerprint, "verdict": verdict_to_json(v), "created_at": now}
            for k, v in verdicts.items()
        ]
        if rows:
            with self._engine.begin() as connection:
                connection.execute(insert(_VERDICTS).on_conflict_do_nothing(), rows)

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


_VERDICT = TypeAdapter(Verdict)


def verdict_to_json(verdict: Verdict) -> str:
    """The verdict as JSON; read back by `verdict_from_json` to an equal one."""
    return _VERDICT.dump_json(verdict).decode()


def verdict_from_json(text: str) -> Verdict:
    """A verdict from its JSON."""
    return _VERDICT.validate_json(text)
