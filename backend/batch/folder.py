"""Reads a folder of images with their texts beside them: `a.png` and `a.txt`, or a `metadata.jsonl` or `.csv`."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.batch.parts import Chunk, Part, Source, as_text, in_schema
from backend.errors import BatchError
from backend.generation.sources import SUFFIXES
from backend.projects import read_json_lines, read_text

IMAGE = "image"
FILE_NAME = "file_name"
"""The column of the metadata that names the image, as `datasets` wants it for its `imagefolder`."""
TABLES = ("metadata.jsonl", "metadata.csv")
_FILES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class FolderReader:
    """Rows of a folder's images, with their bytes. A row's id is the image's path in the folder."""

    schema: Any
    prefix: str
    """The folder, with a slash at its end."""
    text_column: str | None
    """Where `a.txt` goes; None where no image has one."""
    known: Mapping[str, Mapping[str, Any]]
    """What the metadata say, by the image's path in the folder."""
    max_bytes: int
    """Larger files stay outside; the judge would refuse them."""

    def chunks(self, part: Part) -> Iterator[Chunk]:
        """The part's rows in order. Raises BatchError."""
        import pyarrow

        for begin in range(0, len(part.files), _FILES_AT_ONCE):
            names = part.files[begin : begin + _FILES_AT_ONCE]
            try:
                rows = [self._row(name) for name in names]
            except OSError as exc:
                raise BatchError(f"cannot read {exc.filename}: {exc.strerror}") from exc
            yield Chunk(names, in_schema(pyarrow.Table.from_pylist(rows, self.schema), self.schema))

    def _row(self, name: str) -> dict[str, Any]:
        path = Path(self.prefix) / name
        content = path.read_bytes() if path.stat().st_size <= self.max_bytes else None
        beside = path.with_suffix(".txt")
        text = {self.text_column: read_text(beside).strip()} if self.text_column and beside.is_file() else {}
        return {IMAGE: {"bytes": content, "path": name}, **self.known.get(name, {}), **text}


def folder_source(folder: Path, text_column: str | None, max_bytes: int) -> Source:
    """The images below a folder, by path. Raises BatchError where there are none, or the metadata are not right."""
    import pyarrow

    names = tuple(
        sorted(
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.suffix.lower() in SUFFIXES and path.is_file()
        )
    )
    if not names:
        raise BatchError(f"{folder} holds no images and no Parquet files; name another folder")
    known = _metadata(folder, frozenset(names))
    beside = text_column if any((folder / name).with_suffix(".txt").is_file() for name in names) else None
    try:
        columns = _columns(known)
    except pyarrow.ArrowException as exc:
        raise BatchError(f"a column of {folder}'s metadata holds values of different types: {exc}") from exc
    reader = FolderReader(_schema(columns, beside), as_text(folder), beside, known, max_bytes)
    sizes = [(name, _size(folder / name), _size((folder / name).with_suffix(".txt"))) for name in names]
    digest = hashlib.sha256(json.dumps([sizes, beside, known], sort_keys=True, default=str).encode())

    def parts(size: int) -> Iterator[Part]:
        for number, start in enumerate(range(0, len(names), size)):
            files = names[start : start + size]
            yield Part(number, files, start, start + len(files))

    return Source(str(folder), digest.hexdigest(), len(names), str(folder), reader, parts)


def _size(path: Path) -> int | None:
    """Bytes of a file; None where it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _columns(known: Mapping[str, Mapping[str, Any]]) -> Any:
    """The columns that any line of the metadata has. Raises `pyarrow.ArrowException` for one of several types."""
    import pyarrow

    names = dict.fromkeys(name for row in known.values() for name in row)
    # of rows that differ, pyarrow would look at the first alone
    rows = [{name: row.get(name) for name in names} for row in known.values()]
    return pyarrow.Table.from_pylist(rows).schema if rows else pyarrow.schema([])


def _schema(columns: Any, text_column: str | None) -> Any:
    """The columns, with what tells `datasets` that the first is an image."""
    import pyarrow

    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([(IMAGE, image), *((field.name, field.type) for field in columns)])
    if text_column and text_column not in schema.names:
        schema = schema.append(pyarrow.field(text_column, pyarrow.string()))
    features = {"info": {"features": {IMAGE: {"_type": "Image"}}}}
    return schema.with_metadata({"huggingface": json.dumps(features)})


def _metadata(folder: Path, names: frozenset[str]) -> dict[str, dict[str, Any]]:
    """What the folder's table says of each image."""
    found: dict[str, dict[str, Any]] = {}
    for table in TABLES:
        path = folder / table
        if not path.is_file():
            continue
        for number, row in enumerate(_rows(path), 1):
            name = row.pop(FILE_NAME, None)
            if name not in names:
                raise BatchError(
                    f"{path}, row {number}: `{FILE_NAME}` is {name!r}, which is no image in {folder}; name each by its "
                    "path in the folder"
                )
            found[str(name)] = row
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    return _csv_rows(path) if path.suffix == ".csv" else read_json_lines(path, BatchError)


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(csv.DictReader(io.StringIO(read_text(path))), 1):
        if None in row:
            raise BatchError(f"{path}, row {number} has more fields than columns; put texts with commas into quotes")
        yield dict(row)
