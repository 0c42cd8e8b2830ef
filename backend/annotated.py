"""Reads a project's tasks with their annotations and whole predictions, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from backend.core.audit import is_blind
from backend.errors import StudioError

Region = Mapping[str, Any]
"""One entry of a Label Studio result, as it came."""


class Source(Protocol):
    """Where annotated tasks come from; `backend.studio.Studio` in production."""

    def annotated_tasks(self, project_id: int) -> Iterator[tuple[Mapping[str, Any], ...]]:
        """Pages of tasks as Label Studio's API says them, with annotations and predictions in full."""
        ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of a judge."""

    id: int
    result: tuple[Region, ...]
    score: float | None
    """The judge's confidence in its verdict, in [0, 1]."""
    model_version: str | None
    """The judge's fingerprint."""
    created_at: datetime | None
    withheld: bool = False
    """Whether it is kept from annotators, who have a blind one of this id before them."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One person's answer, or a skip. The person is known by number only; names and addresses are not read."""

    id: int
    result: tuple[Region, ...]
    was_cancelled: bool
    completed_by: int | None
    """The user's id in Label Studio; None when the user has been deleted."""
    updated_by: int | None
    """None when no person ever wrote it through the editor or the API."""
    lead_time_s: float | None
    created_at: datetime | None
    updated_at: datetime | None
    parent_prediction: int | None
    """The prediction that it started from; None when it started empty or the prediction was deleted since."""
    ground_truth: bool


@dataclass(frozen=True, slots=True)
class AnnotatedTask:
    """One task with everything said about it; drafts are not part of it."""

    id: int
    data: Mapping[str, Any]
    annotations: tuple[Annotation, ...]
    predictions: tuple[Prediction, ...]
    unread: tuple[int, ...] = ()
    """Numbers of further predictions of which nothing else is known, not even whether annotators could see them."""


def annotated_tasks(source: Source, project_id: int) -> Iterator[AnnotatedTask]:
    """The project's tasks one by one; no more than the source's page is held in memory."""
    for page in source.annotated_tasks(project_id):
        yield from map(read_task, page)


def unblinded(task: AnnotatedTask, kept: Sequence[Mapping[str, Any]]) -> AnnotatedTask:
    """The task with what is kept from annotators in the place of its blind predictions; `kept` in the API's form."""
    by_version = {item["model_version"]: item for item in kept}
    return replace(
        task,
        predictions=tuple(
            replace(_prediction({**by_version[one.model_version], "id": one.id}), withheld=True)
            if is_blind(one.result) and one.model_version in by_version
            else one
            for one in task.predictions
        ),
    )


def read_task(raw: Mapping[str, Any]) -> AnnotatedTask:
    """A task out of the API's form. Raises StudioError naming the task when it is not in that form."""
    try:
        return AnnotatedTask(
            int(raw["id"]),
            dict(raw["data"]),
            tuple(_annotation(item) for item in raw.get("annotations") or ()),
            tuple(_prediction(item) for item in raw.get("predictions") or ()),
            tuple(raw.get("unread_predictions") or ()),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise StudioError(
            f"task {raw.get('id', 'without id')} cannot be read ({type(exc).__name__}: {exc}); "
            "its annotations and predictions must be in full, as the tasks API gives them with fields=all"
        ) from exc


def _annotation(raw: Mapping[str, Any]) -> Annotation:
    return Annotation(
        id=int(raw["id"]),
        result=_regions(raw.get("result")),
        was_cancelled=bool(raw.get("was_cancelled")),
        completed_by=_reference(raw.get("completed_by")),
        updated_by=_reference(raw.get("updated_by")),
        lead_time_s=_number(raw.get("lead_time")),
        created_at=_time(raw.get("created_at")),
        updated_at=_time(raw.get("updated_at")),
        parent_prediction=_reference(raw.get("parent_prediction")),
        ground_truth=bool(raw.get("ground_truth")),
    )


def _prediction(raw: Mapping[str, Any]) -> Prediction:
    return Prediction(
        id=int(raw["id"]),
        result=_regions(raw.get("result")),
        score=_number(raw.get("score")),
        model_version=str(raw.get("model_version") or "") or None,
        created_at=_time(raw.get("created_at")),
    )


def _regions(value: Any) -> tuple[Region, ...]:
    """Raises TypeError when one is no object."""
    regions = tuple(value or ())
    for region in regions:
        if not isinstance(region, Mapping):
            raise TypeError(f"a region of a result must be an object, not {type(region).__name__}")
    return regions


def _reference(value: Any) -> int | None:
    """An id, given plainly or inside an object (some routes expand users into one)."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return None if value is None else int(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return time if time.tzinfo else time.replace(tzinfo=UTC)
