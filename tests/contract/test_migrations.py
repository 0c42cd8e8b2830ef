"""The tables are what the code thinks they are, however old the store is, and no migration is ever half done."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

import backend
from backend.errors import SettingsError
from backend.store import Store, verdict_to_json
from backend.store.database import HEAD
from backend.store.jobs import Due
from backend.store.tables import METADATA
from tests.postgres import sqlalchemy_url
from tests.store_processes import JUDGE, PROJECT, die_at, in_process, verdict

pytest_plugins = ("tests.store_plugin",)

FIRST_DAYS = """
CREATE TABLE verdicts (
    content_key VARCHAR(64) NOT NULL,
    fingerprint VARCHAR(200) NOT NULL,
    verdict TEXT NOT NULL,
    created_at DATETIME NOT NULL,
    PRIMARY KEY (content_key)
);
CREATE INDEX ix_verdicts_fingerprint ON verdicts (fingerprint);
"""
"""What the store of the first days made, read from such a file."""
TABLES = ["alembic_version", "claims", "feedback", "jobs", "looks", "statements", "verdicts", "withheld"]


@contextmanager
def connected(place: str) -> Iterator[Connection]:
    """A connection of our own to either database."""
    engine = create_engine(sqlalchemy_url(place) if "://" in place else f"sqlite:///{place}")
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def tables(place: str) -> list[str]:
    with connected(place) as connection:
        return sorted(inspect(connection).get_table_names())


def version(place: str) -> str | None:
    with connected(place) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def differences(place: str) -> list[Any]:
    """What alembic would change to make the tables what the code says."""
    with connected(place) as connection:
        found: list[Any] = compare_metadata(MigrationContext.configure(connection), METADATA)
        return found


def scripts() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(backend.__file__).parent / "store" / "migrations"))
    return config


def first_days(path: Path) -> None:
    """A store of the first days with one verdict."""
    connection = sqlite3.connect(path)
    connection.executescript(FIRST_DAYS)
    row = ("a", JUDGE, verdict_to_json(verdict()), "2025-01-02 03:04:05.678901")
    connection.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?)", row)
    connection.commit()
    connection.close()


def test_the_newest_migration_is_the_one_that_the_code_names() -> None:
    assert ScriptDirectory.from_config(scripts()).get_heads() == [HEAD]


def test_the_migrations_make_the_tables_that_the_code_knows(store_place: str) -> None:
    Store(store_place).close()
    assert tables(store_place) == TABLES
    assert differences(store_place) == []


def test_a_difference_would_be_seen(store_place: str) -> None:
    Store(store_place).close()
    with connected(store_place) as connection:
        connection.execute(text("DROP INDEX ix_jobs_due_at"))
        connection.execute(text("ALTER TABLE feedback DROP COLUMN received_at"))
    assert sorted(str(found[0]) for found in differences(store_place)) == ["add_column", "add_index"]


def test_a_store_of_the_first_days_keeps_its_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    first_days(path)
    for _ in range(2):
        store = Store(path)
        assert store.verdicts.get(["a"]) == {"a": verdict()}
        store.close()
    assert (version(str(path)), tables(str(path)), differences(str(path))) == (HEAD, TABLES, [])


def test_a_store_of_an_earlier_version_is_brought_up_to_date(store_place: str) -> None:
    config = scripts()
    with connected(store_place) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO verdicts VALUES ('a', :judge, :verdict, '2025-01-02 03:04:05.678901')"),
            {"judge": JUDGE, "verdict": verdict_to_json(verdict())},
        )
    assert tables(store_place) == ["alembic_version", "verdicts"]
    store = Store(store_place)
    assert store.verdicts.get(["a"]) == {"a": verdict()}
    assert store.jobs.owe(PROJECT, JUDGE, {1}, 0.0) == {1}
    assert (version(store_place), differences(store_place)) == (HEAD, [])
    store.close()


def test_what_was_owed_before_there_were_claims_may_be_taken_over(store_place: str) -> None:
    config = scripts()
    with connected(store_place) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for task in (1, 2):
            row = {"project": PROJECT, "task": task, "mark": JUDGE}
            connection.execute(
                text(
                    "INSERT INTO jobs (project, task, fingerprint, state, due_at, attempts, created_at) "
                    "VALUES (:project, :task, :mark, 'open', 0, 0, 0)"
                ),
                row,
            )
    store, model = Store(store_place), JUDGE.rpartition("-")[0]
    assert store.jobs.due_groups(model) == (Due(PROJECT, JUDGE, abandoned=True),)
    assert store.jobs.renew(PROJECT, model, f"{model}-aaaaaaaaaaaa") == 2
    store.close()


@pytest.mark.parametrize("newer", ["0005", "0004a", "f00d"])
def test_a_store_of_a_newer_version_is_refused_by_name_and_left_alone(store_place: str, newer: str) -> None:
    Store(store_place).close()
    with connected(store_place) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :newer"), {"newer": newer})
    shown = store_place if "://" not in store_place else f"postgresql://{store_place.partition('@')[2]}"
    with pytest.raises(SettingsError) as caught:
        Store(store_place)
    assert str(caught.value) == (
        f"{shown} was made by a newer vlm-judge (its tables are at {newer}, this one knows {HEAD}); "
        "install that version, or name another place with VLM_JUDGE_STORE"
    )
    assert (version(store_place), tables(store_place)) == (newer, TABLES)


def test_a_migration_that_fails_leaves_nothing_behind(store_place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create = Operations.create_table

    def fail_at_feedback(self: Operations, name: str, *rest: Any) -> Any:
        made = create(self, name, *rest)
        if name == "feedback":
            self.execute("SELECT 1 FROM nowhere")
        return made

    with monkeypatch.context() as patched:
        patched.setattr(Operations, "create_table", fail_at_feedback)
        with pytest.raises(SettingsError, match="nowhere"):
            Store(store_place)
    assert tables(store_place) == []
    Store(store_place).close()
    assert (version(store_place), tables(store_place), differences(store_place)) == (HEAD, TABLES, [])


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE alembic_version", "CREATE INDEX ix_verdicts", "CREATE TABLE jobs", "CREATE TABLE feedback"],
)
def test_a_migration_whose_process_is_killed_leaves_nothing_behind(store_place: str, statement: str) -> None:
    with in_process(die_at, store_place, statement) as (process, pipe):
        process.join(60)
        assert process.exitcode == -9
        with pytest.raises(EOFError):
            pipe.recv()
    assert tables(store_place) == []
    Store(store_place).close()
    assert (version(store_place), tables(store_place), differences(store_place)) == (HEAD, TABLES, [])


def test_a_killed_migration_of_a_store_of_the_first_days_leaves_its_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    first_days(path)
    with in_process(die_at, str(path), "CREATE TABLE feedback") as (process, _):
        process.join(60)
        assert process.exitcode == -9
    assert tables(str(path)) == ["verdicts"]
    store = Store(path)
    assert store.verdicts.get(["a"]) == {"a": verdict()}
    assert (version(str(path)), tables(str(path))) == (HEAD, TABLES)
    store.close()


def test_threads_may_open_new_stores_of_their_own_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.sqlite" for number in range(12)]
    with ThreadPoolExecutor(6) as threads:
        for store in threads.map(Store, paths):
            store.close()
    assert [(version(str(path)), tables(str(path))) for path in paths] == [(HEAD, TABLES)] * 12


def test_the_migrations_are_found_wherever_the_product_lies(tmp_path: Path) -> None:
    place = tmp_path / "50% off" / "backend"
    ours = Path(backend.__file__).parent
    for part in ("store", "core"):
        shutil.copytree(ours / part, place / part)
    for module in ("__init__.py", "errors.py"):
        shutil.copy(ours / module, place)
    code = "import backend; from backend.store import Store; Store('s.sqlite').close(); print(backend.__file__)"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(place.parent)},
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert (done.stdout, done.stderr) == (f"{place / '__init__.py'}\n", "")
    assert tables(str(tmp_path / "s.sqlite")) == TABLES
