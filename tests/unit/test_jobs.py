"""What is owed: known once, due in time whatever the clock does, and gone when it is settled; on either database."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from backend.store import Job, JobBook
from backend.store.claims import ABANDONED_S
from backend.store.database import Database
from backend.store.jobs import FORGOTTEN_S, LONGEST_S, MOST_DOUBT_S, Due
from backend.store.tables import CLAIMS

pytest_plugins = ("tests.store_plugin",)

A, B = "3.1795361354", "4.1795361354"
MODEL = "qwen"
OLD, NEW = "qwen-0123456789ab", "qwen-ba9876543210"
"""Two fingerprints of a model: under another label config or rubric it has another."""
DAY_S = 86_400.0


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(store_place: str) -> Iterator[Database]:
    database = Database(store_place)
    yield database
    database.close()


@pytest.fixture
def jobs(database: Database, clock: Clock) -> JobBook:
    return JobBook(database, clock)


def job(task: int, fingerprint: str = OLD, project: str = A, **more: Any) -> Job:
    return replace(Job(project, task, fingerprint, sent=False, attempts=0, reason=None), **more)


def test_what_is_owed_is_new_once_and_keeps_its_time(jobs: JobBook, clock: Clock) -> None:
    assert jobs.owe(A, OLD, [3, 1, 2], 10.0) == {1, 2, 3}
    assert jobs.owe(A, OLD, [2, 3, 4, 4], 0.0) == {4}
    assert jobs.owe(A, NEW, [1], 20.0) == {1}, "under another fingerprint it is another job"
    assert jobs.owe(B, OLD, [1], 30.0) == {1}, "so is another project's"
    assert jobs.owe(A, OLD, [], 0.0) == frozenset()
    assert jobs.due(A, OLD, 10) == (job(4),)
    clock.now_s += 10.0
    assert jobs.due(A, OLD, 10) == (job(1), job(2), job(3), job(4))
    assert jobs.counts() == {A: 5, B: 1}


def test_what_is_due_comes_by_rising_task_and_no_more_than_asked_for(jobs: JobBook) -> None:
    jobs.owe(A, OLD, [5, 9_000_000_000, 2], 0.0)
    jobs.owe(B, OLD, [1], 0.0)
    jobs.owe(A, NEW, [1], 0.0)
    assert jobs.due(A, OLD, 2) == (job(2), job(5))
    assert jobs.due(A, OLD, 9) == (job(2), job(5), job(9_000_000_000))
    assert jobs.due("5.1", OLD, 9) == ()


def test_what_failed_often_comes_after_the_rest(jobs: JobBook) -> None:
    jobs.owe(A, OLD, [1, 2, 3, 4], 0.0)
    for task in (1, 1, 3):
        jobs.put_off(A, OLD, [task], 0.0, "why")
    assert [each.task for each in jobs.due(A, OLD, 9)] == [2, 4, 3, 1]
    assert [each.task for each in jobs.due(A, OLD, 3)] == [2, 4, 3]


def test_the_project_that_waits_longest_comes_first(jobs: JobBook, clock: Clock) -> None:
    assert jobs.due_groups(MODEL) == ()
    jobs.owe(B, OLD, [1], 0.0)
    clock.now_s += 1.0
    jobs.owe(A, OLD, [1, 2], 0.0)
    jobs.owe("5.1", OLD, [1], 60.0)
    first, second = Due(B, OLD, abandoned=False), Due(A, OLD, abandoned=False)
    assert jobs.due_groups(MODEL) == (first, second)
    jobs.put_off(B, OLD, [1], 0.0)
    clock.now_s += 1.0
    jobs.put_off(A, OLD, [1], 0.0)
    assert jobs.due_groups(MODEL) == (second, first), "of a project, the longest due counts"
    clock.now_s += 1.0
    jobs.owe(B, NEW, [1], 0.0)
    assert jobs.due_groups(MODEL) == (second, first, Due(B, NEW, abandoned=False))


def test_when_the_next_one_is_due_is_told_in_seconds(jobs: JobBook, clock: Clock) -> None:
    assert jobs.next_in_s([OLD, NEW]) is None
    jobs.owe(A, OLD, [1], 30.0)
    jobs.owe(B, NEW, [1], 12.5)
    assert jobs.next_in_s([OLD, NEW]) == 12.5
    clock.now_s += 12.0
    assert jobs.next_in_s([OLD, NEW]) == 0.5
    clock.now_s += 100.0
    assert jobs.next_in_s([OLD, NEW]) == 0.0
    jobs.settle(A, OLD, [1])
    jobs.settle(B, NEW, [1])
    assert jobs.next_in_s([OLD, NEW]) is None


@pytest.mark.parametrize(
    ("model", "owed"),
    [
        ("qwen", True),
        ("qwen-vl", False),  # qwen-vl-0123456789ab is another model's
        ("qwen-0123456789ab", False),
        ("qwe", False),
        ("q%", False),
        ("____", False),
        ("", False),
    ],
)
def test_every_model_has_its_own_jobs(jobs: JobBook, model: str, owed: bool) -> None:
    jobs.owe(A, OLD, [1], 0.0)
    jobs.release(A, OLD)
    assert jobs.due_groups(model) == ((Due(A, OLD, abandoned=True),) if owed else ())
    assert jobs.renew(A, model, f"{model}-aaaaaaaaaaaa") == (1 if owed else 0)
    assert jobs.drop(A, model, f"{model}-aaaaaaaaaaaa") == (1 if owed else 0)
    assert jobs.counts() == ({} if owed else {A: 1})


def test_names_with_signs_that_databases_know_are_names(jobs: JobBook) -> None:
    odd = "50%_off/\\x"
    jobs.owe(A, f"{odd}-0123456789ab", [1], 0.0)
    assert jobs.due_groups(odd) == (Due(A, f"{odd}-0123456789ab", abandoned=False),)
    assert jobs.due_groups("50x_off/\\x") == ()


def test_a_write_that_begins_is_noted_whether_it_was_owed_or_not(jobs: JobBook, clock: Clock) -> None:
    jobs.owe(A, OLD, [1], 0.0)
    jobs.put_off(A, OLD, [1], 0.0, "the model was away")
    for known in ({1: "open"}, {1: "sent", 2: "sent"}):
        assert jobs.sending(A, OLD, [2, 1], 15.0) == known
        assert jobs.all_of(A, OLD) == (job(1, sent=True, attempts=1, reason="the model was away"), job(2, sent=True))
    assert jobs.due(A, OLD, 9) == ()
    clock.now_s += 15.0
    assert [each.task for each in jobs.due(A, OLD, 9)] == [2, 1]
    assert jobs.sending(A, OLD, [], 0.0) == {}
    assert jobs.owe(A, OLD, [1, 2, 3], 0.0) == {3}, "what is being written is on its way"
    assert jobs.counts() == {A: 3}


def test_what_was_asked_for_long_ago_and_never_let_go_is_doubted_no_longer_than_any(
    jobs: JobBook, clock: Clock
) -> None:
    jobs.owe(A, OLD, [1], 0.0)
    clock.now_s += 900.0
    assert jobs.sending(A, OLD, [1, 2], 15.0) == {1: "open"}
    clock.now_s += 15.0
    assert jobs.due(A, OLD, 9) == (job(1, sent=True), job(2, sent=True))


@pytest.mark.parametrize("first", ["given", "sent"])
def test_what_was_let_go_and_did_not_arrive_is_doubted_as_long_again(jobs: JobBook, clock: Clock, first: str) -> None:
    jobs.owe(A, OLD, [1], 0.0)
    clock.now_s += 5_000.0
    (jobs.give if first == "given" else jobs.sending)(A, OLD, [1], 0.0)
    clock.now_s += 100.0
    assert jobs.sending(A, OLD, [1], 15.0) == {1: first}
    assert jobs.next_in_s([OLD]) == 100.0, "since it was let go, not since it was asked for"
    clock.now_s += 100.0
    assert jobs.sending(A, OLD, [1], 15.0) == {1: "sent"}
    assert jobs.next_in_s([OLD]) == 200.0, "the first one may be on its way still"
    clock.now_s += LONGEST_S - 200.0
    jobs.sending(A, OLD, [1], 15.0)
    assert jobs.next_in_s([OLD]) == MOST_DOUBT_S == 600.0
    jobs.sending(A, OLD, [1], 700.0)
    assert jobs.next_in_s([OLD]) == 700.0
    clock.now_s += 1.0
    jobs.sending(A, OLD, [1], 15.0)
    assert jobs.next_in_s([OLD]) == 15.0, "what did not arrive for an hour was lost"
    clock.now_s -= 9 * DAY_S
    jobs.sending(A, OLD, [1], 15.0)
    assert jobs.next_in_s([OLD]) == 15.0, "a clock that was set back makes nothing older"


def test_what_an_answer_holds_is_looked_at_whatever_somebody_else_did_meanwhile(jobs: JobBook, clock: Clock) -> None:
    jobs.owe(A, OLD, [1, 2, 3, 4], 60.0)
    jobs.put_off(A, OLD, [1], 60.0, "the model was away")
    jobs.sending(A, OLD, [2], 15.0)
    jobs.settle(A, OLD, [3])
    jobs.give(A, OLD, [1, 2, 3], 5.0)
    jobs.give(A, OLD, [], 5.0)
    history = job(1, attempts=1, reason="the model was away")
    assert jobs.all_of(A, OLD) == (history, job(2), job(3), job(4))
    jobs.settle(A, OLD, [2, 4], seen=False)
    jobs.settle(A, OLD, [1, 3])
    assert jobs.all_of(A, OLD) == (history, job(2), job(3)), "all of it cannot be there yet"
    clock.now_s += 5.0
    assert jobs.due(A, OLD, 9) == (job(2), job(3), history)
    jobs.settle(A, OLD, [1, 2, 3], seen=False)
    assert jobs.due(A, OLD, 9) == (job(2), job(3), history), "a write does not see whether it came twice"
    assert jobs.sending(A, OLD, [2], 15.0) == {2: "given"}
    jobs.settle(A, OLD, [2], seen=False)
    jobs.settle(A, OLD, [1, 3])
    assert jobs.counts() == {}


def test_what_is_put_off_counts_its_failures_and_keeps_the_last_reason(jobs: JobBook) -> None:
    jobs.owe(A, OLD, [1, 2], 0.0)
    jobs.owe(A, NEW, [1], 0.0)
    jobs.put_off(A, OLD, [1, 7], 5.0)
    assert (jobs.due(A, OLD, 9), jobs.due(A, NEW, 9)) == ((job(2),), (job(1, NEW),))
    jobs.put_off(A, OLD, [1], 5.0, "first")
    jobs.put_off(A, OLD, [1], 0.0, "second: \x00 \ud83d “Löwe” 🐈")
    jobs.put_off(A, OLD, [], 0.0, "nobody")
    assert jobs.all_of(A, OLD) == (job(1, attempts=2, reason="second: \\x00 \\ud83d “Löwe” 🐈"), job(2))
    assert jobs.all_of(A, NEW) == (job(1, NEW),)
    assert jobs.counts() == {A: 3}, "what nobody owes is not put off"


def test_what_is_settled_is_gone_and_may_be_owed_anew(jobs: JobBook) -> None:
    jobs.sending(A, OLD, [1, 2], 0.0)
    jobs.owe(A, NEW, [1], 0.0)
    for _ in range(2):
        jobs.settle(A, OLD, [1, 7])
    jobs.settle(A, OLD, [])
    jobs.settle(B, OLD, [2])
    assert jobs.all_of(A, OLD) == (job(2, sent=True),)
    assert jobs.owe(A, OLD, [1, 2], 0.0) == {1}
    assert jobs.all_of(A, OLD) == (job(1), job(2, sent=True))
    assert jobs.all_of(A, NEW) == (job(1, NEW),)


def test_what_a_judge_owes_to_a_project_is_dropped_and_what_nobody_else_stands_by(jobs: JobBook, clock: Clock) -> None:
    other, another = "gemma-0123456789ab", "qwen-aaaaaaaaaaaa"
    jobs.owe(A, another, [1], 0.0)
    jobs.sending(A, "qwen-bbbbbbbbbbbb", [1], 0.0)
    clock.now_s += ABANDONED_S + 1.0
    for fingerprint in (OLD, NEW, other):
        jobs.owe(A, fingerprint, [1, 2], 0.0)
    jobs.owe(B, OLD, [1], 0.0)
    assert (jobs.drop(A, MODEL, OLD), jobs.drop(A, MODEL, OLD), jobs.drop("5.1", MODEL, None)) == (4, 0, 0)
    assert jobs.all_of(A, NEW) == (job(1, NEW), job(2, NEW)), "another server stands by it"
    assert jobs.counts() == {A: 4, B: 1}
    assert jobs.all_of(A, other) == (job(1, other), job(2, other))
    jobs.release(A, NEW)
    assert jobs.drop(A, MODEL, None) == 2


def test_what_is_owed_under_an_old_fingerprint_is_owed_under_the_new_one(jobs: JobBook, clock: Clock) -> None:
    older, other = "qwen-aaaaaaaaaaaa", "gemma-0123456789ab"
    for fingerprint in (OLD, older, other):
        jobs.owe(A, fingerprint, [2] if fingerprint == OLD else [3, 9], 900.0)
    jobs.sending(A, OLD, [1, 2], 900.0)
    jobs.put_off(A, OLD, [2], 900.0, "why")
    jobs.owe(B, OLD, [9], 900.0)
    jobs.sending(A, NEW, [1], 50.0)
    clock.now_s += 1.0
    assert jobs.renew(A, MODEL, NEW) == 0, "the servers that were asked are there"
    jobs.release(A, OLD)
    assert jobs.renew(A, MODEL, NEW) == 2
    assert jobs.due(A, NEW, 9) == (job(2, NEW),)
    assert jobs.all_of(A, NEW) == (job(1, NEW, sent=True), job(2, NEW))
    assert jobs.renew(A, MODEL, NEW) == 0
    clock.now_s += ABANDONED_S
    assert jobs.renew(A, MODEL, NEW) == 2
    assert jobs.due(A, NEW, 9) == (job(1, NEW, sent=True), job(2, NEW), job(3, NEW), job(9, NEW))
    assert jobs.all_of(A, other) == (job(3, other), job(9, other))
    assert jobs.counts() == {A: 6, B: 1}


def test_two_judges_of_one_model_leave_each_other_s_jobs_alone_as_long_as_they_are_there(
    jobs: JobBook, clock: Clock
) -> None:
    jobs.owe(A, OLD, [1], 0.0)
    jobs.owe(A, NEW, [1, 2], 0.0)
    for _ in range(9):
        clock.now_s += ABANDONED_S - 1.0
        jobs.claim([(A, OLD), (A, NEW)])
        assert (jobs.renew(A, MODEL, OLD), jobs.renew(A, MODEL, NEW)) == (0, 0)
        assert jobs.due_groups(MODEL) == (Due(A, OLD, abandoned=False), Due(A, NEW, abandoned=False))
    clock.now_s += ABANDONED_S
    jobs.claim([(A, NEW)])
    assert jobs.renew(A, MODEL, OLD) == 0
    clock.now_s += 1.0
    assert jobs.due_groups(MODEL) == (Due(A, OLD, abandoned=True), Due(A, NEW, abandoned=False))
    assert (jobs.renew(A, MODEL, OLD), jobs.renew(A, MODEL, NEW)) == (0, 1)
    assert jobs.all_of(A, NEW) == (job(1, NEW), job(2, NEW))


def test_what_a_bulk_run_noted_is_taken_over_by_nobody(jobs: JobBook, clock: Clock) -> None:
    jobs.sending(A, OLD, [1], 0.0)
    clock.now_s += FORGOTTEN_S
    assert jobs.renew(A, MODEL, NEW) == 0
    assert jobs.due_groups(MODEL) == (Due(A, OLD, abandoned=False),)


@pytest.mark.parametrize("hours", [-24.0, -0.1, 0.1, 24.0])
def test_a_clock_that_jumps_does_not_keep_a_claim_for_ever(jobs: JobBook, clock: Clock, hours: float) -> None:
    jobs.owe(A, OLD, [1], 0.0)
    clock.now_s += 3600 * hours
    assert jobs.renew(A, MODEL, NEW) == 1


def test_claims_are_forgotten_where_nothing_is_owed(database: Database, jobs: JobBook, clock: Clock) -> None:
    jobs.owe(A, OLD, [1], 0.0)
    jobs.owe(A, NEW, [1], 0.0)
    jobs.settle(A, NEW, [1])
    clock.now_s += FORGOTTEN_S + 1.0
    jobs.claim([])
    assert jobs.forget_old(MODEL) == 0
    with database.reading() as connection:
        assert connection.execute(select(CLAIMS.c.fingerprint)).scalars().all() == [OLD]


def test_what_nobody_settles_for_a_week_is_forgotten_unless_its_judge_is_there(jobs: JobBook, clock: Clock) -> None:
    other = "gemma-0123456789ab"
    jobs.owe(A, OLD, [1], 0.0)
    jobs.owe(A, other, [1], 0.0)
    clock.now_s += FORGOTTEN_S
    jobs.put_off(A, OLD, [1], 0.0, "why")
    jobs.owe(B, other, [2], 0.0)
    assert jobs.forget_old() == 0
    clock.now_s += 1.0
    assert jobs.forget_old(MODEL) == 1
    assert jobs.all_of(A, OLD) == (job(1, attempts=1, reason="why"),)
    assert jobs.forget_old() == 1
    assert jobs.counts() == {B: 1}
    clock.now_s -= 99 * DAY_S
    assert jobs.forget_old() == 0


def test_thousands_of_tasks_go_through_at_once(jobs: JobBook, clock: Clock) -> None:
    many = range(2_503)
    assert jobs.owe(A, OLD, many, 0.0) == set(many)
    assert jobs.owe(A, OLD, range(2_000, 3_000), 0.0) == set(range(2_503, 3_000))
    assert jobs.sending(A, OLD, range(1_001), 60.0) == dict.fromkeys(range(1_001), "open")
    jobs.put_off(A, OLD, range(1_001, 2_002), 30.0, "later")
    assert [each.task for each in jobs.due(A, OLD, 5_000)] == list(range(2_002, 3_000))
    clock.now_s += 30.0
    assert jobs.due(A, OLD, 5_000)[-1001:][0] == job(1_001, attempts=1, reason="later")
    jobs.settle(A, OLD, range(1, 2_999))
    assert jobs.all_of(A, OLD) == (job(0, sent=True), job(2_999))
    jobs.release(A, OLD)
    assert jobs.renew(A, MODEL, NEW) == 2
    assert jobs.counts() == {A: 2}


@pytest.mark.parametrize("days", [-400, -3, -0.2, 0.2, 3, 400])
def test_a_clock_that_jumps_leaves_nothing_waiting_for_it(jobs: JobBook, clock: Clock, days: float) -> None:
    jobs.owe(A, OLD, [1], 10.0)
    jobs.sending(A, OLD, [2], 3_600.0)
    clock.now_s += days * DAY_S
    assert (jobs.next_in_s([OLD, NEW]), jobs.due_groups(MODEL)) == (0.0, (Due(A, OLD, abandoned=True),))
    assert jobs.forget_old(MODEL) == 0
    assert jobs.due(A, OLD, 9) == (job(1), job(2, sent=True))
    jobs.put_off(A, OLD, [1, 2], 5.0)
    assert (jobs.next_in_s([OLD, NEW]), jobs.due(A, OLD, 9)) == (5.0, ())
    clock.now_s += 5.0
    assert jobs.due(A, OLD, 9) == (job(1), job(2, sent=True))


def test_a_clock_that_is_set_back_by_a_minute_or_more_makes_all_due_at_once(jobs: JobBook, clock: Clock) -> None:
    jobs.owe(A, OLD, [1], 10.0)
    clock.now_s -= 59.0
    assert (jobs.next_in_s([OLD, NEW]), jobs.due(A, OLD, 9)) == (69.0, ())
    clock.now_s -= 2.0
    assert (jobs.next_in_s([OLD, NEW]), jobs.due(A, OLD, 9)) == (0.0, (job(1),))


def test_nothing_is_put_off_for_longer_than_an_hour(jobs: JobBook, clock: Clock) -> None:
    jobs.owe(A, OLD, [1], 2 * DAY_S)
    jobs.sending(A, OLD, [2], float("inf"))
    assert jobs.next_in_s([OLD, NEW]) == LONGEST_S == 3_600.0
    clock.now_s += LONGEST_S
    assert jobs.due(A, OLD, 9) == (job(1), job(2, sent=True))


def test_without_a_clock_of_its_own_the_book_goes_by_the_database_s(database: Database) -> None:
    jobs = JobBook(database)
    before_s = time.time()
    jobs.owe(A, OLD, [1], 30.0)
    left_s = jobs.next_in_s([OLD, NEW])
    assert left_s is not None
    assert 30.0 - (time.time() - before_s) - 0.1 <= left_s <= 30.1, "both clocks are this machine's"
    jobs.put_off(A, OLD, [1], 0.0)
    assert (jobs.next_in_s([OLD, NEW]), jobs.due(A, OLD, 9)) == (0.0, (job(1),))


TASKS = st.sets(st.integers(1, 6), max_size=6)
WAITS = st.sampled_from([0.0, 5.0, 50.0])
WHOSE = st.tuples(st.sampled_from([A, B]), st.sampled_from([OLD, NEW]))
STEPS_OF_JOBS = ["owe", "give", "sending", "put_off", "fail", "settle", "written"]
WHAT = st.sampled_from([*STEPS_OF_JOBS, "drop", "renew", "claim", "release", "pass"])
STEPS = st.lists(st.tuples(WHAT, WHOSE, TASKS, WAITS), max_size=25)


@dataclass
class Entry:
    """A job, and the time when it is due and when it was noted or first let go."""

    job: Job
    state: str
    due_s: float
    made_s: float


class Book:
    """The same book in a dictionary by project, fingerprint and task."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str, int], Entry] = {}
        self.claims: dict[tuple[str, str], float] = {}

    def step(self, what: str, whose: tuple[str, str], tasks: set[int], now_s: float, wait_s: float) -> object:
        if what == "drop":
            return len(
                self._taken(lambda key: key[0] == whose[0] and (key[1] == whose[1] or self._is_free(key, now_s)))
            )
        if what == "renew":
            return self._renew(whose, now_s)
        if what in ("claim", "release"):
            self.claims[whose] = now_s if what == "claim" else 0.0
            return None
        if what == "owe" and tasks:
            self.claims[whose] = now_s
        known = {task: self.held[*whose, task].state for task in tasks if (*whose, task) in self.held}
        for task in tasks:
            self._step(what, (*whose, task), now_s, wait_s)
        return {"owe": tasks - set(known), "sending": known}.get(what)

    def _step(self, what: str, key: tuple[str, str, int], now_s: float, wait_s: float) -> None:
        new = Job(key[0], key[2], key[1], sent=False, attempts=0, reason=None)
        if what in ("owe", "give", "sending"):
            entry = self.held.setdefault(key, Entry(new, "open", now_s + wait_s, now_s))
            if what == "owe":
                return
            age_s = now_s - entry.made_s if what == "sending" and entry.state != "open" else 0.0
            entry.made_s = now_s if entry.state == "open" else entry.made_s
            entry.state = "given" if what == "give" else "sent"
            entry.job = replace(entry.job, sent=what == "sending")
            entry.due_s = now_s + max(wait_s, age_s)
        elif key in self.held:
            entry = self.held[key]
            if what in ("settle", "written"):
                if entry.state != "given" or (what == "settle" and entry.due_s <= now_s):
                    del self.held[key]
                return
            entry.due_s = now_s + wait_s
            if what == "fail":
                entry.job = replace(entry.job, attempts=entry.job.attempts + 1, reason="why")

    def _is_free(self, key: tuple[str, str, int], now_s: float) -> bool:
        return now_s - self.claims.get(key[:2], 0.0) > ABANDONED_S

    def _taken(self, chosen: Callable[[tuple[str, str, int]], bool]) -> set[tuple[str, str, int]]:
        taken = {key for key in self.held if chosen(key)}
        for key in taken:
            del self.held[key]
        return taken

    def _renew(self, whose: tuple[str, str], now_s: float) -> int:
        old = self._taken(lambda key: key[0] == whose[0] and key[1] != whose[1] and self._is_free(key, now_s))
        for _, _, task in old:
            self.claims[whose] = now_s
            job = Job(whose[0], task, whose[1], sent=False, attempts=0, reason=None)
            self.held.setdefault((*whose, task), Entry(job, "open", now_s, now_s))
        return len({task for _, _, task in old})


