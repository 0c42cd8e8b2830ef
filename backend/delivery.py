"""Sees to it that every prediction Label Studio asked for arrives in its project, also when the answer came too late.

A task is owed from the moment it is asked for. Once Label Studio has had time to store what it was answered, a thread
looks which of the tasks have their prediction, judges the others, and writes theirs through the API. Nothing is owed
any more when it has been seen in the project; until then it stays in the store, whatever is killed or away meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from backend.core.judging import Judging
from backend.core.label_config import parse_label_config
from backend.core.types import Verdict
from backend.errors import LabelConfigError, StoreError, VlmJudgeError
from backend.outcomes import Deadline, judge_tasks
from backend.service import Failure, JudgeService
from backend.store import Job, JobBook
from backend.studio import Studio
from backend.studio_access import StudioRefusal
from backend.studio_types import Project
from backend.vitals import VitalSigns
from backend.worker import Worker
from backend.writeback import WriteBack

log = logging.getLogger(__name__)

ANSWER_GRACE_S = 5.0
"""Between a request's deadline, or its answer, and the first look whether Label Studio has stored it."""
STORING_S = 0.05
"""For every prediction of an answer; Label Studio needs 18 ms on a slow machine to store one."""
AT_ONCE = 1_000
"""Tasks that are looked at together."""
LOOK_EVERY_S = 5.0
"""For what other processes that share the store have noted."""
PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
"""After a failure, and at most after many."""
MAX_ATTEMPTS = 8
"""A task that fails so often is given up, and named among the failures."""

State = Literal["off", "idle", "delivering", "waiting"]


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How it stands."""

    state: State
    """`off` where Label Studio's address or key is not set, `waiting` where it, or the store, is away."""
    detail: str
    owed: Mapping[str, int]
    """Predictions by project."""


class Delivery:
    """The thread, and what the server tells it. Safe to use from several threads."""

    def __init__(self, studio: Callable[[], Studio], service: JudgeService, worker: Worker, vitals: VitalSigns) -> None:
        """`studio` signs in to Label Studio, which may be away when the backend starts."""
        self._sign_in = studio
        self._studio: Studio | None = None
        self._service = service
        self._worker = worker
        self._vitals = vitals
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._state: tuple[State, str] = ("idle", "")

    def start(self) -> None:
        """Start the thread; what an earlier process owed is looked at first."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is judged, leave the rest for the next start, and wait for the thread."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def state(self) -> DeliveryState:
        """How it stands. Raises StoreError."""
        return DeliveryState(*self._state, self._jobs.counts())

    def asked(self, project: str, fingerprint: str, tasks: Collection[int], deadline_s: float) -> frozenset[int]:
        """Label Studio asks for these; which of them the answer may hold.

        The others are on their way already, by an earlier answer or by our own writing, and would come twice.
        """
        try:
            return self._jobs.owe(project, fingerprint, tasks, deadline_s + ANSWER_GRACE_S)
        except StoreError as exc:
            log.error("%d predictions are not noted as owed: %s", len(tasks), exc)
            return frozenset(tasks)

    def answered(
        self, project: str, fingerprint: str, given: Collection[int], late: Collection[int], failed: Collection[int]
    ) -> None:
        """The answer holds these predictions; these are late and come by our own writing; these cannot be judged."""
        try:
            if given:
                self._jobs.put_off(project, fingerprint, given, ANSWER_GRACE_S + STORING_S * len(given))
            if late:
                self._jobs.put_off(project, fingerprint, late, 0.0)
            if failed:
                self._jobs.settle(project, fingerprint, failed)
        except StoreError as exc:
            log.error("what became of %d predictions is not noted: %s", len(given) + len(late) + len(failed), exc)
        if late:
            self._wake.set()

    @property
    def _jobs(self) -> JobBook:
        return self._service.store.jobs

    def _run(self) -> None:
        pause_s = PAUSE_S
        while not self._stopping.is_set():
            try:
                next_s = self._round()
                pause_s = PAUSE_S
                self._state = ("idle", "")
            except VlmJudgeError as exc:
                log.warning("what is owed to Label Studio waits: %s", exc)
                self._state = ("waiting", f"{exc}; tried again every {pause_s:.0f} s")
                next_s, pause_s = pause_s, min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception:
                log.exception("what is owed to Label Studio waits for a defect of ours")
                self._state = ("waiting", "a defect of ours; the backend's log has the details")
                next_s = LONGEST_PAUSE_S
            self._wake.wait(next_s)
            self._wake.clear()

    def _round(self) -> float:
        """Deliver what is due; in how many seconds to look again."""
        for project in self._jobs.due_projects():
            with self._service.store.alone(project) as mine:
                if mine and not self._stopping.is_set():
                    self._deliver(project)
        next_s = self._jobs.next_in_s()
        return LOOK_EVERY_S if next_s is None else min(max(next_s, 0.2), LOOK_EVERY_S)

    def _deliver(self, uid: str) -> None:
        self._state = ("delivering", f"to project {uid.partition('.')[0]}")
        if self._studio is None:
            self._studio = self._sign_in()
        project, judging = self._opened(self._studio, uid)
        if project is None or judging is None:
            return
        if outdated := self._jobs.drop(uid, keep=judging.fingerprint):
            log.info("%d predictions of another judge are owed no more in project %d", outdated, project.id)
        round_ = _Round(self._studio, self._service, self._worker, self._vitals, project, judging, self._stopping)
        while not self._stopping.is_set() and (jobs := self._jobs.due(uid, AT_ONCE)):
            round_.deliver(jobs)
        if round_.wrote:
            self._studio.use_model_version(project.id, judging.fingerprint)

    def _opened(self, studio: Studio, uid: str) -> tuple[Project | None, Judging | None]:
        """The project and how it is judged; what is owed to one that is gone, or is another's, is forgotten."""
        try:
            project = studio.project(int(uid.partition(".")[0]))
            if project.uid == uid:
                return project, self._service.judging(parse_label_config(project.label_config))
            reason = f"at {studio.url} that number is another project's; does LABEL_STUDIO_URL name the right server?"
        except LabelConfigError as exc:
            reason = str(exc)
        except (StudioRefusal, ValueError) as exc:
            if isinstance(exc, StudioRefusal) and exc.status != 404:
                raise
            reason = str(exc)
        log.warning("%d predictions are not delivered to project %s: %s", self._jobs.drop(uid), uid, reason)
        return None, None


