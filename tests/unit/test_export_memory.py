"""An export of many rows takes no more memory than one of few."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.core.label_config import parse_label_config
from backend.core.regions import encode
from backend.core.types import ControlValue
from backend.images import ImageLoader
from backend.settings import Settings
from backend.studio import Project
from exporters.export import write_export
from exporters.images.pictures import PictureReader
from exporters.options import ExportOptions
from exporters.records.consolidate import Policy
from exporters.records.splits import parse_shares
from tests.made_pictures import png

COUNT = 20_000
SETTLED = 6_000
"""By then everything has been imported, and every buffer been full once."""
MOST_GROWTH_MIB = 32
XML = """<View><Image name="image" value="$image"/><Text name="caption" value="$caption"/>
<Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="fix"/></Choices></View>"""
SAID = encode([ControlValue("verdict", "Choices", ("accept",))], parse_label_config(XML))


class Many:
    """Tasks, each with an image of its own, 100 a page."""

    def annotated_tasks(self, project_id: int) -> Iterator[tuple[Any, ...]]:
        for start in range(0, COUNT, 100):
            yield tuple(map(_task, range(start, start + 100)))


def _task(number: int) -> dict[str, Any]:
    pixels = bytes((0, number % 256, number // 256, 1))
    image = "data:image/png;base64," + base64.b64encode(png(1, 1, 8, 2, pixels)).decode()
    answer = {"id": number, "result": SAID, "completed_by": 1, "updated_by": 1, "lead_time": 1.0}
    return {"id": number, "data": {"image": image, "caption": "a " * 200}, "annotations": [answer], "predictions": []}


def resident_mib() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []

    def look(done: int, total: int) -> None:
        if done % 500 == 0:
            seen.append((done, resident_mib()))

    summary = write_export(
        Project(1, "Many", XML, "", COUNT),
        Many(),
        PictureReader(ImageLoader(Settings()), allow_missing=False),
        tmp_path / "out",
        policy=Policy(annotator_key=b"key"),
        options=ExportOptions(splits=parse_shares("train=0.9,test=0.1")),
        progress=look,
    )
    assert summary.rows_out == COUNT
    before = max(memory for done, memory in seen if done <= SETTLED)
    growth = max(memory for _, memory in seen) - before
    assert growth < MOST_GROWTH_MIB, seen
