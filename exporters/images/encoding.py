"""Encodes images anew where the person who exports asks for it; otherwise their bytes stay as they are."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from backend.errors import ExportError

if TYPE_CHECKING:
    from PIL import Image

ImageFormat = Literal["jpeg", "webp", "png"]
DEFAULT_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Encoding:
    """What images are to be. With neither a format nor a size they stay what they are."""

    format: ImageFormat | None = None
    quality: int | None = None
    """Of JPEG and WebP, 1 to 100; None is 90, and leaves images alone that have the format and the size already."""
    max_pixels: int | None = None
    """Larger images are shrunk to about so many pixels, their proportions kept."""

    def __post_init__(self) -> None:
        """Raises ExportError for what does not go together."""
        if self.quality is not None and (self.format == "png" or not (self.format or self.max_pixels)):
            raise ExportError("--image-quality is for images that are encoded anew: add --image-format jpeg or webp")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ExportError(f"--image-quality {self.quality} is none; give a number from 1 to 100")
        if self.max_pixels is not None and self.max_pixels < 1:
            raise ExportError(f"--max-pixels {self.max_pixels} leaves no image; give a positive number")

    def applied(self, content: bytes, kind: str, picture: Image.Image) -> tuple[bytes, str]:
        """The bytes and their format; the very same bytes object where nothing is to be done.

        `kind` is the format of `content` as Pillow calls it, in lower case, and `picture` what it shows: RGB, upright,
        transparent parts on white. An image that is encoded anew is that, and carries no metadata.
        """
        is_large = self.max_pixels is not None and picture.width * picture.height > self.max_pixels
        is_wanted = self.format in (None, kind) and (self.format is None or self.quality is None)
        if is_wanted and not is_large:
            return content, kind
        wanted: str = self.format or (kind if kind in ("jpeg", "webp") else "png")
        return encoded(self._shrunk(picture) if is_large else picture, wanted, self.quality or DEFAULT_QUALITY), wanted

    def _shrunk(self, picture: Image.Image) -> Image.Image:
        scale = math.sqrt((self.max_pixels or 1) / (picture.width * picture.height))
        size = (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
        return picture.resize(size, resample=_lanczos())


def encoded(picture: Image.Image, kind: str, quality: int = DEFAULT_QUALITY) -> bytes:
    """An RGB picture as a file of this format, without metadata."""
    buffer = io.BytesIO()
    options = {} if kind == "png" else {"quality": quality}
    picture.save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def _lanczos() -> Image.Resampling:
    from PIL import Image

    return Image.Resampling.LANCZOS
