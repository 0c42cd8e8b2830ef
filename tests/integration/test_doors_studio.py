"""A locked backend and a real Label Studio: connected by the commands, asked by the button, told by webhooks."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from backend.errors import StudioError
from backend.interfaces import default_label_config
from backend.label_studio_server import LabelStudioProcess, free_port, stop_group, wait_until_healthy
from backend.studio import Project, Studio

USER, PASSWORD, SECRET = "label-studio", "pass: wörd", "hook-s3cret"
LOCK = {"VLM_JUDGE_BASIC_AUTH_USER": USER, "VLM_JUDGE_BASIC_AUTH_PASSWORD": PASSWORD}
WITH_SECRET = {**LOCK, "VLM_JUDGE_WEBHOOK_SECRET": SECRET}
AUTHORIZATION = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}


@dataclass(frozen=True)
class Locked:
    """A backend that asks for a name and password, and a webhook secret; and the commands of one who may know them."""

    url: str
    log: Path
    studio: Studio
    token: str

    def run(self, variables: dict[str, str], *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `vlm-judge` with these settings."""
        own = {"LABEL_STUDIO_URL": self.studio.url, "LABEL_STUDIO_API_KEY": self.token}
        store = {"VLM_JUDGE_STORE": str(self.log.parent / "commands.sqlite")}
        done = subprocess.run(
            [sys.executable, "-m", "backend.cli", *arguments],
            env={**os.environ, **own, **store, **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done

    def webhook(self, project: int) -> dict[str, Any]:
        """The project's one webhook, as Label Studio has it."""
        [hook] = self.api("GET", f"api/webhooks/?project={project}")
        assert hook["url"] == f"{self.url}/webhook"
        found: dict[str, Any] = hook
        return found

    def api(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Token {self.token}"}
        answer = httpx.request(method, f"{self.studio.url}/{path}", headers=headers, json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def said_since(self, start: int, what: str) -> bool:
        """Whether the backend's log says it after this many bytes, now or within ten seconds."""
        until = time.monotonic() + 10
        while what not in self.log.read_bytes()[start:].decode():
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True


@pytest.fixture(scope="module")
def locked(label_studio: LabelStudioProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    home, port = tmp_path_factory.mktemp("locked"), free_port()
    url, log = f"http://127.0.0.1:{port}", home / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "serve", "--engine", "scripted", "--port", str(port)],
            env={**os.environ, **WITH_SECRET, "VLM_JUDGE_STORE": str(home / "s.sqlite")},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_healthy(f"{url}/health", process, log, "the backend")
        yield Locked(url, log, Studio(label_studio.url, label_studio.token), label_studio.token)
    finally:
        stop_group(process)


@pytest.fixture
def project(locked: Locked, request: pytest.FixtureRequest) -> Iterator[Project]:
    made = locked.studio.create_project(f"Doors {request.node.name}"[:50], default_label_config())
    yield made
    locked.studio.delete_project(made.id)


def tasks(count: int) -> list[dict[str, Any]]:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(buffer, "PNG")
    image = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return [{"data": {"image": image, "caption": f"Square {n}.", "requested": ""}} for n in range(count)]


def test_the_commands_connect_and_predictions_and_webhooks_come_through(locked: Locked, tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps(tasks(3)))
    arguments = ("--title", "Locked", "--tasks", str(file), "--engine", "scripted", "--connect", locked.url)
    number = int(locked.run(WITH_SECRET, "project", "create", *arguments).stdout.split()[1].rstrip(":"))
    studio = locked.studio
    try:
        [connection] = studio.connections(number)
        assert studio.retrieve_predictions(number) == "Retrieved 3 predictions"
        found = [task for page in studio.pages(number) for task in page]
        assert [task.model_versions for task in found] == [{connection.model_version}] * 3
        assert connection.model_version.startswith("scripted-")

        assert locked.webhook(number)["headers"] == {"X-Webhook-Secret": SECRET}
        start = locked.log.stat().st_size
        studio.annotate(found[0].id, {"result": []})
        assert locked.said_since(start, "webhook ANNOTATION_CREATED")

        printed = locked.run(LOCK, "project", "connect", "--project", str(number), locked.url).stdout
        assert printed == f"connected {locked.url} ({connection.model_version})\n"
        assert locked.webhook(number)["headers"] == AUTHORIZATION
        start = locked.log.stat().st_size
        studio.annotate(found[1].id, {"result": []})
        assert locked.said_since(start, "webhook ANNOTATION_CREATED")

        locked.api("PATCH", f"api/webhooks/{locked.webhook(number)['id']}/", {"headers": {}})
        start = locked.log.stat().st_size
        studio.annotate(found[2].id, {"result": []})
        assert locked.said_since(start, "POST /webhook from 127.0.0.1: refused with 401")
        assert "webhook ANNOTATION_CREATED" not in locked.log.read_bytes()[start:].decode()
        for secret in (PASSWORD, SECRET, AUTHORIZATION["Authorization"].split()[1]):
            assert secret not in locked.log.read_text()
    finally:
        studio.delete_project(number)


@pytest.mark.parametrize("key", [{}, {**LOCK, "VLM_JUDGE_BASIC_AUTH_PASSWORD": "wrong"}], ids=["none", "wrong"])
def test_without_the_right_password_connecting_says_what_to_set(
    locked: Locked, project: Project, key: dict[str, str]
) -> None:
    said = locked.run(key, "project", "connect", "--project", str(project.id), locked.url, status=1).stderr
    assert said == (
        f"Error: could not connect the backend at {locked.url} to project {project.id}: the backend asks for another "
        "name and password; set VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD here as they are set "
        "for it\n"
    )
    assert locked.studio.connections(project.id) == ()


def test_connecting_again_keeps_a_webhooks_own_headers_and_actions(locked: Locked, project: Project) -> None:
    locked.run(WITH_SECRET, "project", "connect", "--project", str(project.id), locked.url)
    hook = locked.webhook(project.id)
    narrowed = {"headers": {"X-Own": "1", **hook["headers"]}, "actions": ["ANNOTATION_CREATED"]}
    locked.api("PATCH", f"api/webhooks/{hook['id']}/", {**narrowed, "send_for_all_actions": False})
    locked.run(LOCK, "project", "connect", "--project", str(project.id), locked.url)
    again = locked.webhook(project.id)
    assert (again["headers"], again["actions"]) == ({"X-Own": "1", **AUTHORIZATION}, ["ANNOTATION_CREATED"])
    assert again["send_for_all_actions"] is False


@pytest.fixture
def open_backend() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A backend without locks: its address, and the paths and Authorization headers it is sent."""
    sent: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append((self.path, self.headers["Authorization"]))
            content = json.dumps({"status": "UP", "model_version": "open-1"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_connection_without_a_password_sends_none_that_an_earlier_one_had(
    locked: Locked, project: Project, open_backend: tuple[str, list[tuple[str, str | None]]]
) -> None:
    url, sent = open_backend
    locked.studio.connect_backend(project.id, url, "Judge", user=USER, password=PASSWORD)
    in_latin_1 = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode("latin-1")).decode()
    assert set(sent) == {("/health", in_latin_1), ("/setup", in_latin_1)}
    locked.studio.connect_backend(project.id, url, "Judge")
    sent.clear()
    locked.studio.connections(project.id)
    assert set(sent) == {("/health", None), ("/setup", None)}
    [hook] = locked.api("GET", f"api/webhooks/?project={project.id}")
    assert hook["headers"] == {}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"user": USER, "password": "kľúč"}, "cannot send the basic auth password as it is set; choose one of Latin-1"),
        ({"user": USER, "password": " pw"}, "cannot send the basic auth password"),
        ({"user": "a\n", "password": "pw"}, "cannot send the basic auth user"),
        ({"webhook_secret": "sécret"}, "cannot send the webhook secret as it is set; choose one of ASCII"),
    ],
)
def test_what_label_studio_would_send_wrong_is_refused_first(
    locked: Locked, project: Project, keys: dict[str, str], said: str
) -> None:
    with pytest.raises(StudioError, match=said):
        locked.studio.connect_backend(project.id, locked.url, "Judge", **keys)  # type: ignore[arg-type]
    assert locked.studio.connections(project.id) == ()
