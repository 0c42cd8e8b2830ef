"""Writes rows to sharded Parquet in bounded memory, in the layout that `datasets.load_dataset` opens by itself."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from exporters.files.written import WrittenConfig, WrittenSplit
from exporters.records.record import Record
from exporters.schema.configs import DatasetConfig
from exporters.schema.features import Column, Pictures, features_of, row_of

if TYPE_CHECKING:
    import pyarrow

MAX_GROUP_ROWS = 1000
MAX_GROUP_BYTES = 32 * 2**20
"""A row group is written when it has so many rows, or bytes of images and texts; that much each split of a config
holds in memory, though the bytes of an image are held once for all of them."""
MAX_SHARD_BYTES = 500 * 2**20


class SplitWriter:
    """Writes one split of one config as `data/<config>/<split>-00000-of-0000N-<mark>.parquet`."""

    def __init__(
        self,
        folder: Path,
        columns: tuple[Column, ...],
        *,
        config: str = "default",
        split: str = "train",
        max_group_bytes: int = MAX_GROUP_BYTES,
        max_shard_bytes: int = MAX_SHARD_BYTES,
    ) -> None:
        self._root = folder
        self._data = folder / "data" / config
        self._columns = columns
        self._split = split
        self._max_group_bytes = max_group_bytes
        self._max_shard_bytes = max_shard_bytes
        self._schema: pyarrow.Schema = features_of(columns).arrow_schema
        self._waiting: list[dict[str, Any]] = []
        self._bytes = 0
        self._shards: list[Path] = []
        self._writer: Any = None
        self._rows = 0

    def add(self, record: Record, pictures: Pictures) -> None:
        """Write one row; it reaches the disk when its row group is full."""
        self._waiting.append(row_of(self._columns, record, pictures))
        self._rows += 1
        self._bytes += _size(record, pictures)
        if len(self._waiting) >= MAX_GROUP_ROWS or self._bytes >= self._max_group_bytes:
            self._flush()

    def finish(self) -> WrittenSplit:
        """Write what waits, and give the files their names."""
        self._flush()
        self.close()
        return WrittenSplit(self._split, self._rows, self._name_shards())

    def close(self) -> None:
        """Close the file at hand; what waits is not written."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        import pyarrow

        if self._waiting:
            self._open_shard().write_table(pyarrow.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting.clear()
        self._bytes = 0
        if self._shards and self._shards[-1].stat().st_size >= self._max_shard_bytes:
            self.close()

    def _open_shard(self) -> Any:
        import pyarrow.parquet

        if self._writer is None:
            self._data.mkdir(parents=True, exist_ok=True)
            self._shards.append(self._data / f"{self._split}-{len(self._shards):05d}.parquet")
            open_writer: Callable[..., Any] = pyarrow.parquet.ParquetWriter
            self._writer = open_writer(
                self._shards[-1], self._schema, use_content_defined_chunking=True, write_page_index=True
            )
        return self._writer

    def _name_shards(self) -> str:
        """Number them, and mark them by their content: `load_dataset` knows a folder again by its files' pattern.

        Were the pattern always the same, a folder that was exported anew would be loaded from the cache, as it was.
        Returns the pattern.
        """
        digest = hashlib.sha256()
        for shard in self._shards:
            with shard.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        mark, count = digest.hexdigest()[:8], len(self._shards)
        for index, shard in enumerate(self._shards):
            shard.rename(self._data / f"{self._split}-{index:05d}-of-{count:05d}-{mark}.parquet")
        return f"{self._data.relative_to(self._root).as_posix()}/{self._split}-*-{mark}.parquet"


def _size(record: Record, pictures: Pictures) -> int:
    """Bytes of the images and, near enough, of the texts."""
    images = sum(len(picture.data) for several in pictures.values() for picture in several if picture is not None)
    return images + sum(map(len, filter(None, (*record.texts.values(), record.final_text))))


class ConfigWriter:
    """Writes the splits of one config and counts what it leaves out."""

    def __init__(self, folder: Path, config: DatasetConfig, splits: tuple[str, ...]) -> None:
        self._config = config
        self._writers = {name: SplitWriter(folder, config.columns, config=config.name, split=name) for name in splits}
        self._filled: set[str] = set()
        self._rows_in = 0
        self._left_out: Counter[str] = Counter()

    def add(self, record: Record, pictures: Pictures, split: str) -> None:
        """Write what this config makes of one row of the export."""
        self._rows_in += 1
        selected = self._config.select(record, pictures)
        if isinstance(selected, str):
            self._left_out[selected] += 1
            return
        self._filled.add(split)
        for one in selected:
            self._writers[split].add(one, pictures)

    def finish(self) -> WrittenConfig:
        """Finish its files."""
        return WrittenConfig(
            self._config.name,
            self._config.meaning,
            self._config.columns,
            self._rows_in,
            MappingProxyType(dict(sorted(self._left_out.items()))),
            tuple(writer.finish() for name, writer in self._writers.items() if name in self._filled),
        )

    def close(self) -> None:
        """Close its files as they are."""
        for writer in self._writers.values():
            writer.close()


class DatasetWriter:
    """Writes all configs of a dataset in one pass; use it in a `with` block."""

    def __init__(self, folder: Path, configs: tuple[DatasetConfig, ...], splits: tuple[str, ...]) -> None:
        self._writers = [ConfigWriter(folder, config, splits) for config in configs]
        self.written: tuple[WrittenConfig, ...] = ()
        """All of them, also those that came out empty; known once the block has ended without an error."""

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.written = tuple(writer.finish() for writer in self._writers)
        finally:
            for writer in self._writers:
                writer.close()

    def add(self, record: Record, pictures: Pictures, split: str) -> None:
        """Write one row of the export to every config that takes it."""
        for writer in self._writers:
            writer.add(record, pictures, split)
