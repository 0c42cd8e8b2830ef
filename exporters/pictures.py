"""Fetches the images of a record and makes sure that they open, so that the finished dataset does."""

from __future__ import annotations

import hashlib
import io
from typing import Protocol

from backend.errors import ExportError, ImageError
from exporters.columns import Picture, Pictures
from exporters.consolidate import Record

MAX_FAILURES = 20
"""So many tasks whose image cannot be read end an export at once; the message names them."""


class ImageSource(Protocol):
    """Where images come from; `backend.images.ImageLoader` in production."""

    def read(self, uri: str, task: str | None = None) -> bytes:
        """The original bytes. Raises ImageError."""
        ...

    def decode(self, content: bytes, name: str) -> object:
        """The picture in the bytes, to its last pixel. Raises ImageError calling it `name`."""
        ...


class PictureReader:
    """Reads record by record; tasks without an image are collected, and end the export unless they are allowed."""

    def __init__(self, source: ImageSource, *, allow_missing: bool) -> None:
        self._source = source
        self._allow_missing = allow_missing
        self._failures: dict[int, str] = {}

    @property
    def missing(self) -> tuple[int, ...]:
        """Tasks that have an image missing."""
        return tuple(self._failures)

    def read(self, record: Record) -> Pictures:
        """The record's images by key. Raises ExportError once too many tasks have failed."""
        pictures = {
            key: tuple(self._read(record.task_id, key, uri) for uri in uris) for key, uris in record.images.items()
        }
        if len(self._failures) >= MAX_FAILURES:
            self.check()
        return pictures

    def check(self) -> None:
        """Raise ExportError naming the tasks whose image could not be read, unless they are allowed."""
        if self._allow_missing or not self._failures:
            return
        reasons = [f"task {task}: {reason}" for task, reason in self._failures.items()]
        count = f"{len(reasons)} tasks have" if len(reasons) > 1 else "1 task has"
        raise ExportError(
            f"{count} an image that cannot be read, so nothing was exported:\n  "
            + "\n  ".join(reasons)
            + "\nmake the images reachable, or say --allow-missing to export such rows without their image"
        )

    def _read(self, task: int, key: str, uri: str | None) -> Picture | None:
        try:
            if not uri or not uri.strip():
                raise ImageError("it is empty in the task's data")
            content = self._source.read(uri, str(task))
            self._source.decode(content, "the image")
            return picture_of(content)
        except ImageError as exc:
            self._failures.setdefault(task, f"`{key}`: {exc}")
            return None


def picture_of(content: bytes) -> Picture:
    """Bytes that are known to be an image, as a picture; they stay as they are."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        kind = (image.format or "bin").lower()
    digest = hashlib.sha256(content).hexdigest()
    return Picture(content, f"{digest[:16]}.{kind}", digest)
