"""What the exporter needs of whatever gives it images."""

from __future__ import annotations

from typing import Protocol


class ImageSource(Protocol):
    """Where images come from; `backend.images.ImageLoader` in production. Used from several threads."""

    def read(self, uri: str, task: str | None = None) -> bytes:
        """The original bytes. Raises ImageError."""
        ...

    def decode(self, content: bytes, name: str) -> object:
        """The picture in the bytes, to its last pixel: RGB, upright, transparent parts on white.

        Raises ImageError calling it `name`.
        """
        ...
