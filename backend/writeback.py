"""Stores predictions in a Label Studio project in bulk, each of them once, whatever breaks meanwhile.

Label Studio's bulk route adds what it is sent, also a second time, and a write that seems to have failed may have been
carried out. So every write is noted in the store before it begins; what is noted is looked for in the project before it
is written again; and what may be there twice is looked at once more, and the later one deleted.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from backend.errors import StoreError, StudioAway
from backend.store import JobBook, Store
from backend.studio import Studio
from backend.studio_access import StudioRefusal
from backend.studio_types import Project, StudioTask

log = logging.getLogger(__name__)

SMALLEST_WRITE = 2_000
"""Predictions. At each write Label Studio counts anew the predictions of all tasks of the project that have one, which
costs it 0.9 ms for each of them and much more than storing does, so few large writes are cheap."""
FULL_WRITES = 1
"""So many full writes store all that is expected, so that the cost of counting stays in proportion to its size."""
LARGEST_WRITE = 50_000
"""Predictions; Label Studio needs about a minute for so many."""
STORING_S = 0.001
"""What it needs for one, about."""
LARGEST_WRITE_BYTES = 128 * 2**20
"""Label Studio takes 250 MiB a request."""
WRITE_EVERY_S, SHARE_OF_TIME = 10.0, 0.05
"""Smaller writes are made so often that the writing takes at most this share of the time: where judging is slow,
people see predictions soon; where it is fast, Label Studio is not held up."""
DOUBT_S = 15.0
"""After this, and 5 ms a prediction, a write whose end was not seen has been carried out or never will be."""
DOUBT_PER_PREDICTION_S = 0.005

_ABOUT_THE_BODY = (400, 413, 422)
"""Statuses by which a server refuses what it was sent, and not who sent it."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a write."""

    stored: int
    refused: tuple[tuple[int, str], ...] = ()
    """Task and reason of each that Label Studio does not take."""


