"""Opens labelled data: a file, a folder that `datasets` opens, or a dataset of the Hub. Rows are read one at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import EvaluationError, RowError
from backend.hub_faults import hub_fault

if TYPE_CHECKING:
    from datasets import Dataset

Row = Mapping[str, Any]

ROWS_AT_ONCE = 64
LONGEST_FIELD = 128 * 2**20
"""Characters of one CSV field; an image may stand there as a data URI."""
FILES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Source:
    """What to open."""

    location: str
    """A file, a folder, or the id of a dataset on the Hub."""
    subset: str | None = None
    """Configuration of a dataset; None is `default`, or the only one."""
    split: str | None = None
    """None is `test` where there is one, else `validation`, else the first."""
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the columns they have."""

    name: str
    """What was opened, for people: with subset and split."""
    folder: Path | None
    """Where relative image paths start; None when they cannot be followed."""
    columns: frozenset[str]
    count: int
    rows: Callable[[], Iterator[Row | RowError]]
    """One item per row in order; an error where a row cannot be read."""


def open_table(source: Source) -> Table:
    """The rows of a source. Raises EvaluationError saying what cannot be opened, and what could."""
    path = Path(source.location)
    if path.is_file():
        return _open_file(path)
    if path.is_dir() or (source.location.count("/") == 1 and not path.exists() and path.suffix not in FILES):
        return _open_dataset(source, path if path.is_dir() else None)
    raise EvaluationError(f"{source.location} is not there; give a file, a folder, or a dataset's id as user/name")


def _open_file(path: Path) -> Table:
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json_list, ".csv": _csv_rows}
    if path.suffix.lower() == ".parquet":
        return _open_parquet(path)
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise EvaluationError(f"{path} is not of a known kind; known are {', '.join(FILES)}")
    try:
        rows = reader(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise EvaluationError(f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise EvaluationError(f"{path} is not UTF-8 text; save it as UTF-8") from exc
    except (ValueError, csv.Error) as exc:
        raise EvaluationError(f"{path} cannot be read: {exc}") from exc
    columns = frozenset(name for row in rows if not isinstance(row, RowError) for name in row)
    return Table(str(path), path.parent, columns, len(rows), lambda: iter(rows))


def _json_lines(text: str) -> list[Row | RowError]:
    return [_json_row(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _json_row(line: str, number: int) -> Row | RowError:
    try:
        value = json.loads(line)
    except ValueError as exc:
        return RowError("not valid JSON", f"line {number}, {exc}")
    return value if isinstance(value, dict) else RowError("not a JSON object", f"line {number}")


def _json_list(text: str) -> list[Row | RowError]:
    value = json.loads(text)
    if isinstance(value, dict):  # a list under one name, as Multimodal RewardBench 2 has it
        value = next((item for item in value.values() if isinstance(item, list)), None)
    if not isinstance(value, list):
        raise ValueError("it must hold a list of rows")
    return [item if isinstance(item, dict) else RowError("not a JSON object") for item in value]


def _csv_rows(text: str) -> list[Row | RowError]:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.DictReader(io.StringIO(text, newline=""))  # `splitlines` would also cut at U+2028 and its like
    return [
        RowError("more fields than columns", f"line {reader.line_num}") if None in row else dict(row) for row in reader
    ]


def _open_parquet(path: Path) -> Table:
    import pyarrow.parquet

    try:
        file: Any = pyarrow.parquet.ParquetFile(path)  # type: ignore[no-untyped-call]
    except (OSError, pyarrow.ArrowInvalid) as exc:
        raise EvaluationError(f"{path} is not a Parquet file that can be read: {exc}") from exc

    def rows() -> Iterator[Row]:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
            yield from batch.to_pylist()

    return Table(str(path), path.parent, frozenset(file.schema_arrow.names), file.metadata.num_rows, rows)


def _open_dataset(source: Source, folder: Path | None) -> Table:
    data, label = _load(source)
    names = _class_names(data)

    def rows() -> Iterator[Row]:
        for table in data.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):  # as stored: no image is decoded here
            for row in table.to_pylist():
                yield {**row, **{key: names[key][row[key]] for key in names if row[key] is not None}}

    return Table(label, folder, frozenset(data.column_names), len(data), rows)


def _load(source: Source) -> tuple[Dataset, str]:
    try:
        import datasets
    except ImportError as exc:
        raise EvaluationError(
            "folders and datasets of the Hub need an extra; run: pip install 'vlm-judge-label-studio[evaluate]'"
        ) from exc
    failures = (datasets.exceptions.DatasetsError, hub_fault(), OSError, ValueError)
    try:
        subset = source.subset or _subset(datasets.get_dataset_config_names(source.location, token=source.token))
        splits = datasets.get_dataset_split_names(source.location, subset, token=source.token)
        split = source.split or next((name for name in ("test", "validation") if name in splits), splits[0])
        data = datasets.load_dataset(source.location, subset, split=split, token=source.token)
    except failures as exc:
        raise EvaluationError(f"cannot open the dataset {source.location}: {exc}") from exc
    return data, f"{source.location} ({subset}, {split})"


def _subset(names: list[str]) -> str:
    if {"default", "all"} <= set(names):  # what `vlm-judge export` writes: what people rejected counts too
        return "all"
    if "default" in names or len(names) == 1:
        return "default" if "default" in names else names[0]
    raise ValueError(f"it has several subsets; choose one with --subset: {', '.join(names)}")


def _class_names(data: Dataset) -> dict[str, list[str]]:
    """Names behind the numbers of class labels, by column."""
    from datasets import ClassLabel

    return {name: feature.names for name, feature in data.features.items() if isinstance(feature, ClassLabel)}
