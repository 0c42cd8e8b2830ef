"""Refuses to publish what the user named as personal: fields of the tasks' data, by their keys.

Two looks. Before the work: which keys of the task's data would go into the rows at all, under whatever column. After
it: what is in the finished files - columns of that name, and the key inside a text that holds JSON. A text that names
a person in plain words is found by neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import ExportError

if TYPE_CHECKING:
    import pyarrow

_BATCH_ROWS = 100
_SHOWN = 10
_RENAMED = re.compile(r"^(input_)*(.*?)(_sha256)?_*$", re.DOTALL)
"""What columns of a task's key may be called; see `exporters.schema.columns`."""


def parse_fields(text: str) -> tuple[str, ...]:
    """`name,email` as field names. Raises ExportError when there is none."""
    fields = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not fields:
        raise ExportError("--personal-fields names no field; write keys of the tasks' data like name,email")
    return fields


def check_keys(keys: Iterable[str], fields: Collection[str]) -> None:
    """Raise ExportError when a key of the tasks' data is personal; of a path like `author.name` any part counts."""
    wanted = {field.casefold() for field in fields}
    parts = {key: {key.casefold(), *(part.casefold() for part in re.split(r"[.\[\]]+", key))} for key in keys}
    found = sorted(key for key, names in parts.items() if names & wanted)
    if found:
        raise ExportError(
            f"the rows would hold {_listed(found)} of the tasks' data, which you named as personal; take it out of the "
            "label config, or leave it out of --personal-fields when it may be published"
        )


def check_personal(folder: Path, fields: Collection[str]) -> None:
    """Raise ExportError when a Parquet file of the export holds one of the fields, saying where and for which tasks."""
    found = personal_places(folder, fields) if fields else {}
    if found:
        places = "; ".join(f"{place}: {_tasks(ids)}" for place, ids in found.items())
        raise ExportError(
            f"not pushed: the rows hold what you named as personal: {places}. Take it out of these tasks, or leave it "
            f"out of --personal-fields when it may be published; the export is in {folder}"
        )


def personal_places(folder: Path, fields: Collection[str]) -> Mapping[str, tuple[int | None, ...]]:
    """Tasks by the place where a field was found in them, in order; a task without a number is None."""
    found: dict[str, dict[int | None, None]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        config = "/".join(path.relative_to(folder).parts[1:-1]) or "default"
        for place, task in _places(path, fields):
            found.setdefault(f"{place} of config {config}", {})[task] = None
    return {place: tuple(sorted(ids, key=lambda one: (one is None, one))) for place, ids in found.items()}


def _places(path: Path, fields: Collection[str]) -> Iterator[tuple[str, int | None]]:
    """Where and in which tasks; images are not read."""
    import pyarrow.parquet

    wanted = {field.casefold() for field in fields}
    inside = {field: key_pattern(field) for field in fields}
    opened: Callable[[Path], Any] = pyarrow.parquet.ParquetFile
    with opened(path) as file:
        schema = file.schema_arrow
        named = {name for name in schema.names if _key_of(name) in wanted}
        texts = [one.name for one in schema if _has_text(one.type)]
        for batch in file.iter_batches(_BATCH_ROWS, columns=list({*named, *texts, "task_id"})):
            for row in batch.to_pylist():
                for name, value in row.items():
                    for place in _in_value(name, value, named, inside):
                        yield place, row.get("task_id")


def _in_value(name: str, value: Any, named: Collection[str], inside: Mapping[str, re.Pattern[str]]) -> Iterator[str]:
    if name in named and value not in (None, [], ""):
        yield f"column `{name}`"
    for field, pattern in inside.items():
        if any(pattern.search(text) for text in _texts(value)):
            yield f"the key `{field}` in the text of column `{name}`"


def key_pattern(field: str) -> re.Pattern[str]:
    """Finds the field as a key of JSON, also of JSON in a string of JSON, in a text around it or cut off.

    Values that say nothing are let pass: null and the empty string.
    """
    spellings = "|".join(sorted({re.escape(field), re.escape(json.dumps(field)[1:-1])}))
    quote = r"""\\*["']"""
    return re.compile(rf"{quote}({spellings}){quote}\s*:(?!\s*(?:null\b|None\b|{quote}{quote}))", re.IGNORECASE)


def _key_of(column: str) -> str:
    found = _RENAMED.match(column)
    return (found[2] if found else column).casefold()


def _has_text(kind: pyarrow.DataType) -> bool:
    """Whether there are texts in it and no bytes: those are images, and large."""
    import pyarrow

    leaves = tuple(_leaves(kind))
    return any(map(_is_text, leaves)) and not any(map(pyarrow.types.is_binary, leaves))


def _is_text(kind: pyarrow.DataType) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _leaves(kind: pyarrow.DataType) -> Iterator[pyarrow.DataType]:
    inner = [kind.field(index).type for index in range(kind.num_fields)]
    if not inner:
        yield kind
    for one in inner:
        yield from _leaves(one)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _tasks(ids: tuple[int | None, ...]) -> str:
    known = [str(one) for one in ids if one is not None]
    if not known:
        return "rows without a task's number"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"task {known[0]}" if len(known) == 1 else f"tasks {', '.join(known[:_SHOWN])}{more}"
