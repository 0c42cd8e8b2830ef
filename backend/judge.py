"""Bulk judging: pages through a project, judges what this judge has not judged yet, and stores it in bulk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.sample import check_config
from backend.service import Failure, JudgeService, Prepared
from backend.studio import Studio, StudioTask

STORE_AT_ONCE = 2_000
"""Predictions per bulk write: each write makes the server recount the project, so few large ones are cheap."""


@dataclass(frozen=True, slots=True)
class JudgeRun:
    """What bulk judging came to; `tasks == stored + already + len(failures)`."""

    tasks: int
    stored: int
    already: int
    """Tasks that had a prediction of this fingerprint before."""
    failures: tuple[Failure, ...]
    fingerprint: str

    def summary(self) -> str:
        """The balance in one line."""
        return (
            f"{self.tasks} tasks = {self.stored} judged and stored + {self.already} judged before "
            f"+ {len(self.failures)} failed (judge {self.fingerprint})"
        )


@dataclass(slots=True)
class _Progress:
    report: Callable[[int, int], None]
    total: int
    tasks: int = 0
    stored: int = 0
    already: int = 0
    failures: list[Failure] = field(default_factory=list)

    def advance(self, tasks: int) -> None:
        self.tasks += tasks
        self.report(self.tasks, max(self.total, self.tasks))


def judge_project(
    studio: Studio,
    service: JudgeService,
    project_id: int,
    *,
    batch_size: int = 8,
    limit: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> JudgeRun:
    """Judge a project's tasks in rising id; stopping at any time loses at most what was not stored yet.

    `limit` is the largest number of tasks to judge, those judged before not counted. `report` is
    told how many tasks are done and how many there are. Raises StudioError, LabelConfigError or
    EngineError; what is wrong with a single task is a failure in the result.
    """
    project = studio.project(project_id)
    config = parse_label_config(project.label_config)
    check_config(config)
    service.engine.load()
    progress = _Progress(report, project.task_count)
    waiting: list[dict[str, Any]] = []
    for page in studio.pages(project_id):
        todo = [task for task in page if service.fingerprint not in task.model_versions]
        progress.already += len(page) - len(todo)
        progress.advance(len(page) - len(todo))
        room = None if limit is None else limit - progress.tasks + progress.already
        for task_id, prediction in _judge_page(service, config, todo[:room], batch_size, progress):
            waiting.append({"task": task_id, **prediction})
        if len(waiting) >= STORE_AT_ONCE:
            progress.stored += studio.import_predictions(project_id, waiting)
            waiting = []
        if room is not None and len(todo) >= room:
            break
    if waiting:
        progress.stored += studio.import_predictions(project_id, waiting)
    studio.use_model_version(project_id, service.fingerprint)
    return JudgeRun(progress.tasks, progress.stored, progress.already, tuple(progress.failures), service.fingerprint)


def _judge_page(
    service: JudgeService, config: LabelConfig, tasks: Sequence[StudioTask], batch_size: int, progress: _Progress
) -> list[tuple[int, dict[str, Any]]]:
    """Task id and prediction for every task of the page that could be judged."""
    predictions: list[tuple[int, dict[str, Any]]] = []
    for at in range(0, len(tasks), batch_size):
        chunk = tasks[at : at + batch_size]
        prepared = service.prepare([{"id": task.id, "data": task.data} for task in chunk], config)
        progress.failures += [item for item in prepared if isinstance(item, Failure)]
        ready = [item for item in prepared if isinstance(item, Prepared)]
        verdicts = service.known(ready)
        missing = list({item.key: item for item in ready if item.key not in verdicts}.values())
        if missing:
            verdicts |= zip((item.key for item in missing), service.judge(missing), strict=True)
        predictions += [(int(item.sample.task), service.predict(verdicts[item.key], config)) for item in ready]
        progress.advance(len(chunk))
    return predictions
