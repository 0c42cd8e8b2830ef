"""The description that the backend serves of itself, held against what it does."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from PIL import Image
from werkzeug.test import TestResponse

from backend.admission import Admission
from backend.engines.scripted import ScriptedEngine
from backend.errors import ImageError
from backend.interfaces import default_label_config
from backend.openapi import description
from backend.running import Running
from backend.server import create_app
from backend.service import JudgeService
from backend.settings import Settings
from backend.store import Store
from backend.vitals import VitalSigns
from backend.worker import Worker
from tests.described import Described, Json

DESCRIBED = Described(description())
OPERATIONS = sorted(DESCRIBED.operations)
CALLS = [operation for operation in OPERATIONS if operation[0] == "POST"]
LOCKED: dict[str, Any] = {"basic_auth_user": "label-studio", "basic_auth_password": "planted-secret"}
KEY = {"Authorization": "Basic " + base64.b64encode(b"label-studio:planted-secret").decode()}
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.1"}
DELETED = {
    "action": "ANNOTATIONS_DELETED",
    "project": {"id": 3, "created_at": "2026-11-22T09:49:14Z"},
    "annotations": [{"id": 9}],
}
GOOD: dict[str, Json] = {
    "/setup": {"schema": default_label_config()},
    "/predict": {"tasks": [{"id": 1}], "label_config": default_label_config()},
    "/webhook": DELETED,
    "/webhook/{secret}": DELETED,
}


class Shelf:
    """Pictures at every address but those that name none."""

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        if "nowhere" in uri:
            raise ImageError(f"{uri} cannot be had")
        return Image.new("RGB", (8, 8))


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend without a server before it."""

    app: Flask
    running: Running
    store: Path

    def ask(self, method: str, path: str, *, elsewhere: bool = False, **options: Any) -> TestResponse:
        """Its answer to a request from this machine, or from another."""
        filled = path.replace("{secret}", "some/secret")
        environ = ELSEWHERE if elsewhere else {"REMOTE_ADDR": "127.0.0.1"}
        return self.app.test_client().open(filled, method=method, environ_base=environ, **options)


