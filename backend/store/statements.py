"""What has been stated about a judge in a project, and how often its blind labels were looked at for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from backend.store.database import Database
from backend.store.tables import LOOKS, STATEMENTS


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, as it was made."""

    kind: str
    """What it is: a certificate, a calibration, that acceptance was stopped."""
    fingerprint: str
    body: str
    """As JSON."""
    created_at: datetime


class StatementBook:
    """The statements, of which the last of a kind counts. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, project: str, fingerprint: str, kind: str, body: str) -> None:
        """Add a statement; `project` is its number and creation time, as Label Studio names it."""
        row = {
            "project": project,
            "fingerprint": fingerprint,
            "kind": kind,
            "body": body,
            "created_at": datetime.now(UTC),
        }
        with self._database.writing() as connection:
            connection.execute(STATEMENTS.insert(), [row])

    def last(self, project: str, fingerprint: str, *kinds: str) -> Statement | None:
        """The last statement of any of these kinds about this judge."""
        query = (
            select(STATEMENTS)
            .where(STATEMENTS.c.project == project, STATEMENTS.c.fingerprint == fingerprint)
            .where(STATEMENTS.c.kind.in_(kinds))
            .order_by(STATEMENTS.c.id.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        created_at = row["created_at"]
        moment = created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC)
        return Statement(row["kind"], row["fingerprint"], row["body"], moment.astimezone(UTC))

    def look(self, audit_key: str, fingerprint: str, labels_digest: str) -> int:
        """The number of this look at the slice's labels, from 1; the same labels again are the same look."""
        look = {"audit_key": audit_key, "fingerprint": fingerprint, "labels_digest": labels_digest}
        with self._database.writing(turn=f"look-{audit_key}") as connection:
            number, is_new = _number(connection, look)
            if is_new:
                connection.execute(LOOKS.insert(), [{**look, "number": number, "created_at": datetime.now(UTC)}])
        return number

    def look_to_come(self, audit_key: str, fingerprint: str, labels_digest: str) -> int:
        """The number that `look` would give, without looking."""
        look = {"audit_key": audit_key, "fingerprint": fingerprint, "labels_digest": labels_digest}
        with self._database.reading() as connection:
            return _number(connection, look)[0]


def _number(connection: Connection, look: Mapping[str, str]) -> tuple[int, bool]:
    """The number of a look, and whether it is a new one."""
    of_slice = (LOOKS.c.audit_key == look["audit_key"], LOOKS.c.fingerprint == look["fingerprint"])
    same = select(LOOKS.c.number).where(*of_slice, LOOKS.c.labels_digest == look["labels_digest"])
    number = connection.execute(same).scalar()
    if number is not None:
        return int(number), False
    before = connection.execute(select(func.count()).select_from(LOOKS).where(*of_slice)).scalar() or 0
    return int(before) + 1, True
