"""Takes where a photograph was taken out of an image file, without touching a pixel.

What goes: the GPS part of EXIF; positions and names of places in XMP and in IPTC fields (see `exporters.images.xmp` and
`iptc`), wherever JPEG (also the further pictures of an MPO), PNG, WebP, TIFF, GIF, AVIF and JPEG 2000 keep them. All
else stays: camera, time, orientation, colour profile, captions, keywords. Bytes are overwritten in place, so that
nothing that refers to a place in the file goes wrong; only PNG chunks may be dropped.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from backend.pictures import FORMATS
from exporters.images.iptc import EXIF, IIM, XMP, blank_iim, resources
from exporters.images.xmp import blank_xmp, tells_place

if TYPE_CHECKING:
    from PIL import Image

_GPS_IFD, _XMP_TAG, _IIM_TAG, _RESOURCES_TAG = 0x8825, 0x02BC, 0x83BB, 0x8649
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MOST_IFDS = 64
_MOST_TEXT_BYTES = 16 * 2**20
"""Of a compressed chunk of text when it is unpacked."""
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_JPEG_EXIF = re.compile(rb"\xff\xe1..Exif\0\0", re.DOTALL)
_JPEG_XMP = re.compile(rb"\xff\xe1..http://ns\.adobe\.com/(?:xap/1\.0/|xmp/extension/)\0", re.DOTALL)
_JPEG_RESOURCES = re.compile(rb"\xff\xed..(?:Photoshop 3\.0\0|Adobe_Photoshop2\.5:)", re.DOTALL)
_GIF_XMP = re.compile(rb"!\xff\x0bXMP DataXMP(.*?)\x01\xff\xfe\xfd", re.DOTALL)
"""Between its name and the bytes that count down, by which a reader finds its end."""
_TIFF_HEADER = re.compile(rb"II\*\0|MM\0\*")
_XMP_PACKET = re.compile(rb"<(\w+):xmpmeta\b.*?</\1:xmpmeta>", re.DOTALL)
_RAW_PROFILES = tuple(b"Raw profile type " + kind for kind in (b"exif", b"APP1", b"xmp", b"iptc", b"8bim"))
_METADATA_ERRORS = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, struct.error)
"""What Pillow raises on metadata that are broken."""


def without_location(content: bytes) -> bytes:
    """The same file without the place; the very same bytes object when it does not tell any."""
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content.startswith(_PNG):
        return _png(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content)
    if content.startswith(_TIFF_STARTS):
        file = bytearray(content)
        return bytes(file) if _blank_gps(file, 0, len(file)) else content
    if content.startswith(b"GIF8"):
        return _gif(content)
    return _by_search(content)


def tells_location(content: bytes) -> bool:
    """Whether Pillow finds GPS data or a place in XMP in an image file; not where it cannot read its metadata."""
    try:
        with _opened(content) as image:
            gps = image.getexif().get_ifd(_GPS_IFD)
            xmp = image.info.get("xmp")
    except _METADATA_ERRORS:
        return False
    return bool(gps) or (isinstance(xmp, bytes) and tells_place(xmp))


def _opened(content: bytes) -> Image.Image:
    from PIL import Image

    return Image.open(io.BytesIO(content), formats=FORMATS)


def _jpeg(content: bytes) -> bytes:
    """In compressed pixels FF is always followed by 00 or a restart, so that a marker found anywhere is one."""
    file, changed = bytearray(content), False
    for found in _JPEG_EXIF.finditer(content):
        changed |= _blank_gps(file, found.end(), found.start() + 2 + _uint(content, found.start() + 2, 2, ">"))
    for found in _JPEG_XMP.finditer(content):
        changed |= blank_xmp(file, found.end(), found.start() + 2 + _uint(content, found.start() + 2, 2, ">"))
    changed |= _blank_in_segments(file, content)
    return bytes(file) if changed else content


def _blank_in_segments(file: bytearray, content: bytes) -> bool:
    """Image resources, which may go on from one segment of a JPEG to the next, as if they were in one piece."""
    pieces = [
        slice(found.end(), found.start() + 2 + _uint(content, found.start() + 2, 2, ">"))
        for found in _JPEG_RESOURCES.finditer(content)
    ]
    joined = bytearray(b"".join(file[piece] for piece in pieces))
    if not _blank_resources(joined, 0, len(joined)):
        return False
    at = 0
    for piece in pieces:
        size = len(file[piece])
        file[piece.start : piece.start + size] = joined[at : at + size]
        at += size
    return True


def _blank_resources(file: bytearray, start: int, end: int) -> bool:
    """Take places out of Photoshop's image resources."""
    changed = False
    for number, begin, stop in resources(file, start, end):
        if number == IIM:
            changed |= blank_iim(file, begin, stop)
        elif number == XMP:
            changed |= blank_xmp(file, begin, stop)
        elif number in EXIF:
            changed |= _blank_gps(file, begin, stop)
    return changed


