"""The worker when things go wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from backend.core.label_config import parse_label_config
from backend.core.types import Answer
from backend.engines.base import JudgeRequest
from backend.engines.scripted import ScriptedEngine, by_hash
from backend.errors import EngineError
from backend.interfaces import default_label_config
from backend.service import Failure, JudgeService, Prepared
from backend.store import VerdictStore
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


def running(engine: ScriptedEngine, folder: Path) -> tuple[JudgeService, Worker]:
    service = JudgeService(engine, Shelf(), VerdictStore(folder / "verdicts.sqlite"))
    worker = Worker(service, batch_size=4)
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


def test_an_engine_that_cannot_be_loaded_fails_every_sample_with_the_reason(tmp_path: Path) -> None:
    service, worker = running(Unloadable(), tmp_path)
    [future] = worker.submit(samples(service, "A dog."))
    assert future is not None
    reason = "the engine cannot be loaded: KeyError: 'model.embed_tokens.weight'"
    assert future.result(timeout=10) == Failure("0", reason)
    assert (worker.ready, worker.failure) == (True, reason)
    worker.stop()
    service.close()


def test_a_bad_sample_fails_alone(picky: tuple[Picky, JudgeService, Worker]) -> None:
    engine, service, worker = picky
    engine.gate.clear()
    futures = worker.submit(samples(service, "A dog.", "poison", "A cat."))
    engine.gate.set()
    results = [future.result(timeout=10) for future in futures if future]
    assert results[1] == Failure("1", "task 1: the model cannot read this one")
    assert [isinstance(result, Failure) for result in results] == [False, True, False]


def test_a_defect_does_not_end_the_worker(picky: tuple[Picky, JudgeService, Worker]) -> None:
    _, service, worker = picky
    [broken] = worker.submit(samples(service, "defect"))
    assert broken is not None
    assert broken.result(timeout=10) == Failure("0", "the judge failed (IndexError); the backend's log has the details")
    [fine] = worker.submit(samples(service, "A dog."))
    assert fine is not None
    assert not isinstance(fine.result(timeout=10), Failure)


def test_what_is_being_judged_is_not_queued_again(picky: tuple[Picky, JudgeService, Worker]) -> None:
    engine, service, worker = picky
    engine.gate.clear()
    [first] = worker.submit(samples(service, "A dog."))
    [again] = worker.submit(samples(service, "A dog."))
    assert first is again
    engine.gate.set()
    assert first is not None
    first.result(timeout=10)


def test_a_defect_fails_its_own_sample_alone(picky: tuple[Picky, JudgeService, Worker]) -> None:
    engine, service, worker = picky
    engine.gate.clear()
    futures = worker.submit(samples(service, "A dog.", "defect", "A cat."))
    engine.gate.set()
    results = [future.result(timeout=10) for future in futures if future]
    assert results[1] == Failure("1", "the judge failed (IndexError); the backend's log has the details")
    assert [isinstance(result, Failure) for result in results] == [False, True, False]
