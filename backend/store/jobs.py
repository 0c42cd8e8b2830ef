"""What is owed to Label Studio: predictions that were asked for and are not known to be there.

A job is a task of a project under a fingerprint. It comes into being when Label Studio asks for the task, or before its
prediction is written, and ends when the prediction has been seen in the project. In between anything may be killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from backend.store.database import Database
from backend.store.rows import chunks, insert_new, storable, upsert
from backend.store.tables import JOBS

LONGEST_S = 3600.0
"""No job is put off for longer; one that seems to be was written before the clock was set back, and is due."""

_OPEN, _SENT = "open", "sent"


@dataclass(frozen=True, slots=True)
class Job:
    """One prediction that is owed."""

    project: str
    """Label Studio's number and creation time of the project, as it sends them: `3.1795361354`."""
    task: int
    fingerprint: str
    sent: bool
    """Whether a write of it began and its end is not known: it may be there already, or be there in a moment."""
    attempts: int
    """How often it was put off because of a failure."""
    reason: str | None
    """Of the last failure."""


class JobBook:
    """The jobs. Every method raises StoreError. Times to wait are in seconds from now."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970; it may jump."""
        self._database = database
        self._clock = clock

    def owe(self, project: str, fingerprint: str, tasks: Collection[int], due_in_s: float) -> frozenset[int]:
        """Note that these are owed; the tasks for which that was not known before. Those keep their time."""
        rows = [self._row(project, fingerprint, task, _OPEN, due_in_s) for task in tasks]
        if not rows:
            return frozenset()
        with self._writing(project) as connection:
            known: set[int] = set()
            for part in chunks(sorted(tasks)):
                query = select(JOBS.c.task).where(_of(project, fingerprint), JOBS.c.task.in_(part))
                known |= set(connection.execute(query).scalars())
            connection.execute(insert_new(self._database, JOBS), rows)
        return frozenset(tasks) - known

    def sending(self, project: str, fingerprint: str, tasks: Collection[int], due_in_s: float) -> None:
        """Note that a write of these begins now."""
        rows = [self._row(project, fingerprint, task, _SENT, due_in_s) for task in tasks]
        if not rows:
            return
        insert = upsert(self._database, JOBS)
        changed = {"state": insert.excluded.state, "due_at": insert.excluded.due_at}
        with self._writing(project) as connection:
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[JOBS.c.project, JOBS.c.task, JOBS.c.fingerprint], set_=changed
                ),
                rows,
            )

    def put_off(
        self, project: str, fingerprint: str, tasks: Collection[int], due_in_s: float, reason: str | None = None
    ) -> None:
        """Look at these again later; with a reason, because of a failure."""
        if not tasks:
            return
        changed: dict[str, object] = {"due_at": self._at(due_in_s)}
        if reason is not None:
            changed |= {"attempts": JOBS.c.attempts + 1, "reason": storable(reason)}
        with self._writing(project) as connection:
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

    def drop(self, project: str, *, keep: str | None = None) -> int:
        """Forget the project's jobs but those of the fingerprint to keep; how many were forgotten."""
        of_project = JOBS.c.project == project
        which = of_project if keep is None else and_(of_project, JOBS.c.fingerprint != keep)
        with self._writing(project) as connection:
            return connection.execute(delete(JOBS).where(which)).rowcount

    def due_projects(self) -> tuple[str, ...]:
        """The projects that have something due, the longest due first."""
        query = select(JOBS.c.project).where(self._due()).group_by(JOBS.c.project).order_by(func.min(JOBS.c.due_at))
        with self._database.reading() as connection:
            return tuple(connection.execute(query).scalars())

    def due(self, project: str, limit: int) -> tuple[Job, ...]:
        """What is due of a project, by rising task."""
        query = select(JOBS).where(JOBS.c.project == project, self._due()).order_by(JOBS.c.task).limit(limit)
        with self._database.reading() as connection:
            return tuple(_job(row) for row in connection.execute(query))

    def all_of(self, project: str, fingerprint: str) -> tuple[Job, ...]:
        """Everything owed to a project under a fingerprint, by rising task."""
        query = select(JOBS).where(_of(project, fingerprint)).order_by(JOBS.c.task)
        with self._database.reading() as connection:
            return tuple(_job(row) for row in connection.execute(query))

    def next_in_s(self) -> float | None:
        """When the next one is due; None when nothing is owed, 0 when one is due now."""
        with self._database.reading() as connection:
            if connection.execute(select(func.count()).select_from(JOBS).where(self._due())).scalar():
                return 0.0
            first = connection.execute(select(func.min(JOBS.c.due_at))).scalar()
        return None if first is None else max(0.0, float(first) - self._clock())

    def counts(self) -> dict[str, int]:
        """How many are owed, by project."""
        query = select(JOBS.c.project, func.count()).group_by(JOBS.c.project).order_by(JOBS.c.project)
        with self._database.reading() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(query)}

    def _writing(self, project: str) -> AbstractContextManager[Connection]:
        return self._database.writing(f"jobs-{project}")

    def _row(self, project: str, fingerprint: str, task: int, state: str, due_in_s: float) -> dict[str, object]:
        job = {"project": project, "fingerprint": fingerprint, "task": task}
        return {**job, "state": state, "due_at": self._at(due_in_s), "attempts": 0, "reason": None}

    def _at(self, due_in_s: float) -> float:
        return self._clock() + min(due_in_s, LONGEST_S)

    def _due(self) -> ColumnElement[bool]:
        now = self._clock()
        return or_(JOBS.c.due_at <= now, JOBS.c.due_at > now + 2 * LONGEST_S)


def _of(project: str, fingerprint: str) -> ColumnElement[bool]:
    return and_(JOBS.c.project == project, JOBS.c.fingerprint == fingerprint)


def _job(row: object) -> Job:
    found = row._mapping  # type: ignore[attr-defined]
    return Job(
        found["project"],
        found["task"],
        found["fingerprint"],
        found["state"] == _SENT,
        found["attempts"],
        found["reason"],
    )