def _gif(content: bytes) -> bytes:
    file, changed = bytearray(content), False
    for found in _GIF_XMP.finditer(content):
        changed |= blank_xmp(file, found.start(1), found.end(1))
    return bytes(file) if changed else content


def _webp(content: bytes) -> bytes:
    file, changed, at = bytearray(content), False, 12
    while at + 8 <= len(file):
        name, size = bytes(file[at : at + 4]), _uint(content, at + 4, 4, "<")
        start, end = at + 8, min(at + 8 + size, len(file))
        if name == b"EXIF":
            skip = 6 if file[start : start + 6] == b"Exif\0\0" else 0
            changed |= _blank_gps(file, start + skip, end)
        elif name == b"XMP ":
            changed |= blank_xmp(file, start, end)
        at = end + size % 2
    return bytes(file) if changed else content


def _by_search(content: bytes) -> bytes:
    """For formats whose metadata lie in boxes: wherever something in the file reads as EXIF with a GPS part, or XMP."""
    file, changed = bytearray(content), False
    if tells_location(content):  # else what reads as EXIF may be pixels
        for found in _TIFF_HEADER.finditer(content):
            changed |= _blank_gps(file, found.start(), len(file))
    for found in _XMP_PACKET.finditer(content):
        changed |= blank_xmp(file, found.start(), found.end())
    return bytes(file) if changed else content


def _png(content: bytes) -> bytes:
    parts, changed = [_PNG], False
    for name, data, whole in _chunks(content):
        cleaned = _clean_chunk(name, data)
        changed |= cleaned is not data
        if cleaned is data:
            parts.append(whole)
        elif cleaned is not None:
            check = zlib.crc32(name + cleaned)
            parts.append(struct.pack(">I", len(cleaned)) + name + cleaned + struct.pack(">I", check))
    return b"".join(parts) if changed else content


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, data and all bytes of each chunk; what comes after the last whole one is a nameless one."""
    at = len(_PNG)
    while at + 12 <= len(content) and at + 12 + _uint(content, at, 4, ">") <= len(content):
        end = at + 12 + _uint(content, at, 4, ">")
        yield content[at + 4 : at + 8], content[at + 8 : end - 4], content[at:end]
        at = end
    if at < len(content):
        yield b"", b"", content[at:]


def _clean_chunk(name: bytes, data: bytes) -> bytes | None:
    """The same object when it tells no place; None when it is to be dropped."""
    if name == b"eXIf":
        exif = bytearray(data)
        return bytes(exif) if _blank_gps(exif, 0, len(exif)) else data
    if name not in (b"iTXt", b"tEXt", b"zTXt"):
        return data
    keyword = data.partition(b"\0")[0]
    if keyword not in (b"XML:com.adobe.xmp", *_RAW_PROFILES):
        return data
    text = _text_of(name, data)
    if text is None:
        return None  # it cannot be read, so nobody can say that it tells no place
    if keyword in _RAW_PROFILES:
        return None if _profile_tells(text) else data
    return None if tells_place(text) else data


def _text_of(name: bytes, data: bytes) -> bytes | None:
    _, _, rest = data.partition(b"\0")
    if name == b"tEXt":
        return rest
    packed = name == b"zTXt" or rest[:1] == b"\1"
    body = rest[1:] if name == b"zTXt" else rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if not packed:
        return body
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(body, _MOST_TEXT_BYTES)
    except zlib.error:
        return None
    return None if unpacker.unconsumed_tail else text


def _profile_tells(text: bytes) -> bool:
    """ImageMagick's form: a name, a length, and the bytes in hex."""
    try:
        raw = bytearray.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        return True
    start = 6 if raw.startswith(b"Exif\0\0") else 0
    return (
        _blank_gps(raw, start, len(raw))
        or _blank_resources(raw, 0, len(raw))
        or (raw.startswith(b"\x1c") and blank_iim(raw, 0, len(raw)))
        or tells_place(raw)
    )


