"""A fixture with a place for a store on either database, for modules that name this in `pytest_plugins`."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ("tests.postgres_plugin",)


@pytest.fixture(params=["sqlite", "postgres"])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What `Store` takes: a SQLite file that is not there yet, or the address of an empty PostgreSQL database."""
    if request.param == "sqlite":
        return str(tmp_path / "store.sqlite")
    address: str = request.getfixturevalue("postgres_url")
    return address
