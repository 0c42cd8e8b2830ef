"""The PostgreSQL server that tests get, and what `docker/databases.sh` makes of one."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from tests.postgres import PostgresServer, libpq_environment, sqlalchemy_url

pytest_plugins = ("tests.postgres_plugin",)

DATABASES = Path(__file__).parents[2] / "docker" / "databases.sh"
ONE_OF_BOTH = {"label_studio": "password of Label Studio's", "vlm_judge": "the judges' password"}


def asked(address: str, *statements: str) -> list[Any]:
    """The first value that each statement answers with, in one transaction."""
    engine = create_engine(sqlalchemy_url(address))
    try:
        with engine.begin() as connection:
            return [
                found.scalar() if found.returns_rows else None
                for found in (connection.execute(text(statement)) for statement in statements)
            ]
    finally:
        engine.dispose()


def test_a_server_starts_in_seconds_and_leaves_nothing_behind() -> None:
    server = PostgresServer()
    began = time.monotonic()
    server.start()
    took_s = time.monotonic() - began
    try:
        folder, encoding, flushed = asked(
            server.url(), "SHOW data_directory", "SHOW server_encoding", "SELECT current_setting('fsync')"
        )
        assert (encoding, flushed) == ("UTF8", "off")
        assert took_s < 20
    finally:
        server.stop()
    assert not Path(folder).exists()
    with pytest.raises(OperationalError, match="refused"):
        asked(server.url(), "SELECT 1")


def test_every_test_gets_a_database_of_its_own(postgres_url: str, postgres_server: PostgresServer) -> None:
    asked(postgres_url, "CREATE TABLE kept (word text)", "INSERT INTO kept VALUES ('snow')")
    assert asked(postgres_url, "SELECT word FROM kept") == ["snow"]
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert asked(postgres_server.new_database(), tables) == [0]


def test_a_wrong_password_is_refused(postgres_url: str) -> None:
    wrong = make_url(postgres_url).set(password="wrong").render_as_string(hide_password=False)
    with pytest.raises(OperationalError, match="password authentication failed"):
        asked(wrong, "SELECT 1")


@pytest.fixture(scope="module")
def both(postgres_server: PostgresServer) -> dict[str, str]:
    """The addresses of the two databases that the script makes, by owner."""
    variables = {
        "POSTGRES_USER": postgres_server.user,
        "LABEL_STUDIO_DATABASE_PASSWORD": ONE_OF_BOTH["label_studio"],
        "JUDGE_DATABASE_PASSWORD": ONE_OF_BOTH["vlm_judge"],
    }
    subprocess.run([DATABASES], env={**libpq_environment(postgres_server), **variables}, check=True)
    return {
        name: make_url(postgres_server.url(name))
        .set(username=name, password=password)
        .render_as_string(hide_password=False)
        for name, password in ONE_OF_BOTH.items()
    }


@pytest.mark.parametrize("name", ONE_OF_BOTH)
def test_label_studio_and_the_judges_have_a_database_each(both: dict[str, str], name: str) -> None:
    who = "SELECT current_user || ' in ' || current_database()"
    assert asked(both[name], who, "CREATE TABLE own (id int)", "DROP TABLE own") == [f"{name} in {name}", None, None]


@pytest.mark.parametrize(("name", "other"), [("label_studio", "vlm_judge"), ("vlm_judge", "label_studio")])
def test_neither_gets_into_the_database_of_the_other(both: dict[str, str], name: str, other: str) -> None:
    address = make_url(both[name]).set(database=other).render_as_string(hide_password=False)
    with pytest.raises(OperationalError, match=f'permission denied for database "{other}"'):
        asked(address, "SELECT 1")
