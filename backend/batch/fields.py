"""From a stored row to a task: which column is which of the task's data, and images that lie in the row itself."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.batch.parts import Chunk
from backend.core.label_config import LabelConfig
from backend.core.sample import role_of
from backend.errors import BatchError, ImageError
from backend.images import CLOUD_SCHEMES, ImageLoader

if TYPE_CHECKING:
    from PIL import Image

HELD = "held:"
"""Begins the address of an image that lies in its row."""
_ADDRESSES = ("data:", "http://", "https://", *(f"{scheme}://" for scheme in CLOUD_SCHEMES))
_ON_STUDIO = ("/data/", "/storage-data/", "/tasks/", "/projects/")
_ON_HUB = "hf://datasets/"
_ARCHIVES = ("zip://", "tar://")
_STEPS = re.compile(r"\[(\d{1,5})\]|([^.\[\]]+)")
EMBEDDED = "the image in the row"

Held = Mapping[str, bytes | str]
"""Images of one row by their address: their bytes, or the file they are in."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a task."""

    id: str
    data: Mapping[str, Any]
    """What the label config shows and all else that JSON can say; images by address."""
    held: Held


class HeldImages:
    """Images of rows that are being judged, and by its loader everything with an address. Safe to use from threads."""

    def __init__(self, loader: ImageLoader, root: str | None, max_bytes: int) -> None:
        """`root` is where the data's own files lie: rows can name no others."""
        self._loader = loader
        self._root = root
        self._max_bytes = max_bytes
        self._rows: dict[str, Held] = {}
        self._lock = threading.Lock()

    def hold(self, row: Row) -> None:
        """Keep a row's images until it is dropped."""
        with self._lock:
            self._rows[row.id] = row.held

    def drop(self, row: str) -> None:
        """Let go of a row's images."""
        with self._lock:
            self._rows.pop(row, None)

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        """The picture at an address, which may be one of the row `task` itself. Raises ImageError."""
        if not uri.startswith(HELD):
            return self._loader.load(uri, task)
        return self._loader.decode(self.read(uri, task), EMBEDDED)

    def read(self, uri: str, task: str | None = None) -> bytes:
        """The original bytes. Raises ImageError."""
        with self._lock:
            found = self._rows.get(task or "", {}).get(uri)
        if found is None:
            return self._loader.read(uri, task)
        content = found if isinstance(found, bytes) else self._file(found)
        if len(content) > self._max_bytes:
            raise ImageError(
                f"it has {len(content)} bytes, more than the {self._max_bytes} allowed; make it smaller or raise "
                "VLM_JUDGE_MAX_IMAGE_BYTES"
            )
        return content

    def decode(self, content: bytes, name: str) -> Image.Image:
        """The picture in these bytes. Raises ImageError calling it `name`."""
        return self._loader.decode(content, name)

    def _file(self, name: str) -> bytes:
        """A file of the data's own; a stranger's data may not name files of this machine or of other servers."""
        try:
            if "://" in name:
                return self._on_hub(name)
            root = Path(self._root or "/nonexistent").resolve()
            path = (root / name).resolve()
            if self._root is None or "://" in self._root or not path.is_relative_to(root):
                raise ImageError(f"{name} is no file in the data's folder; put it there, or its bytes into the row")
            with path.open("rb") as file:
                return file.read(self._max_bytes + 1)
        except (OSError, ValueError) as exc:
            raise ImageError(f"cannot read {name}: {exc}") from exc

    def _on_hub(self, name: str) -> bytes:
        import fsspec

        *archives, place = name.split("::")
        own = self._root is not None and self._root.startswith(_ON_HUB) and place.startswith(self._root)
        if not own or not all(part.startswith(_ARCHIVES) for part in archives):
            raise ImageError(f"{name} is no file of the dataset; give a web address, or put its bytes into the row")
        with fsspec.open(name) as file:
            content: bytes = file.read(self._max_bytes + 1)
            return content


