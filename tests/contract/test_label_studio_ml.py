"""The judge hosted by label-studio-ml answers as our own server does, over real HTTP.

The released 1.0.9 pins a Flask of 2020, which cannot share an environment with ours. It and the packages that it pins
are put into folders of their own, which go before the rest on the path of the process that serves it.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from werkzeug.serving import make_server

from backend.core.audit import AuditPlan, with_plan
from backend.interfaces import default_label_config
from backend.label_studio_server import free_port
from backend.running import make_running
from backend.server import create_app
from backend.settings import Settings

ROOT = Path(__file__).parents[2]
STAND_IN_FOR_2 = Path(__file__).parent / "label_studio_ml_2"

RELEASED = ("label-studio-ml==1.0.9",)
PINNED = ("Flask==1.1.2", "Werkzeug==2.0.2", "Jinja2==3.0.3", "itsdangerous==2.0.1")
"""What 1.0.9 pins and we have newer."""

SCRIPT = "from backend.model import VlmJudge\n\n__all__ = ['VlmJudge']\n"
SERVE_2 = """
import sys
from label_studio_ml.api import init_app
from model import VlmJudge
init_app(model_class=VlmJudge).run(host="127.0.0.1", port=int(sys.argv[sys.argv.index("--port") + 1]))
"""


@pytest.fixture(scope="session")
def installed(pytestconfig: pytest.Config) -> dict[str, Path]:
    """Folders with the released package and with its pins, from the index once and then from pytest's cache."""
    assert pytestconfig.cache is not None
    home = pytestconfig.cache.mkdir("label-studio-ml-1.0.9")
    return {"package": folder_of(home / "package", RELEASED), "pins": folder_of(home / "pins", PINNED)}


def folder_of(folder: Path, packages: Sequence[str]) -> Path:
    if not folder.exists():
        part = folder.with_suffix(f".{os.getpid()}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", str(part), *packages], check=True)
        part.rename(folder)
    return folder


@contextmanager
def hosted(folder: Path, path: Sequence[Path], command: Sequence[str]) -> Iterator[httpx.Client]:
    """A process that serves the model class, with `path` before everything else that can be imported."""
    port = free_port()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            cwd=folder,
            env=environment(folder, path),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_until_up(client, process, folder / "server.log")
                yield client
        finally:
            process.terminate()
            process.wait(timeout=60)


def environment(folder: Path, path: Sequence[Path]) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(entry) for entry in (*path, ROOT)),
        "VLM_JUDGE_ENGINE": "scripted",
        "VLM_JUDGE_STORE": str(folder / "hosted.sqlite"),
        "MODEL_DIR": str(folder / "models"),
    }


def wait_until_up(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"label-studio-ml did not start:\n{log.read_text()}")


@pytest.fixture(params=["as released", "with our Flask"])
def released(request: pytest.FixtureRequest, installed: dict[str, Path], tmp_path: Path) -> Iterator[httpx.Client]:
    """What `label-studio-ml init` writes, served by 1.0.9's own `_wsgi.py`."""
    path = [installed["package"], *([installed["pins"]] if request.param == "as released" else [])]
    (tmp_path / "model.py").write_text(SCRIPT)
    init = "from label_studio_ml.server import main; main()"
    subprocess.run(
        [sys.executable, "-c", init, "init", "hosted", "--script", "model.py:VlmJudge"],
        cwd=tmp_path,
        env=environment(tmp_path, path),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with hosted(tmp_path, path, ["hosted/_wsgi.py", "--host", "127.0.0.1"]) as client:
        yield client


@pytest.fixture
def second(tmp_path: Path) -> Iterator[httpx.Client]:
    """The model class behind 2.x's signatures."""
    (tmp_path / "model.py").write_text(SCRIPT)
    (tmp_path / "serve.py").write_text(SERVE_2)
    path = Path(os.environ.get("LABEL_STUDIO_ML_2", STAND_IN_FOR_2))
    with hosted(tmp_path, [path], ["serve.py"]) as client:
        yield client


@pytest.fixture
def own(tmp_path: Path) -> Iterator[httpx.Client]:
    """Our own server with the same engine and a store of its own."""
    settings = Settings(engine="scripted", store=tmp_path / "own.sqlite")
    running = make_running(settings)
    running.start()
    server = make_server("127.0.0.1", 0, create_app(running), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", timeout=60) as client:
        yield client
    server.shutdown()
    running.stop()


def picture(colour: str) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), colour).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