def _blank_gps(file: bytearray, base: int, end: int) -> bool:
    """Take the GPS part out of the TIFF structure at `base`: its bytes become zeros, and nothing points to it."""
    end = min(end, len(file))
    if bytes(file[base : base + 4]) not in _TIFF_STARTS:
        return False
    order = "<" if file[base] == ord("I") else ">"
    changed, at, seen = False, _uint(file, base + 4, 4, order), 0
    while at and base + at + 2 <= end and seen < _MOST_IFDS:
        seen += 1
        changed |= _blank_in_ifd(file, base, base + at, end, order)
        count = _uint(file, base + at, 2, order)
        following = base + at + 2 + 12 * count
        at = _uint(file, following, 4, order) if following + 4 <= end else 0
    return changed


def _blank_in_ifd(file: bytearray, base: int, ifd: int, end: int, order: str) -> bool:
    changed, entry = False, ifd + 2
    while entry < _behind_entries(file, ifd, end, order):
        tag = _uint(file, entry, 2, order)
        if tag == _GPS_IFD:
            gps = base + _uint(file, entry + 8, 4, order)
            if gps != ifd:
                _zero_ifd(file, base, gps, end, order)
            _drop_entry(file, ifd, entry, end, order)
            changed = True
            continue
        if base == 0:  # in a TIFF file
            changed |= _blank_value(file, tag, *_value_of(file, base, entry, order), end)
        entry += 12
    return changed


def _blank_value(file: bytearray, tag: int, start: int, size: int, end: int) -> bool:
    if start + size > end:
        return False
    if tag == _XMP_TAG:
        return blank_xmp(file, start, start + size)
    if tag == _RESOURCES_TAG:
        return _blank_resources(file, start, start + size)
    if tag != _IIM_TAG:
        return False
    if file[start + 3 : start + 4] != b"\x1c" or file[start : start + 1] == b"\x1c":
        return blank_iim(file, start, start + size)
    whole = size - size % 4  # somebody wrote it as numbers of the other byte order
    turned = _turned(file[start : start + whole])
    changed = blank_iim(turned, 0, whole)
    file[start : start + whole] = _turned(turned)
    return changed


def _turned(data: bytearray) -> bytearray:
    """Every four bytes in the other order."""
    turned = bytearray(len(data))
    for place in range(4):
        turned[place::4] = data[3 - place :: 4]
    return turned


def _behind_entries(file: bytearray, ifd: int, end: int, order: str) -> int:
    """Where the entries of an IFD end, as far as they lie within the file."""
    return ifd + 2 + 12 * min(_uint(file, ifd, 2, order), max(0, end - ifd - 2) // 12)


def _zero_ifd(file: bytearray, base: int, ifd: int, end: int, order: str) -> None:
    for entry in range(ifd + 2, _behind_entries(file, ifd, end, order), 12):
        start, size = _value_of(file, base, entry, order)
        if start + size <= end:
            file[start : start + size] = bytes(size)
        file[entry : entry + 12] = bytes(12)
    if ifd + 2 <= end:
        file[ifd : ifd + 2] = bytes(2)


def _drop_entry(file: bytearray, ifd: int, entry: int, end: int, order: str) -> None:
    """Close the gap within the IFD, with the address of the next one that stands behind it; nothing else moves."""
    count = _uint(file, ifd, 2, order)
    behind = min(ifd + 2 + 12 * count + 4, end)
    file[entry : behind - 12] = file[entry + 12 : behind]
    file[behind - 12 : behind] = bytes(12)
    file[ifd : ifd + 2] = struct.pack(f"{order}H", max(0, count - 1))


def _value_of(file: bytearray, base: int, entry: int, order: str) -> tuple[int, int]:
    """Where an entry's value lies and how many bytes it has."""
    size = _TYPE_BYTES.get(_uint(file, entry + 2, 2, order), 1) * _uint(file, entry + 4, 4, order)
    return (entry + 8, size) if size <= 4 else (base + _uint(file, entry + 8, 4, order), size)


def _uint(file: bytes | bytearray, at: int, size: int, order: str) -> int:
    return int.from_bytes(file[at : at + size], "little" if order == "<" else "big")
