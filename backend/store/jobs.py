"""What is owed to Label Studio: predictions that were asked for and are not known to be there.

A job is a task of a project under a fingerprint. It comes into being when Label Studio asks for the task, or before its
prediction is written, and ends when the prediction is known to be in the project. In between anything may be killed.

Whoever lets a prediction go, in an answer or in a bulk write, notes that before. So no prediction of an open job can be
on its way. One that was given or sent may arrive long after; where it is sent once more, it is looked at once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, not_, or_, select, update

from backend.store.claims import Claim, abandoned, claim, forget, is_abandoned, is_held, release
from backend.store.database import Database
from backend.store.rows import chunks, insert_new, storable, upsert
from backend.store.tables import JOBS

LONGEST_S = 3600.0
"""No job is put off for longer; one that seems to be was written before the clock was set back, and is due."""
MOST_DOUBT_S = 600.0
"""What did not arrive for longer than that is doubted no longer; and what did not in LONGEST_S, not at all."""
_CLOCKS_DIFFER_S = 60.0
"""What is noted so far in the future was noted before the clock was set back."""
FORGOTTEN_S = 7 * 86_400.0
"""A job that nobody could settle for so long is forgotten: its judge is gone."""

State = Literal["open", "given", "sent"]
"""No prediction of it can be on its way; an answer to Label Studio holds one; a bulk write of one began."""
_OPEN, _GIVEN, _SENT = get_args(State)


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


@dataclass(frozen=True, slots=True)
class Due:
    """What is due of a project under one fingerprint."""

    project: str
    fingerprint: str
    abandoned: bool
    """Whether the server that was asked for it is gone, so that another may take it over."""


class JobBook:
    """The jobs. Every method raises StoreError. Times to wait are in seconds from now."""

    def __init__(self, database: Database, clock: Callable[[], float] | None = None) -> None:
        """`clock` gives seconds since 1970 and may jump; None is the database's own, or this machine's for SQLite."""
        self._database = database
        self._clock = clock

    def owe(self, project: str, fingerprint: str, tasks: Collection[int], due_in_s: float) -> frozenset[int]:
        """Note that a server was asked for these; the tasks for which that was not known before.

        The others keep their time. The server claims what is owed there from now on.
        """
        if not tasks:
            return frozenset()
        with self._writing(project) as connection:
            known = self._known(connection, project, fingerprint, tasks)
            now = self._now(connection)
            claim(self._database, connection, ((project, fingerprint),), now)
            rows = [_row(project, fingerprint, task, _OPEN, _later(now, due_in_s), now) for task in tasks]
            connection.execute(insert_new(self._database, JOBS), rows)
        return frozenset(tasks) - set(known)

    def give(self, project: str, fingerprint: str, tasks: Collection[int], due_in_s: float) -> None:
        """Note that an answer that holds these leaves now; also of those that somebody else wrote meanwhile."""
        self._let_go(project, fingerprint, tasks, _GIVEN, due_in_s)

    def sending(self, project: str, fingerprint: str, tasks: Collection[int], due_in_s: float) -> dict[int, State]:
        """Note that a write of these begins now; what was known of those that were noted before.

        What was given or sent before may come twice. It is due when that has had as long again as it took so far, but
        no sooner than in `due_in_s`.
        """
        return self._let_go(project, fingerprint, tasks, _SENT, due_in_s)

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

    def settle(self, project: str, fingerprint: str, tasks: Collection[int], *, seen: bool = True) -> None:
        """These are owed no more: they were seen in the project, or only written.

        What an answer holds stays: if seen, until it is due and all of it must be there; if only written, in any case,
        to be looked at whether it came twice.
        """
        if not tasks:
            return
        with self._writing(project) as connection:
            over = JOBS.c.state != _GIVEN
            if seen:
                over = or_(over, _is_due(self._now(connection)))
            for part in chunks(sorted(tasks)):
                connection.execute(delete(JOBS).where(_of(project, fingerprint), JOBS.c.task.in_(part), over))

    def claim(self, claims: Collection[Claim]) -> None:
        """Say that a server still stands by what is owed there; unclaimed for long, it may be taken over."""
        if claims:
            with self._database.writing("claims") as connection:
                claim(self._database, connection, claims, self._now(connection))

    def release(self, project: str, fingerprint: str) -> None:
        """Whoever was asked in this project judges under another fingerprint now."""
        with self._writing(project) as connection:
            release(connection, (project, fingerprint))

    def drop(self, project: str, judge: str, fingerprint: str | None) -> int:
        """Forget what is owed to a project under this fingerprint, and what no other server claims; how much that was.

        Only what judges of this name owe.
        """
        with self._writing(project) as connection:
            which = or_(JOBS.c.fingerprint == fingerprint, not_(is_held(self._now(connection))))
            return connection.execute(delete(JOBS).where(JOBS.c.project == project, _by(judge), which)).rowcount

    def renew(self, project: str, judge: str, fingerprint: str) -> int:
        """Owe under this fingerprint what is owed under others of the judge's name and was abandoned; how much.

        It was asked for under another label config or rubric, by a server that is gone or judges anew.
        """
        mine = and_(JOBS.c.project == project, _by(judge), JOBS.c.fingerprint != fingerprint)
        with self._database.reading() as connection:
            old = and_(mine, is_abandoned(self._now(connection)))
            if connection.execute(select(JOBS.c.id).where(old).limit(1)).first() is None:
                return 0
        with self._writing(project) as connection:
            now = self._now(connection)
            old = and_(mine, is_abandoned(now))
            tasks = set(connection.execute(select(JOBS.c.task).where(old)).scalars())
            connection.execute(delete(JOBS).where(old))
            if tasks:
                claim(self._database, connection, ((project, fingerprint),), now)
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
            forget(connection, self._now(connection) - FORGOTTEN_S)
            return connection.execute(delete(JOBS).where(which)).rowcount

    def due_groups(self, judge: str) -> tuple[Due, ...]:
        """To which projects judges of this name owe something that is due, the longest due first."""
        with self._database.reading() as connection:
            now = self._now(connection)
            columns = (JOBS.c.project, JOBS.c.fingerprint)
            query = (
                select(*columns).where(_by(judge), _is_due(now)).group_by(*columns).order_by(func.min(JOBS.c.due_at))
            )
            gone = abandoned(connection, now)
            found = [(row.project, row.fingerprint) for row in connection.execute(query)]
        return tuple(Due(*of, of in gone) for of in found)

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

    def next_in_s(self, fingerprints: Collection[str]) -> float | None:
        """When the next one under these is due; None when nothing is owed, 0 when one is due now."""
        which = JOBS.c.fingerprint.in_(fingerprints)
        with self._database.reading() as connection:
            now = self._now(connection)
            if connection.execute(select(JOBS.c.id).where(which, _is_due(now)).limit(1)).first() is not None:
                return 0.0
            first = connection.execute(select(func.min(JOBS.c.due_at)).where(which)).scalar()
        return None if first is None else max(0.0, float(first) - now)

    def counts(self) -> dict[str, int]:
        """How many are owed, by project."""
        query = select(JOBS.c.project, func.count()).group_by(JOBS.c.project).order_by(JOBS.c.project)
        with self._database.reading() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(query)}

    def _let_go(
        self, project: str, fingerprint: str, tasks: Collection[int], state: State, due_in_s: float
    ) -> dict[int, State]:
        """Note that predictions of these leave now; what was known of those that were noted before."""
        if not tasks:
            return {}
        insert = upsert(self._database, JOBS)
        which = [JOBS.c.project, JOBS.c.task, JOBS.c.fingerprint]
        with self._writing(project) as connection:
            known = self._known(connection, project, fingerprint, tasks)
            now = self._now(connection)
            rows = []
            for task in tasks:
                again = state == _SENT and task in known and known[task].state != _OPEN
                doubt_s = _doubt_s(now - known[task].created_at) if again else 0.0
                due_at = _later(now, max(due_in_s, doubt_s))
                rows.append(_row(project, fingerprint, task, state, due_at, now))
            changed = {name: insert.excluded[name] for name in ("state", "due_at")}
            changed["created_at"] = case((JOBS.c.state == _OPEN, now), else_=_made(now))
            connection.execute(insert.on_conflict_do_update(index_elements=which, set_=changed), rows)
        return {task: row.state for task, row in known.items()}

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


def _doubt_s(age_s: float) -> float:
    """How long what was let go so long ago may still arrive: as long again, unless it was lost."""
    return min(age_s, MOST_DOUBT_S) if age_s <= LONGEST_S else 0.0


def _later(now: float, due_in_s: float) -> float:
    return now + min(due_in_s, LONGEST_S)


def _is_due(now: float) -> ColumnElement[bool]:
    """Whose time has come, and what was noted or put off before the clock was set back."""
    set_back = or_(JOBS.c.created_at > now + _CLOCKS_DIFFER_S, JOBS.c.due_at > now + 2 * LONGEST_S)
    return or_(JOBS.c.due_at <= now, set_back)


def _made(now: float) -> ColumnElement[float]:
    """When a job was noted, or the first prediction of it let go; now, where the clock was set back since."""
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
