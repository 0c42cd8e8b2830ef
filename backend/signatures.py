"""What bytes that cannot be decoded are, by how they begin: for messages only."""

from __future__ import annotations

_BEGINNINGS = (
    (0, b"%!PS", "an EPS or PostScript file, a program that draws"),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS or PostScript file, a program that draws"),
    (0, b"%PDF", "a PDF and no image"),
    (0, b"\0\0\1\0", "an icon file (ICO)"),
    (0, b"\0\0\2\0", "a cursor file (CUR)"),
    (0, b"8BPS", "a Photoshop file (PSD)"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"\x1f\x8b", "compressed with gzip"),
    (128, b"DICM", "a DICOM file"),
    (0, b"\x89PNG", "a PNG whose beginning is damaged"),
    (0, b"\xff\xd8", "a JPEG whose beginning is damaged"),
    (0, b"GIF8", "a GIF whose beginning is damaged"),
    (8, b"WEBP", "a WebP that is damaged"),
    (0, b"BM", "a BMP that is damaged, or of a kind that cannot be read"),
    (0, b"II*\0", "a TIFF that is damaged, or of a kind that cannot be read"),
    (0, b"MM\0*", "a TIFF that is damaged, or of a kind that cannot be read"),
    (0, b"II+\0", "a TIFF that is damaged, or of a kind that cannot be read"),
    (0, b"MM\0+", "a TIFF that is damaged, or of a kind that cannot be read"),
    (4, b"ftypavif", "an AVIF that is damaged"),
    (4, b"ftypavis", "an AVIF that is damaged"),
    (4, b"ftyphe", "a HEIC photo"),
    (4, b"ftypmif1", "a HEIC photo"),
    (4, b"ftypmsf1", "a HEIC photo"),
    (4, b"ftyp", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (4, b"jP  ", "a JPEG 2000 that is damaged"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 that is damaged"),
)
_MARKUP = (
    (b"<!doctype html", "a web page, perhaps a login page, and no image"),
    (b"<html", "a web page, perhaps a login page, and no image"),
    (b"{", "JSON, perhaps an error, and no image"),
    (b"<?xml", "XML, perhaps an error, and no image"),
)


def kind_of_bytes(content: bytes) -> str:
    """What the bytes may be, to complete "it is ..."."""
    if not content:
        return "empty"
    for offset, sign, kind in _BEGINNINGS:
        if content.startswith(sign, offset):
            return kind
    start = content[:1024].lstrip().lower()
    if b"<svg" in start and not start.startswith((b"<!doctype html", b"<html")):
        return "an SVG drawing, which has no pixels"
    return next((kind for sign, kind in _MARKUP if start.startswith(sign)), "not an image that can be read")
