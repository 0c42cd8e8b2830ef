"""Writes to a real Label Studio, counted on the way: few, bounded, each prediction once, misfits named."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.errors import StudioAway
from backend.label_studio_server import LabelStudioProcess
from backend.store import Job, Store
from backend.studio import Studio
from backend.studio_access import StudioRefusal
from backend.studio_types import PredictionRef, Project
from backend.writeback import WriteBack, Written
from tests.fault_proxy import FaultProxy
from tests.slow_judge import make_project, predictions

JUDGE = "scripted-0123456789ab"
IMPORT = "import/predictions"


class Counter(FaultProxy):
    """Remembers what passes; may check predictions as later versions of Label Studio do, which take all or none."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.requests_seen: list[str] = []
        self.writes_seen: list[list[dict[str, Any]]] = []
        self.on_write: Callable[[], None] = lambda: None
        self.strict = False
        self.most_bytes = 10**9
        """As what stands before a server may have it."""
        self.disliked: int | None = None
        """A task of which the server wants nothing, for a reason of its own."""
        self.refuse_with: int | None = None

    def cut_the_next(self) -> None:
        """Let one write more be cut off before it gets through."""
        self.fault, self.only_writes, self.times = "away", True, 1

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        self.requests_seen.append(f"{method} {path.partition('?')[0]}")
        if IMPORT not in path:
            return super().forward(method, path, headers, body)
        self.writes_seen.append(json.loads(body))
        self.on_write()
        wrong = [item for item in self.writes_seen[-1] if item["result"][0]["value"] == {"choices": ["perhaps"]}]
        if self.refuse_with is not None:
            return httpx.Response(self.refuse_with, json={"detail": "not you"})
        if len(body) > self.most_bytes:
            return httpx.Response(413, text="<html>Request Entity Too Large</html>")
        if self.strict and wrong:
            return httpx.Response(400, json={"detail": "Validation error", "validation_errors": ["Prediction 1"]})
        if any(item["task"] == self.disliked for item in self.writes_seen[-1]):
            return httpx.Response(400, json={"detail": "not on a Sunday"})
        return super().forward(method, path, headers, body)


@dataclass
class Bench:
    """A project, the writes to it, and what passes between."""

    proxy: Counter
    studio: Studio
    """Past the proxy."""
    store: Store
    make: Callable[[int], Project]
    project: Project = field(init=False)
    writes: WriteBack = field(init=False)
    tasks: list[int] = field(init=False)

    def begin(self, count: int) -> None:
        self.project = self.make(count)
        self.tasks = sorted(predictions(self.studio, self.project))
        self.writes = WriteBack(Studio(self.proxy.url, self.studio._access._key), self.store, self.project, JUDGE)
        self.proxy.requests_seen.clear()
        self.proxy.writes_seen.clear()

    @property
    def sizes(self) -> list[int]:
        return [len(write) for write in self.proxy.writes_seen]

    @property
    def noted(self) -> list[tuple[int, bool]]:
        return [(job.task, job.sent) for job in self.store.jobs.all_of(self.project.uid, JUDGE)]

    def there(self) -> dict[int, list[str]]:
        return predictions(self.studio, self.project)

    def refs(self) -> dict[int, tuple[PredictionRef, ...]]:
        pages = self.studio.tasks(self.project.id, self.tasks)
        return {task.id: task.predictions for page in pages for task in page}

    def judge(self, tasks: list[int], **options: Any) -> list[Written]:
        """Add predictions and write whenever it is time, as those do who use it."""
        written = []
        for task in tasks:
            self.writes.add(task, prediction(**options))
            if self.writes.is_due:
                written.append(self.writes.write())
        return [*written, self.writes.write()]


@pytest.fixture
def bench(label_studio: LabelStudioProcess, tmp_path: Path) -> Iterator[Bench]:
    studio = Studio(label_studio.url, label_studio.token)
    made: list[int] = []

    def make(count: int) -> Project:
        project = make_project(studio, "Written", count)
        made.append(project.id)
        return project

    proxy, store = Counter(label_studio.url), Store(tmp_path / "s.sqlite")
    proxy.start()
    bench = Bench(proxy, studio, store, make)
    yield bench
    proxy.stop()
    bench.store.close()
    for number in made:
        studio.delete_project(number)