def begin_anew(jobs: JobBook) -> None:
    """Nothing is owed, and nobody stands by anything."""
    every = [(project, fingerprint) for project in (A, B) for fingerprint in (OLD, NEW)]
    jobs.claim(every)
    for project, fingerprint in every:
        jobs.release(project, fingerprint)
        jobs.drop(project, MODEL, fingerprint)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_book_is_like_a_dictionary_whatever_the_order(database: Database, steps: list[Any]) -> None:
    clock, expected = Clock(), Book()
    jobs = JobBook(database, clock)
    begin_anew(jobs)
    does: dict[str, Callable[[str, str, set[int], float], object]] = {
        "owe": jobs.owe,
        "give": jobs.give,
        "sending": jobs.sending,
        "put_off": jobs.put_off,
        "fail": lambda project, mark, tasks, wait_s: jobs.put_off(project, mark, tasks, wait_s, "why"),
        "settle": lambda project, mark, tasks, _: jobs.settle(project, mark, tasks),
        "written": lambda project, mark, tasks, _: jobs.settle(project, mark, tasks, seen=False),
        "drop": lambda project, mark, *_: jobs.drop(project, MODEL, mark),
        "renew": lambda project, mark, *_: jobs.renew(project, MODEL, mark),
        "claim": lambda project, mark, *_: jobs.claim([(project, mark)]),
        "release": lambda project, mark, *_: jobs.release(project, mark),
    }
    for what, whose, tasks, wait_s in steps:
        if what == "pass":
            clock.now_s += wait_s
        else:
            came = does[what](whose[0], whose[1], tasks, wait_s)
            assert came == expected.step(what, whose, tasks, clock.now_s, wait_s)
    for whose in itertools.product((A, B), (OLD, NEW)):
        held = [expected.held[key] for key in sorted(expected.held) if key[:2] == whose]
        assert jobs.all_of(*whose) == tuple(entry.job for entry in held)
        due = [entry.job for entry in held if entry.due_s <= clock.now_s]
        assert jobs.due(*whose, 99) == tuple(sorted(due, key=lambda job: (job.attempts, job.task)))
    waits = [max(0.0, entry.due_s - clock.now_s) for entry in expected.held.values()]
    assert jobs.next_in_s([OLD, NEW]) == min(waits, default=None)
