"""Generated tasks in a real Label Studio: `generate`, then `project create`, and the pictures can be had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from pydantic import SecretStr

from backend.cli import main
from backend.core.rubric import Requests
from backend.core.types import Reply, Written
from backend.engines.base import WriteRequest
from backend.engines.rubrics import default_rubric
from backend.engines.scripted import ScriptedEngine
from backend.generation.generators import chosen_generators
from backend.generation.run import GenerateOptions, gather_images, write_tasks
from backend.images import ImageLoader
from backend.label_studio_server import LabelStudioProcess
from backend.projects import read_tasks
from backend.settings import Settings
from backend.studio import Studio


def author(request: WriteRequest) -> Reply:
    return Written(request.writing, json.dumps({"text": f"A picture, {request.images[0].getpixel((0, 0))}."}))


def generated(folder: Path, colours: dict[str, tuple[int, int, int]]) -> Path:
    """Tasks for one plain picture per colour."""
    photos, out = folder / "photos", folder / "out" / "tasks.jsonl"
    photos.mkdir()
    for name, colour in colours.items():
        Image.new("RGB", (60, 40), colour).save(photos / f"{name}.png")
    options = GenerateOptions(str(photos), out, document_root=folder.parent)
    rubric = default_rubric().model_copy(update={"requests": Requests(caption="Describe it.")})
    generators = chosen_generators(
        Settings(), (), "caption", lambda settings: ScriptedEngine(rubric=rubric, author=author)
    )
    run = write_tasks(Settings(), options, gather_images(Settings(), options), generators)
    assert (run.written, run.unwritten) == (len(colours), 0)
    return out


def test_generated_tasks_become_a_project_with_pictures(
    label_studio: LabelStudioProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = label_studio.document_root / "a folder"
    folder.mkdir(parents=True)
    colours = {"red": (255, 0, 0), "blue": (0, 0, 255)}
    out = generated(folder, colours)
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    monkeypatch.setenv("VLM_JUDGE_STORE", str(tmp_path / "s.sqlite"))
    command = ["project", "create", "--title", "Generated", "--engine", "scripted", "--tasks", str(out)]
    command += ["--local-files", str(out.parent / "images")]
    again = "; there was a project of this title, which was completed"
    for before in ("", again):  # the second time completes what is there: nothing
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        assert done.stdout.endswith(f"(2 tasks{before})\n")
    studio = Studio(label_studio.url, label_studio.token)
    project = studio.find_project("Generated")
    assert project is not None
    tasks = [task for page in studio.pages(project.id) for task in page]
    assert [{"data": dict(task.data)} for task in tasks] == list(read_tasks(out))
    loader = ImageLoader(
        Settings(label_studio_url=label_studio.url, label_studio_api_key=SecretStr(label_studio.token))
    )
    found = {task.data["source"]: loader.load(task.data["image"]).getpixel((0, 0)) for task in tasks}
    assert found == {f"photos/{name}.png": colour for name, colour in colours.items()}