class _Round:
    """The delivery of what is due to one project."""

    def __init__(
        self,
        studio: Studio,
        service: JudgeService,
        worker: Worker,
        vitals: VitalSigns,
        project: Project,
        judging: Judging,
        stopping: threading.Event,
    ) -> None:
        self._service = service
        self._worker = worker
        self._vitals = vitals
        self._project = project
        self._judging = judging
        self._deadline = Deadline(stop=stopping)
        self._jobs = service.store.jobs
        self._writes = WriteBack(studio, self._jobs, project, judging.fingerprint)
        self.wrote = False

    def deliver(self, jobs: Collection[Job]) -> None:
        """See which are there, judge the others, and write them. Raises StudioError or StoreError."""
        by_task = {job.task: job for job in jobs}
        there, missing = self._writes.look(tuple(by_task))
        gone = set(by_task) - there - set(missing)
        self._writes.settle(there | gone)
        self._writes.doubtful |= {number for number in missing if by_task[number].sent}
        bodies = ({"id": number, "data": missing[number].data} for number in sorted(missing))
        for outcome in judge_tasks(self._service, self._worker, bodies, self._judging, deadline=self._deadline):
            number = int(outcome.task["id"])
            if isinstance(outcome.result, Verdict):
                self._writes.add(number, self._judging.prediction(outcome.result))
            elif isinstance(outcome.result, Failure):
                self._fail(by_task[number], outcome.result)
            if self._writes.is_due:
                self._write()
        self._write()

    def _write(self) -> None:
        if not self._writes.waiting:
            return
        written = self._writes.write()
        self._vitals.delivered(written.stored)
        self.wrote = True
        log.info("delivered %d predictions to project %d", written.stored, self._project.id)
        for task, why in written.refused:
            self._vitals.failed(str(task), f"task {task}: Label Studio refuses it, {why}")

    def _fail(self, job: Job, failure: Failure) -> None:
        """Put it off when it may be judged later; else, or after many tries, give it up."""
        away = self._worker.failure is not None
        if failure.transient and (away or job.attempts + 1 < MAX_ATTEMPTS):
            in_s = LONGEST_PAUSE_S if away else PAUSE_S * 2**job.attempts
            reason = None if away else failure.reason
            self._jobs.put_off(job.project, job.fingerprint, (job.task,), in_s, reason)
            return
        self._vitals.failed(failure.task, failure.reason)
        log.warning("not judged: %s", failure.reason)
        self._jobs.settle(job.project, job.fingerprint, (job.task,))
