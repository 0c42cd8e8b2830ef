"""`make demo` from an empty folder: interrupted, started, killed, started again, stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.label_studio_server import free_port, is_free, stop_group
from backend.studio import Studio

SCRIPT = """
import sys
from pathlib import Path
from backend.demo import DemoOptions, run_demo
from backend.errors import VlmJudgeError
try:
    run_demo(DemoOptions(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[1]), "scripted", 12))
except VlmJudgeError as exc:
    sys.exit(f"Error: {exc}")
"""
ROOT = Path(__file__).parents[2]


class Start:
    """One start of the demo, in a process of its own."""

    def __init__(self, home: Path, port: int, backend_port: int) -> None:
        self.log = home.parent / f"start-{time.monotonic_ns()}.log"
        command = [sys.executable, "-c", SCRIPT, str(home), str(port), str(backend_port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)

    @property
    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str, timeout_s: float = 240) -> None:
        deadline = time.monotonic() + timeout_s
        while words not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.1)

    def end(self, number: int) -> int:
        os.kill(self.process.pid, number)
        return self.process.wait(timeout=30)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "demo"
    yield folder
    if (folder / "state.json").exists():  # what a failed test has left running
        state = json.loads((folder / "state.json").read_text())
        for pid in (state["studio_pid"], state["backend_pid"]):
            if pid:
                os.killpg(pid, signal.SIGKILL)


def _studio(home: Path) -> Studio:
    values = dict(line.split("=", 1) for line in (home / "env").read_text().split())
    return Studio(values["LABEL_STUDIO_URL"], values["LABEL_STUDIO_API_KEY"])


def told_by_the_readme(home: Path) -> str:
    """What its commands print that export the demo's project, and its Python that reads the dataset."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    command, code = re.findall(r"```(?:sh|python)\n(.*?)```", text.split("Export what you reviewed")[1], re.DOTALL)[:2]
    reader = home.parent / "reader"
    reader.mkdir()
    (reader / ".demo").symlink_to(home)
    (reader / ".venv").symlink_to(sys.prefix)
    for words in (["bash", "-euo", "pipefail", "-c", command], [sys.executable, "-c", code]):
        done = subprocess.run(words, cwd=reader, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_life_of_a_demo(home: Path) -> None:
    port, backend_port, other_port = free_port(), free_port(), free_port()

    first = Start(home, port, backend_port)
    try:
        first.wait_for("Starting Label Studio (the first time")
        time.sleep(3)
        assert first.end(signal.SIGTERM) == 0
        assert "Stopping before it was ready; the next start goes on from here" in first.text

        second = Start(home, port, backend_port)
        first = second
        second.wait_for("The demo is ready")
        assert "12 tasks = 12 judged and stored + 0 judged before + 0 failed" in second.text
        studio = _studio(home)
        (page,) = studio.annotated_tasks(1)
        assert [len(task["predictions"]) for task in page] == [1] * 12
        studio.annotate(page[0]["id"], {"result": page[0]["predictions"][0]["result"]})
        assert "'decided_by': " in told_by_the_readme(home)

        third = Start(home, port, backend_port)
        assert third.process.wait(timeout=60) == 1
        assert f"Error: the demo is running already at http://127.0.0.1:{port}; stop it" in third.text

        second.end(signal.SIGKILL)
        fourth = Start(home, port, other_port)
        first = fourth
        began = time.monotonic()
        fourth.wait_for("The demo is ready")
        assert time.monotonic() - began < 60
        for words in (
            "An earlier demo was killed and left Label Studio running; stopped it.",
            "An earlier demo was killed and left the backend running; stopped it.",
            "All tasks have been judged before",
        ):
            assert words in fourth.text
        (page,) = studio.annotated_tasks(1)
        assert [(len(task["annotations"]), len(task["predictions"])) for task in page] == [(1, 1)] + [(0, 1)] * 11
        assert [item.url for item in studio.connections(1)] == [f"http://127.0.0.1:{other_port}"]

        assert fourth.end(signal.SIGINT) == 0
        assert [is_free(number) for number in (port, backend_port, other_port)] == [True] * 3
        token = json.loads((home / "state.json").read_text())["token"]
        assert not any(token in path.read_text(errors="replace") for path in home.parent.glob("start-*.log"))
        assert (
            oct((home / "state.json").stat().st_mode & 0o777) == oct((home / "env").stat().st_mode & 0o777) == "0o600"
        )
    finally:
        if first.process.poll() is None:
            stop_group(first.process)


def test_a_port_that_was_asked_for_and_is_taken(home: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        start = Start(home, number, free_port())
        assert start.process.wait(timeout=60) == 1
    assert start.text.strip() == (
        f"Error: port {number} for Label Studio is taken; stop what listens there, or choose another with --port"
    )


def test_a_damaged_state_file_is_named(home: Path) -> None:
    home.mkdir()
    (home / "state.json").write_text("{")
    start = Start(home, free_port(), free_port())
    assert start.process.wait(timeout=60) == 1
    assert f"{home}/state.json is damaged" in start.text
    (home / "state.json").unlink()
