"""Secrets are planted wherever one can come in; nothing that the real server writes may hold one."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from backend.interfaces import default_label_config
from backend.label_studio_server import free_port, stop_group, wait_until_healthy
from tests.contract.test_serve import photograph_folder

USER = "label-studio"
PLANTED = {
    name: f"Kq7vX{name}Zw3"
    for name in (
        "ApiKey",
        "BasicPassword",
        "WebhookSecret",
        "HubToken",
        "StudioKey",
        "JudgePassword",
        "AccessToken",
        "TaskLogin",
        "TaskPassword",
        "Signature",
        "RedirectSignature",
        "AddressPassword",
        "QuerySecret",
        "StorePassword",
    )
}
PAIR = base64.b64encode(f"{USER}:{PLANTED['BasicPassword']}".encode()).decode()


def planted_in(content: bytes) -> list[str]:
    """The secrets in what was written, also as basic authorization."""
    planted = {**PLANTED, "BasicPassword in base64": PAIR.rstrip("=")}
    return [name for name, secret in planted.items() if secret.encode() in content]


class Stranger(BaseHTTPRequestHandler):
    """A judge server, an image host and, below `/echo`, a Label Studio that tell everybody what they were sent."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/redirect":
            self._answer(302, {"Location": f"/gone?sig={PLANTED['RedirectSignature']}"})
        elif path == "/photograph":
            self._answer(200, {}, (photograph_folder() / "coffee.png").read_bytes())
        else:
            self._answer({"/text": 200, "/gone": 404}.get(path, 403), {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(401, {"Content-Type": "application/json"})

    def _answer(self, status: int, headers: dict[str, str], body: bytes | None = None) -> None:
        told = "no" if self.path.startswith("/api/") else f"Incorrect key; {self.path} came with {dict(self.headers)}"
        content = body if body is not None else json.dumps({"error": {"message": told}}).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def stranger() -> Iterator[int]:
    """The stranger's port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Watched:
    """A running backend, and everything that it answered."""

    client: httpx.Client
    stranger: int
    answers: list[bytes] = field(default_factory=list)

    def ask(self, method: str, path: str, key: str = PAIR, **more: Any) -> httpx.Response:
        """Send a request, with the right name and password unless another key, or none, is given."""
        headers = ({"Authorization": f"Basic {key}"} if key else {}) | more.pop("headers", {})
        answer = self.client.request(method, path, headers=headers, **more)
        self.answers.append(f"{answer.status_code} {answer.headers}\n".encode() + answer.content)
        return answer

    def shout(self, request: bytes) -> None:
        """Send what is no HTTP. What gunicorn answers repeats the request to whoever sent it, and is not kept."""
        with socket.create_connection((self.client.base_url.host, self.client.base_url.port), timeout=20) as connection:
            connection.sendall(request)
            connection.recv(4096)


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "VLM_JUDGE_STORE": str(home / "s.sqlite"),
        "VLM_JUDGE_IMAGE_HOSTS": "127.0.0.1",
        "VLM_JUDGE_FETCH_TIMEOUT_S": "5",
        "VLM_JUDGE_BASIC_AUTH_USER": USER,
        "VLM_JUDGE_BASIC_AUTH_PASSWORD": PLANTED["BasicPassword"],
        "VLM_JUDGE_WEBHOOK_SECRET": PLANTED["WebhookSecret"],
        "HF_TOKEN": PLANTED["HubToken"],
        "LABEL_STUDIO_API_KEY": PLANTED["StudioKey"],
        **more,
    }


def command(engine: str, port: int) -> list[str]:
    return [sys.executable, "-m", "backend.cli", "serve", "--engine", engine, "--port", str(port)]


def addresses(stranger: int) -> list[str]:
    """Where a task's image lies, with a signature or a password in each; the first can be had, the others cannot."""
    query = f"?X-Amz-Signature={PLANTED['Signature']}"
    host = f"me:{PLANTED['AddressPassword']}@127.0.0.1"
    return [
        f"http://{host}:{stranger}/photograph{query}",
        f"http://127.0.0.1:{stranger}/gone{query}",
        f"http://{host}:{stranger}/gone",
        f"http://{host}:{stranger}/text{query}",
        f"http://127.0.0.1:{stranger}/redirect",
        f"http://{host}:{free_port()}/away{query}",
        f"http://me:{PLANTED['AddressPassword']}@10.255.255.1/private{query}",
        f"http://{host}:port/a.png{query}",
        f"https://{host}:{stranger}/no-tls{query}",
        "/data/upload/1/cat.png",
        "/data/local-files/?d=cat.png",
        "s3://bucket/cat.png",
    ]


def talk_well(backend: Watched) -> list[Any]:
    """Everything that Label Studio says, with a secret wherever it sends one; the predictions, empty for failures."""
    setup = {
        "project": "3.1795361354",
        "schema": default_label_config(),
        "hostname": "http://localhost:8080",
        "access_token": PLANTED["AccessToken"],
        "extra_params": {"password": PLANTED["TaskPassword"]},
    }
    tasks = [
        {"id": number, "data": {"image": address, "caption": "A photograph."}}
        for number, address in enumerate(addresses(backend.stranger))
    ]
    params = {"login": PLANTED["TaskLogin"], "password": PLANTED["TaskPassword"], "context": None}
    body = {"tasks": tasks, "project": "3.1795361354", "label_config": default_label_config(), "params": params}
    project = {"id": 3, "created_at": "2026-01-02T03:04:05Z", "task_data_password": PLANTED["TaskPassword"]}
    webhook = {"action": "START_TRAINING", "project": project}
    annotation = {"id": 5, "task": 1, "updated_at": "2026-01-02T03:04:06Z", "result": [], "was_cancelled": False}
    created = {"action": "ANNOTATION_CREATED", "project": project, "task": tasks[1], "annotation": annotation}
    assert backend.ask("POST", "/setup", json=setup).status_code == 200
    assert backend.ask("POST", "/webhook", json=webhook).status_code == 200
    assert backend.ask("POST", f"/webhook/{PLANTED['WebhookSecret']}", "", json=webhook).status_code == 200
    header = {"X-Webhook-Secret": PLANTED["WebhookSecret"]}
    assert backend.ask("POST", "/webhook", "", json=created, headers=header).status_code == 200
    answer = backend.ask("POST", "/predict", json=body)
    assert answer.status_code == 200, answer.text
    results: list[Any] = answer.json()["results"]
    assert len(results) == len(tasks)
    for path in ("/", "/health", "/status", "/metrics", "/openapi.json"):  # some of which tell what failed
        assert backend.ask("GET", path).status_code == 200
    return results


def wait_for_news_of_label_studio(backend: Watched) -> None:
    """Ask for the status page until it says what Label Studio answered to a delivery."""
    until = time.monotonic() + 20
    while "says 403" not in backend.ask("GET", "/status").text:
        assert time.monotonic() < until, "the status page does not say it"
        time.sleep(0.2)


def talk_badly(backend: Watched) -> None:
    """Requests that are refused or break something."""
    wrong, secret = base64.b64encode(f"{USER}:wrong".encode()).decode(), PLANTED["WebhookSecret"]
    query = f"?access_token={PLANTED['QuerySecret']}"
    for path in ("/", "/health", "/status", "/predict", "/webhook", f"/webhook/x{secret}", "/nowhere"):
        for method in ("GET", "POST", "PUT"):
            for key in (PAIR, wrong, "!", f"{PAIR}AAAA"):
                backend.ask(method, path + query, key)
    for method in ("GET", "PUT"):  # right, but for the method, which the answer names together with the path
        assert backend.ask(method, f"/webhook/{secret}", "").status_code == 405
    token, password = f'{{"access_token": "{PLANTED["AccessToken"]}", ', f'{{"password": "{PLANTED["TaskPassword"]}"'
    for body in (token, token + '"schema": "<View"}', token + '"schema": 3}', password + "}", f"[{password}}}]"):
        for path in ("/setup", "/predict", "/webhook"):
            assert backend.ask("POST", path, content=body).status_code == 400
    for content in (f'{token}"deep": {"[" * 200_000}', f'{{"tasks": [{password}}}], "label_config": "<View/>"}}'):
        backend.ask("POST", "/predict", content=content)
    backend.ask("GET", "/", headers={"X-Request-Id": secret})
    backend.answers.pop()  # says the id again to whoever chose it
    backend.shout(f"GET / HTTP/1.1\r\nAuthorization : Basic {PAIR}\r\n\r\n".encode())
    backend.shout(f"GET / HTTP/1.1\r\nAuthorization: Basic {PAIR}\r\n folded: {secret}\r\n\r\n".encode())
    backend.shout(f"GET /webhook/{secret} HTTP/9.9\r\n\r\n".encode())
    backend.shout(f"POST /webhook/{secret}\r\n\r\n".encode())
    backend.shout(f"GET /{secret * 900} HTTP/1.1\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("engine", "log_format", "studio"),
    [
        ("scripted", "text", "away"),
        ("remote", "json", "stranger"),
        ("remote", "text", "stranger/echo"),
    ],
)
def test_nothing_that_the_server_writes_holds_a_secret(
    tmp_path: Path, stranger: int, engine: str, log_format: str, studio: str
) -> None:
    port, log = free_port(), tmp_path / "log"
    studio_url = studio.replace("away", f"http://127.0.0.1:{free_port()}")
    studio_url = studio_url.replace("stranger", f"http://127.0.0.1:{stranger}")
    settings = environment(tmp_path, VLM_JUDGE_LOG_FORMAT=log_format, LABEL_STUDIO_URL=studio_url)
    if engine == "remote":
        settings |= {"VLM_JUDGE_SERVERS": f"http://127.0.0.1:{stranger}", "VLM_JUDGE_API_KEY": PLANTED["ApiKey"]}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(engine, port), env=settings, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(f"{address}/health", process, log, "the backend")
        with httpx.Client(base_url=address, timeout=60) as client:
            backend = Watched(client, stranger)
            results = talk_well(backend)
            if engine == "remote":  # whose judge refuses, so that a prediction is owed
                wait_for_news_of_label_studio(backend)
            talk_badly(backend)
    finally:
        stop_group(process)
    assert [bool(entry) for entry in results] == [engine == "scripted"] + [False] * (len(results) - 1)

    lines = log.read_text().splitlines()
    assert log.read_text().count("webhook START_TRAINING") == 2
    assert "webhook ANNOTATION_CREATED" in log.read_text()
    assert "refused with 401" in log.read_text()
    assert "Invalid HTTP" in log.read_text()
    if log_format == "json":
        assert {frozenset(json.loads(line)) >= {"time", "level", "logger", "message"} for line in lines} == {True}
    assert {answer.split(b"'server': '")[1].split(b"'")[0] for answer in backend.answers} == {b"vlm-judge"}

    written = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert set(written) >= {"log", "s.sqlite"}
    assert {name: planted_in(content) for name, content in written.items()} == {name: [] for name in written}
    assert [found for answer in backend.answers if (found := planted_in(answer))] == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"VLM_JUDGE_STORE": f"postgresql://me:{PLANTED['StorePassword']}@127.0.0.1:1/judge"}, "Error: "),
        ({"VLM_JUDGE_BASIC_AUTH_USER": ""}, "Error: VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD go"),
        ({"VLM_JUDGE_SERVERS": f"http://me:{PLANTED['JudgePassword']}@gpu"}, "Error: VLM_JUDGE_SERVERS: "),
        ({"VLM_JUDGE_SERVERS": f"me:{PLANTED['JudgePassword']}@gpu"}, "Error: VLM_JUDGE_SERVERS: "),
    ],
    ids=["store", "half a lock", "servers", "servers without http"],
)
def test_a_server_that_does_not_start_names_no_secret(tmp_path: Path, more: dict[str, str], said: str) -> None:
    servers = {"VLM_JUDGE_SERVERS": "http://gpu:8000", "VLM_JUDGE_API_KEY": PLANTED["ApiKey"]}
    settings = environment(tmp_path, **(servers | more))
    done = subprocess.run(command("remote", 0), env=settings, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(said)
    assert planted_in(done.stdout + done.stderr) == []
