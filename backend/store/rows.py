"""What all the books share: the upsert of either database, and queries of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Table

from backend.store.database import Database

Item = TypeVar("Item")

_AT_ONCE = 500
"""Values per query; SQLite limits the number of bound ones."""


def chunks(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The items in runs that one query can hold."""
    for at in range(0, len(items), _AT_ONCE):
        yield list(items[at : at + _AT_ONCE])


def upsert(database: Database, table: Table) -> Any:
    """An INSERT that has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if database.is_sqlite:
        from sqlalchemy.dialects.sqlite import insert

        return insert(table)
    from sqlalchemy.dialects.postgresql import insert as insert_postgresql

    return insert_postgresql(table)


def storable(text: str) -> str:
    """The text in a form that either database takes: without NUL and halves of characters, which are shown escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def insert_new(database: Database, table: Table) -> Any:
    """An INSERT that leaves rows alone that are there."""
    return upsert(database, table).on_conflict_do_nothing()
