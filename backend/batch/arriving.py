"""Puts rows into a Label Studio project as tasks, each once, with what was said of them in the order it was said."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from backend.batch.fields import HELD, HeldImages, Row, nested
from backend.batch.judgement import ROW
from backend.core.audit import AuditPlan
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.sample import data_value, role_of
from backend.errors import BatchError, ImageError, StudioError
from backend.pictures import stored_as
from backend.store import Store
from backend.studio import Project, Studio

Json = Mapping[str, Any]

TASKS_AT_ONCE = 500
BYTES_AT_ONCE = 32 * 2**20
"""Of tasks in one request; Label Studio takes 250 MiB."""
LATE_AT_ONCE = 5_000
"""Predictions for tasks that are there; every call makes Label Studio count the whole project anew."""
LOCAL_FILES = "/data/local-files/?d="
_ANNOTATED: Json = {
    "filter": "filter:tasks:total_annotations",
    "operator": "greater",
    "type": "Number",
    "value": 0,
}


@dataclass(frozen=True, slots=True)
class ImagesFolder:
    """Where images that lie in their rows are put for Label Studio to show."""

    folder: Path
    document_root: Path
    """What Label Studio serves local files from; the folder lies below it."""

    def put(self, content: bytes, ending: str) -> str:
        """Write an image, unless it is there; its address. Raises BatchError."""
        path = self.folder / f"{hashlib.sha256(content).hexdigest()}{ending}"
        try:
            if not path.exists():
                fresh = path.with_name(f".{path.name}.{os.getpid()}")
                fresh.write_bytes(content)
                os.replace(fresh, path)
            inside = path.relative_to(self.document_root).as_posix()
        except (OSError, ValueError) as exc:
            raise BatchError(f"cannot put images into {self.folder}, below {self.document_root}: {exc}") from exc
        return f"{LOCAL_FILES}{quote(inside)}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's annotation that was made with the judge's answer in sight."""

    annotation: Json
    """`{"result", "lead_time", ...}` as Label Studio takes it."""
    parent: int | None = None
    """Which of the row's predictions it started from, from 0; None where it started empty."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A row on its way into the project. Whose answer was there before whose is what the order in it says."""

    row: Row
    blind: tuple[Json, ...] = ()
    """Predictions that show nothing; they come with the task."""
    first: tuple[Json, ...] = ()
    """Annotations that come with the task, before any prediction that shows something."""
    accepted: tuple[Json, ...] = ()
    """Annotations that are the judge's own; they come with the task, as do the predictions then."""
    predictions: tuple[Json, ...] = ()
    """`{"result", "score", "model_version"}` each."""
    answers: tuple[Answer, ...] = ()
    """They come last."""

    @property
    def with_task(self) -> tuple[Json, ...]:
        """The predictions that come with the task."""
        return self.blind if self.first else (*self.blind, *self.predictions)


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of rows; `rows == imported + already + left_out`."""

    rows: int
    imported: int
    already: int
    completed: int
    """Of those already there, tasks that got what they had not: a prediction or an annotation."""
    left_out: int
    """Rows that lack an image or a text that the label config shows."""


@dataclass(frozen=True, slots=True)
class _There:
    """A task that is in the project."""

    task: int
    versions: tuple[str, ...]
    """Whose predictions it has, by rising id."""
    predictions: tuple[int, ...]
    """Their ids."""


@dataclass(slots=True)
class Arrivals:
    """Takes rows until `finish`; a row is known again by its id, `judge_row`. Can be broken off and begun again."""

    studio: Studio
    project: Project
    config: LabelConfig
    files: ImagesFolder | None
    """None makes data URIs of images that lie in their rows."""
    store: Store | None = None
    """Where the judge's answers to tasks of the project's blind slice go, which are shown to nobody then, not even for
    a moment: which tasks are in it is only known when they have their numbers."""
    present: dict[str, _There] = field(default_factory=dict)
    waiting: list[tuple[Arrival, Json]] = field(default_factory=list)
    waiting_bytes: int = 0
    late: list[tuple[int, Json]] = field(default_factory=list)
    """Predictions for tasks that are there."""
    before: int = 0
    rows: int = 0
    imported: int = 0
    already: int = 0
    completed: set[int] = field(default_factory=set)
    left_out: int = 0
    _annotations: dict[int, int] = field(default_factory=dict)
    """How many annotations tasks have; those without any are absent."""
    _plan: AuditPlan | None = field(init=False)
    _needed: tuple[str, ...] = field(init=False)
    """Keys that a task must have for Label Studio to take it."""
    _optional: tuple[str, ...] = field(init=False)
    """Of these, what may be empty."""

    def __post_init__(self) -> None:
        self._plan = parse_label_config(self.project.label_config).audit if self.store else None
        self._needed = tuple(item.key for item in (*self.config.images, *self.config.texts) if item.key)
        self._optional = tuple(text.key for text in self.config.texts if text.key and role_of(text.name) == "requested")

    def read_present(self, *, annotations: bool = False) -> None:
        """Learn which rows are there, and when asked their annotations. Raises BatchError for one that is twice."""
        for page in self.studio.pages(self.project.id):
            self.before += len(page)
            for task in page:
                row = task.data.get(ROW)
                if not isinstance(row, str):
                    continue
                if row in self.present:
                    raise BatchError(
                        f"project {self.project.id} has the row {row} twice, as tasks {self.present[row].task} and "
                        f"{task.id}; delete one of them, and give the command again"
                    )
                made = sorted(task.predictions, key=lambda one: one.id)
                versions = tuple(one.model_version for one in made)
                self.present[row] = _There(task.id, versions, tuple(one.id for one in made))
        if annotations and self.present:
            for tasks in self.studio.annotated_tasks(self.project.id, filters=(_ANNOTATED,)):
                self._annotations |= {task["id"]: len(task["annotations"]) for task in tasks}

    def take(self, arrival: Arrival, images: HeldImages) -> None:
        """Send a row when enough wait, unless it is there or cannot be shown; `images` reads those that lie in it.

        Raises BatchError and StudioError.
        """
        self.rows += 1
        there = self.present.get(arrival.row.id)
        if there is not None:
            self.already += 1
            self._complete(there, arrival)
            return
        data = self._data(arrival.row, images)
        if data is None:
            self.left_out += 1
            return
        annotations = [*arrival.first, *arrival.accepted]
        shown = () if self._plan else arrival.with_task
        task = {
            "data": data,
            **({"predictions": list(shown)} if shown else {}),
            **({"annotations": annotations} if annotations else {}),
        }
        self.waiting.append((arrival, task))
        self.waiting_bytes += len(json.dumps(task, ensure_ascii=False))
        if len(self.waiting) >= TASKS_AT_ONCE or self.waiting_bytes >= BYTES_AT_ONCE:
            self.send()

    def finish(self) -> Tally:
        """Send what waits, and see that all is there. Raises StudioError."""
        self.send()
        self._store_late()
        there, wanted = self.studio.project(self.project.id).task_count, self.before + self.imported
        if there != wanted:
            raise StudioError(
                f"project {self.project.id} has {there} tasks and should have {wanted}; look whether somebody else "
                "imports into it, and give the command again"
            )
        return Tally(self.rows, self.imported, self.already, len(self.completed), self.left_out)

    def send(self) -> None:
        """Import what waits. Raises StudioError."""
        if not self.waiting:
            return
        sent, self.waiting, self.waiting_bytes = self.waiting, [], 0
        ids = self.studio.import_tasks(self.project.id, [task for _, task in sent])
        self.imported += len(ids)
        arrived = [(number, arrival) for number, (arrival, _) in zip(ids, sent, strict=True)]
        for number, arrival in arrived:
            late = arrival.predictions if arrival.first or self._plan else ()
            self.late += [(number, self._given(number, arrival.row, made)) for made in late]
        self._store_late()
        answered = {number: arrival for number, arrival in arrived if arrival.answers}
        for page in self.studio.tasks(self.project.id, answered):
            for found in page:
                made = tuple(sorted(one.id for one in found.predictions))
                self._answer(found.id, made, answered[found.id])

    def _complete(self, there: _There, arrival: Arrival) -> None:
        """Give a task that is there what an import that was broken off has not brought."""
        has = Counter(there.versions)
        wanted = Counter(_version(made) for made in (*arrival.blind, *arrival.predictions))
        lacking = [made for made in arrival.predictions if has[_version(made)] < wanted[_version(made)]]
        if lacking:
            self.late += [(there.task, self._given(there.task, arrival.row, made)) for made in lacking]
            self.completed.add(there.task)
            if len(self.late) >= LATE_AT_ONCE:
                self._store_late()
        given = self._annotations.get(there.task, 0)
        whole = len(arrival.first) + len(arrival.accepted) + len(arrival.answers)
        if arrival.answers and given < whole:
            self._store_late()
            made = there.predictions
            if lacking:
                [[found]] = self.studio.tasks(self.project.id, (there.task,))
                made = tuple(sorted(one.id for one in found.predictions))
            self._answer(there.task, made, arrival, max(0, given - len(arrival.first)))
            self.completed.add(there.task)

    def _answer(self, task: int, made: tuple[int, ...], arrival: Arrival, begin: int = 0) -> None:
        """Submit a task's answers from this one on; `made` are the ids of its predictions, as they were sent."""
        shown = made[len(arrival.blind) :]
        for answer in arrival.answers[begin:]:
            parent = {} if answer.parent is None else {"parent_prediction": shown[answer.parent]}
            self.studio.annotate(task, {**answer.annotation, **parent})

    def _given(self, task: int, row: Row, made: Json) -> Json:
        """The prediction; of a task of the blind slice one that shows nothing, once this one is in the store."""
        if self._plan is None or self.store is None or self._plan.drawn_with(task, row.data) is None:
            return made
        self.store.withheld.put(self._plan.key, {task: made})
        return self._plan.blind(task, row.data, _version(made))

    def _store_late(self) -> None:
        if not self.late:
            return
        late, self.late = self.late, []
        stored = self.studio.import_predictions(self.project.id, [{"task": task, **made} for task, made in late])
        if stored.dropped:
            task, why = stored.dropped[0]
            raise StudioError(
                f"{len(stored.dropped)} predictions do not fit the label config of project {self.project.id}, first "
                f"that of task {task}: {why}; give the label config that they were made with"
            )

    def _data(self, row: Row, images: HeldImages) -> dict[str, Any] | None:
        """The row's data for Label Studio; None where the label config shows what it does not have."""
        data = {**row.data, **{key: row.data.get(key) or "" for key in self._optional}}
        if any(data_value(data, key) in (None, []) for key in self._needed):
            return None
        images.hold(row)
        try:
            shown = {key: self._shown(row.id, value, images) for key, value in data.items()}
            return {**nested(shown, self._needed), ROW: row.id}
        except ImageError:
            return None
        finally:
            images.drop(row.id)

    def _shown(self, row: str, value: Any, images: HeldImages) -> Any:
        """A value of the row; of an image that lies in it, an address that Label Studio can show. Raises ImageError."""
        if isinstance(value, list):
            return [self._shown(row, item, images) for item in value]
        if not isinstance(value, str) or not value.startswith(HELD):
            return value
        content = images.read(value, row)
        mime, ending = stored_as(content)
        if self.files is not None:
            return self.files.put(content, ending)
        return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _version(made: Json) -> str:
    return str(made.get("model_version") or "")
