"""One prediction request: its tasks in, one entry per task out, by the deadline."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.core.audit import number_of
from backend.core.judging import Judging
from backend.core.label_config import LabelConfig
from backend.core.types import Verdict
from backend.delivery import Delivery
from backend.errors import StoreError
from backend.outcomes import Deadline, judge_tasks
from backend.service import Failure, JudgeService
from backend.vitals import VitalSigns
from backend.wire import cut
from backend.worker import Worker

log = logging.getLogger(__name__)

MOST_TASK_CHARS, MOST_REASON_CHARS = 100, 1_000
"""Of a failure, in the log and on the status page: a task's `id` may be anything of any length."""

Entry = dict[str, Any] | list[dict[str, Any]]
"""A prediction, or a list of none: Label Studio stores nothing then, and asks again when it is told to."""


@dataclass(slots=True)
class Ledger:
    """What is owed for a request, and what became of it; without a delivery nothing is."""

    delivery: Delivery | None
    project: str
    """Number and creation time, as Label Studio sends them."""
    fingerprint: str
    noted: bool = True
    """Whether the store could be written."""
    given: set[int] = field(default_factory=set)
    late: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)

    def open(self, tasks: Sequence[Mapping[str, Any]], deadline_s: float) -> frozenset[int]:
        """Note all as owed; the numbers of those that come on another way and must not be in the answer."""
        numbers = {number for task in tasks if (number := number_of(task)) is not None}
        if self.delivery is None or not numbers:
            return frozenset()
        try:
            return frozenset(numbers) - self.delivery.asked(self.project, self.fingerprint, numbers, deadline_s)
        except StoreError as exc:
            log.error("%d predictions are not noted as owed: %s", len(numbers), exc)
            self.noted = False
            return frozenset()

    def note(self, task: Mapping[str, Any], result: Verdict | Failure | None) -> None:
        """What became of a task."""
        number = number_of(task)
        if number is None:
            return
        if isinstance(result, Verdict):
            self.given.add(number)
        elif result is None or result.transient:
            self.late.add(number)
        else:
            self.failed.add(number)

    def close(self) -> None:
        """Tell what became of all."""
        if self.delivery is not None and not self.noted:
            self.delivery.remember(self.project, self.late)
        elif self.delivery is not None:
            self.delivery.answered(self.project, self.fingerprint, self.given, self.late, self.failed)


def predict_tasks(
    service: JudgeService,
    worker: Worker,
    tasks: Sequence[Mapping[str, Any]],
    config: LabelConfig,
    deadline: Deadline,
    *,
    vitals: VitalSigns | None = None,
    delivery: Delivery | None = None,
    project: str = "",
) -> list[Entry]:
    """One entry per task, in order, by the deadline.

    A task that cannot be judged, is not judged in time, or comes by our own writing already, has an empty list. What is
    late comes by `delivery`; without one it has to be asked for again, and what was judged meanwhile is there then.
    """
    judging = service.judging(config)
    ledger = Ledger(delivery, project, judging.fingerprint)
    elsewhere = ledger.open(tasks, deadline.left_s)
    here = [task for task in tasks if number_of(task) not in elsewhere]
    entries: dict[int, Entry] = {}
    try:
        for outcome in judge_tasks(service, worker, here, judging, deadline=deadline):
            result = outcome.result
            entry = _entry(service, judging, outcome.task, result)
            ledger.note(outcome.task, None if isinstance(result, Verdict) and not entry else result)
            entries[id(outcome.task)] = entry
            if isinstance(outcome.result, Failure) and not (delivery is not None and outcome.result.transient):
                _tell(outcome.result, vitals)
    finally:
        ledger.late |= {number for task in here if (number := number_of(task)) is not None} - (
            ledger.given | ledger.late | ledger.failed
        )
        ledger.close()
    log.info(
        "answered %d tasks: %d judged, %d late, %d failed, %d on their way",
        len(tasks), len(ledger.given), len(ledger.late), len(ledger.failed), len(elsewhere),
    )  # fmt: skip
    return [entries.get(id(task), []) for task in tasks]


def _entry(service: JudgeService, judging: Judging, task: Mapping[str, Any], result: Verdict | Failure | None) -> Entry:
    """The prediction; of a task of the blind slice one that shows nothing, once the judge's answer is in the store."""
    if not isinstance(result, Verdict):
        return []
    given = service.given(judging, task, result)
    if given.withheld is not None:
        try:
            service.store.withheld.put(judging.audit_key, {task["id"]: given.withheld})
        except StoreError as exc:
            log.error("task %s is kept blind, and its verdict cannot be stored: %s", task["id"], exc)
            return []
    return dict(given.prediction)


def _tell(failure: Failure, vitals: VitalSigns | None) -> None:
    """Say that a task cannot be judged; one that will be tried again is not told of yet."""
    task, reason = cut(failure.task, MOST_TASK_CHARS), cut(failure.reason, MOST_REASON_CHARS)
    log.warning("not judged: %s", reason, extra={"task": task})
    if vitals is not None:
        vitals.failed(task, reason)
