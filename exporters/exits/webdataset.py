"""Rows as WebDataset archives: per row a JSON file and its images, all of one name.

`webdataset/<config>/<split>-00000.tar` and so on. A row with one image is `000000017.json` and `000000017.png`; where a
row has several, or a list, they are numbered through the columns: `000000017.0.png`, `000000017.1.png`. The JSON has
the file's name in the place of each image.

`datasets.load_dataset("webdataset", ...)` learns the columns from the first five rows and wants them alike: where
images are of several formats, or some are missing there, give it the features, or read with the `webdataset` package.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.batch.fields import plain
from exporters.exits.writing import ExportedSplit, ending_of, is_image

FOLDER = "webdataset"
MAX_SHARD_BYTES = 500 * 2**20
"""An archive is closed once it has so many bytes."""


def write_webdataset(folder: Path, splits: Sequence[ExportedSplit], max_shard_bytes: int = MAX_SHARD_BYTES) -> None:
    """Write the archives of every split. Raises ExportError and OSError."""
    for split in splits:
        place = folder / FOLDER / split.config
        place.mkdir(parents=True, exist_ok=True)
        _write_split(place, split, max_shard_bytes)


def _write_split(place: Path, split: ExportedSplit, max_shard_bytes: int) -> None:
    numbered = _several(split.schema())
    shard, archive = 0, None
    try:
        for number, row in enumerate(split.rows()):
            if archive is not None and archive.offset >= max_shard_bytes:
                archive.close()
                shard, archive = shard + 1, None
            if archive is None:
                archive = tarfile.open(place / f"{split.name}-{shard:05d}.tar", "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - one after the other
            for name, content in _files(f"{number:09d}", row, numbered=numbered):
                entry = tarfile.TarInfo(name)  # of no time and no user, so that the same rows give the same bytes
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    finally:
        if archive is not None:
            archive.close()


def _several(schema: Any) -> bool:
    """Whether rows may have more than one image."""
    import pyarrow

    lists = [field for field in schema if pyarrow.types.is_list(field.type) and is_image(field.type.value_type)]
    return bool(lists) or sum(is_image(field.type) for field in schema) > 1


def _files(key: str, row: Mapping[str, Any], *, numbered: bool) -> Iterator[tuple[str, bytes]]:
    """The row's files by name, the JSON first."""
    images: list[tuple[str, bytes]] = []

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        if value.keys() != {"bytes", "path"}:
            return {name: named(item) for name, item in value.items()}
        content = value["bytes"]
        if content is None:
            return value["path"]
        place = f".{len(images)}" if numbered else ""
        images.append((f"{key}{place}.{ending_of(content, value['path'])}", content))
        return images[-1][0]

    line = {name: plain(named(value)) for name, value in row.items()}
    yield f"{key}.json", json.dumps(line, ensure_ascii=False).encode()
    yield from images
