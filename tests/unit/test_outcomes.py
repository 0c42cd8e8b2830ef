"""Outcomes: one for every task, the first that is known first, by the deadline, with few of them in hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.core.label_config import parse_label_config
from backend.core.types import Answer, Question, Unscored, Verdict
from backend.engines.base import JudgeRequest
from backend.engines.scripted import ScriptedEngine, by_hash
from backend.errors import EngineError, ImageError
from backend.interfaces import default_label_config
from backend.outcomes import Deadline, Outcome, judge_tasks
from backend.service import Failure, JudgeService
from backend.store import Store
from backend.worker import Worker

CONFIG = parse_label_config(default_label_config())
WAIT_S = 10.0


class Shelf:
    """A picture for every address, after a while if the address says so; what is `missing` cannot be had."""

    def __init__(self) -> None:
        self.fetched: list[str] = []

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        self.fetched.append(uri)
        if uri == "missing":
            raise ImageError(f"{uri} cannot be had; check the address")
        if uri == "defect":
            raise KeyError(uri)
        time.sleep(float(uri.removeprefix("slow ")) if uri.startswith("slow ") else 0.0)
        return Image.new("RGB", (8, 8), "teal")


class Gated(ScriptedEngine):
    """Answers when the gate is open; `poison` breaks it, and of `unsure` something is not answered for now."""

    def __init__(self) -> None:
        super().__init__(self._script_of)
        self.gate = threading.Event()
        self.gate.set()
        self.judged = 0

    @staticmethod
    def _script_of(request: JudgeRequest, question: Question) -> Answer:
        if "unsure" in request.fields and question.id == "consistency":
            return Unscored(question, "the server was away", transient=True)
        return by_hash(request, question)

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        self.gate.wait(WAIT_S)
        if any("poison" in request.fields for request in requests):
            raise EngineError("the model cannot read this one")
        self.judged += sum(any(q.id == "consistency" for q in request.questions) for request in requests)
        return super().answer(requests)


class Bench:
    """A judge with its worker, and a count of the tasks that were taken from what it was given."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.engine, self.shelf = Gated(), Shelf()
        self.service = JudgeService(self.engine, self.shelf, Store(folder / "s.sqlite"))
        self.worker = Worker(self.service, 4, **options)
        self.worker.start()
        self.judging = self.service.judging(CONFIG)
        self.taken = 0

    def judge(self, tasks: Iterator[dict[str, Any]] | list[dict[str, Any]], **options: Any) -> Iterator[Outcome]:
        def counted() -> Iterator[dict[str, Any]]:
            for task in tasks:
                self.taken += 1
                yield task

        return judge_tasks(self.service, self.worker, counted(), self.judging, **options)

    def close(self) -> None:
        self.engine.gate.set()
        self.worker.stop()
        self.service.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def task(number: int, caption: str | None = None, image: str = "picture") -> dict[str, Any]:
    return {"id": number, "data": {"image": image, "caption": caption or f"Dog number {number}.", "requested": ""}}


