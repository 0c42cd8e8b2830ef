"""Where a photograph was taken goes out of its file, and nothing else does."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, IptcImagePlugin, PngImagePlugin

from exporters.images.iptc import IIM
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


PLACES = {(2, 26): b"DEU", (2, 27): b"Berlin, Mitte", (2, 90): b"Berlin", (2, 92): b"Mitte", (2, 95): b"Land Berlin"}
PLACES |= {(2, 100): b"DEU", (2, 101): b"Germany"}
OTHERS = {(1, 90): b"\x1b%G", (2, 5): b"Berlin at night", (2, 80): b"Somebody", (2, 120): b"Somebody in Berlin"}
XMP_WITH_NAMES = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Mitte" '
    b'photoshop:Credit="Me" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:dji="http://www.dji.com/drone-dji/1.0/"'
    b' dji:GpsLatitude="+52.5" dji:FlightYawDegree="3">'
    b"<Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li rdf:parseType='Resource'><Iptc4xmpExt:City>Mitte</Iptc4xmpExt:City>"
    b"</rdf:li></rdf:Bag></Iptc4xmpExt:LocationShown><photoshop:Country>Mitte</photoshop:Country>"
    b"<dc:title xmlns:dc='http://purl.org/dc/elements/1.1/'>A title: City of Berlin</dc:title>"
    b"<Iptc4xmpCore:CreatorContactInfo xmlns:Iptc4xmpCore='http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/'"
    b' Iptc4xmpCore:CiAdrCity="Bonn"/></rdf:Description></rdf:RDF></x:xmpmeta>'
)


def iim(sets: dict[tuple[int, int], bytes], wide: bool = False) -> bytes:
    """Data sets in their order; with the length in four bytes of its own where it is to be `wide`."""
    size = struct.Struct(">HI" if wide else ">H")
    sizes = {name: size.pack(*([0x8004] if wide else []), len(value)) for name, value in sets.items()}
    return b"".join(b"\x1c" + bytes(name) + sizes[name] + value for name, value in sorted(sets.items()))


def resource(number: int, data: bytes, name: bytes = b"") -> bytes:
    named = bytes([len(name)]) + name
    named += b"\0" * (len(named) % 2)
    return b"8BIM" + struct.pack(">H", number) + named + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)


def with_resources(body: bytes, at_once: int = 60_000) -> bytes:
    """A JPEG with these image resources, in as many segments as they need."""
    content, head = saved("JPEG"), b"Photoshop 3.0\0"
    pieces = [head + body[begin : begin + at_once] for begin in range(0, len(body), at_once)]
    segments = b"".join(b"\xff\xed" + struct.pack(">H", len(piece) + 2) + piece for piece in pieces)
    return content[:2] + segments + content[2:]


def iptc(content: bytes) -> dict[tuple[int, int], bytes]:
    """What Pillow reads."""
    with Image.open(io.BytesIO(content)) as image:
        found = IptcImagePlugin.getiptcinfo(image)  # type: ignore[no-untyped-call,unused-ignore]
    assert found is not None
    return {key: value for key, value in found.items() if isinstance(value, bytes)}


OTHER_RESOURCES = resource(0x03ED, bytes(16)) + resource(0x0425, b"d" * 16, b"name")


@pytest.mark.parametrize("wide", [False, True])
def test_names_of_places_in_iptc_fields_go_and_captions_stay(wide: bool) -> None:
    fields = iim(PLACES | OTHERS, wide)
    content = with_resources(OTHER_RESOURCES + resource(IIM, fields) + OTHER_RESOURCES)
    cleaned = without_location(content)
    blank = {key: b" " * len(value) for key, value in PLACES.items()}
    assert cleaned == content.replace(fields, iim(blank | OTHERS, wide))
    assert pixels(cleaned) == pixels(content)
    if not wide:  # Pillow reads those as far as the first
        assert (iptc(content), iptc(cleaned)) == (PLACES | OTHERS, blank | OTHERS)
    assert without_location(cleaned) is cleaned


def test_fields_that_go_on_in_the_next_segment_are_found() -> None:
    fields = iim({(2, 120): b"c" * 30_000} | PLACES)
    body = OTHER_RESOURCES + resource(IIM, fields)
    content = with_resources(body, at_once=body.index(b"Berlin") + 3)
    cleaned = without_location(content)
    assert b"Germany" in content
    assert not any(place in cleaned for place in (b"Germany", b"Mitte", b"lin"))
    assert (len(cleaned), pixels(cleaned)) == (len(content), pixels(content))


def test_exif_and_xmp_within_image_resources_are_cleaned_too() -> None:
    content = with_resources(resource(0x0422, exif().tobytes()[6:]) + resource(0x0424, XMP))
    cleaned = without_location(content)
    assert (b"GPSL" in content, b"GPSL" in cleaned, b"2026:01:01\0" in cleaned) == (True, False, False)
    assert (len(cleaned), b'exif:Flash="0"' in cleaned, b"Maker" in cleaned) == (len(content), True, True)


def test_a_place_that_went_already_does_not_come_back_with_another() -> None:
    """A thumbnail in Photoshop's resources is a JPEG with EXIF of its own."""
    thumbnail = resource(0x040C, bytes(28) + saved("JPEG", exif=exif()))
    content = with_resources(thumbnail + resource(IIM, iim(PLACES)))
    assert without_location(with_resources(thumbnail)) != with_resources(thumbnail)
    cleaned = without_location(content)
    assert (b"GPSL" in content, b"2026:01:01\0" in content) == (False, True)
    assert not any(place in cleaned for place in (b"2026:01:01\0", b"Berlin"))
    assert without_location(cleaned) is cleaned
    assert (len(cleaned), pixels(cleaned)) == (len(content), pixels(content))


