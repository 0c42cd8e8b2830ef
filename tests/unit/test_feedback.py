"""Feedback: every annotation in its newest form, whatever order it is told in; on either database."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text

from backend.store import Feedback, FeedbackBook
from backend.store.database import Database

pytest_plugins = ("tests.store_plugin",)

A, B = "3.1795361354", "4.1795361354"
NOON = datetime(2026, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
LATER = timedelta(microseconds=1)


@pytest.fixture
def database(store_place: str) -> Iterator[Database]:
    database = Database(store_place)
    yield database
    database.close()


@pytest.fixture
def book(database: Database) -> FeedbackBook:
    return FeedbackBook(database)


def said(number: int, at: datetime = NOON, project: str = A, task: int | None = 7, **payload: Any) -> Feedback:
    return Feedback(project, number, task, at, payload)


def without_deletion(entries: Iterator[Feedback]) -> list[tuple[Feedback, bool]]:
    """The entries, and apart from them whether each is deleted: when, the clock decides."""
    return [(replace(entry, deleted_at=None), entry.deleted_at is not None) for entry in entries]


def test_what_was_told_is_there_as_it_was(book: FeedbackBook) -> None:
    payload = {
        "id": 1,
        "result": [{"value": {"text": ["“Löwe” 🐈 \x00 \ud83d"]}, "from_name": "Begründung"}],
        "was_cancelled": False,
        "lead_time": 4.25,
        "ground_truth": None,
    }
    entry = Feedback(A, 2**62, 2**62 + 1, NOON, payload)
    book.put([entry, said(2)])
    assert list(book.of(A)) == [said(2), entry]
    assert list(book.of(B)) == []


def test_the_newest_form_wins_whatever_the_order(book: FeedbackBook) -> None:
    forms = [said(1, NOON + step * LATER, task=step, stars=step) for step in range(3)]
    for project, order in enumerate(itertools.permutations(forms)):
        name = f"{project}.1"
        for form in order:
            book.put([replace(form, project=name)])
        assert list(book.of(name)) == [replace(forms[2], project=name)], order
    book.put(forms[::-1])
    assert list(book.of(A)) == [forms[2]], "also when they are told together"


def test_times_are_compared_as_moments_not_as_they_are_written(book: FeedbackBook) -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    book.put([said(1, NOON, stars=1)])
    book.put([said(1, (NOON - LATER).astimezone(east), stars=2)])
    assert list(book.of(A)) == [said(1, NOON, stars=1)]
    book.put([said(1, (NOON + LATER).astimezone(timezone(-timedelta(hours=11))), stars=3)])
    assert list(book.of(A)) == [said(1, NOON + LATER, stars=3)]
    assert [entry.updated_at.tzinfo for entry in book.of(A)] == [UTC]
    book.put([said(1, datetime(2027, 1, 1, tzinfo=UTC), stars=4)])
    assert list(book.of(A)) == [said(1, datetime(2027, 1, 1, tzinfo=UTC), stars=4)], "without microseconds"


def test_telling_the_same_twice_changes_nothing(book: FeedbackBook) -> None:
    for _ in range(2):
        book.put([said(1, stars=5), said(2, stars=1)])
    assert list(book.of(A)) == [said(1, stars=5), said(2, stars=1)]
    book.delete(A, [2])
    first = list(book.of(A))
    book.delete(A, [2, 2])
    book.put([said(2, stars=1)])
    assert list(book.of(A)) == first


def test_what_is_deleted_stays_there_marked(book: FeedbackBook) -> None:
    before = datetime.now(UTC)
    book.put([said(1, stars=5)])
    book.delete(A, [1])
    [entry] = book.of(A)
    assert replace(entry, deleted_at=None) == said(1, stars=5)
    assert entry.deleted_at is not None
    assert before <= entry.deleted_at <= datetime.now(UTC)
    assert entry.deleted_at.tzinfo is UTC


@pytest.mark.parametrize("order", [*itertools.permutations(["created", "changed", "deleted"])], ids="-".join)
def test_a_deletion_stands_whenever_it_is_told(book: FeedbackBook, order: tuple[str, ...]) -> None:
    for what in order:
        if what == "deleted":
            book.delete(A, [1])
        else:
            book.put([said(1, NOON + (LATER if what == "changed" else 0 * LATER), stars=len(what))])
    assert without_deletion(book.of(A)) == [(said(1, NOON + LATER, stars=7), True)]


def test_what_is_deleted_unheard_of_has_no_task(book: FeedbackBook) -> None:
    book.delete(A, [9])
    assert without_deletion(book.of(A)) == [(Feedback(A, 9, None, NEVER), True)]


def test_projects_are_apart(book: FeedbackBook) -> None:
    book.put([said(1, stars=1), said(1, project=B, stars=2), said(2, project=B)])
    book.delete(B, [2])
    assert list(book.of(A)) == [said(1, stars=1)]
    assert without_deletion(book.of(B)) == [(said(1, project=B, stars=2), False), (said(2, project=B), True)]


def test_nothing_told_is_nothing_kept(book: FeedbackBook) -> None:
    book.put([])
    book.delete(A, [])
    assert list(book.of(A)) == []


def test_thousands_are_read_in_order_while_others_are_told(book: FeedbackBook, database: Database) -> None:
    book.put([said(number, stars=number) for number in range(2_001, 0, -1)])
    read = book.of(A)
    first = [next(read) for _ in range(700)]
    book.put([said(3_000)])
    book.delete(A, [1])
    with database.writing() as connection:  # nobody who reads keeps a table from being changed
        connection.execute(text("CREATE INDEX ix_later ON feedback (task)"))
    assert [*first, *read] == [*(said(number, stars=number) for number in range(1, 2_002)), said(3_000)]
