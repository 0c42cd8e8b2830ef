"""A judge that takes its time, in this process or in one of its own that can be killed."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from PIL import Image

from backend.core.label_config import parse_label_config
from backend.core.types import Answer
from backend.engines.base import JudgeRequest
from backend.engines.scripted import ScriptedEngine, by_hash
from backend.images import ImageLoader
from backend.interfaces import default_label_config
from backend.service import JudgeService
from backend.settings import Settings
from backend.store import Store
from backend.studio import Studio
from backend.studio_types import Project

CONFIG = parse_label_config(default_label_config())


class SlowEngine(ScriptedEngine):
    """Needs so many seconds a sample."""

    def __init__(self, seconds: float) -> None:
        super().__init__(by_hash)
        self.seconds = seconds
        self.judged: list[str] = []
        """The texts of the samples, in the order of judging."""

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        criteria = [request for request in requests if any(q.id == "consistency" for q in request.questions)]
        time.sleep(self.seconds * len(criteria))
        self.judged += [request.fields for request in criteria]
        return super().answer(requests)


def slow_service(store: Path | str, seconds: float) -> JudgeService:
    settings = Settings(engine="scripted", store=str(store))
    return JudgeService(SlowEngine(seconds), ImageLoader(settings), Store(store))


def tiny_picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def make_project(studio: Studio, title: str, count: int) -> Project:
    """A project with so many tasks that all differ."""
    project = studio.create_project(title, default_label_config())
    picture = tiny_picture()
    data = ({"image": picture, "caption": f"Dog number {number}.", "requested": ""} for number in range(count))
    studio.import_tasks(project.id, [{"data": entry} for entry in data])
    return studio.project(project.id)


def predictions(studio: Studio, project: Project) -> dict[int, list[str]]:
    """The model versions of every task's predictions."""
    return {
        task.id: [entry.model_version for entry in task.predictions]
        for page in studio.pages(project.id)
        for task in page
    }


def kill_target(
    url: str, token: str, project: int, store: str, seconds: float, began: Event | None = None, **modules: Any
) -> None:
    """Judge a project; run in a process of its own, which sets `began` when it judges.

    `modules` sets constants, as `writeback__SMALLEST_WRITE`.
    """
    import importlib

    from backend.judge import RunOptions, Told, judge_project

    for name, value in modules.items():
        module, _, constant = name.partition("__")
        setattr(importlib.import_module(f"backend.{module}"), constant, value)
    service = slow_service(store, seconds)
    told = Told(progress=lambda done, total: began.set()) if began else Told()
    judge_project(Studio(url, token), service, project, RunOptions(batch_size=4), told)
    service.close()
