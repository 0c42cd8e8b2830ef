"""What a dataset is to this package: rows with lasting ids, in parts that can be read one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROWS_AT_ONCE = 256
"""Most rows that are read at a time."""
BYTES_AT_ONCE = 32 * 2**20
"""Rows are read in such helpings, by what they take on average."""


@dataclass(frozen=True, slots=True)
class Part:
    """A run of rows that is judged as one, and whose verdicts are one file."""

    number: int
    """From 0, in the data's order; the file of its verdicts is named by it."""
    files: tuple[str, ...]
    """Which files its rows lie in; empty where the reader knows without."""
    start: int
    """Its first row, from 0: in its only file, or in all of the data."""
    stop: int
    """Behind its last row; where the data's length is not known they may end before."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows, as they are stored."""

    ids: tuple[str, ...]
    """One per row; the same whenever the same data are read, however they are parted."""
    table: Any
    """A `pyarrow.Table` in the reader's schema."""


class Reader(Protocol):
    """Reads parts; can be pickled, so that another machine reads them."""

    @property
    def schema(self) -> Any:
        """The rows' `pyarrow.Schema`."""
        ...

    def chunks(self, part: Part) -> Iterator[Chunk]:
        """The part's rows in order. Raises BatchError."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset that has been opened."""

    name: str
    """As messages say it."""
    mark: str
    """Changes when the data do; an output that was begun with other data is told by it."""
    rows: int | None
    """None where that is known only at their end."""
    root: str | None
    """Folder, or place on the Hub, that the data's own image files lie in; None where they have none."""
    reader: Reader
    parts: Callable[[int], Iterator[Part]]
    """The parts of at most so many rows, in order; without end where the number of rows is not known."""


def even_parts(rows: int, size: int) -> Iterator[Part]:
    """Parts of rows that are simply numbered."""
    for number, start in enumerate(range(0, rows, size)):
        yield Part(number, (), start, min(start + size, rows))


def in_schema(table: Any, schema: Any) -> Any:
    """The table with exactly these columns; what it lacks is null. Raises `pyarrow.ArrowInvalid` and the like."""
    import pyarrow

    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pyarrow.nulls(len(table), field.type)
        for field in schema
    ]
    return pyarrow.table(columns, schema=schema)


def as_text(path: Path) -> str:
    """A folder as a prefix of the paths in it."""
    return f"{path.as_posix().rstrip('/')}/"