def prediction(choice: str = "fix", words: str = "") -> Mapping[str, Any]:
    result = [{"from_name": "verdict", "to_name": "caption", "type": "choices", "value": {"choices": [choice]}}]
    if words:
        told = {"from_name": "rationale", "to_name": "caption", "type": "textarea", "value": {"text": [words]}}
        result.append(told)
    return {"result": result, "score": 0.5, "model_version": JUDGE}


def test_predictions_go_in_few_writes_of_a_bounded_number(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.writeback.SMALLEST_WRITE", 10)
    bench.begin(35)
    assert bench.judge(bench.tasks) == [Written(10), Written(10), Written(10), Written(5)]
    assert bench.sizes == [10, 10, 10, 5]
    assert [item["task"] for write in bench.proxy.writes_seen for item in write] == bench.tasks
    assert bench.there() == {task: [JUDGE] for task in bench.tasks}
    assert len(bench.proxy.requests_seen) == 4, "nothing else is asked when all goes well"
    assert bench.writes.write() == Written(0)
    assert len(bench.proxy.requests_seen) == 4, "nor anything when nothing waits"
    assert bench.noted == []


def test_where_many_are_expected_writes_are_larger(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.writeback.SMALLEST_WRITE", 10)
    bench.begin(35)
    bench.writes.expected = 35
    assert bench.judge(bench.tasks) == [Written(35), Written(0)]


def test_writes_are_bounded_in_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.writeback.LARGEST_WRITE_BYTES", 2_000)
    bench.begin(7)
    bench.judge(bench.tasks, words="ä" * 100)  # 600 bytes escaped, some 270 around it: three are over 2000
    assert bench.sizes == [3, 3, 1]
    assert bench.there() == {task: [JUDGE] for task in bench.tasks}


def test_what_waits_long_is_written_before_it_is_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.begin(3)
    bench.writes.add(bench.tasks[0], prediction())
    assert not bench.writes.is_due
    monkeypatch.setattr("backend.writeback.WRITE_EVERY_S", 0.05)
    time.sleep(0.06)
    assert bench.writes.is_due
    bench.writes.write()
    bench.writes.add(bench.tasks[1], prediction())
    time.sleep(0.06)
    assert not bench.writes.is_due, "a write that took so long is not repeated so soon"
    monkeypatch.setattr("backend.writeback.SHARE_OF_TIME", 1e9)
    assert bench.writes.is_due


def test_every_write_is_noted_before_it_begins_and_settled_after(bench: Bench) -> None:
    bench.begin(3)
    seen: list[list[tuple[int, bool]]] = []
    bench.proxy.on_write = lambda: seen.append(bench.noted)
    bench.judge(bench.tasks[:2])
    assert seen == [[(bench.tasks[0], True), (bench.tasks[1], True)]]
    assert (bench.noted, bench.writes.doubtful, bench.writes.others) == ([], set(), set())


def test_what_was_only_asked_for_is_settled_as_soon_as_it_is_written(bench: Bench) -> None:
    bench.begin(2)
    bench.store.jobs.owe(bench.project.uid, JUDGE, bench.tasks, 0.0)
    assert bench.judge(bench.tasks) == [Written(2)]
    assert (bench.noted, bench.writes.doubtful, bench.writes.others) == ([], set(), set())


def test_what_an_answer_holds_stays_noted_so_that_whoever_gave_it_looks_at_it(bench: Bench) -> None:
    bench.begin(3)
    first, _, third = bench.tasks
    bench.store.jobs.owe(bench.project.uid, JUDGE, bench.tasks, 0.0)
    bench.store.jobs.give(bench.project.uid, JUDGE, [first], 0.0)
    bench.store.jobs.sending(bench.project.uid, JUDGE, [third], 0.0)
    assert bench.judge(bench.tasks) == [Written(3)]
    assert bench.noted == [(first, True), (third, True)]
    assert (bench.writes.doubtful, bench.writes.others) == ({first, third}, {first})


def test_what_an_answer_holds_that_left_while_it_was_written_stays_noted(bench: Bench) -> None:
    bench.begin(2)
    first, second = bench.tasks
    bench.proxy.on_write = lambda: bench.store.jobs.give(bench.project.uid, JUDGE, [second], 0.0)
    assert bench.judge(bench.tasks) == [Written(2)]
    assert bench.noted == [(second, False)]
    assert first not in bench.writes.doubtful


def test_a_misfit_that_label_studio_leaves_out_is_named(bench: Bench) -> None:
    bench.begin(4)
    for task, choice in zip(bench.tasks, ("fix", "perhaps", "accept", "reject"), strict=True):
        bench.writes.add(task, prediction(choice))
    written = bench.writes.write()
    assert (written.stored, [task for task, _ in written.refused]) == (3, [bench.tasks[1]])
    assert "perhaps" in written.refused[0][1]
    assert bench.sizes == [4]
    assert bench.there() == {task: [] if task == bench.tasks[1] else [JUDGE] for task in bench.tasks}
    assert (bench.writes.waiting, bench.noted) == ({}, [])


def test_a_misfit_for_which_all_are_refused_is_named_and_the_others_stored(bench: Bench) -> None:
    bench.begin(4)
    bench.proxy.strict = True
    gone = bench.tasks[3]
    bench.studio._access.call("DELETE", f"api/tasks/{gone}/", "delete a task")
    for task, choice in zip(bench.tasks, ("fix", "perhaps", "accept", "reject"), strict=True):
        bench.writes.add(task, prediction(choice))
    written = bench.writes.write()
    assert (written.stored, [task for task, _ in written.refused]) == (2, [gone, bench.tasks[1]])
    assert written.refused[0][1] == "it was deleted meanwhile"
    assert "perhaps" in written.refused[1][1]
    assert bench.sizes == [4, 2]
    assert bench.there() == {bench.tasks[0]: [JUDGE], bench.tasks[1]: [], bench.tasks[2]: [JUDGE]}
    assert (bench.writes.waiting, bench.noted) == ({}, [])


def test_a_write_that_is_too_large_for_what_stands_before_the_server_is_halved(bench: Bench) -> None:
    bench.begin(7)
    bench.proxy.most_bytes = 3_000  # each is some 800 bytes
    assert bench.judge(bench.tasks, words="x" * 600) == [Written(7)]
    assert bench.sizes == [7, 3, 4, 2, 2]
    assert bench.there() == {task: [JUDGE] for task in bench.tasks}
    bench.proxy.most_bytes = 100
    [written] = bench.judge(bench.tasks[:1], words="x" * 600)
    assert written == Written(0, ((bench.tasks[0], "Request Entity Too Large"),))


def test_one_prediction_that_the_server_wants_for_no_known_reason_is_found_and_named(bench: Bench) -> None:
    bench.begin(5)
    bench.proxy.disliked = bench.tasks[3]
    assert bench.judge(bench.tasks) == [Written(4, ((bench.tasks[3], "not on a Sunday"),))]
    assert bench.there() == {task: [] if task == bench.tasks[3] else [JUDGE] for task in bench.tasks}
    assert bench.noted == []


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_of_whoever_writes_is_raised_and_what_waits_stays(bench: Bench, status: int) -> None:
    bench.begin(2)
    for task in bench.tasks:
        bench.writes.add(task, prediction())
    bench.proxy.refuse_with = status
    with pytest.raises(StudioRefusal, match=f"says {status} "):
        bench.writes.write()
    assert bench.sizes == [2]
    assert sorted(bench.writes.waiting) == bench.tasks
    assert bench.noted == [(task, True) for task in bench.tasks]
    bench.proxy.refuse_with = None
    assert bench.writes.write() == Written(2)


def test_what_is_refused_is_named_also_when_the_second_try_is_cut_off(bench: Bench) -> None:
    bench.begin(3)
    bench.proxy.strict = True
    for task, choice in zip(bench.tasks, ("fix", "perhaps", "accept"), strict=True):
        bench.writes.add(task, prediction(choice))
    bench.proxy.on_write = bench.proxy.cut_the_next
    with pytest.raises(StudioAway):
        bench.writes.write()
    bench.proxy.on_write = lambda: None
    assert bench.sizes == [3]
    written = bench.writes.write()
    assert (written.stored, [task for task, _ in written.refused]) == (2, [bench.tasks[1]])
    assert bench.there() == {task: [] if task == bench.tasks[1] else [JUDGE] for task in bench.tasks}


def test_a_write_of_which_nothing_can_be_stored_ends_in_order(bench: Bench) -> None:
    bench.begin(2)
    for task in bench.tasks:
        bench.studio._access.call("DELETE", f"api/tasks/{task}/", "delete a task")
    assert bench.judge(bench.tasks) == [Written(0, tuple((task, "it was deleted meanwhile") for task in bench.tasks))]
    assert bench.sizes == [2]
    assert bench.noted == []


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_write_whose_end_is_not_seen_waits_in_doubt_and_is_looked_for(bench: Bench, carried_out: bool) -> None:
    bench.begin(3)
    for task in bench.tasks:
        bench.writes.add(task, prediction())
    bench.proxy.fault = "answer lost" if carried_out else "away"
    bench.proxy.only_writes, bench.proxy.times = True, 1
    with pytest.raises(StudioAway):
        bench.writes.write()
    assert set(bench.writes.waiting) == bench.writes.doubtful == set(bench.tasks)
    assert bench.noted == [(task, True) for task in bench.tasks]
    there, missing = bench.writes.look(bench.tasks)
    assert there == (set(bench.tasks) if carried_out else set())
    assert missing == set(bench.tasks) - there == set(bench.writes.waiting)
    assert bench.writes.write() == Written(0 if carried_out else 3)
    assert bench.there() == {task: [JUDGE] for task in bench.tasks}
    assert bench.noted == [(task, True) for task in bench.tasks], "in doubt until somebody looks again"
    bench.writes.settle(bench.tasks)
    assert bench.noted == []


def test_the_later_of_two_is_deleted_when_a_task_is_looked_at(bench: Bench) -> None:
    bench.begin(3)
    bench.judge(bench.tasks)
    bench.writes.doubtful = set(bench.tasks[:2])
    bench.judge(bench.tasks[:2])
    other = {**prediction(), "task": bench.tasks[0], "model_version": "somebody-else"}
    bench.studio.import_predictions(bench.project.id, [other])
    before = bench.refs()
    assert bench.writes.look(bench.tasks[:1]) == ({bench.tasks[0]}, set())
    after = bench.refs()
    first, second, others = sorted(before[bench.tasks[0]], key=lambda entry: entry.id)
    assert (first.model_version, second.model_version, others.model_version) == (JUDGE, JUDGE, "somebody-else")
    assert sorted(after[bench.tasks[0]], key=lambda entry: entry.id) == [first, others]
    assert after[bench.tasks[1]] == before[bench.tasks[1]], "nobody looked at this one"
    bench.proxy.requests_seen.clear()
    assert bench.writes.delete_all_doubles() == 1
    assert [entry for entry in bench.proxy.requests_seen if entry.startswith("DELETE")] == [
        f"DELETE /api/predictions/{max(entry.id for entry in before[bench.tasks[1]])}/"
    ]
    bench.proxy.requests_seen.clear()
    assert bench.writes.delete_all_doubles() == 0
    assert len(bench.proxy.requests_seen) == 2, "where there are none it costs two questions"


def test_a_store_that_cannot_be_written_does_not_keep_predictions_from_being_stored(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("backend.store.database.BUSY_TIMEOUT_S", 0.1)
    bench.store.close()
    bench.store = Store(tmp_path / "s.sqlite")
    bench.begin(2)
    with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.WARNING, "backend.writeback"):
            assert bench.judge(bench.tasks) == [Written(2)]
        other.execute("ROLLBACK")
    why = (
        f"cannot write to the store {tmp_path / 's.sqlite'}: database is locked; "
        "is the disk full, or the database away?"
    )
    assert caplog.messages == [
        f"a write of 2 predictions is not noted: {why}",
        f"2 predictions that are stored stay noted as owed: {why}",
    ]
    assert bench.there() == {task: [JUDGE] for task in bench.tasks}


def test_a_job_that_failed_before_keeps_its_history_while_it_is_written(bench: Bench) -> None:
    bench.begin(1)
    [task] = bench.tasks
    bench.store.jobs.owe(bench.project.uid, JUDGE, [task], 0.0)
    bench.store.jobs.put_off(bench.project.uid, JUDGE, [task], 0.0, "the model was away")
    seen: list[tuple[Job, ...]] = []
    bench.proxy.on_write = lambda: seen.append(bench.store.jobs.all_of(bench.project.uid, JUDGE))
    bench.judge([task])
    assert seen == [(Job(bench.project.uid, task, JUDGE, sent=True, attempts=1, reason="the model was away"),)]
