"""Bulk judging: pages through a project, judges what this judge has not judged yet, and stores it in bulk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.predictions import FAILED
from backend.core.types import Verdict
from backend.errors import StudioError
from backend.service import Failure, JudgeService, Prepared
from backend.studio import Studio
from backend.studio_types import Project, StudioTask

STORE_AT_ONCE = 2_000
"""Predictions per bulk write: each write makes the server recount the project, so few large ones are cheap."""

_ASK_AGAIN = "a part of it could not be answered for now; run this again"


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
class _Run:
    """A run as it goes; used as a context, it stores what is judged even when the run is broken off."""

    studio: Studio
    project: Project
    report: Callable[[int, int], None]
    tasks: int = 0
    stored: int = 0
    already: int = 0
    failures: list[Failure] = field(default_factory=list)
    waiting: list[dict[str, Any]] = field(default_factory=list)

    def advance(self, tasks: int) -> None:
        self.tasks += tasks
        self.report(self.tasks, max(self.project.task_count, self.tasks))

    def store(self) -> None:
        sent, self.waiting = self.waiting, []
        done = self.studio.import_predictions(self.project.id, sent)
        self.stored += done.stored
        self.failures += [
            Failure(str(task), f"task {task}: Label Studio refuses it, {why}") for task, why in done.dropped
        ]

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.waiting and not (kind and issubclass(kind, StudioError)):
            self.store()


def judge_project(
    studio: Studio,
    service: JudgeService,
    project_id: int,
    *,
    batch_size: int = 8,
    limit: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> JudgeRun:
    """Judge a project's tasks by rising id; what is judged when the run is broken off is stored.

    `limit` is the largest number of tasks to judge, those judged before not counted. `report` is
    told how many tasks are done and how many there are. Raises StudioError, LabelConfigError, or
    EngineError when the model cannot be loaded; what is wrong with a single task is a failure in
    the result.
    """
    project = studio.project(project_id)
    config = parse_label_config(project.label_config)
    fingerprint = service.judging(config).fingerprint
    service.engine.load()
    with _Run(studio, project, report) as run:
        for page in studio.pages(project_id):
            todo = [task for task in page if fingerprint not in task.model_versions]
            run.already += len(page) - len(todo)
            run.advance(len(page) - len(todo))
            room = None if limit is None else limit - (run.tasks - run.already)
            _judge_tasks(service, config, todo[:room], batch_size, run)
            if room is not None and len(todo) >= room:
                break
    studio.use_model_version(project_id, fingerprint)
    return JudgeRun(run.tasks, run.stored, run.already, tuple(run.failures), fingerprint)


def _judge_tasks(
    service: JudgeService, config: LabelConfig, tasks: Sequence[StudioTask], batch_size: int, run: _Run
) -> None:
    for at in range(0, len(tasks), batch_size):
        chunk = tasks[at : at + batch_size]
        prepared = service.prepare([{"id": task.id, "data": task.data} for task in chunk], config)
        ready = [item for item in prepared if isinstance(item, Prepared)]
        results: dict[str, Verdict | Failure] = dict(service.known(ready))
        missing = list({item.key: item for item in ready if item.key not in results}.values())
        if missing:
            results |= zip((item.key for item in missing), service.judge_each(missing), strict=True)
        for task, item in zip(chunk, prepared, strict=True):
            result = item if isinstance(item, Failure) else results[item.key]
            if isinstance(result, Failure):
                run.failures.append(result)
            elif result.fingerprint.endswith(FAILED):
                run.failures.append(Failure(str(task.id), f"task {task.id}: {_ASK_AGAIN}"))
            elif isinstance(item, Prepared):
                run.waiting.append({"task": int(item.sample.task), **item.judging.prediction(result)})
        run.advance(len(chunk))
        if len(run.waiting) >= STORE_AT_ONCE:
            run.store()
