"""What trust keeps in the store, on either database: verdicts kept from annotators, statements, and looks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from backend.errors import StoreError
from backend.store import Store
from backend.store import store as store_module
from tests.postgres import sqlalchemy_url
from tests.store_processes import JUDGE, PROJECT, hold, in_process, look_often, told, withhold_all

pytest_plugins = ("tests.store_plugin",)

KEY = "0123456789abcdef"
OTHER = "scripted-aaaaaaaaaaaa"
ANOTHER_PROJECT = "4.1795361354"


@pytest.fixture
def store(store_place: str) -> Iterator[Store]:
    store = Store(store_place)
    yield store
    store.close()


def made(words: str = "fix", version: str = JUDGE) -> dict[str, Any]:
    region = {"from_name": "verdict", "value": {"choices": [words]}, "meta": {"judge": {"probs": {"fix": 0.9}}}}
    return {"result": [region], "score": 0.9, "model_version": version}


def kept(store: Store, tasks: list[int], key: str = KEY) -> dict[int, list[dict[str, Any]]]:
    """What is kept of them, without the moment."""
    found = store.withheld.get(key, tasks)
    bare = {task: [{**one} for one in each] for task, each in found.items()}
    for each in bare.values():
        for one in each:
            moment = datetime.fromisoformat(one.pop("created_at"))
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            assert timedelta(0) <= datetime.now(UTC) - moment < timedelta(minutes=1)
    return bare


def run(place: str, statement: str) -> None:
    engine = create_engine(sqlalchemy_url(place) if "://" in place else f"sqlite:///{place}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


class TestWithheld:
    def test_what_is_kept_is_there_whole_and_under_its_own_key(self, store: Store) -> None:
        strange = made("“Löwe” 🐈 \x00 \ud83d")
        store.withheld.put(KEY, {7: made(), 2**62: strange})
        assert kept(store, [7, 8, 2**62]) == {7: [made()], 2**62: [strange]}
        assert kept(store, [7], KEY[::-1]) == {}
        assert kept(store, []) == {}

    def test_each_judge_has_its_own_the_oldest_first_and_a_newer_one_takes_over(self, store: Store) -> None:
        store.withheld.put(KEY, {7: made("accept")})
        store.withheld.put(KEY, {7: made("fix", OTHER), 8: made()})
        assert kept(store, [7, 8]) == {7: [made("accept"), made("fix", OTHER)], 8: [made()]}
        store.withheld.put(KEY, {7: made("reject")})
        assert kept(store, [7, 8]) == {7: [made("fix", OTHER), made("reject")], 8: [made()]}

    def test_more_tasks_than_one_query_holds(self, store: Store) -> None:
        store.withheld.put(KEY, {task: made(str(task)) for task in range(1, 1202)})
        assert kept(store, [*range(0, 1300)]) == {task: [made(str(task))] for task in range(1, 1202)}

    def test_nothing_to_keep_asks_nothing_of_the_store(self, store: Store, store_place: str) -> None:
        run(store_place, "DROP TABLE withheld")
        store.withheld.put(KEY, {})
        assert store.withheld.get(KEY, []) == {}
        with pytest.raises(StoreError, match="cannot write to the store"):
            store.withheld.put(KEY, {1: made()})
        with pytest.raises(StoreError, match="cannot read from the store"):
            store.withheld.get(KEY, [1])

    def test_processes_that_keep_the_same_do_not_wait_for_each_other_in_a_ring(self, store_place: str) -> None:
        Store(store_place).close()
        with ExitStack() as stack:
            pipes = [stack.enter_context(in_process(withhold_all, store_place, seed, 300))[1] for seed in (1, 2, 3)]
            begin_together(pipes)
            assert [told(pipe) for pipe in pipes] == ["done"] * 3
        store = Store(store_place)
        found = store.withheld.get("key", range(300))
        assert {task: len(each) for task, each in found.items()} == dict.fromkeys(range(300), 1)
        store.close()


class TestStatements:
    def test_the_last_of_the_kinds_about_this_judge_in_this_project_counts(self, store: Store) -> None:
        book = store.statements
        assert book.last(PROJECT, JUDGE, "certificate") is None
        for project, judge, kind, body in (
            (PROJECT, JUDGE, "certificate", "first"),
            (PROJECT, JUDGE, "calibration", "curve"),
            (PROJECT, JUDGE, "certificate", '{"“Löwe”": 1}'),
            (PROJECT, OTHER, "certificate", "of another judge"),
            (ANOTHER_PROJECT, JUDGE, "certificate", "of another project"),
        ):
            book.put(project, judge, kind, body)
        found = book.last(PROJECT, JUDGE, "certificate")
        assert found is not None
        assert (found.kind, found.fingerprint, found.body) == ("certificate", JUDGE, '{"“Löwe”": 1}')
        assert found.created_at.tzinfo is UTC
        assert timedelta(0) <= datetime.now(UTC) - found.created_at < timedelta(minutes=1)
        book.put(PROJECT, JUDGE, "stopped", "no more")
        assert [said.body if (said := book.last(PROJECT, JUDGE, *kinds)) else None for kinds in (
            ("certificate", "stopped"), ("certificate",), ("calibration",), ("other",), (),
        )] == ["no more", '{"“Löwe”": 1}', "curve", None, None]  # fmt: skip

    def test_what_cannot_be_kept_is_told(self, store: Store, store_place: str) -> None:
        run(store_place, "DROP TABLE statements")
        run(store_place, "DROP TABLE looks")
        calls: tuple[Callable[[], object], ...] = (
            lambda: store.statements.put(PROJECT, JUDGE, "certificate", "{}"),
            lambda: store.statements.last(PROJECT, JUDGE, "certificate"),
            lambda: store.statements.look(KEY, JUDGE, "a"),
        )
        for call in calls:
            with pytest.raises(StoreError, match=r"is the disk full, or the database away\?$"):
                call()


class TestLooks:
    def test_the_same_labels_are_the_same_look(self, store: Store) -> None:
        look = store.statements.look
        assert [look(KEY, JUDGE, digest) for digest in ("a", "b", "a", "c", "b", "c")] == [1, 2, 1, 3, 2, 3]
        assert [look(KEY, OTHER, "c"), look(KEY[::-1], JUDGE, "c"), look(KEY, JUDGE, "d")] == [1, 1, 4]

    def test_threads_that_look_at_once_count_each_set_of_labels_once(self, store: Store) -> None:
        together = threading.Barrier(8)

        def look(number: int) -> int:
            together.wait()
            return store.statements.look(KEY, JUDGE, str(number % 4))

        with ThreadPoolExecutor(8) as threads:
            numbers = list(threads.map(look, range(8)))
        assert numbers[:4] == numbers[4:]
        assert sorted(numbers[:4]) == [1, 2, 3, 4]

    def test_processes_that_look_at_once_count_each_set_of_labels_once(self, store_place: str) -> None:
        Store(store_place).close()
        digests = [f"{number}" for number in range(30)]
        with ExitStack() as stack:
            pipes = [
                stack.enter_context(in_process(look_often, store_place, seed, digests))[1] for seed in (1, 2, 3)
            ]  # fmt: skip
            begin_together(pipes)
            first, *others = (told(pipe) for pipe in pipes)
        assert sorted(first.values()) == list(range(1, 31))
        assert others == [first, first]


class TestHeld:
    def test_a_project_that_another_holds_is_waited_for_and_then_given_up(
        self, store: Store, store_place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_module, "ALONE_S", 1.0)
        said: list[str] = []
        with in_process(hold, store_place, PROJECT) as (_, pipe):
            assert told(pipe) is True
            with (
                pytest.raises(
                    StoreError,
                    match=r"^another process that shares the store .* writes to project 3; wait until it is done, or s",
                ),
                store.held(PROJECT, said.append),
            ):
                raise AssertionError("held by two")
            assert said == ["another process writes to project 3; waiting for it"]
            with store.held(ANOTHER_PROJECT):
                pipe.send("let go")
                assert told(pipe) == "let go"
            with store.held(PROJECT, said.append), store.alone(PROJECT) as mine:
                assert mine is False
            assert len(said) == 1
        with store.alone(PROJECT) as mine:
            assert mine is True


def begin_together(pipes: list[Any]) -> None:
    assert [told(pipe) for pipe in pipes] == ["ready"] * len(pipes)
    for pipe in pipes:
        pipe.send("go")


def test_a_prediction_is_kept_in_letters_that_any_database_takes(store: Store, store_place: str) -> None:
    store.withheld.put(KEY, {7: made("“\x00”")})
    engine = create_engine(sqlalchemy_url(store_place) if "://" in store_place else f"sqlite:///{store_place}")
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT prediction FROM withheld"))
    engine.dispose()
    assert row[0].isascii()
    assert json.loads(row[0]) == made("“\x00”")
