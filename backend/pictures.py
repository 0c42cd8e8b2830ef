"""Bytes to pictures: what may be decoded, how large it may be, and how every kind of it becomes RGB."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from contextlib import nullcontext
from typing import TYPE_CHECKING

from backend.errors import ImageError
from backend.signatures import kind_of_bytes

if TYPE_CHECKING:
    from PIL import Image, ImageFile

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
"""Decoders that may run; others (EPS starts a PostScript interpreter, for one) never do. JPEG includes MPO."""
ADVICE = "use PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
_SMALLER = "make it smaller or raise VLM_JUDGE_MAX_IMAGE_PIXELS"
LARGE_PIXELS = 16_000_000
"""Pictures beyond this are decoded one at a time, whoever asks."""
MAX_SLOW_PIXELS = 4_000_000
"""Most pixels of what Pillow unpacks in Python, a microsecond each, while no other thread runs."""
MAX_SCANS = 100
"""Most scans of a JPEG, as in libtiff; a camera's has 1, a progressive one about 10. Each takes a pass over it."""

_STORED_AS = {
    "JPEG": ("image/jpeg", ".jpg"),
    "MPO": ("image/jpeg", ".jpg"),
    "PPM": ("image/x-portable-anymap", ".ppm"),
    "JPEG2000": ("image/jp2", ".jp2"),
    "TIFF": ("image/tiff", ".tif"),
}
"""Media type and file name's end by Pillow's format; of the others both follow from the name."""
_SLOW_DECODERS = ("ppm", "ppm_plain", "bmp_rle")
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""EXIF's orientations as members of `Image.Transpose`."""
_ORIENTATION, _BITS, _PHOTOMETRIC, _TILE_WIDTH, _TILE_LENGTH = 0x0112, 258, 262, 322, 323
_LARGE = threading.Lock()

# What Pillow's decoders raise on bytes that somebody made to break them.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)


def decode(content: bytes, name: str, max_pixels: int) -> Image.Image:
    """The picture: RGB, upright by its EXIF, transparent parts on white, the first frame or page of several.

    `name` is for messages. Raises ImageError.

    Memory while it decodes: 8 bytes a pixel for most, 13 with transparency or 16 bits, 21 for a WebP; the picture
    itself then takes 4. Those above LARGE_PIXELS go one at a time, so that n threads take at most
    21 * (max_pixels + (n - 1) * LARGE_PIXELS) bytes: 4.5 GB for 8 threads and 100 million pixels.
    """
    image = _opened(content, name, max_pixels)
    _refuse_traps(image, content, name, max_pixels)
    # An AVIF may say that it is small and hold a stream of 16384 x 16384 pixels, its decoder's limit.
    large = image.width * image.height > LARGE_PIXELS or image.format == "AVIF"
    with _LARGE if large else nullcontext():
        try:
            image.load()
            return _as_rgb(_upright(image), image, name)
        except _DECODE_ERRORS as exc:
            raise ImageError(f"{name} is damaged ({exc}); export it anew") from exc


def stored_as(content: bytes) -> tuple[str, str]:
    """Media type and file name's end of an image, such as `image/jpeg` and `.jpg`, by its head alone.

    Raises ImageError.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            name = str(image.format)
    except Image.DecompressionBombError as exc:
        raise ImageError(f"the image has more pixels than may be decoded; {_SMALLER}") from exc
    except _DECODE_ERRORS as exc:
        raise ImageError(f"these bytes are {kind_of_bytes(content)}; {ADVICE}") from exc
    return _STORED_AS.get(name, (f"image/{name.lower()}", f".{name.lower()}"))


def _opened(content: bytes, name: str, max_pixels: int) -> ImageFile.ImageFile:
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # Pillow's own limit, beyond which it warns, and refuses at twice that
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise ImageError(f"{name} has more than the {max_pixels} pixels allowed; {_SMALLER}") from exc
    except _DECODE_ERRORS as exc:
        raise ImageError(f"{name} is {kind_of_bytes(content)}; {ADVICE}") from exc
    pixels = image.width * image.height
    if pixels > max_pixels:
        size = f"{image.width} x {image.height} = {pixels} pixels"
        raise ImageError(f"{name} has {size}, more than the {max_pixels} allowed; {_SMALLER}")
    return image


def _refuse_traps(image: ImageFile.ImageFile, content: bytes, name: str, max_pixels: int) -> None:
    """Raise ImageError for what its number of pixels does not give away: slow ones, and large tiles of small ones."""
    if image.format in ("JPEG", "MPO") and content.count(b"\xff\xda") > MAX_SCANS:
        raise ImageError(f"{name} is a JPEG of more than {MAX_SCANS} scans, made to keep us busy; save it anew")
    slow = any(tile.codec_name in _SLOW_DECODERS for tile in image.tile)
    if slow and image.width * image.height > MAX_SLOW_PIXELS:
        raise ImageError(
            f"{name} is packed in a way that takes too long to unpack for more than {MAX_SLOW_PIXELS} pixels; "
            "save it as PNG"
        )
    width, length = _tag(image, _TILE_WIDTH), _tag(image, _TILE_LENGTH)
    if isinstance(width, int) and isinstance(length, int) and width * length > max_pixels:
        size = f"{width} x {length} pixels, more than the {max_pixels} allowed"
        raise ImageError(f"{name} has tiles of {size}; save it with smaller ones")


def _tag(image: ImageFile.ImageFile, number: int) -> object:
    """A TIFF's tag; None where it has none, or is no TIFF."""
    from PIL.TiffImagePlugin import TiffImageFile

    return image.tag_v2.get(number) if isinstance(image, TiffImageFile) else None


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; a picture whose EXIF cannot be read is taken as it is, as browsers do."""
    from PIL import Image

    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except _DECODE_ERRORS:
        return image
    return image if turn is None else image.transpose(Image.Transpose(turn))


def _as_rgb(image: Image.Image, source: ImageFile.ImageFile, name: str) -> Image.Image:
    """RGB with 8 bits a channel; `source` is the file that `image` was read from."""
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and source.format != "PPM"):
        kind = "floating point" if image.mode == "F" else "signed or 32-bit"
        raise ImageError(f"{name} holds {kind} values whose range is unknown; export it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        return _from_deep(image, source)
    if image.mode not in _ALPHA and "transparency" not in image.info:
        return image if image.mode == "RGB" and image is not source else image.convert("RGB")
    layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    ground = Image.new("RGB", layer.size, (255, 255, 255))
    ground.paste(layer, mask=layer.getchannel("A"))
    return ground


def _from_deep(image: Image.Image, source: ImageFile.ImageFile) -> Image.Image:
    """Grey with more than 8 bits, scaled and not clipped; a transparent grey becomes white."""
    import numpy as np
    from PIL import Image

    deep = np.asarray(image)
    white = 4095 if _tag(source, _BITS) == (12,) else 65535
    scaled = np.minimum(deep, white).astype(np.uint32)
    scaled *= 255
    scaled += white // 2
    scaled //= white
    grey = scaled.astype(np.uint8)
    if _tag(source, _PHOTOMETRIC) == 0:
        grey = 255 - grey
    if isinstance(clear := image.info.get("transparency"), int):
        grey[deep == clear] = 255
    return Image.fromarray(grey).convert("RGB")
