"""What is owed to Label Studio: predictions that were asked for and are not known to be there.

A job is a task of a project under a fingerprint. It comes into being when Label Studio asks for the task, or before its
prediction is written, and ends when the prediction has been seen in the project. In between anything may be killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, not_, or_, select, update

from backend.store.database import Database
from backend.store.rows import chunks, insert_new, storable, upsert
from backend.store.tables import JOBS

LONGEST_S = 3600.0
"""No job is put off for longer; one that seems to be was written before the clock was set back, and is due."""
_CLOCKS_DIFFER_S = 60.0
"""What is noted so far in the future was noted before the clock was set back."""
FORGOTTEN_S = 7 * 86_400.0
"""A job that nobody could settle for so long is forgotten: its judge is gone."""

_OPEN, _SENT = "open", "sent"


@dataclass(frozen=True, slots=True)
class Job:
    """One prediction that is owed."""

    project: str
    """Label Studio's number and creation time of the project, as it sends them: `3.1795361354`."""
    task: int
    fingerprint: str
    sent: bool
    """Whether a write of it began and it has not been seen since: it may be there already, or be there in a moment."""
    attempts: int
    """How often it was put off because of a failure."""
    reason: str | None
    """Of the last failure."""


class JobBook:
    """The jobs. Every method raises StoreError. Times to wait are in seconds from now."""

    def __init__(self, database: Database, clock: Callable[[], float] | None = None) -> None:
        """`clock` gives seconds since 1970 and may jump; None is the database's own, or this machine's for SQLite."""
        self._database = database
        self._clock = clock

    def owe(self, project: str, fingerprint: str, tasks: Collection[int], due_in_s: float) -> frozenset[int]:
        """Note that these are owed; the tasks for which that was not known before. Those keep their time."""
        if not tasks:
            return frozenset()
        with self._writing(project) as connection:
            known = self._known(connection, project, fingerprint, tasks)
            now = self._now(connection)
            rows = [_row(project, fingerprint, task, _OPEN, _later(now, due_in_s), now) for task in tasks]
            connection.execute(insert_new(self._database, JOBS), rows)
        return frozenset(tasks) - set(known)

    def sending(self, project: str, fingerprint: str, tasks: Collection[int], due_in_s: float) -> dict[int, bool]:
        """Note that a write of these begins now; those that were noted before, and whether as sent.

        Those may come twice, by a write or an answer that is under way. They are due when that has had as long again
        as it took so far.
        """
        if not tasks:
            return {}
        insert = upsert(self._database, JOBS)
        which = [JOBS.c.project, JOBS.c.task, JOBS.c.fingerprint]
        with self._writing(project) as connection:
            known = self._known(connection, project, fingerprint, tasks)
            now = self._now(connection)
            rows = []
            for task in tasks:
                age_s = now - known[task].created_at if task in known else 0.0
                due_at = _later(now, max(due_in_s, min(age_s, LONGEST_S)))
                rows.append(_row(project, fingerprint, task, _SENT, due_at, now))
            changed = {name: insert.excluded[name] for name in ("state", "due_at")} | {"created_at": _made(now)}
            connection.execute(insert.on_conflict_do_update(index_elements=which, set_=changed), rows)
        return {task: row.state == _SENT for task, row in known.items()}

    def put_off(
        self, project: str, fingerprint: str, tasks: Collection[int], due_in_s: float, reason: str | None = None
    ) -> None:
        """Look at these again later; with a reason, because of a failure."""
        if not tasks:
            return
        with self._writing(project) as connection:
            now = self._now(connection)
            changed: dict[str, object] = {"due_at": _later(now, due_in_s), "created_at": _made(now)}
            if reason is not None:
                changed |= {"attempts": JOBS.c.attempts + 1, "reason": storable(reason)}
            for part in chunks(sorted(tasks)):
                which = and_(_of(project, fingerprint), JOBS.c.task.in_(part))
                connection.execute(update(JOBS).where(which).values(**changed))

    def settle(self, project: str, fingerprint: str, tasks: Collection[int]) -> None:
        """These are owed no more."""
        if not tasks:
            return
        with self._writing(project) as connection:
            for part in chunks(sorted(tasks)):
                connection.execute(delete(JOBS).where(_of(project, fingerprint), JOBS.c.task.in_(part)))

    def drop(self, project: str, judge: str) -> int:
        """Forget everything that a judge owes to a project; how much that was."""
        with self._writing(project) as connection:
            return connection.execute(delete(JOBS).where(JOBS.c.project == project, _by(judge))).rowcount

    def renew(self, project: str, judge: str, fingerprint: str) -> int:
        """Owe under this fingerprint what the judge owes under others, of another label config or rubric; how much."""
        old = and_(JOBS.c.project == project, _by(judge), JOBS.c.fingerprint != fingerprint)
        with self._database.reading() as connection:
            if connection.execute(select(JOBS.c.id).where(old).limit(1)).first() is None:
                return 0
        with self._writing(project) as connection:
            now = self._now(connection)
            tasks = set(connection.execute(select(JOBS.c.task).where(old)).scalars())
            connection.execute(delete(JOBS).where(old))
            if tasks:
                rows = [_row(project, fingerprint, task, _OPEN, now, now) for task in tasks]
                connection.execute(insert_new(self._database, JOBS), rows)
        return len(tasks)

    def forget_old(self, keep: str | None = None) -> int:
        """Forget what nobody could settle for a week; how much that was.

        What the judge to keep owes stays: it is there, and was switched off for a while, or the clock was set.
        """
        with self._database.writing("jobs") as connection:
            old = JOBS.c.created_at < self._now(connection) - FORGOTTEN_S
            which = old if keep is None else and_(old, not_(_by(keep)))
            return connection.execute(delete(JOBS).where(which)).rowcount

    def due_projects(self, judge: str) -> tuple[str, ...]:
        """The projects to which a judge owes something that is due, the longest due first."""
        with self._database.reading() as connection:
            which = and_(_by(judge), _is_due(self._now(connection)))
            query = select(JOBS.c.project).where(which).group_by(JOBS.c.project).order_by(func.min(JOBS.c.due_at))
            return tuple(connection.execute(query).scalars())

    def due(self, project: str, fingerprint: str, limit: int) -> tuple[Job, ...]:
        """What is due of a project, what failed least first, then by rising task."""
        with self._database.reading() as connection:
            which = and_(_of(project, fingerprint), _is_due(self._now(connection)))
            query = select(JOBS).where(which).order_by(JOBS.c.attempts, JOBS.c.task).limit(limit)
            return tuple(_job(row) for row in connection.execute(query).mappings())

    def all_of(self, project: str, fingerprint: str) -> tuple[Job, ...]:
        """Everything owed to a project under a fingerprint, by rising task."""
        query = select(JOBS).where(_of(project, fingerprint)).order_by(JOBS.c.task)
        with self._database.reading() as connection:
            return tuple(_job(row) for row in connection.execute(query).mappings())

    def next_in_s(self, judge: str) -> float | None:
        """When the next one of a judge is due; None when nothing is owed, 0 when one is due now."""
        with self._database.reading() as connection:
            now = self._now(connection)
            due = select(func.count()).select_from(JOBS).where(_by(judge), _is_due(now))
            if connection.execute(due).scalar():
                return 0.0
            first = connection.execute(select(func.min(JOBS.c.due_at)).where(_by(judge))).scalar()
        return None if first is None else max(0.0, float(first) - now)

    def counts(self) -> dict[str, int]:
        """How many are owed, by project."""
        query = select(JOBS.c.project, func.count()).group_by(JOBS.c.project).order_by(JOBS.c.project)
        with self._database.reading() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(query)}

    def _known(self, connection: Connection, project: str, fingerprint: str, tasks: Collection[int]) -> dict[int, Any]:
        """The state and time of those that are noted."""
        known: dict[int, Any] = {}
        for part in chunks(sorted(tasks)):
            which = and_(_of(project, fingerprint), JOBS.c.task.in_(part))
            for row in connection.execute(select(JOBS.c.task, JOBS.c.state, JOBS.c.created_at).where(which)):
                known[row.task] = row
        return known

    def _writing(self, project: str) -> AbstractContextManager[Connection]:
        return self._database.writing(f"jobs-{project}")

    def _now(self, connection: Connection) -> float:
        """Seconds since 1970: on PostgreSQL by its clock, which all that share it see alike."""
        if self._clock is not None:
            return self._clock()
        if self._database.is_sqlite:
            return time.time()
        return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())


