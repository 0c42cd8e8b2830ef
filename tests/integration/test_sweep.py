"""A sweep over a real project finds what people said there, as its webhooks tell it, and what those missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.label_studio_server import LabelStudioProcess
from backend.store import Feedback, FeedbackBook, Store
from backend.studio import Studio
from backend.studio_types import Project
from backend.trust.sweep import Swept, sweep
from tests.backend_process import wait_until
from tests.running_backend import running_backend
from tests.slow_judge import SlowEngine, make_project

TOLD_OF = ("result", "was_cancelled", "completed_by", "lead_time", "parent_prediction", "ground_truth", "updated_at")


@dataclass(frozen=True)
class Watched:
    """A project, the people in it, and what its webhooks told."""

    studio: Studio
    project: Project
    tasks: tuple[int, ...]
    told: FeedbackBook
    token: str
    other: int
    """A second annotator."""

    def says(self, task: int, decision: str, **more: Any) -> int:
        choice = {"from_name": "verdict", "to_name": "caption", "type": "choices", "value": {"choices": [decision]}}
        body = {"result": [{**choice, "id": "v", "origin": "manual"}], "lead_time": 2.5, **more}
        return self.studio.annotate(self.tasks[task], body)

    def change(self, annotation: int, **more: Any) -> None:
        address = f"{self.studio.url}/api/annotations/{annotation}/"
        headers = {"Authorization": f"Token {self.token}"}
        httpx.patch(address, headers=headers, json=more, timeout=30).raise_for_status()


@pytest.fixture
def made(label_studio: LabelStudioProcess, tmp_path: Path) -> Iterator[Watched]:
    """A project whose webhooks tell a backend."""
    studio = Studio(label_studio.url, label_studio.token)
    project = make_project(studio, "Swept", 6)
    tasks = tuple(task.id for page in studio.pages(project.id) for task in page)
    other = studio.service_account("second@example.org", "Second")
    assert other is not None
    place, engine = tmp_path / "told.sqlite", SlowEngine(0.0)
    with running_backend(label_studio.url, label_studio.token, place, engine) as (url, running):
        studio.connect_backend(project.id, url, "Judge")
        yield Watched(studio, project, tasks, running.service.store.feedback, label_studio.token, other)
    studio.delete_project(project.id)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[FeedbackBook]:
    store = Store(tmp_path / "swept.sqlite")
    yield store.feedback
    store.close()


def there(book: FeedbackBook, uid: str) -> dict[int, tuple[Any, ...]]:
    """What a book says of annotations that are not deleted."""
    return {one.annotation: what_of(one) for one in book.of(uid) if one.deleted_at is None}


def what_of(one: Feedback) -> tuple[Any, ...]:
    return one.task, one.updated_at, {name: one.payload[name] for name in TOLD_OF}


def deleted(book: FeedbackBook, uid: str) -> set[int]:
    return {one.annotation for one in book.of(uid) if one.deleted_at is not None}


def test_a_sweep_finds_what_webhooks_told_and_what_they_missed(made: Watched, book: FeedbackBook) -> None:
    studio, project, uid = made.studio, made.project, made.project.uid
    assert sweep(studio, book, project) == Swept(annotations=0, added=0, changed=0, deleted=0)

    first, second = made.says(0, "accept"), made.says(0, "fix", completed_by=made.other)
    skipped, ground_truth = made.says(1, "fix", was_cancelled=True), made.says(2, "fix", ground_truth=True)
    gone = made.says(3, "reject")
    assert sweep(studio, book, project) == Swept(annotations=5, added=5, changed=0, deleted=0)
    made.change(first, result=[], lead_time=4.0)
    studio.delete_annotation(gone)
    late = made.says(4, "accept")
    wait_until(lambda: there(made.told, uid).keys() == {first, second, skipped, ground_truth, late}, 20, 0.1)
    wait_until(lambda: there(made.told, uid)[first][2]["lead_time"] == 4.0, 20, 0.1)

    assert sweep(studio, book, project) == Swept(annotations=5, added=1, changed=1, deleted=1)
    swept = there(book, uid)
    assert swept == there(made.told, uid)
    assert deleted(book, uid) == deleted(made.told, uid) == {gone}
    assert {
        number: (task, said["was_cancelled"], len(said["result"])) for number, (task, _, said) in swept.items()
    } == {
        first: (made.tasks[0], False, 0),
        second: (made.tasks[0], False, 1),
        skipped: (made.tasks[1], True, 1),
        ground_truth: (made.tasks[2], False, 1),
        late: (made.tasks[4], False, 1),
    }
    assert swept[second][2]["completed_by"] == made.other != swept[first][2]["completed_by"]
    for each in (book, made.told):
        before = list(each.of(uid))
        assert sweep(studio, each, project) == Swept(annotations=5, added=0, changed=0, deleted=0)
        assert list(each.of(uid)) == before

    [connection] = studio.connections(project.id)
    studio.disconnect_backend(project.id, connection.url)
    missed = made.says(5, "fix", completed_by=made.other)
    made.change(skipped, was_cancelled=False)
    made.change(second, ground_truth=True)
    studio.delete_annotation(late)
    found = sweep(studio, made.told, project)
    assert found == Swept(annotations=5, added=1, changed=2, deleted=1)
    assert found.summary() == "5 annotations: 1 were new to the store, 2 had changed, 1 more are deleted"
    assert sweep(studio, book, project) == found
    assert there(made.told, uid) == there(book, uid)
    assert there(book, uid).keys() == {first, second, skipped, ground_truth, missed}
    assert deleted(book, uid) == deleted(made.told, uid) == {gone, late}
    assert not there(book, uid)[skipped][2]["was_cancelled"]


def test_a_webhook_that_comes_after_the_sweep_changes_nothing(made: Watched, book: FeedbackBook) -> None:
    """What is told late, or told of again, is held against what is known; a deleted annotation stays deleted."""
    uid = made.project.uid
    first = made.says(0, "accept")
    sweep(made.studio, book, made.project)
    made.change(first, lead_time=9.0)
    sweep(made.studio, book, made.project)
    wait_until(lambda: first in there(made.told, uid), 20, 0.1)
    [newest] = book.of(uid)
    book.put([next(one for one in made.told.of(uid))])
    assert what_of(next(book.of(uid))) == what_of(newest)
    made.studio.delete_annotation(first)
    assert sweep(made.studio, book, made.project) == Swept(annotations=0, added=0, changed=0, deleted=1)
    book.put([newest])
    assert (there(book, uid), deleted(book, uid)) == ({}, {first})
