"""Sees to it that every prediction Label Studio asked for arrives in its project, also when the answer came too late.

A task is owed from the moment it is asked for. Once Label Studio has had time to store what it was answered, a thread
looks which of the tasks have their prediction, judges the others, and writes theirs through the API. Nothing is owed
any more when it is known to be in the project; until then it stays in the store, whatever is killed or away meanwhile.

What no answer held cannot be on its way, and is settled as soon as Label Studio has taken it. What an answer held and
is not there yet may be stored later than we wait: it is written, and looked at again when as much time has gone by.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from backend.audit_slice import hold_to
from backend.core.judging import Judging
from backend.core.label_config import parse_label_config
from backend.core.types import Verdict
from backend.errors import LabelConfigError, StoreError, StudioError, VlmJudgeError
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
MOST_AT_HAND = 100_000
"""Jobs of a project that are looked through while nothing can be written."""
AT_ONCE = 1_000
"""Tasks that are looked at together."""
LOOK_EVERY_S = 5.0
"""For what other processes that share the store have noted."""
CLAIM_EVERY_S = 20.0
"""So often it is said that we stand by what we owe, also in the middle of a long round."""
_SHORTEST_S = 0.2
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


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What is wrong with a project, and when it is tried again, on the steady clock."""

    reason: str
    pause_s: float
    until_s: float


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
        self._lock = threading.Lock()
        self._unnoted: dict[str, set[int]] = {}
        """What is owed by project and could not be noted: only this process knows of it. Guarded by the lock."""
        self._troubled: dict[str, _Trouble] = {}
        """Projects that could not be delivered to when that was tried last."""
        self._ungiven: dict[tuple[str, str], set[int]] = {}
        """What answers hold, by project and fingerprint, and could not be noted. Guarded by the lock."""
        self._ours: dict[str, str] = {}
        """Under which fingerprint we judge each project, as far as is known. Guarded by the lock."""
        self._claiming = threading.Thread(target=self._claim, name="claims", daemon=True)

    def start(self) -> None:
        """Start the thread; what an earlier process owed is looked at first."""
        self._thread.start()
        self._claiming.start()

    def stop(self) -> None:
        """Write what is judged, leave the rest for the next start, and wait for the thread."""
        self._stopping.set()
        self._wake.set()
        for thread in (self._thread, self._claiming):
            if thread.is_alive():
                thread.join(30)

    def state(self) -> DeliveryState:
        """How it stands. Raises StoreError."""
        return DeliveryState(*self._state, self._jobs.counts())

    def asked(self, project: str, fingerprint: str, tasks: Collection[int], deadline_s: float) -> frozenset[int]:
        """Label Studio asks for these; which of them the answer may hold. Raises StoreError when that is not noted.

        The others are on their way already, by an earlier answer or by our own writing, and would come twice. While
        we cannot write, an answer may hold what is due and was never sent.
        """
        self._judge_under(project, fingerprint)
        new = self._jobs.owe(project, fingerprint, tasks, deadline_s + ANSWER_GRACE_S)
        if self._state[0] != "waiting":
            return new
        due = self._jobs.due(project, fingerprint, MOST_AT_HAND)
        return new | {job.task for job in due if not job.sent and job.task in tasks}

    def answered(
        self, project: str, fingerprint: str, given: Collection[int], late: Collection[int], failed: Collection[int]
    ) -> None:
        """The answer holds these predictions; these are late and come by our own writing; these cannot be judged.

        To be told before the answer leaves.
        """
        self._give(project, fingerprint, given)
        try:
            if late:
                self._jobs.put_off(project, fingerprint, late, 0.0)
            if failed:
                self._jobs.settle(project, fingerprint, failed)
        except StoreError as exc:
            log.error("what became of %d predictions is not noted: %s", len(late) + len(failed), exc)
            self.remember(project, late)
        if late:
            self._wake.set()

    def remember(self, project: str, tasks: Collection[int]) -> None:
        """These are owed, and cannot be noted: this process alone knows of them."""
        with self._lock:
            self._unnoted.setdefault(project, set()).update(tasks)
        self._wake.set()

    @property
    def _jobs(self) -> JobBook:
        return self._service.store.jobs

    def _give(self, project: str, fingerprint: str, tasks: Collection[int]) -> None:
        """Note that an answer holds these, or do so as soon as the store can be written."""
        if (problem := self._noted_as_given(project, fingerprint, tasks)) is not None:
            log.error("that an answer holds %d predictions is not noted: %s", len(tasks), problem)

    def _give_again(self) -> None:
        with self._lock:
            ungiven, self._ungiven = self._ungiven, {}
        for (project, fingerprint), tasks in ungiven.items():
            self._noted_as_given(project, fingerprint, tasks)

    def _noted_as_given(self, project: str, fingerprint: str, tasks: Collection[int]) -> StoreError | None:
        """Why it cannot be noted that an answer holds these; it is tried again then."""
        try:
            self._jobs.give(project, fingerprint, tasks, ANSWER_GRACE_S + STORING_S * len(tasks))
        except StoreError as exc:
            with self._lock:
                self._ungiven.setdefault((project, fingerprint), set()).update(tasks)
            return exc
        return None

    def _judge_under(self, project: str, fingerprint: str) -> None:
        """Under which fingerprint we judge a project from now on. Raises StoreError."""
        with self._lock:
            before = self._ours.get(project, fingerprint)
            self._ours[project] = fingerprint
        if before != fingerprint:
            self._jobs.release(project, before)

    def _claim(self) -> None:
        """Say again and again that we are there, so that no other judge takes over what we owe."""
        while not self._stopping.wait(CLAIM_EVERY_S):
            with self._lock:
                ours = tuple(self._ours.items())
            with suppress(StoreError):  # said by the next round
                self._jobs.claim(ours)

    def _run(self) -> None:
        with suppress(StoreError):  # said by the first round
            self._jobs.forget_old(keep=self._service.name)
        pause_s = PAUSE_S
        while not self._stopping.is_set():
            try:
                problem = self._round()
                next_s, pause_s = self._next_s() if problem is None else LOOK_EVERY_S, PAUSE_S
            except VlmJudgeError as exc:
                problem = str(exc)
                next_s, pause_s = pause_s, min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception:
                log.exception("what is owed to Label Studio waits for a defect of ours")
                problem, next_s = "a defect of ours; the backend's log has the details", LONGEST_PAUSE_S
            self._state = ("idle", "") if problem is None else ("waiting", problem)
            self._wake.wait(next_s)
            self._wake.clear()

    def _next_s(self) -> float:
        """When to look again."""
        with self._lock:
            ours = set(self._ours.values())
        try:
            next_s = self._jobs.next_in_s(ours)
        except StoreError:
            return LOOK_EVERY_S
        return LOOK_EVERY_S if next_s is None else min(max(next_s, _SHORTEST_S), LOOK_EVERY_S)

    def _round(self) -> str | None:
        """Deliver to each project some of what is due; what is wrong with one, which holds up no other.

        Raises StoreError.
        """
        problem = None
        self._give_again()
        with self._lock:
            unnoted, ours = tuple(self._unnoted), dict(self._ours)
        groups = self._jobs.due_groups(self._service.name)
        due = (each.project for each in groups if each.abandoned or ours.get(each.project) in (None, each.fingerprint))
        for project in dict.fromkeys((*unnoted, *due)):
            troubled = self._troubled.get(project)
            if self._stopping.is_set():
                break
            if troubled and troubled.until_s > time.monotonic():
                problem = troubled.reason
                continue
            with self._service.store.alone(project) as mine:
                if not mine:
                    problem = f"another process writes to project {_number(project)}"
                    continue
                try:
                    self._deliver(project)
                    self._troubled.pop(project, None)
                except StudioError as exc:
                    problem = str(exc)
                    log.warning("what is owed to project %s waits: %s", _number(project), exc)
                    pause_s = min(2 * troubled.pause_s, LONGEST_PAUSE_S) if troubled else PAUSE_S
                    self._troubled[project] = _Trouble(problem, pause_s, time.monotonic() + pause_s)
        return problem

    def _deliver(self, uid: str) -> None:
        """Deliver a part of what is due to a project, so that the others have their turn."""
        self._state = ("delivering", f"to project {_number(uid)}")
        if self._studio is None:
            self._studio = self._sign_in()
        project, judging = self._opened(self._studio, uid)
        if project is None or judging is None:
            return
        self._judge_under(uid, judging.fingerprint)
        if renewed := self._jobs.renew(uid, self._service.name, judging.fingerprint):
            log.info("%d predictions of project %d are owed under a new fingerprint", renewed, project.id)
        jobs = self._noted_now(uid, judging.fingerprint) or self._jobs.due(uid, judging.fingerprint, AT_ONCE)
        trouble = max((job.attempts for job in jobs), default=0)
        part = jobs[: max(1, AT_ONCE >> (3 * trouble))]  # what keeps failing is found in smaller and smaller parts
        round_ = _Round(self._studio, self._service, self._worker, self._vitals, project, judging, self._stopping)
        try:
            round_.deliver(part)
        except StudioRefusal as exc:
            tasks = [job.task for job in part]
            self._jobs.put_off(uid, judging.fingerprint, tasks, PAUSE_S, str(exc))
            raise
        self._forget_unnoted(uid, [job.task for job in part])
        if round_.wrote:
            self._studio.use_model_version(project.id, judging.fingerprint)
        round_.settle()

    def _noted_now(self, uid: str, fingerprint: str) -> tuple[Job, ...]:
        """What this process alone knows to be owed to a project; noted, if that can be, so that it can be put off."""
        with self._lock:
            tasks = sorted(self._unnoted.get(uid, ()))
        with suppress(StoreError):  # what can be judged is delivered all the same
            self._jobs.owe(uid, fingerprint, tasks, 0.0)
        return tuple(Job(uid, task, fingerprint, sent=False, attempts=0, reason=None) for task in tasks)

    def _forget_unnoted(self, uid: str, tasks: Collection[int]) -> None:
        with self._lock:
            left = self._unnoted.pop(uid, set()) - set(tasks)
            if left:
                self._unnoted[uid] = left

    def _opened(self, studio: Studio, uid: str) -> tuple[Project | None, Judging | None]:
        """The project and how it is judged; what is owed to one that is gone, or is another's, is forgotten.

        Raises StudioError where that cannot be told: what answers 404 may be something that stands before it.
        """
        try:
            project = studio.project(int(_number(uid)))
            if project.uid == uid:
                config = parse_label_config(project.label_config)
                hold_to(self._service.store, uid, config.audit)
                return project, self._service.judging(config)
            reason = f"at {studio.url} that number is another project's; does LABEL_STUDIO_URL name the right server?"
        except LabelConfigError as exc:
            reason = str(exc)
        except (StudioRefusal, ValueError) as exc:
            if isinstance(exc, StudioRefusal):
                if exc.status != 404:
                    raise
                studio.whoami()
            reason = str(exc)
        with self._lock:
            ours, unnoted = self._ours.get(uid), self._unnoted.pop(uid, set())
        if dropped := self._jobs.drop(uid, self._service.name, ours) + len(unnoted):
            log.warning("%d predictions are not delivered to project %s: %s", dropped, uid, reason)
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
        self._writes = WriteBack(studio, service.store, project, judging.fingerprint, judging.audit_key)
        self._seen: set[int] = set()
        self.wrote = False

    def deliver(self, jobs: Collection[Job]) -> None:
        """See which are there, judge the others, and write them. Raises StudioError."""
        by_task = {job.task: job for job in jobs}
        _, missing = self._writes.look(set(by_task))
        self._seen = set(by_task) - missing
        self._writes.expected = len(missing)
        bodies = ({"id": task.id, "data": task.data} for task in self._writes.read(missing))
        for outcome in judge_tasks(self._service, self._worker, bodies, self._judging, deadline=self._deadline):
            number = int(outcome.task["id"])
            if isinstance(outcome.result, Verdict):
                given = self._service.given(self._judging, outcome.task, outcome.result)
                self._writes.add(number, given.prediction, given.withheld)
            elif isinstance(outcome.result, Failure):
                self._fail(by_task[number], outcome.result)
            if self._writes.is_due:
                self._write()
        self._write()

    def settle(self) -> None:
        """What was seen in the project, or is gone from it, is owed no more. Raises StoreError."""
        self._jobs.settle(self._project.uid, self._judging.fingerprint, self._seen)

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


def _number(uid: str) -> str:
    """The number in a project's number and creation time."""
    return uid.partition(".")[0]
