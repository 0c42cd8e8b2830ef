"""What Label Studio's answers are turned into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    """One project, as far as this product needs it."""

    id: int
    title: str
    label_config: str
    model_version: str
    """Whose predictions annotators see and uncertainty sampling goes by; empty when not set."""
    task_count: int
    uid: str = ""
    """Number and creation time, as Label Studio names the project to a backend: `3.1795361354`."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of predictions that were sent."""

    stored: int
    dropped: tuple[tuple[int, str], ...] = ()
    """Task and reason of each that Label Studio left out because it does not fit the label config."""


@dataclass(frozen=True, slots=True)
class PredictionRef:
    """A prediction that is in Label Studio."""

    id: int
    model_version: str


@dataclass(frozen=True, slots=True)
class StudioTask:
    """A task without its annotations."""

    id: int
    data: Json
    """As stored: storage addresses are not resolved."""
    predictions: tuple[PredictionRef, ...] = ()
    """Empty as well where they were not asked for."""

    @property
    def model_versions(self) -> frozenset[str]:
        """The versions that this task has predictions of."""
        return frozenset(prediction.model_version for prediction in self.predictions)


@dataclass(frozen=True, slots=True)
class Connection:
    """An ML backend as Label Studio knows it."""

    id: int
    url: str
    title: str
    model_version: str
    """What the backend answered to `/setup`; empty when it could not be asked."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can annotate."""

    id: int
    email: str
    name: str


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab of the Data Manager; filter items and columns are in Label Studio's own form."""

    title: str
    filters: tuple[Json, ...] = ()
    conjunction: str = "and"
    ordering: tuple[str, ...] = ()
    hidden_columns: tuple[str, ...] = ()
    widths_px: tuple[tuple[str, int], ...] = ()
    """Columns that are not as wide as Label Studio makes them by itself."""


def parse_project(item: Json) -> Project:
    """A project from Label Studio's answer."""
    return Project(
        item["id"],
        item["title"],
        item["label_config"],
        item.get("model_version") or "",
        item.get("task_number") or 0,
        f"{item['id']}.{int(datetime.fromisoformat(item['created_at']).timestamp())}",
    )


def parse_task(item: Json) -> StudioTask:
    """A task from a page of tasks."""
    found = item.get("predictions", ())
    predictions = tuple(PredictionRef(entry["id"], str(entry["model_version"])) for entry in found)
    return StudioTask(item["id"], item["data"], predictions)


def parse_connection(item: Json) -> Connection:
    """A connection from Label Studio's answer."""
    return Connection(item["id"], item["url"], item.get("title") or "", item.get("model_version") or "")


def parse_user(item: Json) -> User:
    """A user from Label Studio's answer."""
    name = f"{item.get('first_name', '')} {item.get('last_name', '')}".strip()
    return User(item["id"], item["email"], name)