def _row(project: str, fingerprint: str, task: int, state: str, due_at: float, created_at: float) -> dict[str, object]:
    job = {"project": project, "fingerprint": fingerprint, "task": task, "state": state}
    return {**job, "due_at": due_at, "attempts": 0, "reason": None, "created_at": created_at}


def _later(now: float, due_in_s: float) -> float:
    return now + min(due_in_s, LONGEST_S)


def _is_due(now: float) -> ColumnElement[bool]:
    """Whose time has come, and what was noted or put off before the clock was set back."""
    set_back = or_(JOBS.c.created_at > now + _CLOCKS_DIFFER_S, JOBS.c.due_at > now + 2 * LONGEST_S)
    return or_(JOBS.c.due_at <= now, set_back)


def _made(now: float) -> ColumnElement[float]:
    """When a job was noted; now, where the clock was set back since."""
    return case((JOBS.c.created_at > now, now), else_=JOBS.c.created_at)


def _of(project: str, fingerprint: str) -> ColumnElement[bool]:
    return and_(JOBS.c.project == project, JOBS.c.fingerprint == fingerprint)


def _by(judge: str) -> ColumnElement[bool]:
    """Of a judge by its name, with which its fingerprints begin; 12 hex digits follow."""
    return and_(
        JOBS.c.fingerprint.startswith(f"{judge}-", autoescape=True),
        func.length(JOBS.c.fingerprint) == len(judge) + 13,
    )


def _job(row: Any) -> Job:
    return Job(row["project"], row["task"], row["fingerprint"], row["state"] == _SENT, row["attempts"], row["reason"])
