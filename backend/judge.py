"""Bulk judging: pages through a project, judges what this judge has not judged yet, and stores it in bulk.

Nothing is judged twice, because verdicts are kept by content; nothing is stored twice, because of `writeback`; and a
run that is killed anywhere goes on from there when it is started again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Set
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice

from backend.ahead import read_ahead
from backend.audit_slice import hold_to
from backend.core.judging import Judging
from backend.core.label_config import parse_label_config
from backend.core.types import Verdict
from backend.errors import EngineError, StudioAway
from backend.outcomes import Deadline, judge_tasks
from backend.patience import RETRY_PAUSES_S, InARow, Patience, Stop, Stopped
from backend.service import Failure, JudgeService
from backend.studio import Studio
from backend.studio_types import Json, Project, StudioTask
from backend.worker import Worker
from backend.writeback import WriteBack, Written, judged_by, not_judged_by

FIRST_PAGE_SIZE, PAGE_SIZE = 50, 5000
"""Label Studio needs 0.3 ms a task for a page, and for each counts all tasks that are left, so that large ones are
cheap; a small one first lets the judge begin."""
PAGES_AHEAD = 1
"""Label Studio prepares the next page while the last one is judged; more would only cost memory."""
PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to judge and how."""

    batch_size: int | None = None
    """None leaves it to the worker."""
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
    again: dict[int, Failure] = field(default_factory=dict)
    """Tasks that may be judged when asked again."""
    doubtful: set[int] = field(default_factory=set)
    """Tasks that somebody may be writing just now: they come last."""
    aside: set[int] = field(default_factory=set)
    """Those of them that came along."""
    last: int = 0
    """The highest task that was read."""
    left: int | None = None
    """How many may still be judged; None without a limit."""

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind and issubclass(kind, EngineError):  # anything else may come from the writing itself
            self.write()

    def begin(self) -> None:
        """Count what is there, and find out what may be on its way."""
        noted = {job.task for job in self.service.store.jobs.all_of(self.project.uid, self.judging.fingerprint)}
        _, missing = self.patience.ask(lambda: self.writes.look(noted))
        self.writes.settle(noted - missing)
        self.doubtful = missing
        self.left = self.options.limit
        self.already = self._count_judged()
        self.total = self.patience.ask(lambda: self.studio.count(self.project.id, self.options.filters))
        left = self.total - self.already
        self.writes.expected = left if self.left is None else min(left, self.left)
        self.told.progress(self.already, max(self.total, self.already))

    def go(self) -> None:
        """Judge all there is, and with `watch_s` what comes, for ever. Raises Stopped, EngineError or StudioError."""
        while True:
            with closing(self.todo()) as tasks:
                self.judge(tasks)
            self.finish()
            if self.options.watch_s is None:
                return
            self.patience.sleep(self.options.watch_s)

    def judge(self, tasks: Iterator[StudioTask]) -> None:
        """Judge these tasks and store their predictions. Raises Stopped, EngineError or StudioError."""
        bodies = ({"id": task.id, "data": task.data} for task in islice(tasks, self.left))
        deadline = Deadline(stop=self.patience.stop)
        in_a_row = InARow(self.patience)
        for outcome in judge_tasks(self.service, self.worker, bodies, self.judging, deadline=deadline, look_up=False):
            if outcome.result is None:
                break
            why = self._note(outcome.task, outcome.result)
            if self.worker.is_dead:
                raise EngineError(f"{self.worker.failure}; start again, what is judged is kept")
            in_a_row.note(why)
            if self.writes.is_due:
                self.write()
        if self.patience.stop.is_set():
            raise Stopped

    def _note(self, task: Json, result: Verdict | Failure) -> str | None:
        """Keep an outcome: a prediction to be written, a failure, or one that is tried again and why."""
        number = int(task["id"])
        if isinstance(result, Failure) and result.transient:
            self.again[number] = result
            return result.reason
        if isinstance(result, Verdict):
            given = self.service.given(self.judging, task, result)
            self.writes.add(number, given.prediction, given.withheld)
        else:
            self.fail(number, result)
        self.seen += 1
        self.left = None if self.left is None else self.left - 1
        done = self.already + self.seen
        self.told.progress(done, max(self.total, done))
        return None

    def todo(self) -> Generator[StudioTask, None, None]:
        """The tasks that are not judged, by rising id from the last one read; what is in doubt is set aside."""
        with closing(read_ahead(self._pages(), PAGES_AHEAD)) as pages:
            for page in pages:
                self.last = page[-1].id
                for task in page:
                    if task.id in self.doubtful:
                        self.aside.add(task.id)
                    else:
                        yield task

    def _pages(self) -> Generator[tuple[StudioTask, ...], None, None]:
        """The pages after the last task that was read, a small one first."""
        filters = (*self.options.filters, not_judged_by(self.judging.fingerprint))
        size, last = FIRST_PAGE_SIZE, self.last
        while page := self.patience.ask(
            lambda: next(self.studio.pages(self.project.id, size, filters, last, fields="data"), ())  # noqa: B023
        ):
            yield page
            last, size = page[-1].id, min(2 * len(page), PAGE_SIZE)

    def write(self) -> None:
        """Store what waits, as long as it takes Label Studio to come back. Raises StudioError or Stopped."""
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
        """Deal with what was set aside, with what may be judged by now, and with what may be there twice."""
        self.write()
        if self.doubtful or self.writes.doubtful:
            self.told.said("waiting for writes whose end was not seen")
            self.patience.sleep(self.writes.doubt_s(len(self.doubtful) + len(self.writes.doubtful)))
        if self.doubtful:
            _, missing = self.patience.ask(lambda: self.writes.look(self.doubtful))
            self.writes.settle(self.doubtful - missing)
            todo, self.aside, self.doubtful = self.aside & missing, set(), set()
            self.judge(self._read(todo))
            self.write()
            # not sooner: what an answer brings after the look is judged here too, and would be counted twice
            self.already = self._count_judged() - self.stored
        self._retry()
        self.patience.ask(self.writes.delete_all_doubles)
        self.writes.settle(self.writes.doubtful - self.writes.others, seen=False)
        self.writes.doubtful = set()

    def _retry(self) -> None:
        """Judge again what may be judged by now; what still cannot be is a failure."""
        for pause_s in RETRY_PAUSES_S:
            if not self.again:
                return
            self.told.said(f"{len(self.again)} tasks could not be judged for now; trying them again in {pause_s:.0f} s")
            self.patience.sleep(pause_s)
            todo, self.again = set(self.again), {}
            self.judge(self._read(todo))
            self.write()
        for number, failure in self.again.items():
            self.fail(number, failure)
            self.seen += 1
        self.again = {}

    def _read(self, tasks: Set[int]) -> Iterator[StudioTask]:
        yield from self.patience.ask(lambda: list(self.writes.read(tasks)))

    def break_off(self) -> None:
        """Store what is judged, but for what may be on its way: it stays noted, and the next run looks first."""
        for task in self.writes.doubtful & set(self.writes.waiting):
            del self.writes.waiting[task]
            self.seen -= 1
        with suppress(Stopped):  # raised only where Label Studio is away, and then the next run stores it
            self.write()
        self.seen -= len(self.writes.waiting)

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
    stop: Stop | None = None,
) -> JudgeRun:
    """Judge a project's tasks by rising id; what is judged when the run is broken off is stored.

    It is broken off when `stop` says so; with `watch_s` by nothing else. Raises StudioError, LabelConfigError,
    StoreError when another process keeps writing to the project, or EngineError when the model cannot be loaded or is
    lost; what is wrong with a single task is a failure in the result.
    """
    options, told = options or RunOptions(), told or Told()
    patience = Patience(options.patience_s, told.said, stop or Stop())
    with ExitStack() as stack:
        uid = patience.ask(lambda: studio.project(project_id)).uid
        stack.enter_context(service.store.held(uid, told.said))
        project = patience.ask(lambda: studio.project(project_id))  # its slice may have been drawn while we waited
        judging = _judging(service, project)
        writes = WriteBack(studio, service.store, project, judging.fingerprint, judging.audit_key)
        worker = stack.enter_context(running_worker(service, options.batch_size))
        run = stack.enter_context(_Run(studio, service, worker, project, judging, options, told, patience, writes))
        interrupted = False
        try:
            run.begin()
            run.go()
        except Stopped:
            interrupted = True
            run.break_off()
    if run.stored or run.already:
        with suppress(Stopped):
            patience.ask(lambda: studio.use_model_version(project_id, judging.fingerprint))
    return run.result(interrupted=interrupted)


