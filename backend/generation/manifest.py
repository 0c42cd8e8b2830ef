"""The manifest: what every base image is, where it came from, and what became of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from backend.errors import GenerationError
from backend.projects import read_text

Status = Literal["used", "duplicate", "failed"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One line of the manifest. What is not known of a failed image is empty or 0."""

    source: str
    status: Status
    reason: str = ""
    """Why it failed, or which image it repeats."""
    licence: str = ""
    sha256: str = ""
    """Of the original bytes, 64 hex digits."""
    bytes: int = 0
    width: int = 0
    """In pixels, upright by its EXIF."""
    height: int = 0
    mime: str = ""
    path: str = ""
    """The stored file, relative to the manifest's folder."""
    phash: str = ""
    """Perceptual hash of the shapes: 64 bits as 16 hex digits."""
    colours: str = ""
    """Mean colours of a 4 x 4 grid, row by row: 48 bytes as 96 hex digits."""


_FIELDS = frozenset(field.name for field in fields(ImageRecord))


class Manifest:
    """`manifest.jsonl`: one line per source; lines are appended as they come, and the last one of a source counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: dict[str, ImageRecord] = {}
        for number, line in enumerate(read_whole_lines(path), 1):
            record = _record(line, f"{path}, line {number}")
            self._records[record.source] = record

    def get(self, source: str) -> ImageRecord | None:
        """What is known of a source."""
        return self._records.get(source)

    def put(self, record: ImageRecord) -> None:
        """Remember a record and write it down, unless it is there already."""
        if self._records.get(record.source) != record:
            self._records[record.source] = record
            append_lines(self.path, [asdict(record)])

    def tidy(self) -> None:
        """Write the file anew with one line per source."""
        write_lines(self.path, (asdict(record) for record in self._records.values()))


def read_whole_lines(path: Path) -> Iterator[Any]:
    """The JSON lines of a file that we wrote; none when it is not there.

    What a run that was killed left half written at the end is cut off the file. Raises GenerationError for any other
    line that is not JSON.
    """
    if not path.exists():
        return
    text = read_text(path)
    whole, end, half = text.rpartition("\n")
    if half:
        with storing(path):
            path.write_text(whole + end, encoding="utf-8")
    for number, line in enumerate(whole.split("\n") if whole else (), 1):
        try:
            yield json.loads(line)
        except ValueError as exc:
            raise GenerationError(
                f"{path}, line {number} is not JSON ({exc}); mend it or choose another --out"
            ) from exc


def append_lines(path: Path, rows: Iterable[Any]) -> None:
    """Add rows to a file of JSON lines; they are in the file when this returns. Raises GenerationError."""
    with storing(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(_line(row) for row in rows)


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Put a file of JSON lines in the place of the one that is there. Raises GenerationError."""
    put_whole(path, "".join(_line(row) for row in rows))


def put_whole(path: Path, text: str) -> None:
    """Put a file in the place of the one that is there, whole or not at all. Raises GenerationError."""
    fresh = path.with_name(f".{path.name}.new")
    with storing(path):
        fresh.write_text(text, encoding="utf-8", newline="\n")
        os.replace(fresh, path)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while this is written into a GenerationError."""
    try:
        yield
    except OSError as exc:
        raise GenerationError(f"cannot write {path}: {exc.strerror}; make room, or name another --out") from exc


def _line(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _record(row: Any, where: str) -> ImageRecord:
    if not isinstance(row, dict) or set(row) != _FIELDS:
        raise GenerationError(f"{where} is no record of an image; remove the file to make it anew")
    return ImageRecord(**row)