class RowReader:
    """Turns stored rows into tasks under one label config."""

    def __init__(self, config: LabelConfig, schema: Any, renamed: Mapping[str, str]) -> None:
        """`renamed` says for keys of the task's data which columns they are. Raises BatchError where one is lacking."""
        self._config = config
        self._images = frozenset(item.key for item in config.images)
        self._requested = frozenset(item.key for item in config.texts if role_of(item.name) == "requested")
        self._columns = {name: name for name in schema.names if name not in renamed.values() or name in renamed}
        self._columns |= renamed
        self._check(schema.names, renamed)
        self._read = {
            key: column
            for key, column in self._columns.items()
            if key in self._images or not _has_bytes(schema.field(column).type)
        }

    def rows(self, chunk: Chunk) -> Iterator[Row]:
        """The chunk's rows as tasks, in order."""
        table = chunk.table.select(sorted(set(self._read.values())))
        for name, values in zip(chunk.ids, table.to_pylist(), strict=True):
            yield self._row(name, values)

    def _row(self, name: str, values: Mapping[str, Any]) -> Row:
        held: dict[str, bytes | str] = {}
        data = {}
        for key, column in self._read.items():
            value = values[column]
            if key in self._images:
                data[key] = _images(key, value, held)
            elif key in self._requested and isinstance(value, list):
                data[key] = ", ".join(map(str, value))
            else:
                data[key] = plain(value)
        return Row(name, data, held)

    def _check(self, names: list[str], renamed: Mapping[str, str]) -> None:
        has = ", ".join(names)
        absent = [column for column in renamed.values() if column not in names]
        if absent:
            raise BatchError(f"the data have no column {', '.join(absent)}, only {has}; mend --column")
        texts = {text.key for text in self._config.texts if text.key and role_of(text.name) != "requested"}
        shown = (*sorted(self._images), *sorted(texts))
        wanted = [key for key in shown if key not in self._columns and _first(key) not in self._columns]
        if wanted:
            raise BatchError(
                f"the label config shows {', '.join(wanted)}, and the data have only {has}; say which column it is "
                f"with --column {wanted[0]}=COLUMN, or give another --label-config"
            )


def plain(value: Any) -> Any:
    """A value as JSON can say it: what it has no word for becomes text, a number that is none becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else str(value)


def nested(data: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The data with what columns named `photo.url` or `pages[0]` hold where these keys reach, as Label Studio wants it.

    What stands in the way there, which no such key can be shown with, makes room.
    """
    found = dict(data)
    for key in keys:
        first, *others = [int(at) if at else name for at, name in _STEPS.findall(key)] or [key]
        if others and key in found and isinstance(first, str):
            found[first] = _with(found.get(first), others, found.pop(key))
    return found


def _with(held: Any, steps: Sequence[str | int], value: Any) -> Any:
    """What is held, with the value where the steps lead."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, str):
        inside = held if isinstance(held, Mapping) else {}
        return {**inside, step: _with(inside.get(step), rest, value)}
    items = [*held] if isinstance(held, list) else []
    items += [None] * (step + 1 - len(items))
    items[step] = _with(items[step], rest, value)
    return items


def _first(key: str) -> str:
    """The column that a key reaches into, as in `photo.url` or `pages[0]`."""
    return key.partition(".")[0].partition("[")[0]


def _has_bytes(kind: Any) -> bool:
    """Whether a column holds bytes, which a task has no place for."""
    import pyarrow

    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        return True
    return any(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))


def _images(key: str, value: Any, held: dict[str, bytes | str]) -> Any:
    """The address or addresses of a field; what has none is held, and its address says where in the row it lies."""
    if isinstance(value, list):
        return [_image(f"{key}[{index}]", item, held) for index, item in enumerate(value)]
    return _image(key, value, held)


def _image(name: str, value: Any, held: dict[str, bytes | str]) -> Any:
    if isinstance(value, Mapping):  # as `datasets` stores images
        value = value.get("bytes") or value.get("path")
    if value is None or value == "" or value == b"":
        return None
    if isinstance(value, str) and value.startswith((*_ADDRESSES, *_ON_STUDIO)):
        return value
    if not isinstance(value, str | bytes):
        return plain(value)
    held[f"{HELD}{name}"] = value
    return f"{HELD}{name}"
