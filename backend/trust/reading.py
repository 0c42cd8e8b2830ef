"""Reads a project for statements about its judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backend.annotated import AnnotatedTask, Annotation, Prediction, read_task, unblinded
from backend.authorship import decoded, is_accepted, is_audited, is_mass_created, newest_judgement, saw_prediction
from backend.core.audit import AuditPlan, is_blind, without_plan
from backend.core.deciding import deciding_control
from backend.core.kinds import kind_of
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.regions import details
from backend.core.sample import data_value
from backend.core.trust.acceptance.binding import Binding, digest_of
from backend.core.trust.labels import Judgement, LabelledProject, LabelledTask, Said
from backend.core.types import Value
from backend.errors import TrustError
from backend.store import Store
from backend.studio import Project, Studio
from backend.trust.sweep import Sweep, Swept

Json = Mapping[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Reading:
    """A project as it stands."""

    project: Project
    labelled: LabelledProject
    binding: Binding
    """The judge and the tasks that a statement made now is about."""
    open: frozenset[int]
    """Tasks without any annotation, be it a person's or the judge's."""
    accepted: Mapping[int, tuple[int, ...]]
    """The judge's own annotations by task, by which a certificate took its answer without a person."""
    again: frozenset[int]
    """Tasks outside the slice that are kept blind because people look at accepted ones again."""
    unknown: tuple[int, ...]
    """Tasks kept blind whose verdict is not in this store."""
    swept: Swept

    @property
    def plan(self) -> AuditPlan:
        """How the blind slice was drawn. Raises TrustError where there is none."""
        plan = self.labelled.config.audit
        if plan is None:
            raise TrustError(
                f"project {self.project.id} has no blind slice, so nothing measures its judge; draw one before the "
                f"review begins: vlm-judge project create --title {self.project.title!r} --audit 0.1"
            )
        return plan


def read_project(
    studio: Studio, store: Store, project_id: int, progress: Progress = lambda done, total: None
) -> Reading:
    """The project with all that was said in it; annotations go into the store on the way.

    Raises TrustError for a project that nothing can be stated about, StudioError and StoreError.
    """
    project = studio.project(project_id)
    config = parse_label_config(project.label_config)
    reader = _Reader(store, config, judge_of(studio, project))
    going = Sweep(store.feedback, project.uid)
    done = 0
    for page in studio.annotated_tasks(project.id):
        going.take(page)
        reader.read(page)
        done += len(page)
        progress(done, max(done, project.task_count))
    return reader.reading(project, going.finish())


def judge_of(studio: Studio, project: Project) -> str:
    """The fingerprint whose predictions count: the one that annotators see, else the one with the most.

    Raises TrustError when there is none.
    """
    found = studio.prediction_counts(project.id)
    counts = {version: count for version, count in found.items() if count}  # the chosen one is listed also without any
    if project.model_version in counts:
        return project.model_version
    if not counts:
        raise TrustError(
            f"project {project.id} ({project.title}) has no predictions; run `vlm-judge judge --project {project.id}`"
        )
    return max(counts, key=lambda version: counts[version])


class _Reader:
    """What is known so far."""

    def __init__(self, store: Store, config: LabelConfig, fingerprint: str) -> None:
        self._withheld = store.withheld
        self._config = config
        self._fingerprint = fingerprint
        self._tasks: list[LabelledTask] = []
        self._contents: list[tuple[int, str]] = []
        self._open: set[int] = set()
        self._accepted: dict[int, tuple[int, ...]] = {}
        self._again: set[int] = set()
        self._unknown: list[int] = []

    def read(self, page: tuple[Json, ...]) -> None:
        """Take in a page of tasks."""
        tasks = [read_task(raw) for raw in page]
        plan = self._config.audit
        blind = [task.id for task in tasks if is_audited(task)]
        kept = self._withheld.get(plan.key, blind) if plan else {}
        for task in tasks:
            self._take(unblinded(task, kept.get(task.id, ())))

    def _take(self, task: AnnotatedTask) -> None:
        plan = self._config.audit
        drawn_with = plan.drawn_with(task.id, task.data) if plan else None
        known = labelled_task(task, self._config, self._fingerprint, drawn_with)
        self._contents.append((task.id, content_of(task.data, known.judge)))
        self._tasks.append(known)
        if not task.annotations:
            self._open.add(task.id)
        if own := tuple(one.id for one in task.annotations if is_accepted(one)):
            self._accepted[task.id] = own
        if drawn_with is None and any(_is_kept(one) for one in task.predictions if self._is_ours(one)):
            self._again.add(task.id)
        if any(is_blind(one.result) for one in task.predictions if self._is_ours(one)):
            self._unknown.append(task.id)

    def _is_ours(self, prediction: Prediction) -> bool:
        return prediction.model_version == self._fingerprint

    def reading(self, project: Project, swept: Swept) -> Reading:
        """All of it."""
        labelled = LabelledProject(
            project.id, project.title, self._config, kind_of(self._config), self._fingerprint, tuple(self._tasks)
        )
        return Reading(
            project,
            labelled,
            Binding(self._fingerprint, digest_of([(0, form_of(project.label_config)), *self._contents])),
            frozenset(self._open),
            self._accepted,
            frozenset(self._again),
            tuple(self._unknown),
            swept,
        )


