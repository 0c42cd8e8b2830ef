"""Writes rows to sharded Parquet in bounded memory, in the layout that `datasets.load_dataset` opens by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.columns import Column, Pictures, features_of, row_of
from exporters.consolidate import Record

if TYPE_CHECKING:
    import pyarrow

MAX_GROUP_ROWS = 100
MAX_GROUP_BYTES = 32 * 2**20
"""A row group is written when it has so many rows or image bytes; this is what is held in memory."""
MAX_SHARD_BYTES = 500 * 2**20


class SplitWriter:
    """Writes one split as `data/<split>-00000-of-0000N.parquet`; use it in a `with` block."""

    def __init__(
        self,
        folder: Path,
        columns: tuple[Column, ...],
        *,
        split: str = "train",
        max_group_bytes: int = MAX_GROUP_BYTES,
        max_shard_bytes: int = MAX_SHARD_BYTES,
    ) -> None:
        self._data = folder / "data"
        self._columns = columns
        self._split = split
        self._max_group_bytes = max_group_bytes
        self._max_shard_bytes = max_shard_bytes
        self._schema: pyarrow.Schema = features_of(columns).arrow_schema
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._shards: list[Path] = []
        self._writer: Any = None
        self.pattern = ""
        """Which files of the folder hold the rows; known once the writer is closed."""

    def __enter__(self) -> SplitWriter:
        self._data.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._close_shard()
        if kind is None:
            self._name_shards()

    def add(self, record: Record, pictures: Pictures) -> None:
        """Write one row; it reaches the disk when its row group is full."""
        self._rows.append(row_of(self._columns, record, pictures))
        found = (picture for several in pictures.values() for picture in several if picture is not None)
        self._bytes += sum(len(picture.data) for picture in found)
        if len(self._rows) >= MAX_GROUP_ROWS or self._bytes >= self._max_group_bytes:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        if self._rows or not self._shards:
            self._open_shard().write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()
        self._bytes = 0
        if self._shards and self._shards[-1].stat().st_size >= self._max_shard_bytes:
            self._close_shard()

    def _open_shard(self) -> Any:
        import pyarrow.parquet

        if self._writer is None:
            self._shards.append(self._data / f"{self._split}-{len(self._shards):05d}.parquet")
            open_writer: Callable[..., Any] = pyarrow.parquet.ParquetWriter
            self._writer = open_writer(
                self._shards[-1], self._schema, use_content_defined_chunking=True, write_page_index=True
            )
        return self._writer

    def _close_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _name_shards(self) -> None:
        """Number them, and mark them by their content: `load_dataset` knows a folder again by its files' pattern.

        Were the pattern always the same, a folder that was exported anew would be loaded from the cache, as it was.
        """
        digest = hashlib.sha256()
        for shard in self._shards:
            with shard.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        mark, count = digest.hexdigest()[:8], len(self._shards)
        for index, shard in enumerate(self._shards):
            shard.rename(self._data / f"{self._split}-{index:05d}-of-{count:05d}-{mark}.parquet")
        self.pattern = f"{self._data.name}/{self._split}-*-{mark}.parquet"
