"""The ML backend protocol over real HTTP, as Label Studio speaks it."""

from __future__ import annotations

import json
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

from backend.admission import Admission
from backend.core.label_config import parse_label_config
from backend.core.types import Answer, Question
from backend.engines.base import JudgeRequest
from backend.engines.scripted import ScriptedEngine, by_hash
from backend.errors import EngineError, ImageError
from backend.interfaces import default_label_config
from backend.running import Running
from backend.server import create_app
from backend.service import JudgeService
from backend.settings import Settings
from backend.store import Store
from backend.vitals import VitalSigns
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
    entered: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def __call__(self, request: JudgeRequest, question: Question) -> Answer:
        if self.fail_on and self.fail_on in request.fields:
            raise EngineError("the model cannot read this one")
        if question.id == "visual_realism":
            self.entered.set()
            self.gate.wait(20)
            time.sleep(self.sleep_s)
        return by_hash(request, question)


@dataclass
class Backend:
    """A running backend."""

    client: httpx.Client
    judge: Judge
    running: Running

    @property
    def service(self) -> JudgeService:
        return self.running.service


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    judge = Judge()
    vitals = VitalSigns()
    service = JudgeService(ScriptedEngine(judge), Shelf(), Store(tmp_path / "verdicts.sqlite"))
    worker = Worker(service, batch_size=4, vitals=vitals)
    settings = Settings(engine="scripted", predict_deadline_s=1.5)
    admission = Admission(100, 8, lambda: vitals.snapshot().rate)
    running = Running(settings, service, worker, vitals, admission, None)
    running.start()
    server = make_server("127.0.0.1", 0, create_app(running), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", timeout=20) as client:
        yield Backend(client, judge, running)
    judge.gate.set()
    server.shutdown()
    running.stop()


def task(number: int, caption: str = "A dog.", image: str = "picture") -> dict[str, Any]:
    return {"id": number, "data": {"image": image, "caption": caption}}


def fingerprint(backend: Backend) -> str:
    return backend.service.judging(parse_label_config(default_label_config())).fingerprint


def predict(backend: Backend, tasks: list[dict[str, Any]]) -> list[Any]:
    body = {
        "tasks": tasks,
        "project": "3.1795361354",
        "label_config": default_label_config(),
        "params": {"login": None, "password": None, "context": None},
    }
    answer = backend.client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    results: list[Any] = answer.json()["results"]
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


def reasons(backend: Backend) -> list[str]:
    """Why tasks failed."""
    return [note.reason for note in backend.running.vitals.snapshot().failures]


def test_every_task_gets_an_entry_in_order_whatever_is_wrong_with_it(backend: Backend) -> None:
    backend.judge.fail_on = "poison"
    tasks = [task(1), task(2, image="nowhere"), task(3, "poison"), task(4, ""), {"id": 5}, {}, task(7, "A cat.")]
    results = predict(backend, tasks)
    assert [entry == [] for entry in results] == [False, True, True, True, True, True, False]
    assert sorted(reasons(backend)) == [
        "task 2, `image`: nowhere cannot be had; check the address",
        "task 3: the model cannot read this one",
        "task 4 has no text to judge in `caption`; give it one or delete the task",
        "task 5 has no `data` object",
        "task without id has no `data` object",
    ]
    for index in (0, 6):
        assert {r["from_name"] for r in results[index]["result"]} >= {"visual_realism", "text_accuracy", "consistency"}
        assert 0 < results[index]["score"] <= 1
        assert results[index]["model_version"] == fingerprint(backend)


def test_the_answer_comes_by_the_deadline_and_the_rest_is_there_next_time(backend: Backend) -> None:
    backend.judge.sleep_s = 0.2
    tasks = [task(number, f"Dog {number}.") for number in range(20)]
    began = time.monotonic()
    first = predict(backend, tasks)
    assert time.monotonic() - began < 4
    assert 0 < first.count([]) < 20
    backend.judge.sleep_s = 0
    later = predict(backend, tasks)
    assert [entry["model_version"] for entry in later] == [fingerprint(backend)] * 20


def test_half_a_character_in_one_task_keeps_none_of_the_others_from_being_judged(backend: Backend) -> None:
    body = {"tasks": [task(1), task(2, "half")], "project": "3.1", "label_config": default_label_config()}
    content = json.dumps(body).replace('"half"', '"half \\ud83d"')
    answer = backend.client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["model_version"] == fingerprint(backend)


def test_an_annotator_s_own_request_has_one_prediction_whatever_is_wrong(backend: Backend) -> None:
    asked = {**task(1, image="nowhere"), "drafts": [], "annotations": []}
    assert predict(backend, [asked]) == [{"result": [], "score": None}]


def test_more_than_can_be_served_is_told_when_to_come_back(backend: Backend) -> None:
    backend.judge.gate.clear()
    body = {"tasks": [task(1)], "project": "3.1", "label_config": default_label_config()}
    held: list[int] = []

    def ask() -> None:
        with httpx.Client(base_url=backend.client.base_url, timeout=20) as client:
            held.append(client.post("/predict", json=body).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 5
    while backend.running.admission.requests < 8 and time.monotonic() < until:
        time.sleep(0.01)
    answer = backend.client.post("/predict", json=body)
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    assert "the backend takes at most 8 requests at a time" in answer.json()["error"]
    assert backend.client.get("/health").json()["status"] == "UP"
    backend.judge.gate.set()
    for thread in threads:
        thread.join()
    assert held == [200] * 8
    assert backend.client.post("/predict", json=body).status_code == 200
    assert backend.running.vitals.snapshot().requests == (("answered", 9), ("busy", 1))


def test_tasks_beyond_the_limit_wait_outside_but_a_request_that_comes_alone_is_served(backend: Backend) -> None:
    many = [task(number, "Dog.") for number in range(150)]
    assert len(predict(backend, many)) == 150
    backend.judge.gate.clear()
    thread = threading.Thread(target=predict, args=(backend, [task(1, "Cat.")]))
    thread.start()
    until = time.monotonic() + 5
    while not backend.running.admission.requests and time.monotonic() < until:
        time.sleep(0.01)
    body = {"tasks": many, "project": "3.1", "label_config": default_label_config()}
    assert backend.client.post("/predict", json=body).status_code == 503
    backend.judge.gate.set()
    thread.join()


def test_a_burst_shares_batches(backend: Backend) -> None:
    backend.judge.gate.clear()
    threads = [
        threading.Thread(target=predict, args=(backend, [task(number, f"Dog {number}.")])) for number in range(5)
    ]
    threads[0].start()
    assert backend.judge.entered.wait(5)
    for thread in threads[1:]:
        thread.start()
    until = time.monotonic() + 5
    while backend.running.worker.waiting < 4 and time.monotonic() < until:
        time.sleep(0.01)
    backend.judge.gate.set()
    for thread in threads:
        thread.join()
    vitals = backend.running.vitals.snapshot()
    assert (vitals.judged, vitals.batches) == (5, 2)


def test_a_process_that_is_to_end_answers_with_what_there_is(backend: Backend) -> None:
    assert predict(backend, [task(1)]) != [[]]
    backend.running.drain()
    began = time.monotonic()
    assert predict(backend, [task(2, "A cat.")]) == [[]]
    assert time.monotonic() - began < 1


def test_pages_say_how_it_stands(backend: Backend) -> None:
    backend.client.post("/setup", json={"project": "3.1795361354", "schema": default_label_config()})
    predict(backend, [task(1), task(2, image="nowhere")])
    page = backend.client.get("/status")
    assert page.headers["content-type"].startswith("text/html")
    assert fingerprint(backend) in page.text
    assert "nowhere cannot be had" in page.text
    metrics = backend.client.get("/metrics").text
    assert "vlm_judge_samples_judged_total 1.0" in metrics
    assert "vlm_judge_tasks_failed_total 1.0" in metrics


def test_the_same_content_is_judged_once(backend: Backend) -> None:
    engine = backend.service.engine
    assert isinstance(engine, ScriptedEngine)
    predict(backend, [task(1), task(2), task(3)])
    asked = len(engine.asked)
    predict(backend, [task(4)])
    assert len(engine.asked) == asked


def test_requests_at_once_all_get_their_own_answers(backend: Backend) -> None:
    answers: dict[int, list[Any]] = {}

    def ask(number: int) -> None:
        answers[number] = predict(backend, [task(number, f"Dog {number}."), task(100 + number, image="nowhere")])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = {number: predict(backend, [task(number, f"Dog {number}.")])[0] for number in range(8)}
    assert {number: entries[0] for number, entries in answers.items()} == alone
    assert [entries[1] for entries in answers.values()] == [[]] * 8


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
    annotation = {"id": 9, "task": 4, "updated_at": "2026-11-26T10:00:00.5Z", "result": []}
    project = {"id": 3, "created_at": "2026-11-22T09:49:14.000001Z"}
    told = {"action": "ANNOTATION_CREATED", "project": project, "annotation": annotation}
    assert backend.client.post("/webhook", json=told).status_code == 200
    [kept] = backend.service.store.feedback.of("3.1795340954")
    assert (kept.annotation, kept.task, kept.payload, kept.deleted_at) == (9, 4, annotation, None)
    backend.client.post(
        "/webhook", json={"action": "ANNOTATIONS_DELETED", "project": project, "annotations": [{"id": 9}]}
    )
    [kept] = backend.service.store.feedback.of("3.1795340954")
    assert kept.deleted_at is not None
