"""A picture of some rows for the card: the first different images, numbered, with their texts beside them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.records.record import Record
from exporters.schema.features import Picture, Pictures

if TYPE_CHECKING:
    from PIL import Image

PATH = "plots/rows.jpg"
MOST_ROWS = 8
MAX_BYTES = 300_000
_WIDE = 4
"""Images beside each other."""
_CELL = (240, 180)
"""The room of an image in pixels; it is shrunk into it, never cut."""
_GAP = 8
_QUALITIES = (85, 70, 55, 40, 25)


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row that is shown."""

    texts: tuple[tuple[str, str], ...]
    """Key and text, as they were before the review; empty where the task has none."""
    verdict: str | None
    decided_by: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """What stands in the picture, by number from 1."""

    rows: tuple[SheetRow, ...]
    path: str = PATH
    """Within the dataset's folder."""


class ContactSheet:
    """Takes the first rows with images that differ, and then looks at no more."""

    def __init__(self) -> None:
        self._rows: list[SheetRow] = []
        self._cells: list[Image.Image] = []
        self._shown: set[str] = set()

    def add(self, record: Record, pictures: Pictures) -> None:
        """Take the row if its first image is new and there is room."""
        picture = next((one for several in pictures.values() for one in several if one is not None), None)
        if len(self._rows) >= MOST_ROWS or picture is None or picture.sha256 in self._shown:
            return
        self._shown.add(picture.sha256)
        cell = _shrunk(picture)
        if cell is not None:
            texts = tuple((key, text) for key, text in record.texts.items() if text)
            self._cells.append(cell)
            self._rows.append(SheetRow(texts, record.verdict, record.decided_by))

    def write(self, folder: Path) -> Sheet | None:
        """Write the picture into the folder of a dataset; None when no row has an image. Raises OSError."""
        if not self._cells:
            return None
        path = folder / PATH
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encoded(_laid_out(self._cells)))
        return Sheet(tuple(self._rows))


def _shrunk(picture: Picture) -> Image.Image | None:
    """The image in the room of a cell, on white; None for one that Pillow does not show."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(picture.data)) as opened:
            opened.thumbnail((4 * _CELL[0], 4 * _CELL[0]))  # so that no large image is held in several forms
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    upright.thumbnail(_CELL, Image.Resampling.LANCZOS)
    cell = Image.new("RGB", _CELL, "white")
    cell.paste(upright, ((_CELL[0] - upright.width) // 2, (_CELL[1] - upright.height) // 2), upright)
    return cell


def _laid_out(cells: list[Image.Image]) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont

    columns = min(_WIDE, len(cells))
    rows = -(-len(cells) // columns)
    size = tuple(number * (room + _GAP) + _GAP for number, room in ((columns, _CELL[0]), (rows, _CELL[1])))
    sheet = Image.new("RGB", (size[0], size[1]), "#e4e1da")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for number, cell in zip(count(), cells):
        left = _GAP + number % columns * (_CELL[0] + _GAP)
        top = _GAP + number // columns * (_CELL[1] + _GAP)
        sheet.paste(cell, (left, top))
        draw.rectangle((left, top, left + 25, top + 23), fill="#1d1c1a")
        draw.text((left + 13, top + 12), str(number + 1), fill="white", font=font, anchor="mm")
    return sheet


def _encoded(sheet: Image.Image) -> bytes:
    """As a JPEG that is as good as the limit allows."""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()
