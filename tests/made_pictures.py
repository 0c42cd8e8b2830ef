"""Image files made byte by byte, for tests of what may come in under the name of a picture."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)

Tags = Mapping[int, tuple[int, Sequence[int]]]
"""A TIFF's tags: number to type (3 for 16 bits, 4 for 32) and values."""


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """The bytes as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def noise(mode: str = "RGB", size: int = 24, seed: int = 5) -> Image.Image:
    """A square that compresses badly."""
    channels = len(Image.new(mode, (1, 1)).tobytes())
    return Image.frombytes(mode, (size, size), random.Random(seed).randbytes(size * size * channels))


def colours(image: Image.Image) -> list[tuple[int, ...]]:
    """The pixels, row by row."""
    flat = image.tobytes()
    return [tuple(flat[at : at + 3]) for at in range(0, len(flat), 3)]


def turned(orientation: int) -> Image.Exif:
    """An EXIF block that says how the picture is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Length, name, content, checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, more: bytes = b"") -> bytes:
    """A PNG; `rows` each begin with a filter byte; `more` are chunks before the data."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + more
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def tiff(
    width: int,
    height: int,
    bits: Sequence[int],
    photometric: int,
    data: bytes,
    more: Tags | None = None,
    order: str = "<",
    tile: int = 0,
) -> bytes:
    """A TIFF of one strip, or of one square tile; `bits` is one number per channel."""
    where = {324: (4, [0]), 325: (4, [len(data)]), 322: (4, [tile]), 323: (4, [tile])}
    strip = {273: (4, [0]), 278: (4, [height]), 279: (4, [len(data)])}
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, bits),
        259: (3, [1]),
        262: (3, [photometric]),
        277: (3, [len(bits)]),
        **(where if tile else strip),
        **(more or {}),
    }
    tags[324 if tile else 273] = (4, [len(_directory(tags, order))])
    return _directory(tags, order) + data


def _directory(tags: Tags, order: str) -> bytes:
    entries, values = b"", b""
    behind = 8 + 2 + 12 * len(tags) + 4
    for number, (kind, numbers) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(packed) > 4:
            values, packed = values + packed, struct.pack(f"{order}I", behind + len(values))
        entries += struct.pack(f"{order}HHI", number, kind, len(numbers)) + packed.ljust(4, b"\0")
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4) + values


def jpeg_without(content: bytes, marker: int) -> bytes:
    """The JPEG without the segments of one marker, such as Adobe's 0xEE."""
    at, kept = 2, content[:2]
    while content[at + 1] != 0xDA:
        size = 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
        if content[at + 1] != marker:
            kept += content[at : at + size]
        at += size
    return kept + content[at:]
