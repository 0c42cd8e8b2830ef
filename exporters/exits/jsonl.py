"""Rows as JSON lines, with their images as files.

`jsonl/<config>/<split>.jsonl` has one row a line. Where the row has an image the line has the path of its file from
`jsonl/` on, such as `images/3f/<SHA-256 of the bytes>.png` in a folder of its first two digits; the same image is one
file, whatever rows and configs show it. This is for use on this machine: a push leaves it out, see
`exporters.hub.push`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.batch.fields import plain
from exporters.exits.writing import ExportedSplit, ending_of

FOLDER, IMAGES = "jsonl", "images"


def write_jsonl(folder: Path, splits: Sequence[ExportedSplit]) -> None:
    """Write the lines of every split. Raises ExportError and OSError."""
    root = folder / FOLDER
    (root / IMAGES).mkdir(parents=True, exist_ok=True)
    for split in splits:
        (root / split.config).mkdir(parents=True, exist_ok=True)
        with (root / split.config / f"{split.name}.jsonl").open("w", encoding="utf-8") as file:
            for row in split.rows():
                line = {name: plain(_with_files(value, root)) for name, value in row.items()}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _with_files(value: Any, root: Path) -> Any:
    """The value, with the path of a file in the place of an image."""
    if isinstance(value, list):
        return [_with_files(item, root) for item in value]
    if not isinstance(value, Mapping):
        return value
    if value.keys() != {"bytes", "path"}:
        return {name: _with_files(item, root) for name, item in value.items()}
    return value["path"] if value["bytes"] is None else _put(value["bytes"], value["path"], root)


def _put(content: bytes, name: str | None, root: Path) -> str:
    digest = hashlib.sha256(content).hexdigest()
    inside = f"{IMAGES}/{digest[:2]}/{digest}.{ending_of(content, name)}"
    path = root / inside
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return inside