def preview_project(
    studio: Studio, service: JudgeService, project_id: int, count: int, options: RunOptions
) -> tuple[Preview, ...]:
    """The verdicts of the first tasks that are not judged yet; nothing is written to Label Studio. Raises as above.

    Tasks of the blind slice are passed over: who sees the preview may be who labels them.
    """
    project = studio.project(project_id)
    judging = _judging(service, project)
    filters = (*options.filters, not_judged_by(judging.fingerprint))
    pages = studio.pages(project_id, min(count, PAGE_SIZE), filters, fields="data")
    plan = judging.config.audit
    shown = (task for page in pages for task in page if plan is None or plan.drawn_with(task.id, task.data) is None)
    tasks = {task.id: task for task in islice(shown, count)}
    bodies = [{"id": task.id, "data": task.data} for task in tasks.values()]
    with running_worker(service, options.batch_size) as worker:
        results = {int(each.task["id"]): each.result for each in judge_tasks(service, worker, bodies, judging)}
    return tuple(Preview(task, result) for task in tasks.values() if (result := results[task.id]) is not None)


def _judging(service: JudgeService, project: Project) -> Judging:
    """How the project is judged. Raises LabelConfigError."""
    config = parse_label_config(project.label_config)
    hold_to(service.store, project.uid, config.audit)
    return service.judging(config)


@contextmanager
def running_worker(service: JudgeService, batch_size: int | None) -> Iterator[Worker]:
    """A worker whose engine is loaded. Raises EngineError when it cannot be."""
    worker = Worker(service, batch_size)
    worker.start()
    try:
        worker.wait_until_loaded()
        if worker.failure is not None:
            raise EngineError(worker.failure)
        yield worker
    finally:
        worker.stop()
