"""What people said in Label Studio, as its webhooks told: every annotation in its newest form, deleted ones marked."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, select

from backend.store.database import Database
from backend.store.rows import upsert
from backend.store.tables import FEEDBACK

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 500
"""Annotations that are read together; one may hold megabytes of brush strokes."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """One annotation."""

    project: str
    """Label Studio's number and creation time of the project: `3.1795361354`."""
    annotation: int
    task: int | None
    """None where only its deletion was told."""
    updated_at: datetime
    """When it was last changed in Label Studio, in UTC."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    """The annotation in Label Studio's form."""
    deleted_at: datetime | None = None
    """When we were told of its deletion."""


class FeedbackBook:
    """The annotations. Every method raises StoreError. Telling the same twice, or late, changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, entries: Collection[Feedback]) -> None:
        """Keep these annotations; one that is there in a newer form stays, and a deleted one stays deleted."""
        rows = [_row(entry) for entry in entries]
        if not rows:
            return
        insert = upsert(self._database, FEEDBACK)
        new = {name: insert.excluded[name] for name in ("task", "updated_at", "payload", "received_at")}
        statement = insert.on_conflict_do_update(
            index_elements=[FEEDBACK.c.project, FEEDBACK.c.annotation],
            set_=new,
            where=FEEDBACK.c.updated_at <= insert.excluded.updated_at,
        )
        self._write(statement, rows)

    def delete(self, project: str, annotations: Collection[int]) -> None:
        """Mark these as deleted, also those never heard of, which may be told of late."""
        now = datetime.now(UTC)
        rows = [_row(Feedback(project, number, None, _NEVER, deleted_at=now)) for number in annotations]
        if not rows:
            return
        insert = upsert(self._database, FEEDBACK)
        statement = insert.on_conflict_do_update(
            index_elements=[FEEDBACK.c.project, FEEDBACK.c.annotation],
            set_={"deleted_at": insert.excluded.deleted_at},
            where=FEEDBACK.c.deleted_at.is_(None),
        )
        self._write(statement, rows)

    def of(self, project: str) -> Iterator[Feedback]:
        """A project's annotations by rising number, deleted ones too; read piece by piece, as they are taken."""
        of_project = select(FEEDBACK).where(FEEDBACK.c.project == project)
        first = of_project.order_by(FEEDBACK.c.annotation).limit(_AT_ONCE)
        query = first
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(query).mappings().all()
            yield from map(_feedback, rows)
            if len(rows) < _AT_ONCE:
                return
            query = first.where(FEEDBACK.c.annotation > rows[-1]["annotation"])

    def _write(self, statement: Any, rows: list[dict[str, Any]]) -> None:
        rows.sort(key=lambda row: row["annotation"])  # so that no two writers wait for each other
        with self._database.writing() as connection:
            connection.execute(statement, rows)


def _feedback(row: RowMapping) -> Feedback:
    return Feedback(
        row["project"],
        row["annotation"],
        row["task"],
        datetime.fromisoformat(row["updated_at"]),
        json.loads(row["payload"]),
        _utc(row["deleted_at"]),
    )


def _row(entry: Feedback) -> dict[str, Any]:
    return {
        "project": entry.project,
        "task": entry.task,
        "annotation": entry.annotation,
        # one form, so that the database can compare it
        "updated_at": entry.updated_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "payload": json.dumps(entry.payload, sort_keys=True),  # ASCII: halves of characters cannot be stored as such
        "deleted_at": entry.deleted_at,
        "received_at": datetime.now(UTC),
    }


def _utc(moment: datetime | None) -> datetime | None:
    """SQLite gives times back without their zone, PostgreSQL in its own."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