def _is_kept(prediction: Prediction) -> bool:
    """Whether annotators cannot see it."""
    return prediction.withheld or is_blind(prediction.result)


def form_of(label_config: str) -> str:
    """SHA-256 of a label config but for its blind slice, hexadecimal: what people are asked is part of the promise."""
    return hashlib.sha256(without_plan(label_config).strip().encode("utf-8", "replace")).hexdigest()


def labelled_task(task: AnnotatedTask, config: LabelConfig, fingerprint: str, drawn_with: float | None) -> LabelledTask:
    """What was said of one task, by this judge and by people. Raises StudioError naming a task that cannot be read."""
    made = newest_judgement(task.predictions, fingerprint)
    own = [one for one in task.annotations if not is_accepted(one) and not is_mass_created(task, one, config)]
    return LabelledTask(
        task=task.id,
        data=task.data,
        image="|".join(_addresses(task, config)),
        judge=_judgement(task, made, config),
        said=tuple(sorted((_said(task, one, config) for one in own), key=_when)),
        drawn_with=drawn_with,
    )


def content_of(data: Json, judge: Judgement | None) -> str:
    """SHA-256 of a task's data and of what the judge answered, hexadecimal: that is what a certificate is about."""
    said = json.dumps(data, sort_keys=True, ensure_ascii=False)
    if judge is not None:
        said += f"|{judge.confidence:.6f}|{sorted(judge.values.items())}"
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()


def _judgement(task: AnnotatedTask, made: Prediction | None, config: LabelConfig) -> Judgement | None:
    """None also for a prediction without a score: nobody knows how sure that is, and no number is made up."""
    if made is None or made.score is None:
        return None
    told = details(made.result)
    decision = told.get(deciding_control(config), {})
    return Judgement(
        values=_values(task, made.result, config),
        confidence=made.score,
        probs={name: dict(each["probs"]) for name, each in told.items() if each.get("probs")},
        label_mass={name: float(each["label_mass"]) for name, each in told.items() if "label_mass" in each},
        flags=tuple(decision.get("flags", ())),
        reliance=decision.get("reliance"),
        features={str(one["text"]): float(one["prob"]) for one in decision.get("features", ())},
    )


def _said(task: AnnotatedTask, annotation: Annotation, config: LabelConfig) -> Said:
    return Said(
        annotation=annotation.id,
        annotator="deleted user" if annotation.completed_by is None else f"annotator {annotation.completed_by}",
        values={} if annotation.was_cancelled else _values(task, annotation.result, config),
        saw_prediction=saw_prediction(task, annotation),
        skipped=annotation.was_cancelled,
        seconds=annotation.lead_time_s,
        at=annotation.updated_at or annotation.created_at,
    )


def _values(task: AnnotatedTask, result: tuple[Json, ...], config: LabelConfig) -> dict[str, Value]:
    return {name: value.value for name, value in decoded(task, result, config).items()}


def _when(said: Said) -> tuple[datetime, int]:
    return said.at or datetime.min.replace(tzinfo=UTC), said.annotation


def _addresses(task: AnnotatedTask, config: LabelConfig) -> Iterator[str]:
    for image in config.images:
        value = data_value(task.data, image.key)
        yield from (str(item) for item in (value if isinstance(value, list) else [value]))
