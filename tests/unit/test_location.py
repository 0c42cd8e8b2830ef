"""Where a photograph was taken goes out of its file, and nothing else does."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from exporters.images.location import tells_location, without_location

PLACE = {1: "N", 2: (52.0, 30.0, 1.5), 3: "E", 4: (13.0, 24.0, 2.0), 29: "2026:01:01"}
GPS_IFD = 0x8825
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="52,30N" exif:Flash="0">'
    b"<exif:GPSLongitude>13,24E</exif:GPSLongitude></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def picture() -> Image.Image:
    return Image.radial_gradient("L").resize((24, 16)).convert("RGB")


def exif(place: dict[int, Any] | None = PLACE) -> Image.Exif:
    found = Image.Exif()
    found[0x010F], found[0x0112], found[0x0132] = "Maker", 6, "2026:01:01 10:00:00"
    found.get_ifd(0x8769)[0x9003] = "2026:01:01 10:00:00"
    if place:
        found.get_ifd(GPS_IFD).update(place)
    return found


def saved(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, kind, **options)
    return buffer.getvalue()


def told(content: bytes) -> dict[int, Any]:
    """The EXIF of a file, with its parts resolved."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        found = image.getexif()
        parts = {tag: dict(found.get_ifd(tag)) for tag in (0x8769, GPS_IFD)}
        return {**{tag: value for tag, value in found.items() if tag not in parts}, **parts}


def pixels(content: bytes) -> list[bytes]:
    """Of every frame."""
    with Image.open(io.BytesIO(content)) as image:
        frames = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(image.convert("RGB").tobytes())
        return frames


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_the_place_goes_and_all_else_stays(kind: str) -> None:
    content = saved(kind, exif=exif())
    if kind == "TIFF":
        content = _tiff_with_place()
    cleaned = without_location(content)
    before, after = told(content), told(cleaned)
    assert before.pop(GPS_IFD)[2] == (52.0, 30.0, 1.5)
    assert after.pop(GPS_IFD) == {}
    assert after == before
    assert after[0x010F] == "Maker"
    assert pixels(cleaned) == pixels(content)
    assert (tells_location(content), tells_location(cleaned)) == (True, False)
    assert struct.pack(">d", 52.0) not in cleaned
    assert b"2026:01:01\0" not in cleaned, "the date stamp of the position is gone too"
    if kind != "PNG":
        assert len(cleaned) == len(content), "nothing in the file has moved"


def _tiff_with_place() -> bytes:
    """Pillow writes no GPS part into a TIFF when asked to save; its tag directory does."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[0x010F] = "Maker"
    tags[0x8769] = {0x9003: "2026:01:01 10:00:00"}
    tags[GPS_IFD] = PLACE
    return saved("TIFF", tiffinfo=tags)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM", "JPEG2000"])
def test_a_file_that_tells_no_place_stays_the_very_same(kind: str) -> None:
    content = saved(kind, **({"exif": exif(None)} if kind in ("JPEG", "PNG", "WEBP", "AVIF") else {}))
    assert without_location(content) is content


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_xmp_keeps_everything_but_the_place(kind: str) -> None:
    content = saved(kind, xmp=XMP)
    cleaned = without_location(content)
    with Image.open(io.BytesIO(cleaned)) as image:
        found = image.info["xmp"]
    assert (b"GPS" in found, b'exif:Flash="0"' in found, len(found)) == (False, True, len(XMP))
    assert pixels(cleaned) == pixels(content)
    assert tells_location(content)


def test_xmp_that_cannot_be_cleaned_in_place_is_emptied() -> None:
    in_two_bytes = XMP.decode().encode("utf-16-le")
    cleaned = without_location(saved("JPEG", xmp=in_two_bytes))
    with Image.open(io.BytesIO(cleaned)) as image:
        assert image.info["xmp"].rstrip(b" ") == b"<x/>"


def test_the_further_pictures_of_a_file_are_cleaned_too() -> None:
    second = picture().rotate(90)
    second.info["exif"] = exif().tobytes()
    buffer = io.BytesIO()
    picture().save(buffer, "MPO", save_all=True, append_images=[second], exif=exif())
    content = buffer.getvalue()
    cleaned = without_location(content)
    assert len(pixels(content)) == 2
    assert pixels(cleaned) == pixels(content)
    assert cleaned.count(b"2026:01:01\0") == 0 < content.count(b"2026:01:01\0")


def text_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(chunk: bytes) -> bytes:
    content = saved("PNG")
    return content[:-12] + chunk + content[-12:]


RAW = exif().tobytes()
PROFILE = b"\nexif\n" + str(len(RAW)).encode() + b"\n" + RAW.hex().encode() + b"\n"


@pytest.mark.parametrize(
    "chunk",
    [
        text_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(PROFILE)),
        text_chunk(b"tEXt", b"Raw profile type APP1\0" + PROFILE),
        text_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        text_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)),
        text_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0broken"),
    ],
)
def test_text_chunks_that_tell_a_place_are_dropped(chunk: bytes) -> None:
    assert without_location(with_chunk(chunk)) == saved("PNG")


@pytest.mark.parametrize(
    "chunk",
    [
        text_chunk(b"tEXt", b"Comment\0exif:GPSLatitude"),
        text_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"),
        text_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n4\n" + b"Exif".hex().encode()),
    ],
)
def test_others_stay(chunk: bytes) -> None:
    content = with_chunk(chunk)
    assert without_location(content) is content


def test_a_png_keeps_its_other_chunks_byte_for_byte() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "somebody")
    content = saved("PNG", exif=exif(), pnginfo=info, dpi=(300, 300))
    cleaned = without_location(content)
    with Image.open(io.BytesIO(cleaned)) as image:
        image.load()
        assert image.info["Author"] == "somebody"
    assert cleaned.replace(_exif_chunk(cleaned), b"") == content.replace(_exif_chunk(content), b"")


def _exif_chunk(content: bytes) -> bytes:
    at = content.index(b"eXIf") - 4
    return content[at : at + 12 + int.from_bytes(content[at : at + 4], "big")]


FILES = [saved(kind, exif=exif()) for kind in ("JPEG", "PNG", "WEBP")] + [_tiff_with_place(), saved("JPEG", xmp=XMP)]


@given(st.sampled_from(FILES), st.data())
def test_no_damage_to_a_file_makes_it_fail_or_grow(content: bytes, data: st.DataObject) -> None:
    file = bytearray(content)
    for _ in range(data.draw(st.integers(0, 6))):
        file[data.draw(st.integers(0, min(len(file), 400) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(8, len(file)))
    assert len(without_location(bytes(file[:cut]))) <= cut


def test_many_entries_and_properties_are_no_way_to_keep_us_busy() -> None:
    entries = struct.pack("<H", 5000) + struct.pack("<HHII", GPS_IFD, 4, 1, 8) * 5000
    body = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entries
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    content = saved("JPEG")
    cleaned = without_location(content[:2] + segment + content[2:])
    assert struct.pack("<H", GPS_IFD) not in cleaned[2 : 2 + len(segment)]
    long = b"<a:GPSa>" * 8000
    chunk = b"XMP " + struct.pack("<I", len(long)) + long
    webp = saved("WEBP")
    assert b"GPS" not in without_location(webp + chunk)