Make = Callable[..., Backend]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Starts a backend with these settings."""
    with ExitStack() as ends:

        def start(**settings: Any) -> Backend:
            store, vitals = tmp_path / "store.sqlite", VitalSigns()
            service = JudgeService(ScriptedEngine(), Shelf(), Store(store))
            worker = Worker(service, batch_size=4, vitals=vitals)
            made = Settings(engine="scripted", store=str(store), predict_deadline_s=5, **settings)
            running = Running(made, service, worker, vitals, Admission(100, 8, lambda: 0.0), None)
            running.start()
            ends.callback(running.stop)
            worker.wait_until_loaded()
            return Backend(create_app(running), running, store)

        yield start


def faults(answer: TestResponse, method: str, path: str) -> list[str]:
    headers = {name.lower(): value for name, value in answer.headers}
    return [*DESCRIBED.faults(method, path, answer.status_code, headers, answer.get_data())]


def examples(content: Json) -> dict[str, Any]:
    return {name: example["value"] for name, example in content.get("application/json", {}).get("examples", {}).items()}


def test_it_is_an_openapi_description() -> None:
    validate(description(), cls=OpenAPIV31SpecValidator)


def test_it_is_served(make: Make) -> None:
    assert make().ask("GET", "/openapi.json").get_json() == description()


def test_it_names_every_route_and_no_other(make: Make) -> None:
    routes = {
        (method, rule.rule.replace("<path:secret>", "{secret}"))
        for rule in make().app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == set(OPERATIONS)


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    named = [operation["operationId"] for operation in DESCRIBED.operations.values()]
    assert len(set(named)) == len(named)
    assert all(operation["summary"] and operation["tags"] for operation in DESCRIBED.operations.values())
    assert {"setup", "predict", "webhook", "health", "status", "metrics"} <= set(named)


def test_a_project_is_described_as_it_is_checked() -> None:
    schemas = description()["components"]["schemas"]
    for name in ("SetupRequest", "PredictRequest"):
        assert schemas[name]["properties"]["project"]["anyOf"] == [
            {"type": "string", "maxLength": 64},
            {"type": "integer", "minimum": 0, "maximum": 9223372036854775807},
            {"type": "null"},
        ]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_its_examples_are_what_it_describes(method: str, path: str) -> None:
    operation = DESCRIBED.operations[method, path]
    contents = [response["content"] for response in operation["responses"].values()]
    contents += [operation["requestBody"]["content"]] if method == "POST" else []
    for content in contents:
        for name, value in examples(content).items():
            found = [*DESCRIBED.validator(content["application/json"]["schema"]).iter_errors(value)]
            assert found == [], name


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_its_examples_are_answered(make: Make, method: str, path: str) -> None:
    asked = examples(DESCRIBED.operations[method, path]["requestBody"]["content"])
    assert asked
    backend = make()
    for name, body in asked.items():
        answer = backend.ask(method, path, json=body)
        assert (answer.status_code, faults(answer, method, path)) == (200, []), name


def test_the_example_of_a_prediction_is_answered_as_the_example_says(make: Make) -> None:
    operation = DESCRIBED.operations["POST", "/predict"]
    name = "two tasks, one without an image"
    said = examples(operation["responses"]["200"]["content"])[name]["results"]
    body = examples(operation["requestBody"]["content"])[name]
    results = make().ask("POST", "/predict", json=body).get_json()["results"]
    assert [sorted(entry) for entry in results] == [sorted(entry) for entry in said]
    shapes = [
        [
            (region["from_name"], region["to_name"], region["type"], sorted(region["value"]))
            for region in entry["result"]
        ]
        for entry in (results[0], said[0])
    ]
    assert shapes[0] == shapes[1]


def test_an_annotator_s_own_request_that_cannot_be_judged_is_as_described(make: Make) -> None:
    task = {"id": 1, "data": {"image": "nowhere", "caption": "A dog."}, "drafts": []}
    answer = make().ask("POST", "/predict", json={"tasks": [task], "label_config": default_label_config()})
    assert (answer.get_json(), faults(answer, "POST", "/predict")) == ({"results": [{"result": [], "score": None}]}, [])


def ok(make: Make, method: str, path: str) -> TestResponse:
    return make().ask(method, path, json=GOOD.get(path))


def bad_body(make: Make, method: str, path: str) -> TestResponse:
    return make().ask(method, path, json={"label_config": "<View/>", "schema": "<View/>", "tasks": []})


def wrong_key(make: Make, method: str, path: str) -> TestResponse:
    return make(**LOCKED).ask(method, path, json=GOOD.get(path), headers={"Authorization": "Basic eDp4"})


def from_elsewhere(make: Make, method: str, path: str) -> TestResponse:
    return make().ask(method, path, json=GOOD.get(path), elsewhere=True)


def odd_secret(make: Make, method: str, path: str) -> TestResponse:
    return make().ask(method, path.replace("{secret}", "a%0Ab"), json=GOOD[path])


def too_large(make: Make, method: str, path: str) -> TestResponse:
    return make(max_request_bytes=1024).ask(method, path, data=b"[" * 1025)


def too_busy(make: Make, method: str, path: str) -> TestResponse:
    """As many tasks wait as are taken; for webhooks, the store cannot be written."""
    backend = make()
    if path.startswith("/webhook"):
        with sqlite3.connect(backend.store) as connection:
            connection.execute("DROP TABLE feedback")
    held = backend.running.admission.admitted(100) if path == "/predict" else nullcontext()
    with held:
        return backend.ask(method, path, json=GOOD[path])


PROVOKED = {
    200: ok, 400: bad_body, 401: wrong_key, 403: from_elsewhere, 404: odd_secret, 413: too_large, 503: too_busy
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        (method, path, status)
        for method, path in OPERATIONS
        for status in DESCRIBED.operations[method, path]["responses"]
    ],
)
def test_every_answer_that_is_described_is_given_as_described(make: Make, method: str, path: str, status: str) -> None:
    answer = PROVOKED[int(status)](make, method, path)
    assert (answer.status_code, faults(answer, method, path)) == (int(status), [])


def test_health_without_a_key_is_as_described(make: Make) -> None:
    answer = make(**LOCKED).ask("GET", "/health")
    assert (answer.get_json(), faults(answer, "GET", "/health")) == ({"status": "UP"}, [])


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_way_in_that_is_described_is_open(make: Make, method: str, path: str) -> None:
    backend = make(**LOCKED, webhook_secret="some/secret")
    keys: dict[str, dict[str, str]] = {"basic": KEY, "webhookSecret": {"X-Webhook-Secret": "some/secret"}}
    for way in DESCRIBED.operations[method, path]["security"]:
        headers = {name: value for scheme in way for name, value in keys[scheme].items()}
        expected = 200 if headers or path in ("/health", "/webhook/{secret}") else 401
        assert backend.ask(method, path, json=GOOD.get(path), headers=headers).status_code == expected, way
