"""`vlm-judge serve` as a process of its own, without any Label Studio."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.interfaces import default_label_config
from backend.label_studio_server import free_port, stop_group, wait_until_healthy

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "page.png")


def photograph_folder() -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    home = tmp_path_factory.mktemp("serve")
    log, address = home / "log", f"http://127.0.0.1:{free_port()}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "serve", "--engine", "scripted", "--port", address.rsplit(":", 1)[1]],
            env={**os.environ, "VLM_JUDGE_STORE": str(home / "s.sqlite"), "VLM_JUDGE_IMAGE_HOSTS": "127.0.0.1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_healthy(f"{address}/health", process, log, "the backend")
        yield process, address, log
    finally:
        stop_group(process)


@pytest.fixture(scope="module")
def photographs() -> Iterator[str]:
    """Address under which the photographs are served."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(photograph_folder()))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def judge(address: str, images: list[str]) -> list[dict[str, Any]]:
    tasks = [{"id": number, "data": {"image": uri, "caption": "A photograph."}} for number, uri in enumerate(images)]
    body = {"tasks": tasks, "label_config": default_label_config(), "project": "1.1"}
    answer = httpx.post(f"{address}/predict", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def controls(entry: dict[str, Any]) -> set[str]:
    return {region["from_name"] for region in entry["result"]}


def test_photographs_are_judged_from_addresses_and_from_data_uris_alike(
    served: tuple[subprocess.Popen[bytes], str, Path], photographs: str
) -> None:
    _, address, _ = served
    by_address = judge(address, [f"{photographs}/{name}" for name in PHOTOGRAPHS])
    encoded = [
        f"data:image/{name.rsplit('.', 1)[-1].replace('jpg', 'jpeg')};base64,"
        + base64.b64encode((photograph_folder() / name).read_bytes()).decode()
        for name in PHOTOGRAPHS
    ]
    assert judge(address, encoded) == by_address
    for entry in by_address:
        assert controls(entry) >= {"visual_realism", "text_accuracy", "consistency", "verdict", "rationale"}


def test_without_label_studio_its_paths_are_refused_with_the_remedy(
    served: tuple[subprocess.Popen[bytes], str, Path],
) -> None:
    _, address, _ = served
    [entry] = judge(address, ["/data/upload/1/cat.png"])
    assert controls(entry) == {"rationale"}
    assert "LABEL_STUDIO_URL" in entry["result"][0]["value"]["text"][0]


def test_sigterm_ends_it_cleanly(served: tuple[subprocess.Popen[bytes], str, Path]) -> None:
    process, _, log = served
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert "Traceback" not in log.read_text()
