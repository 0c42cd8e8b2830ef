"""Reads a finished output again: rows as tasks, with what the judge said of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from backend.batch.fields import Row, RowReader
from backend.batch.judgement import COLUMNS, FAILURE, PREDICTION, ROW
from backend.batch.manifest import Manifest, read_manifest
from backend.batch.parquet import open_parquet
from backend.batch.parts import Chunk
from backend.batch.shards import PartDone, part_done, shards
from backend.core.label_config import LabelConfig, parse_label_config
from backend.errors import BatchError


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One row of an output."""

    row: Row
    prediction: Mapping[str, Any] | None
    """`{"result", "score", "model_version"}`; None where it could not be judged."""
    failure: str | None
    """Why not."""


class JudgedBatch:
    """The output of `vlm-judge judge --source`, all of whose parts are done."""

    def __init__(self, out: Path) -> None:
        """Raises BatchError when it is none, or not finished."""
        manifest = read_manifest(out)
        if manifest is None:
            raise BatchError(f"{out} is no output of `vlm-judge judge --source`; name the folder given to its --out")
        if not manifest.complete:
            raise BatchError(f"{out} is not finished; give the `vlm-judge judge` command again that it was begun with")
        self.out = out
        self.manifest: Manifest = manifest
        self.config: LabelConfig = parse_label_config(manifest.label_config)

    @cached_property
    def parts(self) -> tuple[PartDone, ...]:
        """What its parts came to."""
        return tuple(done for path in shards(self.out) if (done := part_done(path)) is not None)

    @property
    def count(self) -> int:
        """How many rows it has."""
        return sum(part.rows for part in self.parts)

    @property
    def judged(self) -> int:
        """How many of them have a prediction."""
        return sum(part.judged for part in self.parts)

    def rows(self) -> Iterator[JudgedRow]:
        """All rows in order, some of them in memory at a time. Raises BatchError."""
        import pyarrow

        for path in shards(self.out):
            try:
                file = open_parquet(str(path))
                for number in range(file.num_row_groups):
                    yield from self._rows(file.read_row_group(number))
            except (OSError, pyarrow.ArrowException) as exc:
                raise BatchError(f"cannot read {path}: {exc}") from exc

    def _rows(self, table: Any) -> Iterator[JudgedRow]:
        said = table.select([ROW, PREDICTION, FAILURE]).to_pylist()
        own = table.drop_columns(list(COLUMNS))
        reader = RowReader(self.config, own.schema, self.manifest.columns)
        rows = reader.rows(Chunk(tuple(item[ROW] for item in said), own))
        for row, item in zip(rows, said, strict=True):
            prediction = json.loads(item[PREDICTION]) if item[PREDICTION] else None
            yield JudgedRow(row, prediction, item[FAILURE])
