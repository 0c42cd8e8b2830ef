"""A dataset judged by two actors of a local Ray, one of them killed in the middle: as one process judges it."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backend.engines.demo.sample import write_sample
from tests.datasets_made import judged, own, write_parquet

ROWS = 12
ACTOR = b"PartActor"
CLOSE = 1e-4
"""How far probabilities may differ; the engine's sums depend a little on which rows it has at a time."""


@dataclass(frozen=True)
class Judged:
    """Both outputs, and what was said."""

    alone: list[dict[str, Any]]
    on_ray: list[dict[str, Any]]
    summaries: tuple[str, str, str]
    """Of the one process, of the Ray, and of the Ray's second run, which has nothing to do."""
    killed: int
    own: list[dict[str, Any]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    home = tmp_path_factory.mktemp("ray")
    sample = write_sample(home / "sample", count=ROWS, image_prefix="")
    tasks = [task["data"] for task in json.loads(sample.tasks.read_text())]
    found = [
        {
            "image": {"bytes": (sample.images / task["image"]).read_bytes(), "path": task["image"]},
            "text": task["caption"],
            "requested": task["requested"],
        }
        for task in tasks
    ]
    source = write_parquet(home / "in.parquet", found)
    alone = subprocess.run(command(source, home / "alone"), **where(home), check=True)
    process = subprocess.Popen(command(source, home / "out", "--ray", "--actors", "2"), **where(home))
    killed = kill_an_actor(process, home / "out")
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    again = subprocess.run(command(source, home / "out", "--ray", "--actors", "2"), **where(home), check=True)
    summaries = (alone.stdout, said, again.stdout)
    return Judged(judged(home / "alone"), judged(home / "out"), summaries, killed, found)


def command(source: Path, out: Path, *more: str) -> list[str]:
    judge = [sys.executable, "-m", "backend.cli", "judge", "--source", str(source), "--out", str(out)]
    return [*judge, "--engine", "demo", "--column", "caption=text", "--part-rows", "3", *more]


def where(home: Path) -> dict[str, Any]:
    """How the commands are run: on one thread each, so that two fit on a small machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "VLM_JUDGE_STORE": str(home / "never-made.sqlite")}
    return {
        "cwd": Path(__file__).parents[2],
        "env": environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def kill_an_actor(process: subprocess.Popen[str], out: Path) -> int:
    """Kill one of the process's actors as soon as it has written a verdict, before its part is done; its number."""
    while True:
        assert process.poll() is None, process.communicate()
        actors = [number for number in below(process.pid) if ACTOR in command_line(number)]
        for actor in actors:
            if any(path.stat().st_size for path in open_files(actor) if path.parent == out / ".journals"):
                os.kill(actor, signal.SIGKILL)
                return actor
        time.sleep(0.01)


def command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it is gone
        return b""


def open_files(process: int) -> list[Path]:
    try:
        found = [Path(os.readlink(entry)) for entry in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return []
    return [path for path in found if path.is_file()]


def below(process: int) -> list[int]:
    """All processes that it started, and those that they did."""
    try:
        tasks = Path(f"/proc/{process}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it is gone
        return []
    return [*children, *(number for child in children for number in below(child))]


def test_a_killed_actor_loses_and_doubles_nothing(both: Judged) -> None:
    assert own(both.on_ray) == both.own
    assert [row["judge_row"] for row in both.on_ray] == [f"in.parquet#{number}" for number in range(ROWS)]
    assert {row["judge_failure"] for row in both.on_ray} == {None}
    fingerprint = both.on_ray[0]["judge_fingerprint"]
    balance = f"{ROWS} rows = {ROWS} judged + 0 judged before + 0 failed (judge {fingerprint}), in "
    again = f"{ROWS} rows = 0 judged + {ROWS} judged before + 0 failed (judge {fingerprint}), in "
    alone, on_ray, second = both.summaries
    assert [alone[: len(balance)], on_ray[: len(balance)], second[: len(again)]] == [balance, balance, again]
    assert not Path(f"/proc/{both.killed}").exists()


def test_it_says_what_one_process_says(both: Judged) -> None:
    """All that is no number is the same to the letter."""
    for ours, theirs in zip(both.on_ray, both.alone, strict=True):
        one, other = json.loads(ours.pop("judge_prediction")), json.loads(theirs.pop("judge_prediction"))
        assert is_close(one, other), ours["judge_row"]
        assert is_close(ours, theirs), ours["judge_row"]


def is_close(one: Any, other: Any) -> bool:
    """Whether two values are the same but for their last digits."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, abs_tol=CLOSE)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_close, one, other))
    return bool(one == other) and type(one) is type(other)


def refused(home: Path, *more: str) -> str:
    source = write_parquet(home / "in.parquet", [{"image": None, "text": "A dog."}])
    done = subprocess.run(command(source, home / "out", *more), **where(home), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    return str(done.stderr)


def test_a_ray_that_is_not_there_is_said_so_at_once(tmp_path: Path) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        assert f"Error: there is no Ray to be had at {address}: " in refused(tmp_path, "--ray", address)


def test_rays_client_server_is_refused_with_the_way_out(tmp_path: Path) -> None:
    said = refused(tmp_path, "--ray", "ray://127.0.0.1:10001")
    assert "Error: Ray Data cannot be used by way of Ray's client server at ray://127.0.0.1:10001; give" in said


def test_what_is_wrong_with_an_actors_engine_is_told_as_without_ray(tmp_path: Path) -> None:
    said = refused(tmp_path, "--ray", "--actors", "1", "--engine", "local", "--model", str(tmp_path / "no-model"))
    [error] = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert error.startswith(f"Error: cannot load the model {tmp_path / 'no-model'}: ")
    assert "Traceback" not in said
