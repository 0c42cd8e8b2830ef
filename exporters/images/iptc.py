"""Takes names of places out of IPTC fields, as Photoshop and photo agencies put them into JPEG and TIFF files.

They are a list of data sets (IPTC-NAA Information Interchange Model 4.2, section 1.5: a byte 1C, the numbers of record
and data set, the length, the value), which a file keeps in a Photoshop image resource, or by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

IIM = 0x0404
"""Of image resources: the data sets."""
EXIF = frozenset({0x0422, 0x0423})
XMP = 0x0424
_PLACES = frozenset({26, 27, 90, 92, 95, 100, 101})
"""Data sets of record 2: code and name of the content's place; city, sublocation, province, country's code and name."""
_APPLICATION = 2
_MARK = 0x1C
_MOST_SIZE = 0x7FFF
_SIGNATURE = b"8BIM"


def resources(data: bytes | bytearray, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Of each image resource its number, and where its data begin and end; beyond damage the next one is looked for."""
    end = min(end, len(data))
    at = start
    while (at := data.find(_SIGNATURE, at, end)) >= 0 and at + 12 <= end:
        number = int.from_bytes(data[at + 4 : at + 6])
        name = 1 + data[at + 6]
        begin = at + 6 + name + name % 2 + 4
        stop = begin + int.from_bytes(data[begin - 4 : begin])
        yield number, min(begin, end), min(stop, end)
        at = stop if stop <= end else at + len(_SIGNATURE)


def blank_iim(file: bytearray, start: int, end: int) -> bool:
    """Overwrite places in these data sets with spaces; whether there were any."""
    end, changed = min(end, len(file)), False
    for begin, stop in _places(file, start, end):
        changed |= bool(bytes(file[begin:stop]).strip(b" \0"))
        file[begin:stop] = b" " * (stop - begin)
    return changed


def _places(file: bytearray, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    while (at := file.find(_MARK, at, end)) >= 0 and at + 5 <= end:
        record, number, size = file[at + 1], file[at + 2], int.from_bytes(file[at + 3 : at + 5])
        begin = at + 5
        if size > _MOST_SIZE:  # so many bytes hold the length itself; nobody needs more than four
            wide = size - _MOST_SIZE - 1
            begin, size = begin + wide, int.from_bytes(file[begin : begin + wide]) if wide <= 4 else end
        if begin + size > end:
            at += 1  # no data set begins here
            continue
        if record == _APPLICATION and number in _PLACES:
            yield begin, begin + size
        at = begin + size
