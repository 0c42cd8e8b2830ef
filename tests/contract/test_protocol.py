"""The ML backend protocol over real HTTP, as Label Studio speaks it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from werkzeug.serving import make_server

from backend.core.label_config import parse_label_config
from backend.core.types import Answer, Question
from backend.engines.base import JudgeRequest
from backend.engines.scripted import ScriptedEngine, by_hash
from backend.errors import EngineError, ImageError
from backend.interfaces import default_label_config
from backend.server import create_app
from backend.service import JudgeService
from backend.settings import Settings
from backend.store import VerdictStore
from backend.worker import Worker


class Shelf:
    """Pictures by name; anything else cannot be had."""

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        if not uri.startswith("picture"):
            raise ImageError(f"{uri} cannot be had; check the address")
        return Image.new("RGB", (8, 8))


@dataclass
class Judge:
    """A scripted judge whose moods a test can set."""

    sleep_s: float = 0.0
    fail_on: str | None = None
    gate: threading.Event = field(default_factory=threading.Event)

    def __call__(self, request: JudgeRequest, question: Question) -> Answer:
        if self.fail_on and self.fail_on in request.fields:
            raise EngineError("the model cannot read this one")
        if question.id == "visual_realism":
            time.sleep(self.sleep_s)
        return by_hash(request, question)


@dataclass
class Backend:
    """A running backend."""

    client: httpx.Client
    judge: Judge
    service: JudgeService
    worker: Worker


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    judge = Judge()
    service = JudgeService(ScriptedEngine(judge), Shelf(), VerdictStore(tmp_path / "verdicts.sqlite"))
    worker = Worker(service, batch_size=4)
    settings = Settings(engine="scripted", predict_deadline_s=1.5)
    worker.start()
    server = make_server("127.0.0.1", 0, create_app(service, worker, settings), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", timeout=20) as client:
        yield Backend(client, judge, service, worker)
    server.shutdown()
    worker.stop()
    service.close()


def task(number: int, caption: str = "A dog.", image: str = "picture") -> dict[str, Any]:
    return {"id": number, "data": {"image": image, "caption": caption}}


def fingerprint(backend: Backend) -> str:
    return backend.service.judging(parse_label_config(default_label_config())).fingerprint


def predict(backend: Backend, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    body = {
        "tasks": tasks,
        "project": "3.1795361354",
        "label_config": default_label_config(),
        "params": {"login": None, "password": None, "context": None},
    }
    answer = backend.client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def test_health_names_the_judge(backend: Backend) -> None:
    for path in ("/", "/health"):
        answer = backend.client.get(path)
        assert answer.status_code == 200
        assert answer.json()["status"] == "UP"
        assert answer.json()["judge"] == "scripted"


def test_setup_answers_with_the_fingerprint(backend: Backend) -> None:
    body = {
        "project": "3.1795361354",
        "schema": default_label_config(),
        "hostname": "http://localhost:8080",
        "access_token": "planted-secret",
        "extra_params": None,
    }
    answer = backend.client.post("/setup", json=body)
    assert answer.status_code == 200
    assert answer.json()["model_version"] == fingerprint(backend)
    assert answer.json()["unfilled"] == []
    assert "planted-secret" not in answer.text


def test_every_task_gets_an_entry_in_order_whatever_is_wrong_with_it(backend: Backend) -> None:
    backend.judge.fail_on = "poison"
    tasks = [task(1), task(2, image="nowhere"), task(3, "poison"), task(4, ""), {"id": 5}, {}, task(7, "A cat.")]
    results = predict(backend, tasks)
    assert len(results) == 7
    said = [
        next((r["value"]["text"][0] for r in entry["result"] if r["from_name"] == "rationale"), None)
        for entry in results
    ]
    assert said[1] == "Not judged: task 2, `image`: nowhere cannot be had; check the address"
    assert said[2] == "Not judged: task 3: the model cannot read this one"
    assert said[3] == "Not judged: task 4 has no text to judge in `caption`; give it one or delete the task"
    assert said[5] == "Not judged: task without id has no `data` object"
    for index in (0, 6):
        assert {r["from_name"] for r in results[index]["result"]} >= {"visual_realism", "text_accuracy", "consistency"}
        assert 0 < results[index]["score"] <= 1
    judged, failed = fingerprint(backend), f"{fingerprint(backend)}-failed"
    versions = [judged, failed, failed, failed, failed, failed, judged]
    assert [entry["model_version"] for entry in results] == versions


def test_the_answer_comes_by_the_deadline_and_the_rest_is_there_next_time(backend: Backend) -> None:
    backend.judge.sleep_s = 0.2
    tasks = [task(number, f"Dog {number}.") for number in range(20)]
    began = time.monotonic()
    first = predict(backend, tasks)
    assert time.monotonic() - began < 4
    pending = [entry for entry in first if entry["model_version"].endswith("-pending")]
    assert 0 < len(pending) < 20
    assert all(entry["result"] == [] for entry in pending)
    backend.judge.sleep_s = 0
    later = predict(backend, tasks)
    assert [entry["model_version"] for entry in later] == [fingerprint(backend)] * 20


def test_the_same_content_is_judged_once(backend: Backend) -> None:
    engine = backend.service.engine
    assert isinstance(engine, ScriptedEngine)
    predict(backend, [task(1), task(2), task(3)])
    asked = len(engine.asked)
    predict(backend, [task(4)])
    assert len(engine.asked) == asked


def test_requests_at_once_all_get_their_own_answers(backend: Backend) -> None:
    answers: dict[int, list[dict[str, Any]]] = {}

    def ask(number: int) -> None:
        answers[number] = predict(backend, [task(number, f"Dog {number}."), task(100 + number, image="nowhere")])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = {number: predict(backend, [task(number, f"Dog {number}.")])[0] for number in range(8)}
    assert {number: entries[0] for number, entries in answers.items()} == alone
    assert all("nowhere" in entries[1]["result"][0]["value"]["text"][0] for entries in answers.values())


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b'"x"', b"null", b"\xff", b"{}"])
def test_a_wrong_body_is_refused_with_a_sentence(backend: Backend, path: str, body: bytes) -> None:
    answer = backend.client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"label_config": "<View/>", "tasks": []}, "shows no image"),
        ({"label_config": "<View", "tasks": []}, "not valid XML"),
        ({"label_config": 3, "tasks": []}, "`label_config` must hold"),
        ({"tasks": {}}, "`label_config` must hold"),
    ],
)
def test_a_label_config_that_cannot_be_filled_is_named(backend: Backend, body: dict[str, Any], reason: str) -> None:
    answer = backend.client.post("/predict", json=body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("tasks", [None, 3, {}, [3], [None]])
def test_tasks_of_the_wrong_shape_are_refused(backend: Backend, tasks: Any) -> None:
    answer = backend.client.post("/predict", json={"label_config": default_label_config(), "tasks": tasks})
    assert (answer.status_code, answer.json()) == (400, {"error": "`tasks` must be a list of task objects"})


def test_no_tasks_give_no_entries(backend: Backend) -> None:
    assert predict(backend, []) == []


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/predict", 405)])
def test_unknown_routes_say_so(backend: Backend, method: str, path: str, status: int) -> None:
    answer = backend.client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


def test_webhooks_are_taken(backend: Backend) -> None:
    answer = backend.client.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {}, "task": {}})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "action": "ANNOTATION_CREATED"})
