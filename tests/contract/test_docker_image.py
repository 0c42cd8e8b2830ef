"""What the image is made of and how it is watched, tried without a Docker engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from backend.label_studio_server import HOST, free_port, stop_group, wait_until_healthy
from tests.compose import DOCKER, ROOT, instructions

FAILED = "the model has failed; see the backend's log"
LOCK = {"VLM_JUDGE_BASIC_AUTH_USER": "label-studio", "VLM_JUDGE_BASIC_AUTH_PASSWORD": "a password of the test's"}
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


def checked(address: str, **variables: str) -> tuple[int, str]:
    """Exit code and message of the image's health check; a proxy of the machine is not to be asked."""
    done = subprocess.run(
        [sys.executable, DOCKER / "healthcheck.py", address],
        env={**os.environ, "http_proxy": "http://127.0.0.1:9", "no_proxy": "", **variables},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stderr.strip()


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """The address of a server that answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/health"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "said", "healthy"),
    [(200, {"engine": "ready"}, True), (200, {"engine": "loading"}, True), (200, {"engine": "failed"}, False)],
)
def test_a_judge_is_healthy_unless_its_model_has_failed(status: int, said: dict[str, str], healthy: bool) -> None:
    with answering(status, json.dumps(said).encode()) as address:
        assert checked(address) == ((0, "") if healthy else (1, FAILED))


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (200, b"a page")])
def test_a_judge_that_answers_otherwise_is_not_healthy(status: int, body: bytes) -> None:
    with answering(status, body) as address:
        code, message = checked(address)
    assert code == 1
    assert message.startswith(f"{address} does not answer: ")


def test_a_judge_that_is_not_there_is_not_healthy() -> None:
    address = f"http://{HOST}:{free_port()}/health"
    code, message = checked(address)
    assert code == 1
    assert message.startswith(f"{address} does not answer: ")


@contextmanager
def served(folder: Path, **variables: str) -> Iterator[str]:
    """The health address of a backend that runs as in the container, with these variables."""
    address, log = f"http://{HOST}:{free_port()}", folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "serve", "--host", HOST, "--port", address.rsplit(":", 1)[1]],
            env={**os.environ, "VLM_JUDGE_STORE": str(folder / "store.sqlite"), **variables},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_healthy(f"{address}/health", process, log, "the backend")
        yield f"{address}/health"
    finally:
        stop_group(process)


def test_a_running_judge_is_healthy(tmp_path: Path) -> None:
    with served(tmp_path, VLM_JUDGE_ENGINE="scripted", **LOCK) as address:
        assert httpx.get(address).json() == {"status": "UP"}, "others do not see how the model is"
        assert checked(address, **LOCK) == (0, "")


def test_a_judge_whose_servers_are_not_there_is_not_healthy(tmp_path: Path) -> None:
    servers = f"http://{HOST}:{free_port()}"
    with served(tmp_path, VLM_JUDGE_ENGINE="remote", VLM_JUDGE_SERVERS=servers, **LOCK) as address:
        until = time.monotonic() + 30
        while (found := checked(address, **LOCK)) == (0, "") and time.monotonic() < until:
            time.sleep(0.2)
        assert found == (1, FAILED)


def test_all_that_is_needed_at_run_time_is_installed(tmp_path: Path) -> None:
    """The tests run on the checkout itself; the image has what the build made of it."""
    folder = tmp_path / "src"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    for source in [ROOT / name for names in copied for name in names if not name.startswith("docker/")]:
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=ignored)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(source, folder)
    built = subprocess.run(
        [sys.executable, "-c", BUILD, tmp_path], cwd=folder, check=True, capture_output=True, text=True, timeout=120
    )
    wheel = tmp_path / built.stdout.splitlines()[-1]
    packaged = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {path.relative_to(folder) for name in ("backend", "exporters") for path in (folder / name).rglob("*")}
    needed = {str(path) for path in there if (folder / path).is_file()}
    assert packaged == needed
