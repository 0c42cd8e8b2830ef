"""Takes what tells a place out of XMP: positions, and names of places that people and programs put there.

What goes, whatever stands before the colon of its name: all that begins with GPS (`exif:GPSLatitude`; drones write
`drone-dji:GpsLatitude`) or is called Latitude or Longitude; `photoshop:City`, `State`, `Country`;
`Iptc4xmpCore:Location`, `CountryCode`; `Iptc4xmpExt:LocationShown`, `LocationCreated` with all in them. The address of
the photographer (`CreatorContactInfo`) is not where the picture was taken and stays, as do titles and keywords.
"""

from __future__ import annotations

import re

_NAMES = (
    *("City", "State", "Country", "CountryCode", "CountryName", "Location", "LocationShown", "LocationCreated"),
    *("LocationId", "LocationName", "Sublocation", "ProvinceState", "WorldRegion", "Latitude", "Longitude"),
)
_NAME = "|".join(("[Gg][Pp][Ss]\\w*", *_NAMES)).encode()
_ATTRIBUTE = re.compile(rb"""\s[\w.-]+:(?:%b)\s*=\s*(?:"[^"]*"|'[^']*')""" % _NAME)
_ELEMENT = re.compile(rb"<([\w.-]+:(?:%b))(?=[\s/>])[^>]*?(?:/>|>.*?</\1\s*>)" % _NAME, re.DOTALL)
_BEGIN = re.compile(rb"[\w.-]:(?:%b)" % _NAME)
_WIDE = "|".join([r"[Gg]\0?[Pp]\0?[Ss](?:\0?\w)*", *(r"\0?".join(name) for name in _NAMES)]).encode()
_PREFIX = rb"\0?(?:[\w.-]\0?){1,64}:\0?"
_TELLS = re.compile(rb"<%b(?:%b)\0?[\s/>]|\s%b(?:%b)\0?(?:\s\0?)*=" % (_PREFIX, _WIDE, _PREFIX, _WIDE))
"""A property that tells a place, also in 16-bit letters."""
_MOST_BYTES, _MOST_PROPERTIES = 2**18, 200
"""XMP with more is not cleaned but emptied: somebody made it to keep us busy."""
_NOTHING = b"<x/>"
"""XMP that says nothing."""


def tells_place(xmp: bytes | bytearray) -> bool:
    """Whether there is a property in it that tells a place."""
    return _TELLS.search(xmp) is not None


def blank_xmp(file: bytearray, start: int, end: int) -> bool:
    """Overwrite properties that tell a place with spaces; all of the XMP where that is not enough. Whether it did."""
    end = min(end, len(file))
    told = bytes(file[start:end])
    if not tells_place(told):
        return False
    if len(told) <= _MOST_BYTES and len(_BEGIN.findall(told)) <= _MOST_PROPERTIES:
        for pattern in (_ATTRIBUTE, _ELEMENT):
            told = pattern.sub(lambda found: b" " * len(found[0]), told)
    file[start:end] = _NOTHING.ljust(end - start) if tells_place(told) else told
    return True
