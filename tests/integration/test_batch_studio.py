"""A judged dataset goes into a real Label Studio, each row once, with its prediction and an image that can be seen."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.label_studio_server import LabelStudioProcess
from backend.studio import Studio
from tests.datasets_made import image, png, prediction_of, write_parquet

ROWS = 5
NO_PICTURE = {"bytes": b"no picture", "path": None}


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that was judged; one row of it has no image that can be read, another no text."""
    home = tmp_path_factory.mktemp("batch")
    found: list[dict[str, Any]] = [{"image": image(n), "text": f"Dog {n}.", "source": {"page": n}} for n in range(ROWS)]
    found += [
        {"image": NO_PICTURE, "text": "A dog.", "source": None},
        {"image": image(9), "text": None, "source": None},
    ]
    write_parquet(home / "in.parquet", found)
    done = command(
        "judge", "--source", str(home / "in.parquet"), "--out", str(home / "out"), "--column", "caption=text"
    )
    assert done.returncode == 1
    assert done.stdout.startswith(f"7 rows = {ROWS} judged + 0 judged before + 2 failed")
    return home / "out"


def command(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backend.cli", *words, *(("--engine", "scripted") if words[0] == "judge" else ())],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "VLM_JUDGE_STORE": "/nonexistent/never-made.sqlite", **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def create(label_studio: LabelStudioProcess, title: str, batch: Path, *more: str) -> tuple[int, str]:
    """The project's number, and what was said of the import."""
    done = command(
        *("project", "create", "--title", title, "--from-batch", str(batch), *more),
        LABEL_STUDIO_URL=label_studio.url,
        LABEL_STUDIO_API_KEY=label_studio.token,
        VLM_JUDGE_STORE=str(batch.parent / "store.sqlite"),
    )
    assert done.returncode == 0, done.stderr
    balance, made = done.stdout.splitlines()
    return int(made.split()[1].rstrip(":")), balance


def tasks(studio: Studio, project: int) -> list[dict[str, Any]]:
    return [dict(task) for page in studio.annotated_tasks(project) for task in page]


def data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_every_row_becomes_a_task_with_its_prediction_once(label_studio: LabelStudioProcess, batch: Path) -> None:
    studio = Studio(label_studio.url, label_studio.token)
    project, balance = create(label_studio, "Batch", batch)
    assert balance == "7 rows = 5 imported + 0 there before + 2 left out, which lack an image or text"
    found = tasks(studio, project)
    assert [task["data"] for task in found] == [
        {
            "image": data_uri(png(n)),
            "caption": f"Dog {n}.",
            "requested": "",
            "source": {"page": n},
            "judge_row": f"in.parquet#{n}",
        }
        for n in range(ROWS)
    ]
    for number, task in enumerate(found):
        [prediction] = task["predictions"]
        said = {key: prediction[key] for key in ("result", "score", "model_version")}
        assert said == prediction_of(f"Dog {number}.", png(number))
    fingerprint = found[0]["predictions"][0]["model_version"]
    assert studio.project(project).model_version == fingerprint
    assert "Least sure first" in studio.tabs(project)
    again, balance = create(label_studio, "Batch", batch)
    assert (again, balance) == (
        project,
        "7 rows = 0 imported + 5 there before + 2 left out, which lack an image or text",
    )
    assert tasks(studio, project) == found


def test_an_import_that_was_broken_off_is_completed(label_studio: LabelStudioProcess, batch: Path) -> None:
    studio = Studio(label_studio.url, label_studio.token)
    project, _ = create(label_studio, "Batch broken off", batch)
    first, second, *_ = tasks(studio, project)
    studio.delete_prediction(first["predictions"][0]["id"])
    httpx.delete(
        f"{label_studio.url}/api/tasks/{second['id']}", headers={"Authorization": f"Token {label_studio.token}"}
    ).raise_for_status()
    _, balance = create(label_studio, "Batch broken off", batch)
    assert balance == (
        "7 rows = 1 imported + 4 there before (1 of them without their prediction, which they have now) + 2 left out, "
        "which lack an image or text"
    )
    found = tasks(studio, project)
    assert sorted(task["data"]["judge_row"] for task in found) == [f"in.parquet#{n}" for n in range(ROWS)]
    assert [len(task["predictions"]) for task in found] == [1] * ROWS


def test_images_of_rows_are_put_where_label_studio_shows_them(label_studio: LabelStudioProcess, batch: Path) -> None:
    studio = Studio(label_studio.url, label_studio.token)
    folder = label_studio.document_root / "batch"
    project, _ = create(label_studio, "Batch with files", batch, "--local-files", str(folder))
    found = tasks(studio, project)
    assert len(list(folder.iterdir())) == ROWS
    for number, task in enumerate(found):
        assert task["data"]["image"].startswith("/data/local-files/?d=batch/")
        shown = httpx.get(
            f"{label_studio.url}{task['data']['image']}", headers={"Authorization": f"Token {label_studio.token}"}
        )
        assert shown.content == png(number)


def test_a_row_that_is_there_twice_is_named(label_studio: LabelStudioProcess, batch: Path) -> None:
    studio = Studio(label_studio.url, label_studio.token)
    project, _ = create(label_studio, "Batch twice", batch)
    one = json.loads(json.dumps(tasks(studio, project)[0]["data"]))
    studio.import_tasks(project, [{"data": one}])
    done = command(
        *("project", "create", "--title", "Batch twice", "--from-batch", str(batch)),
        LABEL_STUDIO_URL=label_studio.url,
        LABEL_STUDIO_API_KEY=label_studio.token,
        VLM_JUDGE_STORE=str(batch.parent / "store.sqlite"),
    )
    assert done.returncode == 1
    assert f"Error: project {project} has the row in.parquet#0 twice, as tasks " in done.stderr
