"""Bulk judging: pages through a project, judges what this judge has not judged yet, and stores it in bulk.

Nothing is judged twice, because verdicts are kept by content; nothing is stored twice, because of `writeback`; and a
run that is killed anywhere goes on from there when it is started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice

from backend.core.judging import Judging
from backend.core.label_config import parse_label_config
from backend.core.types import Verdict
from backend.errors import EngineError, StoreError, StudioAway, StudioError
from backend.outcomes import IN_HAND, judge_tasks
from backend.patience import Patience
from backend.service import Failure, JudgeService
from backend.studio import Studio
from backend.studio_types import Json, Project, StudioTask
from backend.vitals import VitalSigns
from backend.worker import Worker
from backend.writeback import WriteBack, Written, judged_by, not_judged_by

FIRST_PAGE_SIZE, PAGE_SIZE = 50, 500
"""Label Studio needs 2 ms a task for a page, so that a small one first lets the judge begin."""
PATIENCE_S = 600.0
ALONE_S = 60.0
"""How long to wait for another process that writes to the same project."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to judge and how."""

    batch_size: int = 8
    limit: int | None = None
    """The largest number of tasks to judge, those judged before not counted."""
    filters: tuple[Json, ...] = ()
    """Only tasks that pass these filters of the Data Manager."""
    watch_s: float | None = None
    """Look for new tasks this often, and never end; None ends when all is judged."""
    patience_s: float = PATIENCE_S
    """How long Label Studio may be away."""


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told how it goes."""

    progress: Callable[[int, int], None] = lambda done, total: None
    """How many tasks are done and how many there are; first those that were judged before."""
    failure: Callable[[Failure], None] = lambda failure: None
    said: Callable[[str], None] = lambda text: None
    """That Label Studio is away, or that another process is at work."""


@dataclass(frozen=True, slots=True)
class JudgeRun:
    """What bulk judging came to; `tasks == stored + already + len(failures)` unless Label Studio lost some."""

    tasks: int
    """Those judged before, and those whose outcome is known now."""
    stored: int
    """As Label Studio counted them."""
    already: int
    """Tasks that had a prediction of this fingerprint before."""
    failures: tuple[Failure, ...]
    fingerprint: str
    interrupted: bool = False
    """Whether it was broken off; then the balance is of what was done until then."""

    @property
    def unaccounted(self) -> int:
        """Tasks that were judged and that Label Studio neither stored nor refused; 0 unless it lost some."""
        return self.tasks - self.stored - self.already - len(self.failures)

    def summary(self) -> str:
        """The balance in one line."""
        lost = f" + {self.unaccounted} that Label Studio lost, judge again" if self.unaccounted else ""
        return (
            f"{self.tasks} tasks = {self.stored} judged and stored + {self.already} judged before "
            f"+ {len(self.failures)} failed{lost} (judge {self.fingerprint})"
        )


@dataclass(frozen=True, slots=True)
class Preview:
    """A verdict that was not stored."""

    task: StudioTask
    result: Verdict | Failure


@dataclass(slots=True)
class _Run:
    """A run as it goes; used as a context, it stores what is judged even when the run is broken off."""

    studio: Studio
    service: JudgeService
    worker: Worker
    project: Project
    judging: Judging
    options: RunOptions
    told: Told
    patience: Patience
    writes: WriteBack
    seen: int = 0
    """Tasks whose outcome is known, beside those judged before."""
    stored: int = 0
    already: int = 0
    total: int = 0
    failures: dict[int, Failure] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)
    """Tasks that somebody may be writing just now: they come last."""
    aside: set[int] = field(default_factory=set)
    """Those of them that came along."""

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.writes.waiting and not (kind and issubclass(kind, StudioError)):
            self.write()

    def begin(self) -> None:
        """Count what is there, and find out what may be on its way."""
        noted = [job.task for job in self.service.store.jobs.all_of(self.project.uid, self.judging.fingerprint)]
        _, missing = self.patience.ask(lambda: self.writes.look(noted))
        self.writes.settle(set(noted) - set(missing))
        self.doubtful = set(missing)
        self.already = self._count_judged()
        self.total = self.patience.ask(lambda: self.studio.count(self.project.id, self.options.filters))
        left = self.total - self.already
        self.writes.expected = left if self.options.limit is None else min(left, self.options.limit)
        self.told.progress(self.already, max(self.total, self.already))

    def judge(self, tasks: Iterator[StudioTask]) -> None:
        """Judge these tasks and store their predictions."""
        bodies = ({"id": task.id, "data": task.data} for task in tasks)
        in_hand = max(IN_HAND, 2 * self.options.batch_size)
        for outcome in judge_tasks(self.service, self.worker, bodies, self.judging, in_hand=in_hand):
            number = int(outcome.task["id"])
            if isinstance(outcome.result, Verdict):
                self.writes.add(number, self.judging.prediction(outcome.result))
            else:
                reason = outcome.result or Failure(str(number), f"task {number}: the judge was stopped")
                self.fail(number, reason)
            self.seen += 1
            done = self.already + self.seen
            self.told.progress(done, max(self.total, done))
            if self.writes.is_due:
                self.write()

    def todo(self) -> Iterator[StudioTask]:
        """The tasks that are not judged, by rising id; what is in doubt is set aside, what failed not tried again."""
        filters = (*self.options.filters, not_judged_by(self.judging.fingerprint))
        last, size = 0, FIRST_PAGE_SIZE
        while page := self.patience.ask(
            lambda: next(self.studio.pages(self.project.id, size, filters, last, fields="data"), ())  # noqa: B023
        ):
            last, size = page[-1].id, min(2 * size, PAGE_SIZE)
            for task in page:
                if task.id in self.doubtful:
                    self.aside.add(task.id)
                elif task.id not in self.failures:
                    yield task

    def write(self) -> None:
        """Store what waits, as long as it takes Label Studio to come back."""
        for pause_s in self.patience.pauses():
            try:
                self._look_again()
                self._count(self.writes.write())
                return
            except StudioAway as exc:
                if pause_s is None:
                    raise
                self.patience.wait(exc, pause_s)

    def _look_again(self) -> None:
        """What is sent again may be there by now."""
        if again := self.writes.doubtful & set(self.writes.waiting):
            there, _ = self.writes.look(again)
            self.stored += len(there)

    def finish(self) -> None:
        """Deal with what was set aside, once it can no longer be on its way, and with what may be there twice."""
        self.write()
        if self.doubtful or self.writes.doubtful:
            self.told.said("waiting for writes whose end was not seen")
            self.patience.sleep(self.writes.doubt_s(len(self.doubtful) + len(self.writes.doubtful)))
        if self.doubtful:
            _, missing = self.patience.ask(lambda: self.writes.look(self.doubtful))
            self.writes.settle(self.doubtful - set(missing))
            self.already = self._count_judged() - self.stored
            todo, self.aside, self.doubtful = self.aside & set(missing), set(), set()
            self.judge(missing[number] for number in sorted(todo))
            self.write()
        self.patience.ask(self.writes.delete_all_doubles)
        self.writes.settle(self.writes.doubtful)
        self.writes.doubtful = set()

    def fail(self, task: int, failure: Failure) -> None:
        """Note a task that cannot be judged or stored."""
        self.failures[task] = failure
        self.told.failure(failure)

    def result(self, *, interrupted: bool) -> JudgeRun:
        """The balance so far."""
        failures = tuple(self.failures.values())
        fingerprint = self.judging.fingerprint
        return JudgeRun(self.already + self.seen, self.stored, self.already, failures, fingerprint, interrupted)

    def _count_judged(self) -> int:
        """The tasks at hand that have a prediction of this judge."""
        chosen = (*self.options.filters, judged_by(self.judging.fingerprint))
        return self.patience.ask(lambda: self.studio.count(self.project.id, chosen))

    def _count(self, written: Written) -> None:
        self.stored += written.stored
        for task, why in written.refused:
            self.fail(task, Failure(str(task), f"task {task}: Label Studio refuses it, {why}"))


def judge_project(
    studio: Studio,
    service: JudgeService,
    project_id: int,
    options: RunOptions | None = None,
    told: Told | None = None,
) -> JudgeRun:
    """Judge a project's tasks by rising id; what is judged when the run is broken off is stored.

    KeyboardInterrupt ends it with what is judged stored; with `watch_s` nothing else does. Raises StudioError,
    LabelConfigError, StoreError when another process keeps writing to the project, or EngineError when the model
    cannot be loaded; what is wrong with a single task is a failure in the result.
    """
    options, told = options or RunOptions(), told or Told()
    patience = Patience(options.patience_s, told.said)
    project = patience.ask(lambda: studio.project(project_id))
    judging = service.judging(parse_label_config(project.label_config))
    writes = WriteBack(studio, service.store.jobs, project, judging.fingerprint)
    with ExitStack() as stack:
        stack.enter_context(_alone(service, project, told))
        worker = stack.enter_context(running_worker(service, options.batch_size))
        run = stack.enter_context(_Run(studio, service, worker, project, judging, options, told, patience, writes))
        run.begin()
        interrupted = False
        try:
            _passes(run)
        except KeyboardInterrupt:
            interrupted = True
            run.write()
    patience.ask(lambda: studio.use_model_version(project_id, judging.fingerprint))
    return run.result(interrupted=interrupted)


def preview_project(
    studio: Studio, service: JudgeService, project_id: int, count: int, options: RunOptions
) -> tuple[Preview, ...]:
    """The verdicts of the first tasks that are not judged yet; nothing is written to Label Studio. Raises as above."""
    project = studio.project(project_id)
    judging = service.judging(parse_label_config(project.label_config))
    filters = (*options.filters, not_judged_by(judging.fingerprint))
    pages = studio.pages(project_id, min(count, PAGE_SIZE), filters, fields="data")
    tasks = {task.id: task for task in islice((task for page in pages for task in page), count)}
    bodies = [{"id": task.id, "data": task.data} for task in tasks.values()]
    with running_worker(service, options.batch_size) as worker:
        outcomes = list(judge_tasks(service, worker, bodies, judging))
    return tuple(Preview(tasks[int(each.task["id"])], each.result) for each in outcomes if each.result is not None)


@contextmanager
def running_worker(service: JudgeService, batch_size: int, vitals: VitalSigns | None = None) -> Iterator[Worker]:
    """A worker whose engine is loaded. Raises EngineError when it cannot be."""
    worker = Worker(service, batch_size, vitals)
    worker.start()
    try:
        worker.wait_until_loaded()
        if worker.failure is not None:
            raise EngineError(worker.failure)
        yield worker
    finally:
        worker.stop()


def _passes(run: _Run) -> None:
    limit = run.options.limit
    while True:
        run.judge(islice(run.todo(), limit) if limit is not None else run.todo())
        run.finish()
        if run.options.watch_s is None:
            return
        time.sleep(run.options.watch_s)


@contextmanager
def _alone(service: JudgeService, project: Project, told: Told) -> Iterator[None]:
    """Hold the project, after waiting a while for whoever holds it. Raises StoreError when they do not let go."""
    until_s = time.monotonic() + ALONE_S
    with ExitStack() as stack:
        while not stack.enter_context(service.store.alone(project.uid)):
            stack.pop_all().close()
            if time.monotonic() > until_s:
                raise StoreError(
                    f"another process that shares the store {service.store.shown} writes to project {project.id}; "
                    "wait until it is done, or stop it"
                )
            told.said(f"another process writes to project {project.id}; waiting for it")
            time.sleep(2)
        yield
