"""Fixtures with a real PostgreSQL, for modules that say `pytest_plugins = ("tests.postgres_plugin",)`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The `postgresql://` address of a new, empty database, for one test."""
    return postgres_server.new_database()