def wait_until(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def results(outcomes: Iterator[Outcome]) -> list[tuple[int, str | Failure]]:
    """Every task's number, with `verdict`, `late` or its failure."""
    return [
        (outcome.task["id"], "verdict" if isinstance(outcome.result, Verdict) else outcome.result or "late")
        for outcome in outcomes
    ]


def test_every_task_has_an_outcome_and_the_first_that_is_known_comes_first(bench: Bench) -> None:
    tasks = [task(1, image="slow 0.3"), *(task(number) for number in range(2, 20)), task(20, image="slow 0.5")]
    found = results(bench.judge(tasks))
    assert sorted(found) == [(number, "verdict") for number in range(1, 21)]
    assert [number for number, _ in found[-2:]] == [1, 20]
    assert results(bench.judge([])) == []


def test_the_same_tasks_again_are_answered_from_the_store(bench: Bench) -> None:
    tasks = [task(number) for number in range(5)]
    first = {outcome.task["id"]: outcome for outcome in bench.judge(tasks)}
    assert (bench.engine.judged, bench.worker.vitals.snapshot().recalled) == (5, 0)
    assert {outcome.task["id"]: outcome for outcome in bench.judge(tasks)} == first
    assert (bench.engine.judged, bench.worker.vitals.snapshot().recalled) == (5, 5)


def test_no_more_are_in_hand_than_allowed_however_many_there_are(bench: Bench) -> None:
    bench.engine.gate.clear()
    outcomes = bench.judge(map(task, count()), in_hand=6)
    first: list[Outcome] = []
    reader = threading.Thread(target=lambda: first.append(next(outcomes)))
    reader.start()
    wait_until(lambda: len(bench.shelf.fetched) == 6)
    time.sleep(0.1)
    assert (bench.taken, len(bench.shelf.fetched)) == (6, 6), "nothing is finished, so nothing more is begun"
    bench.engine.gate.set()
    reader.join(WAIT_S)
    assert len(first) == 1
    assert (bench.taken, len(bench.shelf.fetched)) == (6, 6), "nobody asked for the next"
    for asked in range(1, 20):
        next(outcomes)
        assert bench.taken == asked + 6
    outcomes.close()  # type: ignore[attr-defined]


def test_tasks_without_an_end_are_read_as_they_are_needed(bench: Bench) -> None:
    outcomes = bench.judge(map(task, count(1)), in_hand=4)
    found = results(islice(outcomes, 12))
    assert {result for _, result in found} == {"verdict"}
    assert len({number for number, _ in found}) == 12
    assert bench.taken == 15
    assert len(bench.shelf.fetched) <= 15


def test_a_full_queue_of_the_worker_stops_the_reading(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_waiting_bytes=1)  # one sample waits at a time, besides those that are judged
    bench.engine.gate.clear()
    outcomes = bench.judge(map(task, range(30)), in_hand=20)
    found: list[tuple[int, str | Failure]] = []
    reader = threading.Thread(target=lambda: found.extend(results(outcomes)))
    reader.start()
    wait_until(lambda: bench.worker.waiting == 1)
    time.sleep(0.3)
    assert bench.taken <= 20
    assert bench.worker.waiting == 1
    bench.engine.gate.set()
    reader.join(WAIT_S)
    assert sorted(found) == [(number, "verdict") for number in range(30)]
    assert bench.engine.judged == 30
    bench.close()


@pytest.mark.parametrize("in_hand", [1, 2, 64])
def test_all_come_whatever_is_in_hand(bench: Bench, in_hand: int) -> None:
    tasks = [task(number) for number in range(9)]
    assert sorted(results(bench.judge(tasks, in_hand=in_hand))) == [(number, "verdict") for number in range(9)]


def test_what_is_not_judged_by_the_deadline_is_late(bench: Bench) -> None:
    list(bench.judge([task(2), task(4)]))
    bench.engine.gate.clear()
    began_s = time.monotonic()
    found = results(bench.judge([task(number) for number in range(1, 6)], deadline=Deadline(0.4)))
    took_s = time.monotonic() - began_s
    assert sorted(found[:2]) == [(2, "verdict"), (4, "verdict")], "what is known is given"
    assert sorted(found[2:]) == [(1, "late"), (3, "late"), (5, "late")]
    assert 0.4 <= took_s < 0.9


def test_nothing_is_begun_after_the_deadline(bench: Bench) -> None:
    began_s = time.monotonic()
    tasks = [task(number) for number in range(500)]
    assert results(bench.judge(tasks, deadline=Deadline(0.0))) == [(number, "late") for number in range(500)]
    assert bench.shelf.fetched == []
    assert time.monotonic() - began_s < 0.5


def test_every_task_is_late_once_when_the_deadline_comes_in_the_middle(bench: Bench) -> None:
    bench.engine.gate.clear()
    tasks = [task(number) for number in range(50)]
    found = results(bench.judge(tasks, deadline=Deadline(0.2), in_hand=8))
    assert found == [(number, "late") for number in range(50)]
    assert len(bench.shelf.fetched) == 8


def test_what_is_late_is_judged_all_the_same(bench: Bench) -> None:
    bench.engine.gate.clear()
    assert results(bench.judge([task(1)], deadline=Deadline(0.1))) == [(1, "late")]
    bench.engine.gate.set()
    wait_until(lambda: bench.worker.vitals.snapshot().judged == 1)
    assert results(bench.judge([task(1)])) == [(1, "verdict")]
    assert bench.engine.judged == 1


def test_a_deadline_that_is_brought_forward_is_seen_within_half_a_second(bench: Bench) -> None:
    bench.engine.gate.clear()
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    began_s = time.monotonic()
    deadlines = (Deadline(60.0, stop), Deadline(stop=stop))
    for deadline in deadlines:
        assert results(bench.judge([task(1), task(2)], deadline=deadline)) == [(1, "late"), (2, "late")]
    assert 0.2 <= time.monotonic() - began_s < 1.2
    assert [deadline.is_over for deadline in deadlines] == [True, True]
    timer.join()


def test_a_slow_image_holds_up_nothing_but_itself(bench: Bench) -> None:
    tasks = [task(1, image="slow 0.8"), task(2), task(3)]
    began_s = time.monotonic()
    found = results(bench.judge(tasks, deadline=Deadline(0.4)))
    assert sorted(found[:2]) == [(2, "verdict"), (3, "verdict")]
    assert found[2:] == [(1, "late")]
    assert time.monotonic() - began_s < 0.8


def test_who_stops_asking_has_no_more_images_fetched(bench: Bench) -> None:
    outcomes = bench.judge([task(number, image="slow 0.1") for number in range(30)], in_hand=30)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    begun = len(bench.shelf.fetched)
    time.sleep(0.3)
    assert len(bench.shelf.fetched) == begun < 30


def test_what_is_wrong_with_one_task_is_said_of_it_alone(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    tasks = [
        task(1),
        task(2, image="missing"),
        task(3, "A poison."),
        {"data": {"image": "picture"}},
        task(5),
        task(6, image="defect"),
    ]
    found = {outcome.task.get("id"): outcome.result for outcome in bench.judge(tasks)}
    assert {number for number, result in found.items() if isinstance(result, Verdict)} == {1, 5}
    nameless = found.pop(None)
    assert [result for _, result in sorted(found.items(), key=str) if isinstance(result, Failure)] == [
        Failure("2", "task 2, `image`: missing cannot be had; check the address"),
        Failure("3", "task 3: the model cannot read this one", transient=True),
        Failure("6", "task 6: KeyError; the log has the details", transient=True),
    ]
    assert isinstance(nameless, Failure)
    assert nameless.task == "without id"
    assert "task 6 failed" in caplog.messages


def test_tasks_that_show_the_same_share_the_judging_and_each_has_its_own_failure(bench: Bench) -> None:
    bench.engine.gate.clear()
    tasks = [task(1, "The same."), task(2, "A poison."), task(3, "The same."), task(4, "A poison.")]
    outcomes = bench.judge(tasks)
    timer = threading.Timer(0.2, bench.engine.gate.set)  # when all four are in the queue
    timer.start()
    found = {outcome.task["id"]: outcome.result for outcome in outcomes}
    assert found[1] == found[3]
    assert isinstance(found[1], Verdict)
    assert bench.engine.judged == 1
    failures = {number: result for number, result in found.items() if isinstance(result, Failure)}
    assert {number: (each.task, each.transient) for number, each in failures.items()} == {
        2: ("2", True),
        4: ("4", True),
    }
    timer.join()


def test_a_verdict_that_lacks_something_for_now_is_a_failure_that_passes(bench: Bench) -> None:
    found = {outcome.task["id"]: outcome.result for outcome in bench.judge([task(1, "unsure"), task(2)])}
    assert found[1] == Failure("1", "task 1: a part of it could not be answered for now", transient=True)
    assert isinstance(found[2], Verdict)
    assert bench.engine.judged == 2
    list(bench.judge([task(1, "unsure")]))
    assert bench.engine.judged == 3, "it was not kept"


def test_what_a_stopped_worker_leaves_is_late(bench: Bench) -> None:
    bench.engine.gate.clear()
    outcomes = bench.judge([task(number) for number in range(8)], in_hand=8)
    stopper = threading.Timer(0.2, bench.worker.stop)
    opener = threading.Timer(0.4, bench.engine.gate.set)
    stopper.start()
    opener.start()
    found = results(outcomes)
    assert sorted(number for number, _ in found) == list(range(8))
    assert {result for _, result in found} <= {"verdict", "late"}
    assert [result for _, result in found].count("late") >= 4, "one batch of four was at hand"
    stopper.join()
    opener.join()


def test_what_breaks_in_the_tasks_themselves_is_not_hidden(bench: Bench) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield task(1)
        raise ConnectionError("Label Studio went away")

    outcomes = bench.judge(broken(), in_hand=1)
    assert results(islice(outcomes, 1)) == [(1, "verdict")]
    with pytest.raises(ConnectionError, match="went away"):
        next(outcomes)


def test_a_deadline_tells_the_time_that_is_left() -> None:
    assert (Deadline().left_s, Deadline().is_over) == (float("inf"), False)
    assert (Deadline(-1.0).left_s, Deadline(-1.0).is_over) == (0.0, True)
    deadline = Deadline(20.0)
    assert 19.0 < deadline.left_s <= 20.0
    assert not deadline.is_over
