"""What the exporter writes goes to a Hub, loads from it by name, and is not pushed again when nothing has changed."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.errors import ExportError
from backend.images import ImageLoader
from backend.settings import Settings
from backend.studio import Project
from exporters.export import write_export
from exporters.hub.push import PushTarget, carry_out, plan_push
from exporters.images.pictures import PictureReader
from exporters.records.consolidate import Policy
from tests.contract import hub_emulator

TOKEN = "hf_write"
XML = """<View>
  <Image name="image" value="$image"/><Text name="caption" value="$caption"/>
  <Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="reject"/></Choices>
</View>"""


class Pages:
    """Accepted pairs of a drawn picture and a caption."""

    def __init__(self, *captions: str) -> None:
        self._captions = captions

    def annotated_tasks(self, project_id: int) -> Iterator[tuple[Any, ...]]:
        yield tuple(task(number, caption) for number, caption in enumerate(self._captions, start=1))


def task(number: int, caption: str) -> Any:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (4, 3), number).save(buffer, "PNG")
    image = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    region = {"from_name": "verdict", "to_name": "caption", "type": "choices", "value": {"choices": ["accept"]}}
    annotation = {"id": number, "result": [region], "completed_by": 7, "created_at": "2026-01-01T09:00:00Z"}
    data = {"image": image, "caption": caption}
    return {"id": number, "data": data, "annotations": [annotation], "predictions": []}


def export(out: Path, *captions: str) -> Path:
    project = Project(1, "Dots", XML, "", len(captions))
    reader = PictureReader(ImageLoader(Settings()), allow_missing=False)
    write_export(project, Pages(*captions), reader, out, policy=Policy(annotator_key=b"key"), named="me/dots")
    return out


def test_an_export_comes_back_from_the_hub_and_an_unchanged_one_is_not_pushed(hub: Any, tmp_path: Path) -> None:
    target = PushTarget("me/dots", endpoint=hub.address, personal=("email",))
    carry_out(plan_push(export(tmp_path / "first", "a dot", "two dots"), target, TOKEN), TOKEN)
    commits = list(hub.repos["me/dots"].commits)
    again = carry_out(plan_push(export(tmp_path / "again", "a dot", "two dots"), target, TOKEN), TOKEN)
    assert (again.plan.changes, again.plan.left_alone, hub.repos["me/dots"].commits) == ((), (), commits)
    code = (
        "import json\nfrom datasets import load_dataset as load\n"
        'rows, sft = load("me/dots", split="train"), load("me/dots", "sft", split="train")\n'
        'print(json.dumps([rows["caption"][:], [list(one.size) for one in rows["image"]], len(sft)]))'
    )
    printed = hub_emulator.run(code, hub.address, TOKEN, tmp_path / "home")
    assert json.loads(printed) == [["a dot", "two dots"], [[4, 3], [4, 3]], 2]


def test_a_changed_export_replaces_all_of_the_earlier_one(hub: Any, tmp_path: Path) -> None:
    target = PushTarget("me/dots", endpoint=hub.address)
    carry_out(plan_push(export(tmp_path / "out", "a dot"), target, TOKEN), TOKEN)
    carry_out(plan_push(export(tmp_path / "out", "a dot", "two dots"), target, TOKEN), TOKEN)
    here = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert set(hub.repos["me/dots"].files) == {*here, ".gitattributes"}


def test_a_caption_that_holds_personal_data_is_not_pushed(hub: Any, tmp_path: Path) -> None:
    folder = export(tmp_path / "out", "a dot", '{"Email": "ada@example.org"}')
    target = PushTarget("me/dots", endpoint=hub.address, personal=("email",))
    with pytest.raises(ExportError, match=r"the key `email` in the text of column `caption` of config all: task 2;"):
        plan_push(folder, target, TOKEN)
    with pytest.raises(ExportError, match=r"column `caption` of config default: tasks 1, 2"):
        plan_push(folder, PushTarget("me/dots", endpoint=hub.address, personal=("caption",)), TOKEN)
    assert (hub.repos, hub.log) == ({}, [])
