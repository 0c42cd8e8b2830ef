"""Reads what only `datasets` can: a saved dataset by its numbers, and one of the Hub that is no Parquet as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

from pydantic import SecretStr

from backend.batch.parts import ROWS_AT_ONCE, Chunk, Part, Source, even_parts, in_schema
from backend.errors import BatchError
from backend.hub_faults import hub_fault


@dataclass(frozen=True, slots=True)
class SavedReader:
    """Rows of a folder that `save_to_disk` wrote. A row's id is the split and its number."""

    schema: Any
    location: str
    split: str

    def chunks(self, part: Part) -> Iterator[Chunk]:
        """The part's rows in order. Raises BatchError."""
        data = saved(self.location, self.split).with_format("arrow")
        for begin in range(part.start, part.stop, ROWS_AT_ONCE):
            end = min(begin + ROWS_AT_ONCE, part.stop)
            ids = tuple(f"{self.split}#{number}" for number in range(begin, end))
            yield Chunk(ids, in_schema(data[begin:end], self.schema))


def saved(location: str, split: str) -> Any:
    """A saved dataset, or this split of several. Raises BatchError."""
    import datasets

    try:
        found = datasets.load_from_disk(location)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as exc:
        raise BatchError(f"cannot open the dataset {location}: {exc}") from exc
    if not isinstance(found, datasets.DatasetDict):
        return found
    if split not in found:
        raise BatchError(f"the dataset {location} has no split {split}, only {', '.join(found)}; choose with --split")
    return found[split]


def saved_source(location: str, split: str) -> Source:
    """A folder that `save_to_disk` wrote. Raises BatchError."""
    data = saved(location, split)
    reader = SavedReader(data.features.arrow_schema, location, split)
    mark = f"{split}|{len(data)}|{data._fingerprint}"
    return Source(location, mark, len(data), location, reader, lambda size: even_parts(len(data), size))


@dataclass(slots=True)
class _Place:
    """How far the stream was read."""

    row: int = 0
    rows: Iterator[Any] | None = None


@dataclass(frozen=True, slots=True)
class StreamReader:
    """Rows that come one after the other; what lies before a part is read over. A row's id is split and number.

    Where a config is named, that stands before them. For one thread at a time.
    """

    schema: Any
    location: str
    revision: str
    split: str
    token: SecretStr | None
    config: str | None = None
    place: _Place = field(default_factory=_Place, compare=False, repr=False)

    def chunks(self, part: Part) -> Iterator[Chunk]:
        """The part's rows in order, fewer where the stream ends. Raises BatchError."""
        import datasets
        import pyarrow

        try:
            yield from self._chunks(part)
        except (OSError, ValueError, hub_fault(), pyarrow.ArrowException, datasets.exceptions.DatasetsError) as exc:
            raise BatchError(f"cannot read {self.location}, split {self.split}: {exc}") from exc

    def _chunks(self, part: Part) -> Iterator[Chunk]:
        import pyarrow

        place = self.place
        if place.rows is None or place.row > part.start:
            place.row, place.rows = part.start, self._stream(part.start)
        while place.row < part.start and next(place.rows, None) is not None:
            place.row += 1
        while place.row < part.stop:
            wanted = min(ROWS_AT_ONCE // 4, part.stop - place.row)
            if not (rows := list(islice(place.rows, wanted))):
                return
            part_of = f"{self.config}/{self.split}" if self.config else self.split
            ids = tuple(f"{part_of}#{place.row + number}" for number in range(len(rows)))
            place.row += len(rows)
            yield Chunk(ids, in_schema(pyarrow.Table.from_pylist(rows, self.schema), self.schema))

    def _stream(self, start: int) -> Iterator[Any]:
        return iter(streamed(self.location, self.split, self.revision, self.token, self.config).skip(start))


def streamed(location: str, split: str, revision: str, token: SecretStr | None, config: str | None = None) -> Any:
    """A dataset of the Hub as a stream, its images as they are stored."""
    from datasets import load_dataset

    key = token.get_secret_value() if token else None
    return load_dataset(location, config, split=split, revision=revision, streaming=True, token=key).decode(False)


def stream_source(
    location: str, split: str, revision: str, token: SecretStr | None, config: str | None = None
) -> Source:
    """A dataset of the Hub whose files are no Parquet; `revision` is a commit. Raises BatchError."""
    features = streamed(location, split, revision, token, config).features
    if features is None:
        raise BatchError(
            f"the columns of {location} are not known before it is read; give its Parquet form instead, which the Hub "
            f"makes of most datasets: {location}@refs/convert/parquet"
        )
    reader = StreamReader(features.arrow_schema, location, revision, split, token, config)
    root = f"hf://datasets/{location}@{revision}/"

    def parts(size: int) -> Iterator[Part]:
        for number in count():
            yield Part(number, (), number * size, (number + 1) * size)

    mark = f"{revision}|{config}|{split}" if config else f"{revision}|{split}"
    return Source(location, mark, None, root, reader, parts)
