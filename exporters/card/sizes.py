"""How large the files of a dataset are, for its metadata: read from what was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.files.written import WrittenConfig


@dataclass(frozen=True, slots=True)
class SplitSize:
    """The bytes of one split of one config."""

    num_bytes: int
    """Of the values, before Parquet compresses them."""
    file_bytes: int
    """Of the files."""


Sizes = Mapping[tuple[str, str], SplitSize]
"""By config and split."""


def sizes_of(folder: Path, configs: tuple[WrittenConfig, ...]) -> Sizes:
    """The sizes of all splits, from their files in the folder."""
    return {
        (config.name, split.name): _size_of(sorted(folder.glob(split.pattern)))
        for config in configs
        for split in config.splits
    }


def _size_of(files: list[Path]) -> SplitSize:
    import pyarrow.parquet

    read_metadata: Callable[[Path], Any] = pyarrow.parquet.read_metadata
    num_bytes = 0
    for file in files:
        metadata = read_metadata(file)
        num_bytes += sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    return SplitSize(num_bytes, sum(file.stat().st_size for file in files))