TASKS = [
    {"id": 1, "data": {"image": picture("red"), "caption": "A red wall. A dog sleeps.", "requested": "a dog, a wall"}},
    {"id": 2, "data": {"image": picture("blue"), "caption": "Ein blauer Himmel, 空は青い."}},
    {"id": 3, "data": {"image": "data:image/png;base64,AAAA", "caption": "No picture at all."}},
    {"id": 4, "data": {"image": picture("green"), "caption": ""}},
]


def set_up(client: httpx.Client, schema: str | None = None) -> httpx.Response:
    body = {
        "project": "3.1795361354",
        "schema": schema or default_label_config(),
        "hostname": "http://localhost:8080",
        "access_token": "planted",
        "extra_params": None,
    }
    return client.post("/setup", json=body)


def predict(client: httpx.Client, label_config: str | None = None, *, project: str = "3.1795361354") -> list[Any]:
    body = {
        "tasks": TASKS,
        "project": project,
        "label_config": label_config or default_label_config(),
        "params": {"login": None, "password": None, "context": None},
    }
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    results: list[Any] = answer.json()["results"]
    return results


def webhook() -> dict[str, Any]:
    project = {"id": 3, "label_config": default_label_config()}
    return {"action": "ANNOTATION_CREATED", "project": project, "task": {}, "annotation": {}}


def test_the_released_package_serves_the_same_predictions_as_our_own_server(
    released: httpx.Client, own: httpx.Client
) -> None:
    assert (set_up(released).status_code, set_up(released).json()) == (200, {"model_version": "INITIAL"})
    expected = predict(own)
    assert predict(released) == expected
    assert [entry == [] for entry in expected] == [False, False, True, True]
    assert released.post("/webhook", json=webhook()).status_code == 201
    assert set_up(released).json() == {"model_version": "INITIAL"}
    assert predict(released) == expected


def test_the_signatures_of_2_serve_the_same_predictions_and_the_fingerprint(
    second: httpx.Client, own: httpx.Client
) -> None:
    fingerprint = set_up(own).json()["model_version"]
    assert (set_up(second).status_code, set_up(second).json()) == (200, {"model_version": fingerprint})
    assert predict(second) == predict(own)
    answer = second.post("/webhook", json=webhook())
    assert (answer.status_code, answer.json()) == (201, {"result": None, "status": "ok"})


BLIND = AuditPlan(1.0, "0123456789abcdef")
"""All tasks are kept blind."""


def check_blind(client: httpx.Client, own: httpx.Client, folder: Path) -> None:
    """No verdict of such a project is shown, also when another one was set up after it, and all are kept."""
    blind = with_plan(default_label_config(), BLIND)
    set_up(client, blind)
    set_up(client)  # with 1.0.9 there is one model for all projects, which now has this label config
    expected = predict(own)
    fingerprint = expected[0]["model_version"]
    assert predict(client, blind) == [*(BLIND.blind(number, {}, fingerprint) for number in (1, 2)), [], []]
    with closing(sqlite3.connect(folder / "hosted.sqlite")) as store:
        rows = store.execute("SELECT audit_key, task, prediction FROM withheld ORDER BY task").fetchall()
    assert [(key, task, json.loads(made)) for key, task, made in rows] == [
        (BLIND.key, 1, expected[0]),
        (BLIND.key, 2, expected[1]),
    ]
    assert predict(client, project="4.1795361354") == expected


def test_the_released_package_shows_nobody_what_is_blind(
    released: httpx.Client, own: httpx.Client, tmp_path: Path
) -> None:
    check_blind(released, own, tmp_path)


def test_the_signatures_of_2_show_nobody_what_is_blind(second: httpx.Client, own: httpx.Client, tmp_path: Path) -> None:
    check_blind(second, own, tmp_path)


def test_a_label_config_that_cannot_be_filled_is_refused_when_the_backend_is_connected(released: httpx.Client) -> None:
    answer = set_up(released, "<View><Text name='t' value='$t'/></View>")
    assert answer.status_code == 500
    assert "LabelConfigError: " in answer.text
