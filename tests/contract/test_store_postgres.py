"""The store on a SQLite file and on PostgreSQL: the same promises, whoever else writes, and whatever goes away."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, make_url, text

from backend.errors import SettingsError, StoreError
from backend.store import Job, Store
from backend.store.database import HEAD, Database
from backend.store.tables import METADATA
from tests.postgres import PostgresServer, sqlalchemy_url
from tests.postgres_halt import halted, restartable
from tests.store_processes import JUDGE, PROJECT, hold, in_process, open_at_once, told, verdict, write_all

pytest_plugins = ("tests.store_plugin",)

ANOTHER = "4.1795361354"
AWAY = "is the disk full, or the database away?"


@pytest.fixture
def store(store_place: str) -> Iterator[Store]:
    store = Store(store_place)
    yield store
    store.close()


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[Store]:
    store = Store(postgres_url)
    yield store
    store.close()


def rows(place: str, query: str) -> list[tuple[Any, ...]]:
    """What a query of our own finds in the store, whatever database it is on."""
    engine = create_engine(sqlalchemy_url(place) if "://" in place else f"sqlite:///{place}")
    try:
        with engine.begin() as connection:
            found = connection.execute(text(query))
            return [tuple(row) for row in found] if found.returns_rows else []
    finally:
        engine.dispose()


def shown(place: str) -> str:
    """The place as messages name it: without name and password."""
    return re.sub(r"//.*@", "//", place)


def test_verdicts_are_found_by_content_and_the_first_one_stays(store: Store) -> None:
    first, second = verdict("“Löwe” 🐈 is not supported.\x00"), verdict("Nothing is wrong.")
    store.verdicts.put({"a": first, "b": second})
    store.verdicts.put({"a": second, "c": replace(second, decision=None, decision_probs={}, confidence=0.0)})
    store.verdicts.put({})
    assert store.verdicts.get(["c", "a", "nowhere", "b", "a"]) == {
        "a": first,
        "b": second,
        "c": replace(second, decision=None, decision_probs={}, confidence=0.0),
    }
    assert store.verdicts.get([]) == {}


def test_more_verdicts_than_a_query_can_name_come_and_go(store: Store) -> None:
    many = {f"{number:064x}": verdict(f"Number {number}.") for number in range(1201)}
    store.verdicts.put(many)
    assert store.verdicts.get([*many, "nowhere"]) == many


def test_a_verdict_that_cannot_be_read_is_forgotten_and_judged_anew(
    store: Store, store_place: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.verdicts.put({"old": verdict(), "whole": verdict()})
    rows(store_place, "UPDATE verdicts SET verdict = '{\"stars\": 5}' WHERE content_key = 'old'")
    with caplog.at_level(logging.WARNING, "backend.store.verdicts"):
        assert store.verdicts.get(["old", "whole"]) == {"whole": verdict()}
    assert caplog.messages == ["1 kept verdicts cannot be read by this version and are judged anew"]
    store.verdicts.put({"old": verdict("Anew.")})
    assert store.verdicts.get(["old"]) == {"old": verdict("Anew.")}


def test_threads_that_write_the_same_in_different_orders_do_not_block_each_other(
    store: Store, store_place: str
) -> None:
    everything = {f"{number:064x}": verdict() for number in range(200)}
    other = Store(store_place)

    def write(seed: int) -> list[frozenset[int]]:
        dice, book = random.Random(seed), (store, other)[seed % 2]
        tasks = dice.sample(range(400), 400)
        new = []
        for at in range(0, 400, 80):
            book.verdicts.put({key: everything[key] for key in dice.sample(sorted(everything), 40)})
            new.append(book.jobs.owe(PROJECT, JUDGE, tasks[at : at + 80], 0.0))
            book.jobs.sending(PROJECT, JUDGE, tasks[at : at + 80], 0.0)
            book.jobs.put_off(PROJECT, JUDGE, dice.sample(tasks, 80), 0.0, "once more")
            found = book.verdicts.get(sorted(everything))
            assert found == {key: everything[key] for key in found}
        book.verdicts.put(everything)
        return new

    with ThreadPoolExecutor(6) as threads:
        new = [part for parts in threads.map(write, range(6)) for part in parts]
    assert sorted(number for part in new for number in part) == list(range(400)), "each was new to exactly one"
    assert other.verdicts.get(sorted(everything)) == everything
    assert store.jobs.counts() == {PROJECT: 400}
    assert {job.sent for job in store.jobs.all_of(PROJECT, JUDGE)} == {True}
    other.close()


def test_processes_that_write_the_same_share_it_without_loss(store_place: str) -> None:
    Store(store_place).close()
    with ExitStack() as stack:
        pipes = [stack.enter_context(in_process(write_all, store_place, seed, 300))[1] for seed in range(4)]
        assert [told(pipe) for pipe in pipes] == ["ready"] * 4
        for pipe in pipes:
            pipe.send("go")
        new = [told(pipe) for pipe in pipes]
    assert sorted(number for part in new for number in part) == list(range(300)), "each was new to exactly one"
    store = Store(store_place)
    assert store.verdicts.get(list(map(str, range(300)))) == {str(number): verdict() for number in range(300)}
    assert store.jobs.all_of(PROJECT, JUDGE) == tuple(
        Job(PROJECT, number, JUDGE, sent=False, attempts=4, reason="once more") for number in range(300)
    )
    store.close()


def test_a_new_store_may_be_opened_by_several_processes_at_once(store_place: str) -> None:
    with ExitStack() as stack:
        started = [stack.enter_context(in_process(open_at_once, store_place)) for _ in range(6)]
        assert [told(pipe) for _, pipe in started] == ["ready"] * 6
        for _, pipe in started:
            pipe.send("go")
        assert [told(pipe) for _, pipe in started] == ["done"] * 6
        owed = sorted((process.pid,) for process, _ in started)
    assert rows(store_place, "SELECT task FROM jobs ORDER BY task") == owed
    assert rows(store_place, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    engine = create_engine(sqlalchemy_url(store_place) if "://" in store_place else f"sqlite:///{store_place}")
    assert {*inspect(engine).get_table_names()} == {"alembic_version", *METADATA.tables}
    engine.dispose()


def test_one_holds_a_project_among_threads_stores_and_processes(store: Store, store_place: str) -> None:
    other = Store(store_place)
    with store.alone(PROJECT) as mine:
        assert mine
        with store.alone(PROJECT) as again, other.alone(PROJECT) as elsewhere, other.alone(ANOTHER) as free:
            assert (again, elsewhere, free) == (False, False, True)
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(lambda: is_free(store, PROJECT)).result(10) is False
        with in_process(hold, store_place, PROJECT) as (_, pipe), in_process(hold, store_place, ANOTHER) as (_, pipe2):
            assert (told(pipe), told(pipe2)) == (False, True)
    assert is_free(other, PROJECT)
    other.close()


def is_free(store: Store, project: str) -> bool:
    with store.alone(project) as mine:
        return mine


def test_a_project_is_let_go_in_good_order_and_after_a_failure(store: Store, store_place: str) -> None:
    with in_process(hold, store_place, PROJECT) as (_, pipe):
        assert told(pipe) is True
        assert not is_free(store, PROJECT)
        pipe.send("let go")
        assert told(pipe) == "let go"
        assert is_free(store, PROJECT)

    def fail() -> None:
        with store.alone(PROJECT):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert is_free(store, PROJECT)


def test_a_project_is_let_go_when_its_holder_is_killed(store: Store, store_place: str) -> None:
    with in_process(hold, store_place, PROJECT) as (process, pipe):
        assert told(pipe) is True
        assert not is_free(store, PROJECT)
        process.kill()
        process.join()
        until_s = time.monotonic() + 5  # PostgreSQL sees that the connection ended
        while not is_free(store, PROJECT):
            assert time.monotonic() < until_s
            time.sleep(0.01)


def test_only_one_of_many_threads_holds_a_project_at_a_time(store: Store) -> None:
    inside, most, holders = 0, 0, 0
    guard = threading.Lock()

    def try_to_hold(_: int) -> None:
        nonlocal inside, most, holders
        with store.alone(PROJECT) as mine:
            if mine:
                with guard:
                    inside, holders = inside + 1, holders + 1
                    most = max(most, inside)
                time.sleep(0.002)
                with guard:
                    inside -= 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(try_to_hold, range(80)))
    assert (inside, most) == (0, 1)
    assert holders >= 1
    assert is_free(store, PROJECT)


def test_a_write_that_others_keep_waiting_gives_up_with_a_sentence(
    store_place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.store.database.BUSY_TIMEOUT_S", 1)
    store = Store(store_place)
    engine = create_engine(sqlalchemy_url(store_place) if "://" in store_place else f"sqlite:///{store_place}")
    with engine.connect() as connection:
        if "://" in store_place:
            connection.execute(text("LOCK TABLE jobs"))
            why = "canceling statement due to lock timeout"
        else:
            connection.execute(text("INSERT INTO alembic_version VALUES ('x')"))
            why = "database is locked"
        with pytest.raises(StoreError) as caught:
            store.jobs.owe(PROJECT, JUDGE, {1}, 0.0)
        connection.rollback()
    engine.dispose()
    assert str(caught.value) == f"cannot write to the store {shown(store_place)}: {why}; {AWAY}"
    assert store.jobs.owe(PROJECT, JUDGE, {1}, 0.0) == {1}
    store.close()


def test_a_writer_that_vanished_in_the_middle_does_not_stop_the_others(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.store.database.BUSY_TIMEOUT_S", 1)
    gone, store = Database(postgres_url), Store(postgres_url)

    def write_half() -> None:
        with gone.writing(f"jobs-{PROJECT}") as connection:
            connection.execute(text("INSERT INTO alembic_version VALUES ('half')"))
            with pytest.raises(StoreError, match="lock timeout"):
                store.jobs.owe(PROJECT, JUDGE, {1}, 0.0)
            until_s = time.monotonic() + 10
            while True:
                try:
                    assert store.jobs.owe(PROJECT, JUDGE, {1}, 0.0) == {1}
                except StoreError:
                    assert time.monotonic() < until_s
                else:
                    break

    with pytest.raises(StoreError, match=r"^cannot write to the store postgresql://127\.0\.0\.1:"):
        write_half()
    assert rows(postgres_url, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert store.jobs.counts() == {PROJECT: 1}
    gone.close()
    store.close()


def test_a_lock_whose_connection_is_cut_is_free_and_its_holder_ends_in_order(
    postgres_store: Store, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = Store(postgres_url)
    with caplog.at_level(logging.WARNING, "backend.store.database"), postgres_store.alone(PROJECT) as mine:
        assert mine
        cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        assert rows(postgres_url, cut) == [(True,)]
        until_s = time.monotonic() + 5
        while not is_free(other, PROJECT):
            assert time.monotonic() < until_s
            time.sleep(0.01)
        postgres_store.jobs.owe(PROJECT, JUDGE, {1}, 0.0)
    [said] = caplog.messages
    assert said == (
        f"the lock project-{PROJECT} of the store {shown(postgres_url)} was lost while it was held: "
        "terminating connection due to administrator command"
    )
    assert is_free(postgres_store, PROJECT)
    other.close()


def test_a_store_whose_server_is_away_says_so_and_works_again_when_it_is_back() -> None:
    with restartable() as server:
        place = server.new_database()
        store = Store(place)
        store.verdicts.put({"a": verdict()})
        store.jobs.owe(PROJECT, JUDGE, {1}, 0.0)
        assert store.verdicts.get(["a"]) == {"a": verdict()}
        with halted(server):
            calls = {
                "read from": (
                    lambda: store.verdicts.get(["a"]),
                    lambda: store.jobs.due(PROJECT, JUDGE, 5),
                    store.jobs.counts,
                    lambda: store.jobs.next_in_s([JUDGE]),
                    lambda: list(store.feedback.of(PROJECT)),
                ),
                "write to": (
                    lambda: store.verdicts.put({"b": verdict()}),
                    lambda: store.jobs.owe(PROJECT, JUDGE, {2}, 0.0),
                    lambda: store.jobs.settle(PROJECT, JUDGE, {1}),
                    lambda: store.feedback.delete(PROJECT, [1]),
                ),
                "lock": (lambda: is_free(store, PROJECT),),
            }
            for doing, each in calls.items():
                for call in each:
                    with pytest.raises(StoreError) as caught:
                        call()
                    said = str(caught.value)
                    assert said.startswith(f"cannot {doing} the store {shown(place)}: "), said
                    assert said.endswith(f"; {AWAY}")
                    assert server.password not in said
            with pytest.raises(SettingsError, match="Connection refused; name another place"):
                Store(place)
        assert store.verdicts.get(["a", "b"]) == {"a": verdict()}
        assert store.jobs.owe(PROJECT, JUDGE, {1, 2}, 0.0) == {2}
        assert is_free(store, PROJECT)
        store.close()


def test_a_transaction_that_the_server_s_end_breaks_off_is_not_half_there() -> None:
    with restartable() as server:
        place = server.new_database()
        database, store = Database(place), Store(place)

        def write() -> None:
            with database.writing() as connection:
                connection.execute(text("INSERT INTO alembic_version VALUES ('half')"))
                with halted(server):
                    connection.execute(text("INSERT INTO alembic_version VALUES ('whole')"))

        with pytest.raises(StoreError, match="cannot write to the store"):
            write()
        assert rows(place, "SELECT version_num FROM alembic_version") == [(HEAD,)]
        assert store.jobs.owe(PROJECT, JUDGE, {1}, 0.0) == {1}
        database.close()
        store.close()


@pytest.mark.parametrize("clause", ["wrong password", "password in the query", "nobody listens", "no such host"])
def test_no_message_holds_a_password(postgres_server: PostgresServer, postgres_url: str, clause: str) -> None:
    secret = "s3cret-of-the-judges"
    url = make_url(postgres_url).set(password=secret)
    place = f"postgresql://127.0.0.1:{postgres_server.port}/{url.database}"
    address, why = {
        "wrong password": (url, "password authentication failed for user"),
        "password in the query": (
            make_url(place).set(query={"user": postgres_server.user, "password": secret}),
            "password authentication failed for user",
        ),
        "nobody listens": (url.set(port=1), "Connection refused"),
        "no such host": (url.set(host="nowhere.invalid"), "nowhere.invalid"),
    }[clause]
    with pytest.raises(SettingsError, match=why) as caught:
        Store(address.render_as_string(hide_password=False))
    assert secret not in str(caught.value)
    assert re.search(r"^cannot keep verdicts in postgresql://[\w.]+:\d+/tests_\w+: ", str(caught.value))
    assert str(caught.value).endswith("; name another place with VLM_JUDGE_STORE")


def test_a_database_that_can_only_be_read_is_refused(postgres_server: PostgresServer, postgres_url: str) -> None:
    name = make_url(postgres_url).database
    Store(postgres_url).close()
    postgres_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(SettingsError) as caught:
        Store(postgres_url)
    assert str(caught.value) == (
        f"cannot keep verdicts in {shown(postgres_url)}: cannot execute UPDATE in a read-only transaction; "
        "name another place with VLM_JUDGE_STORE"
    )


def test_what_the_address_says_of_its_reach_stands_above_ours(postgres_url: str) -> None:
    store = Store(f"{postgres_url}?connect_timeout=3&application_name=judge-seven")
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'judge-seven'"
    assert rows(postgres_url, asked) == [(1,)]
    store.close()
    with pytest.raises(SettingsError, match="bad value for connect_timeout: 'soon'"):
        Store(f"{postgres_url}?connect_timeout=soon")