@dataclass(slots=True)
class WriteBack:
    """The writes to one project under one fingerprint."""

    studio: Studio
    store: Store
    project: Project
    fingerprint: str
    audit_key: str = ""
    """Of the project's blind slice; empty where there is none."""
    expected: int = 0
    """How many predictions are to come, as far as is known."""
    waiting: dict[int, Json] = field(default_factory=dict)
    """Predictions that are not sent yet, by task."""
    withheld: dict[int, Json] = field(default_factory=dict)
    """What is not sent at all, but kept in the store before its blind prediction is sent, by task."""
    waiting_bytes: int = 0
    doubtful: set[int] = field(default_factory=set)
    """Tasks that are sent again after an answer or a write whose end was not seen, and so may come to have two."""
    others: set[int] = field(default_factory=set)
    """Those of them that an answer held; whoever gave it will look at them again."""
    _wrote_s: float = field(default_factory=time.monotonic)
    """When the last write ended, on the steady clock."""
    _took_s: float = 0.0
    """How long it took."""

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        if not self.waiting:
            return False
        enough = min(max(SMALLEST_WRITE, ceil(self.expected / FULL_WRITES)), LARGEST_WRITE)
        pause_s = max(WRITE_EVERY_S, max(self._took_s, STORING_S * len(self.waiting)) / SHARE_OF_TIME)
        is_full = len(self.waiting) >= enough or self.waiting_bytes >= LARGEST_WRITE_BYTES
        return is_full or time.monotonic() - self._wrote_s > pause_s

    @property
    def jobs(self) -> JobBook:
        """What is owed to Label Studio."""
        return self.store.jobs

    def add(self, task: int, prediction: Json, withheld: Json | None = None) -> None:
        """Keep a prediction for the next write, and beside it what is kept from annotators."""
        self.waiting[task] = {"task": task, **prediction}
        if withheld is not None:
            self.withheld[task] = withheld
        self.waiting_bytes += len(json.dumps((withheld or prediction)["result"]))

    def write(self) -> Written:
        """Send what waits. Raises StudioError; what was not seen to be stored then waits still, and is in doubt.

        Raises StoreError, and sends nothing, when what is kept from annotators cannot be stored.

        What is in doubt, because an answer or an earlier write may bring it too, stays noted after it has been written,
        so that it is looked at once more whether it came twice.
        """
        if not self.waiting:
            return Written(0)
        refused: list[tuple[int, str]] = []
        tasks = set(self.waiting)
        began_s = time.monotonic()
        self.store.withheld.put(self.audit_key, self.withheld)
        self.withheld = {}
        self.note(tasks)
        try:
            stored = self._send(list(self.waiting.values()), refused)
        except StudioAway:
            self.doubtful |= set(self.waiting)
            raise
        self._wrote_s = time.monotonic()
        self._took_s = self._wrote_s - began_s
        self.waiting, self.waiting_bytes = {}, 0
        self.settle((tasks - self.doubtful) | {task for task, _ in refused}, seen=False)
        return Written(stored, tuple(refused))

    def look(self, tasks: Collection[int]) -> tuple[set[int], set[int]]:
        """Which of these have a prediction of the fingerprint, and which are there without; doubles are deleted.

        Raises StudioError.
        """
        there: set[int] = set()
        missing: set[int] = set()
        for page in self.studio.tasks(self.project.id, tasks):
            for task in page:
                self._delete_doubles(task)
                (there if self.fingerprint in task.model_versions else missing).add(task.id)
        for number in there & set(self.waiting):
            del self.waiting[number]
        return there, missing

    def read(self, tasks: Collection[int]) -> Iterator[StudioTask]:
        """These tasks with their data, as far as they are in the project. Raises StudioError."""
        for page in self.studio.tasks(self.project.id, tasks, "data"):
            yield from page

    def delete_all_doubles(self) -> int:
        """Look for tasks with several predictions of the fingerprint, and leave them the first; how many were deleted.

        Costs two short questions where there are none. Raises StudioError.
        """
        predictions = self.studio.prediction_counts(self.project.id).get(self.fingerprint, 0)
        has_it = (judged_by(self.fingerprint),)
        if predictions <= self.studio.count(self.project.id, has_it):
            return 0
        pages = self.studio.pages(self.project.id, filters=has_it)
        return sum(self._delete_doubles(task) for page in pages for task in page)

    def note(self, tasks: Collection[int]) -> None:
        """Note that these are being written. A store that cannot be written makes it less safe, but is no hindrance."""
        try:
            known = self.jobs.sending(self.project.uid, self.fingerprint, tasks, self.doubt_s(len(tasks)))
        except StoreError as exc:
            log.warning("a write of %d predictions is not noted: %s", len(tasks), exc)
            return
        self.doubtful |= {task for task, state in known.items() if state != "open"}
        self.others |= {task for task, state in known.items() if state == "given"}

    def settle(self, tasks: Collection[int], *, seen: bool = True) -> None:
        """These are known to be there, because they were seen or because they were written, or never will be."""
        try:
            self.jobs.settle(self.project.uid, self.fingerprint, tasks, seen=seen)
        except StoreError as exc:
            log.warning("%d predictions that are stored stay noted as owed: %s", len(tasks), exc)

    @staticmethod
    def doubt_s(count: int) -> float:
        """How long a write of so many predictions may go on after we lost sight of it."""
        return DOUBT_S + DOUBT_PER_PREDICTION_S * count

    def _send(self, predictions: list[Json], refused: list[tuple[int, str]]) -> int:
        """Write these; how many were stored, and on the list those that Label Studio does not take.

        Some servers refuse all because of one: tasks that were deleted meanwhile and predictions that do not fit the
        label config are left out then; where that is not it, each half is tried by itself.
        """
        if not predictions:
            return 0
        try:
            done = self.studio.import_predictions(self.project.id, predictions)
        except StudioRefusal as exc:
            if isinstance(exc, StudioAway) or exc.status not in _ABOUT_THE_BODY:
                raise
            return self._send_without(exc, predictions, refused)
        refused += done.dropped
        return done.stored

    def _send_without(self, refusal: StudioRefusal, predictions: list[Json], refused: list[tuple[int, str]]) -> int:
        wrong = dict(self._wrong(predictions)) if refusal.status == 400 else {}
        refused += wrong.items()
        if wrong:
            return self._send([item for item in predictions if item["task"] not in wrong], refused)
        if len(predictions) == 1:
            refused.append((predictions[0]["task"], refusal.detail))
            return 0
        half = len(predictions) // 2
        return self._send(predictions[:half], refused) + self._send(predictions[half:], refused)

    def _wrong(self, predictions: list[Json]) -> Iterator[tuple[int, str]]:
        """Tasks that were deleted meanwhile, and predictions that do not fit the label config."""
        numbers = [item["task"] for item in predictions]
        alive = {task.id for page in self.studio.tasks(self.project.id, numbers, "data") for task in page}
        yield from ((number, "it was deleted meanwhile") for number in numbers if number not in alive)
        yield from self.studio.misfits(self.project.id, [item for item in predictions if item["task"] in alive])

    def _delete_doubles(self, task: StudioTask) -> int:
        numbers = sorted(entry.id for entry in task.predictions if entry.model_version == self.fingerprint)
        for number in numbers[1:]:
            log.info("task %d had two predictions of this judge; the later one is deleted", task.id)
            self.studio.delete_prediction(number)
        return len(numbers[1:])


def judged_by(fingerprint: str) -> Json:
    """The Data Manager's filter for tasks that have a prediction of this fingerprint."""
    return _versions("contains", fingerprint)


def not_judged_by(fingerprint: str) -> Json:
    """The Data Manager's filter for tasks that have none."""
    return _versions("not_contains", fingerprint)


def _versions(operator: str, fingerprint: str) -> Json:
    name = "filter:tasks:predictions_model_versions"
    return {"filter": name, "operator": operator, "type": "List", "value": [fingerprint]}