def test_fields_without_a_place_leave_the_very_same_file() -> None:
    content = with_resources(OTHER_RESOURCES + resource(IIM, iim(OTHERS)))
    assert without_location(content) is content


@pytest.mark.parametrize("kept_as", ["fields", "resources", "numbers"])
def test_tiff_keeps_iptc_fields_in_tags(kept_as: str) -> None:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tag, fields = 0x8649 if kept_as == "resources" else 0x83BB, iim(PLACES | OTHERS)
    blank = iim({key: b" " * len(value) for key, value in PLACES.items()} | OTHERS)
    if kept_as == "numbers":  # as libtiff writes them in the other byte order
        fields, blank = turned(fields), turned(blank)
    tags = ImageFileDirectory_v2()
    tags.tagtype[tag] = 7
    tags[tag] = resource(IIM, fields) if kept_as == "resources" else fields
    content = saved("TIFF", tiffinfo=tags)
    cleaned = without_location(content)
    assert content.count(fields) == 1
    assert cleaned == content.replace(fields, blank)
    assert pixels(cleaned) == pixels(content)


def turned(value: bytes) -> bytes:
    """Every four bytes in the other order; what is left of the last four stays."""
    whole = len(value) - len(value) % 4
    return b"".join(value[n : n + 4][::-1] for n in range(0, whole, 4)) + value[whole:]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "GIF"])
def test_names_of_places_in_xmp_go_and_all_else_stays(kind: str) -> None:
    content = gif_with(XMP_WITH_NAMES) if kind == "GIF" else saved(kind, xmp=XMP_WITH_NAMES)
    cleaned = without_location(content)
    found = cleaned[cleaned.index(b"<x:xmpmeta") : cleaned.index(b"</x:xmpmeta>") + 12]
    assert ElementTree.fromstring(found).tag == "{adobe:ns:meta/}xmpmeta"
    assert not any(gone in cleaned for gone in (b"Mitte", b"52.5", b"LocationShown"))
    assert all(
        stays in found for stays in (b'Credit="Me"', b'FlightYawDegree="3"', b"City of Berlin", b'CiAdrCity="Bonn"')
    )
    assert (len(cleaned), len(found), pixels(cleaned)) == (len(content), len(XMP_WITH_NAMES), pixels(content))


def gif_with(xmp: bytes) -> bytes:
    """As Adobe's specification of XMP has it: the packet as it is, and bytes that count down to the end."""
    content = saved("GIF")
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    at = 13 + 3 * 2 ** ((content[10] & 7) + 1)
    return content[:at] + b"!\xff\x0bXMP DataXMP" + xmp + trailer + content[at:]


def test_a_gif_without_a_place_stays_the_very_same() -> None:
    content = gif_with(b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    assert without_location(content) is content


@pytest.mark.parametrize("body", [resource(IIM, iim(PLACES)), iim(PLACES)])
def test_iptc_fields_in_a_png_are_dropped(body: bytes) -> None:
    profile = b"\niptc\n" + str(len(body)).encode() + b"\n" + body.hex().encode() + b"\n"
    chunk = text_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(profile))
    assert without_location(with_chunk(chunk)) == saved("PNG")


TEXTS = st.binary(min_size=1, max_size=40).map(lambda text: text.replace(b"\x1c", b"x").replace(b"8BIM", b"xxxx"))
SETS = st.dictionaries(st.tuples(st.integers(1, 9), st.integers(0, 255)), TEXTS, max_size=12)


@given(SETS, st.integers(20, 400))
def test_only_what_names_a_place_is_overwritten(sets: dict[tuple[int, int], bytes], at_once: int) -> None:
    content = with_resources(resource(IIM, iim(sets)) + OTHER_RESOURCES, at_once)
    blank = {key: b" " * len(value) if key in PLACES else value for key, value in sets.items()}
    expected = with_resources(resource(IIM, iim(blank)) + OTHER_RESOURCES, at_once)
    assert without_location(content) == expected


@given(st.binary(max_size=300), st.integers(1, 100))
def test_no_image_resources_make_it_fail_or_grow(body: bytes, at_once: int) -> None:
    content = with_resources(resource(IIM, body)[: len(body) + 8] + body, at_once)
    assert len(without_location(content)) == len(content)
    many = with_resources(b"\x1c\x02\x5a\xff\xff" * 10)
    assert without_location(many) is many
