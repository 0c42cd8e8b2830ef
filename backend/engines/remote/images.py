"""Images as a server gets them: at the size the model sees, so that nothing is resized again and boxes can be read."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import TYPE_CHECKING

from backend.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

_MOST_LOPSIDED = 200
"""Qwen-VL's processors refuse images whose long side is more than this many times the short one."""


@dataclass(frozen=True, slots=True)
class Family:
    """What a model family does to an image."""

    factor: int
    """Sides are multiples of this many pixels: patch size times merge size."""
    min_pixels: int
    """Smaller images are enlarged to about this area."""
    in_thousandths: bool
    """Whether boxes are written in thousandths of the image rather than in its pixels."""


def family_of(model: str) -> Family:
    """The family by the model's name; a name that tells nothing gets Qwen2.5-VL's, whose boxes are plain pixels."""
    name = model.lower().replace("_", "-")
    if "qwen3" in name:
        return Family(factor=32, min_pixels=256 * 256, in_thousandths=True)
    return Family(factor=28, min_pixels=56 * 56, in_thousandths="qwen2-vl" in name)


@dataclass(frozen=True, slots=True)
class Picture:
    """One image, ready to be sent."""

    uri: str
    """PNG as a data URI: no pixel differs from what a local engine would see."""
    frame: tuple[int, int]
    """Width and height that the model's coordinates are measured in."""
    digest: bytes
    """SHA-256 of the PNG."""


def picture_of(image: Image.Image, family: Family, max_pixels: int) -> Picture:
    """Resize and encode one image. Raises ImageError for one that the model would refuse."""
    from PIL import Image

    width, height = seen_size(*image.size, family, max_pixels)
    resized = image.convert("RGB")
    if resized.size != (width, height):
        resized = resized.resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    resized.save(file, "PNG", compress_level=1)
    content = file.getvalue()
    return Picture(
        uri=f"data:image/png;base64,{base64.b64encode(content).decode()}",
        frame=(1000, 1000) if family.in_thousandths else (width, height),
        digest=hashlib.sha256(content).digest(),
    )


def seen_size(width: int, height: int, family: Family, max_pixels: int) -> tuple[int, int]:
    """Width and height as the model sees them: Qwen-VL's `smart_resize`.

    Each side is rounded to the factor; then both shrink (or grow) by one ratio, sqrt(area / limit), and are
    rounded down (or up). Raises ImageError when one side is more than 200 times the other.
    """
    if max(width, height) > _MOST_LOPSIDED * min(width, height):
        raise ImageError(
            f"an image of {width} x {height} pixels is too long for the model; crop it to 200 to 1 at most"
        )
    factor = family.factor
    least = min(family.min_pixels, max_pixels)
    sides = [max(factor, round(side / factor) * factor) for side in (width, height)]
    if sides[0] * sides[1] > max_pixels:
        ratio = sqrt(width * height / max_pixels)
        sides = [max(factor, floor(side / ratio / factor) * factor) for side in (width, height)]
    elif sides[0] * sides[1] < least:
        ratio = sqrt(least / (width * height))
        sides = [ceil(side * ratio / factor) * factor for side in (width, height)]
    return sides[0], sides[1]


def sharing_key(pictures: Sequence[Picture], text: str) -> bytes:
    """What requests have in common that should meet the same server: their first image, or else their text."""
    return pictures[0].digest if pictures else hashlib.sha256(text.encode()).digest()
