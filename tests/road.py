"""A Label Studio, our backend and the commands between them, for tests that walk the whole road."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.engines.demo.sample import Sample, write_sample
from backend.label_studio_server import LabelStudioProcess, free_port, stop_group, wait_until_healthy
from backend.studio import Studio

TASKS = 24


@dataclass(frozen=True)
class Road:
    """A Label Studio, our backend, and the commands between them."""

    label_studio: LabelStudioProcess
    studio: Studio
    backend_url: str
    sample: Sample
    home: Path

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `vlm-judge` as a user does."""
        done = subprocess.run(
            [sys.executable, "-m", "backend.cli", *arguments],
            cwd=self.home,
            env=self.environment("commands.sqlite"),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done

    def environment(self, store: str) -> dict[str, str]:
        """Settings as a user would export them."""
        return {
            **os.environ,
            "LABEL_STUDIO_URL": self.label_studio.url,
            "LABEL_STUDIO_API_KEY": self.label_studio.token,
            "VLM_JUDGE_STORE": str(self.home / store),
        }

    def create(self, title: str, *more: str) -> int:
        """Make a project of the sample and answer with its number."""
        said = self.run("project", "create", "--title", title, "--tasks", str(self.sample.tasks), *more).stdout
        number = int(said.split()[1].rstrip(":"))
        self.studio.serve_local_files(number, str(self.sample.images), "sample")
        return number

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """All tasks with predictions and annotations."""
        return [dict(task) for page in self.studio.annotated_tasks(project) for task in page]


def said(task: dict[str, Any]) -> dict[str, Any]:
    """What the judge said about a task in each control."""
    [prediction] = task["predictions"]
    return {region["from_name"]: region["value"] for region in prediction["result"]}


@contextmanager
def open_road(label_studio: LabelStudioProcess, home: Path, engine: str = "demo") -> Iterator[Road]:
    """Draw the sample into Label Studio's files and serve the backend, until the end of the block."""
    sample = write_sample(
        label_studio.document_root / "road", count=TASKS, image_prefix="/data/local-files/?d=road/images/"
    )
    port = free_port()
    studio = Studio(label_studio.url, label_studio.token)
    road = Road(label_studio, studio, f"http://127.0.0.1:{port}", sample, home)
    log = home / "backend.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "serve", "--engine", engine, "--port", str(port)],
            env=road.environment("backend.sqlite"),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_healthy(f"{road.backend_url}/health", process, log, "the backend")
        yield road
    finally:
        stop_group(process)
