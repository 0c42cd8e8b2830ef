"""Other ways out of a finished export: JSON lines, WebDataset and a Croissant file, made of its Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backend.errors import ExportError

ExitKind = Literal["jsonl", "webdataset", "croissant"]

ROWS_AT_ONCE = 16
"""What is held in memory, images included, beside the row group that they are read from."""
_SHARD = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}(-[0-9a-f]+)?\.parquet")


@dataclass(frozen=True, slots=True)
class ExportedSplit:
    """One split of one config, as it lies in the folder."""

    config: str
    name: str
    files: tuple[Path, ...]
    """In order; at least one."""

    def schema(self) -> Any:
        """Its columns, as a `pyarrow.Schema`. Raises ExportError."""
        return _opened(self.files[0]).schema_arrow

    def rows(self) -> Iterator[dict[str, Any]]:
        """Its rows in order, a few of them in memory at a time. Raises ExportError."""
        import pyarrow

        for path in self.files:
            try:
                for batch in _opened(path).iter_batches(batch_size=ROWS_AT_ONCE):
                    yield from batch.to_pylist()
            except (OSError, pyarrow.ArrowException) as exc:
                raise ExportError(f"cannot read {path}: {exc}; export again") from exc


def write_exits(folder: Path, kinds: Sequence[ExitKind]) -> None:
    """Write these beside the Parquet files of an export, into the same folder.

    `jsonl/` holds a file of lines per split and the images that they name; `webdataset/` holds archives per split;
    `croissant.json` describes the Parquet files to tools that read that format. The same rows give the same bytes.
    Raises ExportError.
    """
    from exporters.exits.croissant import write_croissant
    from exporters.exits.jsonl import write_jsonl
    from exporters.exits.webdataset import write_webdataset

    splits = exported_splits(folder)
    if not splits:
        raise ExportError(f"{folder} holds no Parquet files of an export; name the folder that was given to --out")
    writers: Mapping[ExitKind, Any] = {
        "jsonl": write_jsonl,
        "webdataset": write_webdataset,
        "croissant": write_croissant,
    }
    for kind in dict.fromkeys(kinds):
        try:
            writers[kind](folder, splits)
        except OSError as exc:
            raise ExportError(f"cannot write {folder} ({exc}); choose a folder that you may write, with space") from exc


def exported_splits(folder: Path) -> tuple[ExportedSplit, ...]:
    """What lies in `data/<config>/<split>-*.parquet`, by name; files in `data` itself are of the config `default`."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted((folder / "data").rglob("*.parquet")):
        named = _SHARD.fullmatch(path.name)
        inside = path.relative_to(folder / "data").parent.as_posix()
        if named is not None:
            found.setdefault((inside if inside != "." else "default", named["split"]), []).append(path)
    return tuple(ExportedSplit(config, split, tuple(files)) for (config, split), files in sorted(found.items()))


def is_image(kind: Any) -> bool:
    """Whether a column of this Arrow type holds images as `datasets` stores them."""
    import pyarrow

    return bool(pyarrow.types.is_struct(kind)) and {field.name for field in kind} == {"bytes", "path"}


def ending_of(content: bytes, name: str | None) -> str:
    """How a file of this image is to end, such as `png`: as its bytes say, else as it was called, else `bin`."""
    import io

    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            return str(image.format).lower()
    except (UnidentifiedImageError, OSError):
        return Path(name or "").suffix.lstrip(".").lower() or "bin"


def _opened(path: Path) -> Any:
    import pyarrow.parquet

    try:
        opened: Any = pyarrow.parquet.ParquetFile
        return opened(path)
    except (OSError, pyarrow.ArrowException) as exc:
        raise ExportError(f"cannot read {path}: {exc}; export again") from exc
