"""How soon the package, the command and the server are there, and what the server needs while it has no model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from backend.bench.record import Cell, Column, Record, middle_and_spread, record
from backend.label_studio_server import DIRECT, free_port, spawn, stop_group
from tests.backend_process import judge_environment
from tests.bench.processes import cpu_s, family, memory_mib

ROUNDS = 7
POLL_S = 0.01
PATIENCE_S = 60.0
SETTLED_S = 1.0
"""After this the server has imported what it needs for its first answers."""
NOWHERE = "http://127.0.0.1:9"
"""Where no judge server is: the remote engine then has everything but somebody to ask."""

COMMAND = str(Path(sys.executable).parent / "vlm-judge")

COLUMNS = (
    Column("what", "what"),
    Column("runs", "runs"),
    Column("s", "seconds", 2),
    Column("spread", "spread, %", 0),
    Column("cpu_s", "of these on a CPU", 2),
    Column("mib", "MiB", 0),
    Column("target", "target"),
)


@dataclass(frozen=True, slots=True)
class Ran:
    """A command from its start to its end."""

    seconds: float
    cpu_s: float
    """User and system time, with its children's."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server from its start to its first answer, and what it holds then."""

    seconds: float
    cpu_s: float
    had_model: bool
    """When it answered first."""
    rss_mib: float
    """Resident memory of the process that serves."""
    all_mib: float
    """Of all its processes, what they share counted once."""


def measure(rounds: int = ROUNDS) -> Record:
    """Everything in turns, so that what slows the machine slows all alike."""
    python = [sys.executable, "-c"]
    commands = {
        "`python -c pass`, the floor": ([*python, "pass"], None),
        "`import backend`": ([*python, "import backend"], "under 0.3 s"),
        "`vlm-judge --help`": ([COMMAND, "--help"], "under 0.3 s"),
    }
    ran: dict[str, list[Ran]] = {name: [] for name in commands}
    served: dict[str, list[Served]] = {"demo": [], "remote": []}
    with tempfile.TemporaryDirectory(prefix="vlm-judge-bench-") as folder:
        for number in range(rounds):
            for name, (command, _) in commands.items():
                ran[name].append(run(command))
            for engine, seen in served.items():
                seen.append(serve(engine, Path(folder) / f"{engine}-{number}.sqlite"))
    rows = [_ran_row(name, ran[name], commands[name][1]) for name in commands]
    return record(
        "Start and idle",
        "python -m tests.bench --only start",
        COLUMNS,
        [*rows, *(_served_row(engine, seen) for engine, seen in served.items()), *_memory_rows(served["remote"])],
        notes=(
            "Seconds from the start of the process until its end, or until the server's first answer, which was given "
            f"before the model was there in {_without_model(served['demo'])} of {rounds} runs with the embedded one.",
            "Memory is that of a server whose judge runs elsewhere, so that no model is loaded; what two processes "
            "share is counted once in the last row.",
        ),
    )


def run(command: Sequence[str]) -> Ran:
    """Run a command to its end. Raises subprocess.CalledProcessError when it fails."""
    began_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took_s = time.monotonic() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Ran(took_s, usage.ru_utime + usage.ru_stime)


def serve(engine: str, store: Path) -> Served:
    """Start a server with a new store, and stop it when it was looked at. Raises TimeoutError."""
    port = free_port()
    settings = {"STORE": str(store)} | ({"SERVERS": NOWHERE} if engine == "remote" else {})
    log_file = store.with_suffix(".log")
    with log_file.open("wb") as log:
        began_s = time.monotonic()
        command = [COMMAND, "serve", "--engine", engine, "--port", str(port)]
        process = spawn(command, judge_environment("", "", **settings), log)
    try:
        while (state := _health(port)) is None:
            if process.poll() is not None or time.monotonic() - began_s > PATIENCE_S:
                raise TimeoutError(f"no server at port {port}: {log_file.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL_S)
        took_s = time.monotonic() - began_s
        pids = family(process.pid)
        used_s = sum(cpu_s(pid) for pid in pids)
        time.sleep(SETTLED_S)
        memory = [memory_mib(pid) for pid in pids]
    finally:
        stop_group(process)
    return Served(took_s, used_s, state == "ready", memory[-1]["Rss"], sum(each["Pss"] for each in memory))


def _health(port: int) -> str | None:
    """The engine's state by `/health`; None while nobody answers."""
    with suppress(URLError, OSError, ValueError), DIRECT.open(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        return str(json.load(answer)["engine"])
    return None


def _ran_row(what: str, runs: Sequence[Ran], target: str | None) -> dict[str, Cell]:
    return _row(what, [each.seconds for each in runs], [each.cpu_s for each in runs], target)


def _served_row(engine: str, runs: Sequence[Served]) -> dict[str, Cell]:
    what = f"`vlm-judge serve --engine {engine}` to its first `/health`"
    return _row(what, [each.seconds for each in runs], [each.cpu_s for each in runs], "under 1.5 s")


def _row(what: str, seconds: Sequence[float], on_cpu_s: Sequence[float], target: str | None) -> dict[str, Cell]:
    middle_s, spread = middle_and_spread(seconds)
    cpu = middle_and_spread(on_cpu_s)[0]
    return {"what": what, "runs": len(seconds), "s": middle_s, "spread": 100 * spread, "cpu_s": cpu, "target": target}


def _memory_rows(runs: Sequence[Served]) -> list[dict[str, Cell]]:
    of_one = middle_and_spread([each.rss_mib for each in runs])[0]
    of_all = middle_and_spread([each.all_mib for each in runs])[0]
    return [
        {"what": "memory of the serving process", "runs": len(runs), "mib": of_one, "target": "under 150 MB"},
        {"what": "memory of all its processes", "runs": len(runs), "mib": of_all, "target": "under 150 MB"},
    ]


def _without_model(runs: Sequence[Served]) -> int:
    return sum(not each.had_model for each in runs)
