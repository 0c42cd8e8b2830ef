"""Accepting in a real Label Studio: nothing twice, nothing that people have worked on, and all of it can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backend.core.audit import AuditPlan, with_plan
from backend.core.trust.acceptance.certificate import Certificate, Promise
from backend.core.trust.acceptance.issued import Issued
from backend.interfaces import default_label_config
from backend.label_studio_server import LabelStudioProcess
from backend.store import Store
from backend.studio import Studio
from backend.trust.accepting import accept, acceptance, take_back
from backend.trust.certifying import CERTIFICATE
from backend.trust.reading import Reading, read_project
from tests.slow_judge import tiny_picture

JUDGE, COUNT = "scripted-0123456789ab", 40
VERDICT = {"from_name": "verdict", "to_name": "caption", "type": "choices", "value": {"choices": ["accept"]}}
PERSONS = {"result": [{**VERDICT, "id": "p", "origin": "manual"}], "lead_time": 7.0}


@dataclass
class Place:
    """A project of which everything is judged and certified."""

    studio: Studio
    store: Store
    project: int

    def read(self) -> Reading:
        return read_project(self.studio, self.store, self.project)

    def annotations(self) -> dict[int, list[dict[str, Any]]]:
        pages = self.studio.annotated_tasks(self.project)
        return {task["id"]: task["annotations"] for page in pages for task in page if task["annotations"]}


def key_with_again(first: int) -> str:
    """A key by which people look again at two to four tasks, and about one in ten is in the slice."""
    for number in range(1_000):
        plan = AuditPlan(0.1, f"{number:016x}")
        free = [n for n in range(first, first + COUNT) if plan.drawn_with(n, {}) is None]
        if 2 <= sum(plan.place_again(n) is not None for n in free) <= 4:
            return plan.key
    raise AssertionError("no such key")


@pytest.fixture
def place(label_studio: LabelStudioProcess, tmp_path: Path) -> Iterator[Place]:
    studio, store = Studio(label_studio.url, label_studio.token), Store(tmp_path / "store.sqlite")
    project = studio.create_project("Accepted", default_label_config())
    picture = tiny_picture()
    tasks = [{"data": {"image": picture, "caption": f"Dog {n}.", "requested": ""}} for n in range(COUNT)]
    numbers = studio.import_tasks(project.id, tasks)
    xml = with_plan(default_label_config(), AuditPlan(0.1, key_with_again(min(numbers))))
    studio.update_project(project.id, label_config=xml)
    made = [{"task": n, "result": [VERDICT], "score": 0.9, "model_version": JUDGE} for n in numbers]
    studio.import_predictions(project.id, made)
    here = Place(studio, store, project.id)
    reading = here.read()
    found = Certificate(Promise(0.05, 0.95, 1), 0.8, COUNT, COUNT, 20, 0, 20, 0.04, reading.binding)
    store.statements.put(reading.project.uid, JUDGE, CERTIFICATE, Issued({"": found}).to_json())
    yield here
    store.close()
    studio.delete_project(project.id)


def test_it_counts_what_it_did_and_does_nothing_twice(place: Place) -> None:
    """A task of the continuing audit and one to be accepted are annotated by people after the project was read."""
    reading = place.read()
    found = acceptance(reading, place.store)
    assert len(found.again) >= 2
    for task in (found.again[0], found.accept[0]):
        place.studio.annotate(task, PERSONS)
    steps: list[tuple[int, int]] = []
    done = accept(place.studio, place.store, reading, found, lambda at, total: steps.append((at, total)))
    assert done == len(found.accept) - 1
    total = len(found.again) + len(found.accept)
    assert steps == [(step, total) for step in range(1, total - 1)]
    there = place.annotations()
    assert set(there) == {found.again[0], *found.accept}
    assert {len(each) for each in there.values()} == {1}
    now = place.read()
    assert set(now.accepted) == set(found.accept[1:])
    assert now.again == set(found.again[1:])
    assert accept(place.studio, place.store, now, acceptance(now, place.store)) == 0
    assert accept(place.studio, place.store, reading, found) == 0, "nor by what was read before"
    assert place.annotations() == there


def test_only_what_nobody_has_worked_on_is_taken_back(place: Place) -> None:
    """One of the accepted tasks is corrected by somebody between the reading and the taking back."""
    reading = place.read()
    found = acceptance(reading, place.store)
    accept(place.studio, place.store, reading, found)
    now = place.read()
    worked_on = found.accept[0]
    [annotation] = place.annotations()[worked_on]
    changed = [{**region, "value": {"choices": ["reject"]}} for region in annotation["result"]]
    place.studio._access.call(
        "PATCH",
        f"api/annotations/{annotation['id']}/",
        "correct it",
        body={"result": changed, "lead_time": 9.5},
    )
    steps: list[tuple[int, int]] = []
    assert take_back(place.studio, now, lambda at, total: steps.append((at, total))) == len(found.accept) - 1
    assert steps[-1] == (len(found.accept) - 1, len(found.accept))
    assert set(place.annotations()) == {worked_on}
    assert take_back(place.studio, now) == 0
    again = acceptance(place.read(), place.store)
    assert set(again.accept) == set(found.accept[1:])
    assert (again.again, again.before) == ((), 0)
