"""The store on SQLite: it outlives restarts, and says plainly when it cannot be opened, written or locked."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from backend.errors import SettingsError, StoreError
from backend.store import Job, Store, verdict_from_json, verdict_to_json
from backend.store.database import LOG_BYTES, _prepare_sqlite
from tests.store_processes import JUDGE, PROJECT, in_process, open_as_nobody, run_out_of_disk, told, verdict

VERDICT = verdict()
HOW = "; write it as postgresql://NAME:PASSWORD@HOST:PORT/DATABASE, with %40 for an @ in name or password"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of this machine may enter; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="vlm-judge-store-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def is_free(store: Store) -> bool:
    with store.alone(PROJECT) as mine:
        return mine


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "verdicts?.sqlite"
    first = Store(path)
    first.verdicts.put({"a": VERDICT})
    first.jobs.owe(PROJECT, JUDGE, {7}, 0.0)
    first.close()
    assert path.exists()
    second = Store(path)
    assert second.verdicts.get(["a", "b"]) == {"a": VERDICT}
    assert second.jobs.due(PROJECT, JUDGE, 10) == (Job(PROJECT, 7, JUDGE, sent=False, attempts=0, reason=None),)
    assert second.shown == str(path)
    second.close()


def test_a_new_file_may_be_switched_to_a_write_ahead_log_by_many_at_once(tmp_path: Path) -> None:
    def switch(path: Path, together: Barrier) -> str:
        with closing(sqlite3.connect(path)) as connection:
            together.wait()
            _prepare_sqlite(connection, None)
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])

    with ThreadPoolExecutor(6) as threads:
        for number in range(60):  # SQLite alone refuses one of them every seventh time
            places, together = [tmp_path / f"{number}.sqlite"] * 6, Barrier(6)
            assert list(threads.map(switch, places, [together] * 6)) == ["wal"] * 6


def test_the_room_that_a_large_write_takes_in_the_log_is_given_back(tmp_path: Path) -> None:
    store, log = Store(tmp_path / "s.sqlite"), tmp_path / "s.sqlite-wal"
    store.jobs.owe(PROJECT, JUDGE, range(50_000), 0.0)
    assert log.stat().st_size > 1.2 * LOG_BYTES
    for task in range(2):
        store.jobs.settle(PROJECT, JUDGE, {task})
    assert log.stat().st_size <= LOG_BYTES
    store.close()


def test_a_closed_store_opens_again_when_it_is_asked(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.close()
    store.verdicts.put({"a": VERDICT})
    assert store.verdicts.get(["a"]) == {"a": VERDICT}
    store.close()


def test_a_verdict_is_the_same_when_read_back() -> None:
    assert verdict_from_json(verdict_to_json(VERDICT)) == VERDICT


def test_a_verdict_that_cannot_be_read_hides_no_other_also_while_it_cannot_be_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.store.database.BUSY_TIMEOUT_S", 0.1)
    with closing(Store(tmp_path / "s.sqlite")) as store:
        store.verdicts.put({"a": verdict(), "b": verdict()})
        with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as other:
            other.execute("UPDATE verdicts SET verdict = '{}' WHERE content_key = 'a'")
            other.execute("BEGIN IMMEDIATE")
            assert store.verdicts.get(["a", "b"]) == {"b": verdict()}
            other.execute("ROLLBACK")
            assert store.verdicts.get(["a", "b"]) == {"b": verdict()}
            assert other.execute("SELECT content_key FROM verdicts").fetchall() == [("b",)]


def test_several_threads_put_and_get(tmp_path: Path) -> None:
    store = Store(tmp_path / "verdicts.sqlite")
    keys = [str(number) for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.verdicts.put({key: VERDICT}), keys))
        assert list(threads.map(lambda key: store.verdicts.get([key]), keys)) == [{key: VERDICT} for key in keys]
    store.close()


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.verdicts.put({"a": VERDICT})
    writer = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM verdicts")
    assert store.verdicts.get(["a"]) == {"a": VERDICT}
    writer.execute("ROLLBACK")
    writer.close()
    store.close()


def test_a_missing_folder_is_told_with_the_variable(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "verdicts.sqlite"
    with pytest.raises(SettingsError) as caught:
        Store(path)
    assert str(caught.value) == (
        f"cannot keep verdicts in {path}: unable to open database file; name another place with VLM_JUDGE_STORE"
    )


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        Store(tmp_path)
    assert str(caught.value) == (
        f"cannot keep verdicts in {tmp_path}: unable to open database file; name another place with VLM_JUDGE_STORE"
    )


def test_a_file_of_another_kind_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(SettingsError, match=r"notes\.txt: file is not a database; .*VLM_JUDGE_STORE"):
        Store(path)
    assert path.read_text() == "not a database, " * 100


def test_a_file_that_can_only_be_read_is_refused(open_folder: Path, tmp_path: Path) -> None:
    path, warm = open_folder / "s.sqlite", open_folder / "warm.sqlite"
    Store(path).close()
    Store(warm).close()
    path.chmod(0o444)
    open_folder.chmod(0o777)
    warm.chmod(0o666)
    with in_process(open_as_nobody, str(path), str(warm)) as (_, pipe):
        assert told(pipe) == (
            f"SettingsError: cannot keep verdicts in {path}: attempt to write a readonly database; "
            "name another place with VLM_JUDGE_STORE"
        )


def test_a_full_disk_is_told_and_what_is_there_can_still_be_read(tmp_path: Path) -> None:
    place = str(tmp_path / "s.sqlite")
    full = f"StoreError: cannot write to the store {place}: {{}}; is the disk full, or the database away?"
    with in_process(run_out_of_disk, place) as (_, pipe):
        said = [told(pipe) for _ in range(5)]
    assert said[0] in (full.format("disk I/O error"), full.format("database or disk is full"))
    assert said[1:] == [said[0], ["before"], "done", True]
    store = Store(place)
    assert store.jobs.counts() == {}, "the write that failed is not half there"
    store.close()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "VLM_JUDGE_STORE must name a file or a postgresql:// URL; unset it for the usual file"),
        (":memory:", "VLM_JUDGE_STORE must name a file or a postgresql:// URL; unset it for the usual file"),
        (
            "mysql://judge:s3cret@db/verdicts",
            "VLM_JUDGE_STORE: mysql:// is not known; give a path for SQLite, or postgresql://...",
        ),
        (
            "sqlite:///s.sqlite",
            "VLM_JUDGE_STORE: sqlite:// is not known; give a path for SQLite, or postgresql://...",
        ),
        ("://", f"VLM_JUDGE_STORE is neither a path nor a database URL{HOW}"),
        ("postgresql://judge:s3cret@db:port/verdicts", f"VLM_JUDGE_STORE is neither a path nor a database URL{HOW}"),
        ("postgresql://judge:s3@cret:s3cret@db/v", f"VLM_JUDGE_STORE is neither a path nor a database URL{HOW}"),
        ("postgresql://judge:s3@cret@db/verdicts", f"VLM_JUDGE_STORE names no host{HOW}"),
    ],
)
def test_what_is_no_place_for_a_store_is_told_without_a_password(place: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Store(place)
    assert str(caught.value) == said
    assert caught.value.__cause__ is None


def test_a_driver_that_is_not_installed_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError) as caught:
        Store("postgres://judge:s3cret@db:5432/verdicts?password=s3cret")
    assert str(caught.value) == (
        "postgresql://db:5432/verdicts needs a driver that is not installed (psycopg); "
        "install the extra: pip install 'vlm-judge-label-studio[postgres]'"
    )


def test_a_lock_belongs_to_the_file_by_whatever_way_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "there" / "s.sqlite")
    monkeypatch.chdir(tmp_path / "there")
    relative, linked = Store("s.sqlite"), Store(tmp_path / "link.sqlite")
    monkeypatch.chdir(tmp_path)
    with relative.alone(PROJECT) as mine:
        assert mine
        assert not is_free(linked)
    relative.verdicts.put({"a": VERDICT})
    assert linked.verdicts.get(["a"]) == {"a": VERDICT}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.sqlite", "there"]
    relative.close()
    linked.close()


def test_names_of_projects_cannot_lead_out_of_the_folder_of_locks(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    with store.alone("../../4.1") as mine, store.alone("x/y") as other:
        assert (mine, other) == (True, True)
    locks = tmp_path / "s.sqlite.locks"
    assert sorted(path.name for path in locks.iterdir()) == ["project-.._.._4.1", "project-x_y"]
    store.close()


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    (tmp_path / "s.sqlite.locks").write_text("in the way")
    with pytest.raises(StoreError) as caught:
        is_free(store)
    assert str(caught.value) == (
        f"cannot lock {tmp_path / 's.sqlite'}: {os.strerror(errno.EEXIST)}; make room or correct the folder"
    )
    store.close()


def test_a_disk_without_locks_is_not_taken_for_a_project_that_another_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "s.sqlite")

    def no_locks(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreError) as caught:
        is_free(store)
    assert str(caught.value) == (
        f"cannot lock {tmp_path / 's.sqlite'}: {os.strerror(errno.ENOLCK)}; "
        "name a place on a local disk with VLM_JUDGE_STORE"
    )
    store.close()


def test_more_threads_than_connections_wait_and_then_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.store.database.CONNECTIONS", 1)
    store = Store(tmp_path / "s.sqlite")
    pool = store._database._engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.1)
    held = [store._database._engine.connect() for _ in range(11)]
    with pytest.raises(StoreError, match=r"^cannot read from the store .*: QueuePool limit of size 1 overflow 10"):
        store.verdicts.get(["a"])
    for connection in held:
        connection.close()
    assert store.verdicts.get(["a"]) == {}
    store.close()
