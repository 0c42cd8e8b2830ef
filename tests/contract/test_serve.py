"""`vlm-judge serve` as a process of its own, without any Label Studio."""

from __future__ import annotations

import base64
import os
import signal
import socket
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

from backend.errors import SettingsError
from backend.interfaces import default_label_config
from backend.label_studio_server import free_port, stop_group, wait_until_healthy
from backend.serving import refuse_unusable_address

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


def judge(address: str, images: list[str]) -> list[Any]:
    tasks = [{"id": number, "data": {"image": uri, "caption": "A photograph."}} for number, uri in enumerate(images)]
    body = {"tasks": tasks, "label_config": default_label_config(), "project": "1.1"}
    answer = httpx.post(f"{address}/predict", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    results: list[Any] = answer.json()["results"]
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
    assert judge(address, ["/data/upload/1/cat.png"]) == [[]]
    assert "LABEL_STUDIO_URL" in httpx.get(f"{address}/status").text


def test_sigterm_ends_it_cleanly(served: tuple[subprocess.Popen[bytes], str, Path]) -> None:
    process, _, log = served
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert "Traceback" not in log.read_text()
    assert sorted(path.name for path in log.parent.iterdir()) == ["log", "s.sqlite"], "the store was not closed"


def refused(tmp_path: Path, *arguments: str, **variables: str) -> str:
    """What `vlm-judge serve` says when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "backend.cli", "serve", "--port", "0", "--engine", "scripted", *arguments],
        env={**os.environ, "VLM_JUDGE_STORE": str(tmp_path / "s.sqlite"), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, f"{done.stdout}\n{done.stderr}"
    return done.stderr


def test_a_rubric_that_is_not_there_is_told_plainly(tmp_path: Path) -> None:
    missing = tmp_path / "rubric.yaml"
    said = refused(tmp_path, "--rubric", str(missing))
    assert said == f"Error: cannot read the rubric {missing}: No such file or directory\n"


def test_a_store_that_cannot_be_opened_is_told_plainly(tmp_path: Path) -> None:
    store = tmp_path / "missing" / "s.sqlite"
    said = refused(tmp_path, VLM_JUDGE_STORE=str(store))
    assert said == (
        f"Error: cannot keep verdicts in {store}: unable to open database file; "
        "name another place with VLM_JUDGE_STORE\n"
    )


def test_a_model_for_an_engine_that_has_its_own_is_told_plainly(tmp_path: Path) -> None:
    said = refused(tmp_path, "--model", "some/model")
    assert said == (
        "Error: --model (VLM_JUDGE_MODEL): the scripted engine has a judge of its own; "
        "add --engine local, or leave it out\n"
    )


def test_a_port_that_is_taken_is_told_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(tmp_path, "--port", str(port))
    assert said == f"Error: port {port} is taken; choose another with --port\n"


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on 192\.0\.2\.1, port 9090: .*--host"):
        refuse_unusable_address("192.0.2.1", 9090)


def test_a_port_is_refused_as_long_as_another_listens_on_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        with pytest.raises(SettingsError, match=f"port {port} is taken"):
            refuse_unusable_address("127.0.0.1", port)
    for free in (port, 0):
        refuse_unusable_address("127.0.0.1", free)


def test_a_wrong_setting_under_a_gunicorn_of_ones_own_is_told_plainly(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--workers", "1", "--bind", "127.0.0.1:0", "backend.wsgi:app"],
        env={**os.environ, "VLM_JUDGE_STORE": str(tmp_path / "s.sqlite"), "VLM_JUDGE_ENGINE": "none"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "Error: VLM_JUDGE_ENGINE: Input should be" in done.stderr
    assert "Traceback" not in done.stderr
