"""Which servers stand by what is owed: under which fingerprint one was asked in which project, and lately was there.

Several judges may share a store, and even a model's name. What one of them owes is its own as long as it says so.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, not_, select, update

from backend.store.database import Database
from backend.store.rows import chunks, upsert
from backend.store.tables import CLAIMS, JOBS

ABANDONED_S = 120.0
"""A claim that was not repeated for so long is nobody's any more; also one so far in the future, which was made before
the clock was set back."""

Claim = tuple[str, str]
"""A project and a fingerprint."""


def claim(database: Database, connection: Connection, claims: Collection[Claim], now: float) -> None:
    """Say that a server stands by what is owed there."""
    insert = upsert(database, CLAIMS)
    insert = insert.on_conflict_do_update(
        index_elements=[CLAIMS.c.project, CLAIMS.c.fingerprint], set_={"seen_at": insert.excluded.seen_at}
    )
    for part in chunks(sorted(claims)):
        rows = [{"project": project, "fingerprint": mark, "seen_at": now} for project, mark in part]
        connection.execute(insert, rows)


def release(connection: Connection, claim: Claim) -> None:
    """Nobody stands by it from now on."""
    which = and_(CLAIMS.c.project == claim[0], CLAIMS.c.fingerprint == claim[1])
    connection.execute(update(CLAIMS).where(which).values(seen_at=0.0))


def forget(connection: Connection, before: float) -> None:
    """Forget claims that were not repeated since then, where nothing is owed."""
    connection.execute(delete(CLAIMS).where(CLAIMS.c.seen_at < before, not_(exists().where(_of_job()))))


def abandoned(connection: Connection, now: float) -> frozenset[Claim]:
    """Where a server was asked that is gone."""
    found = connection.execute(select(CLAIMS.c.project, CLAIMS.c.fingerprint).where(not_(_is_fresh(now))))
    return frozenset((row.project, row.fingerprint) for row in found)


def is_held(now: float) -> ColumnElement[bool]:
    """Of jobs: a server was asked for them, and was there lately."""
    return exists().where(_of_job(), _is_fresh(now))


def is_abandoned(now: float) -> ColumnElement[bool]:
    """Of jobs: a server was asked for them, and is gone. What only a bulk run noted, which nobody asked, is not."""
    return exists().where(_of_job(), not_(_is_fresh(now)))


def _is_fresh(now: float) -> ColumnElement[bool]:
    return CLAIMS.c.seen_at.between(now - ABANDONED_S, now + ABANDONED_S)


def _of_job() -> ColumnElement[bool]:
    return and_(CLAIMS.c.project == JOBS.c.project, CLAIMS.c.fingerprint == JOBS.c.fingerprint)
