"""What goes wrong in the first hour, against a real Label Studio: each message ends with what to type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.label_studio_server import free_port
from tests.road import Road

LEGACY = "0" * 40


@pytest.fixture(scope="module")
def project(road: Road) -> int:
    """A project with tasks and nothing said of them."""
    return road.create("First errors")


def refused(road: Road, *words: str, **variables: str) -> str:
    """The error's sentence; the same for people and for programs."""
    done = subprocess.run(
        [sys.executable, "-m", "backend.cli", *words, "--json"],
        cwd=road.home,
        env={**os.environ, **road.environment("commands.sqlite"), **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout
    said = str(json.loads(done.stdout)["error"]["message"])
    assert done.stderr.splitlines()[-1] == f"Error: {said}"
    return said


def test_a_key_that_is_wrong(road: Road) -> None:
    said = refused(road, "judge", "--project", "1", LABEL_STUDIO_API_KEY=LEGACY)
    assert said.endswith(
        "a new one is made under Account & Settings > Personal Access Token, then type: export LABEL_STUDIO_API_KEY=..."
    )


def test_an_address_that_is_another_server(road: Road) -> None:
    said = refused(road, "judge", "--project", "1", LABEL_STUDIO_URL=road.backend_url)
    assert said.endswith(
        "is no Label Studio's answer; set LABEL_STUDIO_URL to the address at which its start page opens in a browser"
    )


def test_a_project_that_does_not_exist(road: Road) -> None:
    for command in (["judge"], ["export", "--out", "dataset"], ["certify"]):
        said = refused(road, *command, "--project", "999999")
        assert said.endswith("the number of a project is in its address, as in /projects/1/data"), said


def test_a_backend_that_does_not_run(road: Road, project: int) -> None:
    port = free_port()
    said = refused(road, "project", "connect", "--project", str(project), f"http://127.0.0.1:{port}")
    assert said.endswith(f"start it with: vlm-judge serve --port {port}"), said


def test_a_project_without_predictions(road: Road, project: int) -> None:
    said = refused(road, "certify", "--project", str(project))
    assert said == f"project {project} (First errors) has no predictions; run `vlm-judge judge --project {project}`"


def test_an_export_of_nothing(road: Road, project: int) -> None:
    said = refused(road, "export", "--project", str(project), "--out", "dataset")
    assert said.startswith(f"project {project} (First errors) has nothing to export: 24 unannotated; ")
    assert f"vlm-judge judge --project {project}" in said


def test_results_are_objects_with_numbers(road: Road, tmp_path: Path) -> None:
    def asked(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(road.run(*words, "--json", "--quiet").stdout)
        return found

    tasks = tmp_path / "tasks.json"
    tasks.write_text(json.dumps(json.loads(road.sample.tasks.read_text())[:3]))
    made = asked("project", "create", "--title", "As objects", "--tasks", str(tasks), "--connect", road.backend_url)
    number = made["project"]
    assert made.pop("connection")["url"] == road.backend_url
    assert made == {
        "project": number,
        "title": "As objects",
        "url": f"{road.label_studio.url}/projects/{number}/data",
        "tasks": 3,
        "existed": False,
        "imported": None,
        "blind": None,
    }
    road.studio.serve_local_files(number, str(road.sample.images), "sample")
    shown = asked("judge", "--project", str(number), "--preview", "1")["preview"]
    assert [one["decision"] in ("accept", "fix", "reject") for one in shown] == [True]
    judged = asked("judge", "--project", str(number))
    counts = {"tasks": 3, "stored": 3, "already": 0, "failed": 0, "unaccounted": 0}
    assert judged.pop("fingerprint")
    assert judged == {"project": number, **counts, "failures": None, "interrupted": False}
    exported = asked("export", "--project", str(number), "--out", str(tmp_path / "dataset"))
    assert (exported["tasks_in"], exported["rows_out"], exported["decided_by"]) == (3, 3, {"judge only": 3})
    assert exported["push"] is None
