"""The worker when things go wrong."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.core.label_config import parse_label_config
from backend.core.types import Answer, Verdict
from backend.engines.base import JudgeRequest
from backend.engines.scripted import ScriptedEngine, by_hash
from backend.errors import EngineDead, EngineError
from backend.interfaces import default_label_config
from backend.service import Failure, JudgeService, Prepared
from backend.store import Store
from backend.worker import Worker

CONFIG = parse_label_config(default_label_config())


class Shelf:
    """A picture for every address."""

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        return Image.new("RGB", (4, 4))


class Unloadable(ScriptedEngine):
    """An engine whose weights are broken in a way nobody foresaw."""

    def load(self) -> None:
        raise KeyError("model.embed_tokens.weight")


class Picky(ScriptedEngine):
    """An engine that fails on any batch with a poisoned sample, after a gate opens."""

    def __init__(self) -> None:
        super().__init__(by_hash)
        self.gate = threading.Event()
        self.gate.set()

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        self.gate.wait(10)
        if any("poison" in request.fields for request in requests):
            raise EngineError("the model cannot read this one")
        if any("defect" in request.fields for request in requests):
            raise IndexError("a defect")
        return super().answer(requests)


class Wild(ScriptedEngine):
    """An engine that throws whatever it is given."""

    def __init__(self, thrown: BaseException) -> None:
        super().__init__(by_hash)
        self.thrown: BaseException | None = thrown

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        thrown, self.thrown = self.thrown, None
        if thrown is not None:
            raise thrown
        return super().answer(requests)


def running(engine: ScriptedEngine, folder: Path, **options: Any) -> tuple[JudgeService, Worker]:
    service = JudgeService(engine, Shelf(), Store(folder / "verdicts.sqlite"))
    worker = Worker(service, batch_size=4, **options)
    worker.start()
    return service, worker


@pytest.fixture
def picky(tmp_path: Path) -> Iterator[tuple[Picky, JudgeService, Worker]]:
    engine = Picky()
    service, worker = running(engine, tmp_path)
    yield engine, service, worker
    engine.gate.set()
    worker.stop()
    service.close()


def samples(service: JudgeService, *captions: str) -> list[Prepared]:
    tasks = [{"id": number, "data": {"image": "x", "caption": text}} for number, text in enumerate(captions)]
    prepared = service.prepare(tasks, CONFIG)
    assert all(isinstance(item, Prepared) for item in prepared)
    return [item for item in prepared if isinstance(item, Prepared)]


def offered(worker: Worker, items: list[Prepared], lane: object = None) -> list[Future[Verdict | Failure]]:
    futures = [worker.offer(item, lane) for item in items]
    assert None not in futures
    return [future for future in futures if future is not None]


def judged(worker: Worker, items: list[Prepared]) -> list[Verdict | Failure]:
    return [future.result(timeout=10) for future in offered(worker, items)]


def test_an_engine_that_cannot_be_loaded_fails_every_sample_with_the_reason(tmp_path: Path) -> None:
    service, worker = running(Unloadable(), tmp_path)
    reason = "the engine cannot be loaded: KeyError: 'model.embed_tokens.weight'"
    assert judged(worker, samples(service, "A dog.")) == [Failure("0", reason, transient=True)]
    assert (worker.ready, worker.failure) == (True, reason)
    worker.stop()
    service.close()


def test_an_engine_is_tried_again_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(ScriptedEngine):
        tries = 0

        def load(self) -> None:
            self.tries += 1
            if self.tries == 1:
                raise EngineError("the hub does not answer")

    engine = Late()
    monkeypatch.setattr("backend.worker.RELOAD_S", 0.0)
    service, worker = running(engine, tmp_path)
    worker.wait_until_loaded()
    assert worker.failure == "the hub does not answer"
    [verdict] = judged(worker, samples(service, "A dog."))
    assert isinstance(verdict, Verdict)
    assert worker.failure is None
    worker.stop()
    service.close()


def test_a_bad_sample_fails_alone(picky: tuple[Picky, JudgeService, Worker]) -> None:
    engine, service, worker = picky
    engine.gate.clear()
    futures = offered(worker, samples(service, "A dog.", "poison", "A cat."))
    engine.gate.set()
    results = [future.result(timeout=10) for future in futures]
    assert results[1] == Failure("1", "task 1: the model cannot read this one", transient=True)
    assert [isinstance(result, Failure) for result in results] == [False, True, False]


def test_a_defect_does_not_end_the_worker(picky: tuple[Picky, JudgeService, Worker]) -> None:
    _, service, worker = picky
    reason = "the judge failed (IndexError); the backend's log has the details"
    assert judged(worker, samples(service, "defect")) == [Failure("0", reason, transient=True)]
    [fine] = judged(worker, samples(service, "A dog."))
    assert isinstance(fine, Verdict)


@pytest.mark.parametrize("thrown", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
def test_nothing_that_is_thrown_ends_the_worker(tmp_path: Path, thrown: BaseException) -> None:
    service, worker = running(Wild(thrown), tmp_path)
    [broken] = judged(worker, samples(service, "A dog."))
    assert isinstance(broken, Failure)
    assert type(thrown).__name__ in broken.reason
    assert broken.transient
    [fine] = judged(worker, samples(service, "A cat."))
    assert isinstance(fine, Verdict)
    worker.stop()
    service.close()


def test_a_dead_engine_ends_the_process_and_the_samples_are_to_be_asked_again(tmp_path: Path) -> None:
    dead = threading.Event()
    service, worker = running(Wild(EngineDead("CUDA error: illegal memory access")), tmp_path, on_dead=dead.set)
    [broken] = judged(worker, samples(service, "A dog."))
    reason = "CUDA error: illegal memory access"
    assert broken == Failure("0", reason, transient=True)
    assert (dead.wait(5), worker.failure) == (True, reason)
    worker.stop()
    service.close()


def test_what_is_being_judged_is_not_queued_again(picky: tuple[Picky, JudgeService, Worker]) -> None:
    engine, service, worker = picky
    engine.gate.clear()
    [first] = offered(worker, samples(service, "A dog."))
    [again] = offered(worker, samples(service, "A dog."))
    assert first is again
    engine.gate.set()
    first.result(timeout=10)


def test_a_defect_fails_its_own_sample_alone(picky: tuple[Picky, JudgeService, Worker]) -> None:
    engine, service, worker = picky
    engine.gate.clear()
    futures = offered(worker, samples(service, "A dog.", "defect", "A cat."))
    engine.gate.set()
    results = [future.result(timeout=10) for future in futures]
    reason = "the judge failed (IndexError); the backend's log has the details"
    assert results[1] == Failure("1", reason, transient=True)
    assert [isinstance(result, Failure) for result in results] == [False, True, False]


def test_the_queue_is_bounded_in_bytes_and_stopping_lets_everybody_go(tmp_path: Path) -> None:
    engine = Picky()
    engine.gate.clear()
    service, worker = running(engine, tmp_path, max_waiting_bytes=2 * 4 * 4 * 4)
    worker.wait_until_loaded()
    items = samples(service, *(f"Dog {number}." for number in range(4)))
    [first] = offered(worker, items[:1])
    until = time.monotonic() + 5
    while worker.waiting and time.monotonic() < until:
        time.sleep(0.01)
    waiting = offered(worker, items[1:3])
    assert worker.offer(items[3]) is None
    assert (worker.waiting, worker.waiting_bytes) == (2, 128)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    time.sleep(0.1)
    engine.gate.set()
    stopping.join(10)
    assert isinstance(first.result(timeout=10), Verdict)
    assert all(future.cancelled() for future in waiting)
    late = worker.offer(items[3])
    assert late is not None
    assert late.cancelled()
    service.close()


def test_one_with_few_samples_does_not_wait_behind_one_with_many(picky: tuple[Picky, JudgeService, Worker]) -> None:
    engine, service, worker = picky
    engine.gate.clear()
    offered(worker, samples(service, "The first."))
    until = time.monotonic() + 5
    while worker.waiting and time.monotonic() < until:
        time.sleep(0.01)
    many = offered(worker, samples(service, *(f"Dog {number}." for number in range(12))), "many")
    [one] = offered(worker, samples(service, "A cat."), "few")
    order: list[str] = []
    one.add_done_callback(lambda _: order.append("few"))
    for future in many:
        future.add_done_callback(lambda _: order.append("many"))
    engine.gate.set()
    for future in (one, *many):
        future.result(timeout=10)
    assert order[:4] == ["many", "few", "many", "many"], "the first batch of four takes turns"


def test_pictures_go_when_they_have_been_judged(picky: tuple[Picky, JudgeService, Worker]) -> None:
    engine, service, worker = picky
    items = samples(service, "A dog.")
    picture = weakref.ref(items[0].images[0])
    futures = offered(worker, items)
    items.clear()
    assert isinstance(futures[0].result(timeout=10), Verdict)
    engine.asked.clear()  # this engine remembers what it was asked and what it wrote
    engine.wrote.clear()
    until = time.monotonic() + 5
    while picture() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.02)
    assert picture() is None


def test_what_another_backend_has_judged_meanwhile_is_not_judged_again(
    picky: tuple[Picky, JudgeService, Worker], tmp_path: Path
) -> None:
    engine, service, worker = picky
    engine.gate.clear()
    offered(worker, samples(service, "The first."))
    until = time.monotonic() + 5
    while worker.waiting and time.monotonic() < until:
        time.sleep(0.01)
    items = samples(service, "A dog.")
    [future] = offered(worker, items)
    other = JudgeService(ScriptedEngine(by_hash), Shelf(), Store(tmp_path / "other.sqlite"))
    [verdict] = other.judge(samples(other, "A dog."))
    service.store.verdicts.put({items[0].key: verdict})
    engine.gate.set()
    assert future.result(timeout=10) == verdict
    assert len(engine.asked) == 1
    other.close()


@pytest.mark.parametrize("thrown", [SystemExit(1), KeyboardInterrupt()])
def test_nothing_that_loading_throws_ends_the_worker(tmp_path: Path, thrown: BaseException) -> None:
    class Thrower(ScriptedEngine):
        def load(self) -> None:
            raise thrown

    service, worker = running(Thrower(), tmp_path)
    worker.wait_until_loaded()
    assert worker.failure is not None
    assert type(thrown).__name__ in worker.failure
    [broken] = judged(worker, samples(service, "A dog."))
    assert isinstance(broken, Failure)
    worker.stop()
    service.close()
