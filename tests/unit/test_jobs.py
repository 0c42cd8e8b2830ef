"""What is owed: known once, due in time whatever the clock does, and gone when it is settled; on either database."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.store import Job, JobBook
from backend.store.database import Database
from backend.store.jobs import FORGOTTEN_S, LONGEST_S

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
    assert jobs.due_projects(MODEL) == ()
    jobs.owe(B, OLD, [1], 0.0)
    clock.now_s += 1.0
    jobs.owe(A, OLD, [1, 2], 0.0)
    jobs.owe("5.1", OLD, [1], 60.0)
    assert jobs.due_projects(MODEL) == (B, A)
    jobs.put_off(B, OLD, [1], 0.0)
    clock.now_s += 1.0
    jobs.put_off(A, OLD, [1], 0.0)
    assert jobs.due_projects(MODEL) == (A, B), "of a project, the longest due counts"


def test_when_the_next_one_is_due_is_told_in_seconds(jobs: JobBook, clock: Clock) -> None:
    assert jobs.next_in_s(MODEL) is None
    jobs.owe(A, OLD, [1], 30.0)
    jobs.owe(B, NEW, [1], 12.5)
    assert jobs.next_in_s(MODEL) == 12.5
    clock.now_s += 12.0
    assert jobs.next_in_s(MODEL) == 0.5
    clock.now_s += 100.0
    assert jobs.next_in_s(MODEL) == 0.0
    jobs.settle(A, OLD, [1])
    jobs.settle(B, NEW, [1])
    assert jobs.next_in_s(MODEL) is None


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
    assert jobs.due_projects(model) == ((A,) if owed else ())
    assert jobs.next_in_s(model) == (0.0 if owed else None)
    assert jobs.renew(A, model, f"{model}-aaaaaaaaaaaa") == (1 if owed else 0)
    assert jobs.drop(A, model) == (1 if owed else 0)
    assert jobs.counts() == ({} if owed else {A: 1})


def test_names_with_signs_that_databases_know_are_names(jobs: JobBook) -> None:
    odd = "50%_off/\\x"
    jobs.owe(A, f"{odd}-0123456789ab", [1], 0.0)
    assert jobs.due_projects(odd) == (A,)
    assert jobs.due_projects("50x_off/\\x") == ()


def test_a_write_that_begins_is_noted_whether_it_was_owed_or_not(jobs: JobBook, clock: Clock) -> None:
    jobs.owe(A, OLD, [1], 0.0)
    jobs.put_off(A, OLD, [1], 0.0, "the model was away")
    for known in ({1: False}, {1: True, 2: True}):
        assert jobs.sending(A, OLD, [2, 1], 15.0) == known
        assert jobs.all_of(A, OLD) == (job(1, sent=True, attempts=1, reason="the model was away"), job(2, sent=True))
    assert jobs.due(A, OLD, 9) == ()
    clock.now_s += 15.0
    assert [each.task for each in jobs.due(A, OLD, 9)] == [2, 1]
    assert jobs.sending(A, OLD, [], 0.0) == {}
    assert jobs.owe(A, OLD, [1, 2, 3], 0.0) == {3}, "what is being written is on its way"
    assert jobs.counts() == {A: 3}


def test_what_was_asked_for_long_ago_is_doubted_as_long_again(jobs: JobBook, clock: Clock) -> None:
    jobs.owe(A, OLD, [1, 2], 0.0)
    clock.now_s += 100.0
    jobs.sending(A, OLD, [1, 3], 15.0)
    assert jobs.next_in_s(MODEL) == 0.0
    jobs.settle(A, OLD, [2])
    assert jobs.next_in_s(MODEL) == 15.0, "the new one"
    jobs.settle(A, OLD, [3])
    assert jobs.next_in_s(MODEL) == 100.0, "the one that was asked for 100 s ago"
    clock.now_s += 2 * LONGEST_S
    jobs.sending(A, OLD, [1], 15.0)
    assert jobs.next_in_s(MODEL) == LONGEST_S
    clock.now_s -= 9 * DAY_S
    jobs.sending(A, OLD, [1], 15.0)
    assert jobs.next_in_s(MODEL) == 15.0, "a clock that was set back makes nothing older"


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


def test_what_a_model_owes_to_a_project_is_dropped_whatever_the_fingerprint(jobs: JobBook) -> None:
    other = "gemma-0123456789ab"
    for fingerprint in (OLD, NEW, other):
        jobs.owe(A, fingerprint, [1, 2], 0.0)
    jobs.owe(B, OLD, [1], 0.0)
    assert (jobs.drop(A, MODEL), jobs.drop(A, MODEL), jobs.drop("5.1", MODEL)) == (4, 0, 0)
    assert jobs.counts() == {A: 2, B: 1}
    assert jobs.all_of(A, other) == (job(1, other), job(2, other))


def test_what_is_owed_under_an_old_fingerprint_is_owed_under_the_new_one(jobs: JobBook, clock: Clock) -> None:
    older, other = "qwen-aaaaaaaaaaaa", "gemma-0123456789ab"
    jobs.sending(A, OLD, [1, 2], 900.0)
    jobs.put_off(A, OLD, [2], 900.0, "why")
    jobs.owe(A, older, [2, 3], 900.0)
    jobs.owe(A, other, [9], 900.0)
    jobs.owe(B, OLD, [9], 900.0)
    jobs.sending(A, NEW, [1], 50.0)
    clock.now_s += 1.0
    assert jobs.renew(A, MODEL, NEW) == 3
    assert jobs.due(A, NEW, 9) == (job(2, NEW), job(3, NEW))
    assert jobs.all_of(A, NEW) == (job(1, NEW, sent=True), job(2, NEW), job(3, NEW))
    assert jobs.renew(A, MODEL, NEW) == 0
    assert jobs.counts() == {A: 4, B: 1}


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
    assert jobs.sending(A, OLD, range(1_001), 60.0) == dict.fromkeys(range(1_001), False)
    jobs.put_off(A, OLD, range(1_001, 2_002), 30.0, "later")
    assert [each.task for each in jobs.due(A, OLD, 5_000)] == list(range(2_002, 3_000))
    clock.now_s += 30.0
    assert jobs.due(A, OLD, 5_000)[-1001:][0] == job(1_001, attempts=1, reason="later")
    jobs.settle(A, OLD, range(1, 2_999))
    assert jobs.all_of(A, OLD) == (job(0, sent=True), job(2_999))
    assert jobs.renew(A, MODEL, NEW) == 2
    assert jobs.counts() == {A: 2}


@pytest.mark.parametrize("days", [-400, -3, -0.2, 0.2, 3, 400])
def test_a_clock_that_jumps_leaves_nothing_waiting_for_it(jobs: JobBook, clock: Clock, days: float) -> None:
    jobs.owe(A, OLD, [1], 10.0)
    jobs.sending(A, OLD, [2], 3_600.0)
    clock.now_s += days * DAY_S
    assert (jobs.next_in_s(MODEL), jobs.due_projects(MODEL)) == (0.0, (A,))
    assert jobs.forget_old(MODEL) == 0
    assert jobs.due(A, OLD, 9) == (job(1), job(2, sent=True))
    jobs.put_off(A, OLD, [1, 2], 5.0)
    assert (jobs.next_in_s(MODEL), jobs.due(A, OLD, 9)) == (5.0, ())
    clock.now_s += 5.0
    assert jobs.due(A, OLD, 9) == (job(1), job(2, sent=True))


def test_a_clock_that_is_set_back_by_a_minute_or_more_makes_all_due_at_once(jobs: JobBook, clock: Clock) -> None:
    jobs.owe(A, OLD, [1], 10.0)
    clock.now_s -= 59.0
    assert (jobs.next_in_s(MODEL), jobs.due(A, OLD, 9)) == (69.0, ())
    clock.now_s -= 2.0
    assert (jobs.next_in_s(MODEL), jobs.due(A, OLD, 9)) == (0.0, (job(1),))


def test_nothing_is_put_off_for_longer_than_an_hour(jobs: JobBook, clock: Clock) -> None:
    jobs.owe(A, OLD, [1], 2 * DAY_S)
    jobs.sending(A, OLD, [2], float("inf"))
    assert jobs.next_in_s(MODEL) == LONGEST_S == 3_600.0
    clock.now_s += LONGEST_S
    assert jobs.due(A, OLD, 9) == (job(1), job(2, sent=True))


def test_without_a_clock_of_its_own_the_book_goes_by_the_database_s(database: Database) -> None:
    jobs = JobBook(database)
    before_s = time.time()
    jobs.owe(A, OLD, [1], 30.0)
    left_s = jobs.next_in_s(MODEL)
    assert left_s is not None
    assert 30.0 - (time.time() - before_s) - 0.1 <= left_s <= 30.1, "both clocks are this machine's"
    jobs.put_off(A, OLD, [1], 0.0)
    assert (jobs.next_in_s(MODEL), jobs.due(A, OLD, 9)) == (0.0, (job(1),))


TASKS = st.sets(st.integers(1, 6), max_size=6)
WAITS = st.sampled_from([0.0, 5.0, 50.0])
WHOSE = st.tuples(st.sampled_from([A, B]), st.sampled_from([OLD, NEW]))
WHAT = st.sampled_from(["owe", "sending", "put_off", "fail", "settle", "drop", "renew", "pass"])
STEPS = st.lists(st.tuples(WHAT, WHOSE, TASKS, WAITS), max_size=25)


class Book:
    """The same book in a dictionary: job, due time and the time of its creation, by project, fingerprint and task."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str, int], tuple[Job, float, float]] = {}

    def step(self, what: str, whose: tuple[str, str], tasks: set[int], now_s: float, wait_s: float) -> object:
        keys = [(*whose, task) for task in sorted(tasks)]
        if what == "drop":
            gone = [key for key in self.held if key[0] == whose[0]]
            for key in gone:
                del self.held[key]
            return len(gone)
        if what == "renew":
            return self._renew(whose, now_s)
        known = {key[2]: self.held[key][0].sent for key in keys if key in self.held}
        for key in keys:
            new = Job(key[0], key[2], key[1], sent=False, attempts=0, reason=None)
            there, due_s, made_s = self.held.get(key, (new, now_s + wait_s, now_s))
            if what == "owe":
                self.held[key] = (there, due_s, made_s)
            elif what == "sending":
                self.held[key] = (replace(there, sent=True), now_s + max(wait_s, now_s - made_s), made_s)
            elif what == "settle":
                self.held.pop(key, None)
            elif key in self.held:
                failed = replace(there, attempts=there.attempts + 1, reason="why") if what == "fail" else there
                self.held[key] = (failed, now_s + wait_s, made_s)
        return {"owe": tasks - set(known), "sending": known}.get(what)

    def _renew(self, whose: tuple[str, str], now_s: float) -> int:
        project, fingerprint = whose
        old = [key for key in self.held if key[0] == project and key[1] != fingerprint]
        for key in old:
            del self.held[key]
            job = Job(project, key[2], fingerprint, sent=False, attempts=0, reason=None)
            self.held.setdefault((project, fingerprint, key[2]), (job, now_s, now_s))
        return len({key[2] for key in old})


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_book_is_like_a_dictionary_whatever_the_order(database: Database, steps: list[Any]) -> None:
    clock, expected = Clock(), Book()
    jobs = JobBook(database, clock)
    for project in (A, B):
        jobs.drop(project, MODEL)
    for what, (project, fingerprint), tasks, wait_s in steps:
        if what == "pass":
            clock.now_s += wait_s
            continue
        known = expected.step(what, (project, fingerprint), tasks, clock.now_s, wait_s)
        if what == "owe":
            assert jobs.owe(project, fingerprint, tasks, wait_s) == known
        elif what == "sending":
            assert jobs.sending(project, fingerprint, tasks, wait_s) == known
        elif what == "settle":
            jobs.settle(project, fingerprint, tasks)
        elif what == "drop":
            assert jobs.drop(project, MODEL) == known
        elif what == "renew":
            assert jobs.renew(project, MODEL, fingerprint) == known
        else:
            jobs.put_off(project, fingerprint, tasks, wait_s, "why" if what == "fail" else None)
    for whose in itertools.product((A, B), (OLD, NEW)):
        held = [expected.held[key] for key in sorted(expected.held) if key[:2] == whose]
        assert jobs.all_of(*whose) == tuple(job for job, _, _ in held)
        due = sorted((job for job, due_s, _ in held if due_s <= clock.now_s), key=lambda job: (job.attempts, job.task))
        assert jobs.due(*whose, 99) == tuple(due)
    waits = [max(0.0, due_s - clock.now_s) for _, due_s, _ in expected.held.values()]
    assert jobs.next_in_s(MODEL) == min(waits, default=None)
