"""Reads Parquet files, here or on the Hub, by row groups: what is not asked for is not read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from backend.batch.parts import BYTES_AT_ONCE, ROWS_AT_ONCE, Chunk, Part, Source, in_schema
from backend.errors import BatchError
from backend.hub_faults import hub_fault

_OPENERS = 16
"""Files whose ends are read at a time."""


@dataclass(frozen=True, slots=True)
class ParquetReader:
    """Rows of Parquet files. A row's id is its file's path in the dataset and its number there: `a.parquet#17`."""

    schema: Any
    prefix: str
    """Of all paths; what follows it names the files."""
    token: SecretStr | None = None
    """For the Hub."""

    def chunks(self, part: Part) -> Iterator[Chunk]:
        """The part's rows in order. Raises BatchError."""
        import pyarrow

        [path] = part.files
        name = path.removeprefix(self.prefix)
        try:
            file = open_parquet(path, self.token)
            groups, row, helping = _groups(file.metadata, part)
            for batch in file.iter_batches(batch_size=helping, row_groups=groups):
                first, last = max(part.start - row, 0), min(part.stop - row, batch.num_rows)
                if first < last:
                    table = pyarrow.Table.from_batches([batch.slice(first, last - first)])
                    ids = tuple(f"{name}#{number}" for number in range(row + first, row + last))
                    yield Chunk(ids, in_schema(table, self.schema))
                row += batch.num_rows
        except hub_fault() as exc:
            raise BatchError(f"cannot read {path}: {exc}; give the command again, and it goes on") from exc
        except (OSError, pyarrow.ArrowException) as exc:
            raise BatchError(f"cannot read {path}: {exc}") from exc


def _groups(metadata: Any, part: Part) -> tuple[list[int], int, int]:
    """The row groups that the part lies in, the number of their first row, and how many rows to read at a time."""
    groups: list[int] = []
    begins = row = size_bytes = rows = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if row < part.stop and row + group.num_rows > part.start:
            begins = begins if groups else row
            groups.append(number)
            size_bytes, rows = size_bytes + group.total_byte_size, rows + group.num_rows
        row += group.num_rows
    each = max(1, size_bytes // max(1, rows))
    return groups, begins, max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // each))


def open_parquet(path: str, token: SecretStr | None = None) -> Any:
    """A Parquet file, here or at `hf://...`. Raises OSError, `hub_fault` and `pyarrow.ArrowException`."""
    import pyarrow.parquet

    if not path.startswith("hf://"):
        return pyarrow.parquet.ParquetFile(path)  # type: ignore[no-untyped-call]
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(token=token.get_secret_value() if token else None)
    return pyarrow.parquet.ParquetFile(files.open(path))  # type: ignore[no-untyped-call]


def parquet_source(
    name: str, paths: Sequence[str], prefix: str, root: str | None, token: SecretStr | None = None
) -> Source:
    """These Parquet files as one dataset. Raises BatchError where one cannot be read or has columns of other types."""
    import pyarrow

    with ThreadPoolExecutor(_OPENERS) as threads:
        facts = tuple(threads.map(lambda path: _facts(path, token), paths))
    try:
        schema = pyarrow.unify_schemas([item.schema for item in facts])
    except pyarrow.ArrowException as exc:
        raise BatchError(f"the files of {name} have columns of the same name and different types: {exc}") from exc
    digest = hashlib.sha256()
    for path, item in zip(paths, facts, strict=True):
        digest.update(f"{path.removeprefix(prefix)}|{item.rows}|{item.size_bytes}\n".encode())

    def parts(size: int) -> Iterator[Part]:
        number = 0
        for path, item in zip(paths, facts, strict=True):
            for start in range(0, item.rows, size):
                yield Part(number, (path,), start, min(start + size, item.rows))
                number += 1

    reader = ParquetReader(schema, prefix, token)
    return Source(name, digest.hexdigest(), sum(item.rows for item in facts), root, reader, parts)


@dataclass(frozen=True, slots=True)
class _Facts:
    schema: Any
    rows: int
    size_bytes: int
    """Of the data, unpacked."""


def _facts(path: str, token: SecretStr | None) -> _Facts:
    import pyarrow

    try:
        file = open_parquet(path, token)
    except (OSError, hub_fault(), pyarrow.ArrowException) as exc:
        raise BatchError(f"cannot read {path}: {exc}") from exc
    metadata = file.metadata
    size_bytes = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    return _Facts(file.schema_arrow, metadata.num_rows, size_bytes)


def parquet_files(place: Path) -> tuple[str, ...]:
    """The Parquet files of a folder by name, or the one file; hidden ones are none."""
    if place.is_file():
        return (place.as_posix(),)
    found = (path for path in place.rglob("*.parquet") if path.is_file())
    visible = (path for path in found if not any(name.startswith(".") for name in path.relative_to(place).parts))
    return tuple(sorted(path.as_posix() for path in visible))
