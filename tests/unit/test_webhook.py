"""What webhooks tell becomes feedback; what they do not tell properly is passed over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backend.store import Feedback, FeedbackBook, Store
from backend.webhook import keep, project_uid
from backend.wire import WebhookRequest, read

UID = "3.1795361354"
PROJECT = {"id": 3, "created_at": "2026-11-22T15:29:14.987654Z", "title": "Dogs", "task_number": 4}
"""1795361354 s after 1970, without the fraction, as Label Studio itself names the project."""


@pytest.fixture
def book(tmp_path: Path) -> Iterator[FeedbackBook]:
    store = Store(tmp_path / "s.sqlite")
    yield store.feedback
    store.close()


def annotation(number: Any = 1, **more: Any) -> dict[str, Any]:
    """As Label Studio 1.23.2 sends it, some fields left out."""
    return {
        "id": number,
        "result": [{"from_name": "verdict", "type": "choices", "value": {"choices": ["“fix” 🐈"]}}],
        "was_cancelled": False,
        "created_at": "2026-11-26T17:50:33.686882Z",
        "updated_at": "2026-11-26T17:50:33.970459Z",
        "lead_time": 1.5,
        "task": 12,
        "project": 3,
        "completed_by": 1,
        "parent_prediction": 5,
        **more,
    }


CHANGED = datetime(2026, 11, 26, 17, 50, 33, 970459, tzinfo=UTC)


def told(action: str, **more: Any) -> WebhookRequest:
    body = {"action": action, "project": PROJECT, **more}
    return read(WebhookRequest, json.dumps(body).encode())


def kept(number: int, **more: Any) -> Feedback:
    return Feedback(UID, number, 12, CHANGED, annotation(number, **more))


@pytest.mark.parametrize("action", ["ANNOTATION_CREATED", "ANNOTATION_UPDATED"])
def test_an_annotation_is_kept_whole(book: FeedbackBook, action: str) -> None:
    assert keep(told(action, annotation=annotation(), task={"id": 12, "data": {}}), book) == 1
    assert list(book.of(UID)) == [kept(1)]


def test_annotations_that_come_together_are_kept_each(book: FeedbackBook) -> None:
    many = [annotation(number) for number in range(1, 4)]
    assert keep(told("ANNOTATIONS_CREATED", annotation=many), book) == 3
    assert list(book.of(UID)) == [kept(1), kept(2), kept(3)]


def test_a_change_replaces_what_was_before(book: FeedbackBook) -> None:
    later = "2026-11-26T17:50:34Z"
    keep(told("ANNOTATION_CREATED", annotation=annotation()), book)
    keep(told("ANNOTATION_UPDATED", annotation=annotation(was_cancelled=True, updated_at=later)), book)
    keep(told("ANNOTATION_CREATED", annotation=annotation()), book)
    assert list(book.of(UID)) == [
        replace(
            kept(1, was_cancelled=True, updated_at=later), updated_at=datetime(2026, 11, 26, 17, 50, 34, tzinfo=UTC)
        )
    ]


def test_deleted_annotations_are_marked(book: FeedbackBook) -> None:
    keep(told("ANNOTATIONS_CREATED", annotation=[annotation(1), annotation(2)]), book)
    assert keep(told("ANNOTATIONS_DELETED", annotations=[{"id": 2}, {"id": 9}, {"id": "2"}, {}]), book) == 2
    assert [(entry.annotation, entry.task, entry.deleted_at is not None) for entry in book.of(UID)] == [
        (1, 12, False),
        (2, 12, True),
        (9, None, True),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"action": "TASKS_CREATED", "tasks": [{"id": 1}]},
        {"action": "PROJECT_UPDATED"},
        {"action": "START_TRAINING"},
        {"action": "ANNOTATION_CREATED"},
        {"action": "ANNOTATION_CREATED", "annotation": None},
        {"action": "ANNOTATIONS_CREATED", "annotation": []},
        {"action": "ANNOTATIONS_DELETED"},
        {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": None}]},
        {"action": "ANNOTATION_CREATED", "annotation": annotation(), "project": None},
        {"action": "ANNOTATION_CREATED", "annotation": annotation(), "project": {"id": 3}},
        {"action": "ANNOTATION_CREATED", "annotation": annotation(), "project": {**PROJECT, "id": True}},
        {"action": "ANNOTATION_CREATED", "annotation": annotation(), "project": {**PROJECT, "created_at": "today"}},
        {"action": "ANNOTATION_CREATED", "annotation": annotation("1")},
        {"action": "ANNOTATION_CREATED", "annotation": annotation(2**63)},
        {"action": "ANNOTATION_CREATED", "annotation": annotation(updated_at=None)},
        {"action": "ANNOTATION_CREATED", "annotation": annotation(updated_at=20261126)},
        {"action": "ANNOTATION_CREATED", "annotation": annotation(updated_at="0001-01-01T00:00:00+14:00")},
        {"action": "ANNOTATION_CREATED", "annotation": annotation(updated_at="9999-12-31T23:59:59-01:00")},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_what_is_not_about_a_known_annotation_is_passed_over(book: FeedbackBook, body: dict[str, Any]) -> None:
    assert keep(read(WebhookRequest, json.dumps({"project": PROJECT, **body}).encode()), book) == 0
    assert list(book.of(UID)) == []


def test_an_annotation_whose_task_is_not_told_is_kept_without(book: FeedbackBook) -> None:
    assert keep(told("ANNOTATION_CREATED", annotation=annotation(task={"id": 12})), book) == 1
    assert list(book.of(UID)) == [replace(kept(1, task={"id": 12}), task=None)]


def test_moments_in_any_zone_are_the_same_moment(book: FeedbackBook) -> None:
    written = ["2026-11-26T23:20:33.970459+05:30", "2026-11-26T17:50:33.970459", "2026-11-26T17:50:33.970459+00:00"]
    for number, moment in enumerate(written):
        keep(told("ANNOTATION_CREATED", annotation=annotation(number, updated_at=moment)), book)
    assert [entry.updated_at for entry in book.of(UID)] == [CHANGED] * 3


def test_a_project_is_named_as_label_studio_does() -> None:
    assert project_uid(PROJECT) == UID
    assert project_uid({**PROJECT, "created_at": "2026-11-22T16:29:14.000001+01:00"}) == UID
    assert project_uid({}) is None
