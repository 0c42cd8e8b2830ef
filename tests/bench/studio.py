"""What judging costs through Label Studio: its own button beside bulk judging, with an engine that answers at once."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from backend.bench.record import Cell, Column, Record, middle_and_spread, record
from backend.judge import RunOptions, judge_project
from backend.label_studio_server import LabelStudioOptions, LabelStudioProcess, free_port
from backend.studio import Studio
from backend.studio_types import Project
from backend.writeback import judged_by
from tests.backend_process import BackendProcess
from tests.bench.processes import cpu_s, family
from tests.slow_judge import make_project, slow_service

BUTTON_TASKS = 2_000
"""Label Studio needs some 18 ms a task to store what came, all in one request: this many are done in half a minute."""
ROUNDS = 3
SIZES = (1_000, 20_000, 100_000)

COLUMNS = (
    Column("what", "what"),
    Column("tasks", "tasks"),
    Column("runs", "runs"),
    Column("ms", "ms a task", 2),
    Column("spread", "spread, %", 0),
    Column("share", "of the button's, %", 1),
    Column("server_ms", "of these Label Studio's CPU, ms", 2),
    Column("server_share", "of the button's, %", 1),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    button_tasks: int = BUTTON_TASKS
    """For the button and for bulk judging beside it."""
    rounds: int = ROUNDS
    sizes: tuple[int, ...] = SIZES
    """Of the projects that are judged in bulk; up to the button's ten times often, larger ones once."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took, per task."""

    seconds: float
    server_s: float
    """Label Studio's processor time."""


@dataclass(frozen=True, slots=True)
class Took:
    """All runs of one kind."""

    what: str
    tasks: int
    runs: tuple[Run, ...]

    @property
    def middle_s(self) -> float:
        """Seconds a task."""
        return median(run.seconds for run in self.runs)

    @property
    def server_s(self) -> float:
        """Label Studio's processor time a task."""
        return median(run.server_s for run in self.runs)

    def row(self, button: Took) -> dict[str, Cell]:
        """As it is shown."""
        _, spread = middle_and_spread([run.seconds for run in self.runs])
        return {
            "what": self.what,
            "tasks": self.tasks,
            "runs": len(self.runs),
            "ms": 1000 * self.middle_s,
            "spread": 100 * spread if len(self.runs) > 2 else None,
            "share": 100 * self.middle_s / button.middle_s,
            "server_ms": 1000 * self.server_s,
            "server_share": 100 * self.server_s / button.server_s,
        }


def measure(plan: Plan | None = None) -> Record:
    """The button and bulk judging in turns, then bulk judging of ever larger projects; all on one Label Studio."""
    plan = plan or Plan()
    with tempfile.TemporaryDirectory(prefix="vlm-judge-bench-") as folder, label_studio(Path(folder)) as server:
        took = [*_in_turns(server, Path(folder), plan), *_by_size(server, Path(folder), plan)]
    return table(took, plan)


def table(took: list[Took], plan: Plan) -> Record:
    """The record; the first of `took` is the button."""
    return record(
        "Judging through Label Studio",
        "python -m tests.bench --only studio",
        COLUMNS,
        [entry.row(took[0]) for entry in took],
        notes=(
            "Label Studio on SQLite on the same machine, an engine that answers at once. The button sends all chosen "
            f"tasks in one request and stores the answers one by one; {plan.button_tasks:,} tasks are what it does "
            "within its time-out of 100 s. The first two rows were measured in turns, each run on its own project.",
            "A run begins with the command and ends when everything is stored; importing the tasks and starting Python "
            "are not in it.",
        ),
    )


@contextmanager
def label_studio(home: Path) -> Iterator[LabelStudioProcess]:
    """A fresh one with its database in this folder."""
    options = LabelStudioOptions(
        data_dir=home / "label-studio" / "data",
        document_root=home / "label-studio" / "files",
        port=free_port(),
        log=home / "label-studio.log",
        email="bench@example.org",
        password=secrets.token_hex(12),
    )
    server = LabelStudioProcess(options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _in_turns(server: LabelStudioProcess, folder: Path, plan: Plan) -> tuple[Took, Took]:
    """The button and bulk judging, one after the other, so that what slows the machine slows both."""
    by_button: list[Run] = []
    in_bulk: list[Run] = []
    for number in range(plan.rounds):
        by_button.append(_press_button(server, folder / f"button-{number}", plan.button_tasks))
        in_bulk.append(_judge_in_bulk(server, folder / f"bulk-{number}", plan.button_tasks))
    return (
        Took('button "Retrieve predictions"', plan.button_tasks, tuple(by_button)),
        Took("`vlm-judge judge`", plan.button_tasks, tuple(in_bulk)),
    )


def _by_size(server: LabelStudioProcess, folder: Path, plan: Plan) -> Iterator[Took]:
    for size in plan.sizes:
        runs = plan.rounds if size <= 10 * plan.button_tasks else 1
        took = [_judge_in_bulk(server, folder / f"size-{size}-{number}", size) for number in range(runs)]
        yield Took("`vlm-judge judge`", size, tuple(took))


def _press_button(server: LabelStudioProcess, home: Path, tasks: int) -> Run:
    """What "Retrieve predictions" takes for a project, with a backend in a process of its own."""
    studio = Studio(server.url, server.token)
    home.mkdir()
    backend = BackendProcess(home, 0.0, studio_url=server.url, token=server.token)
    backend.start()
    try:
        project = make_project(studio, home.name, tasks)
        studio.connect_backend(project.id, backend.url, "instant judge")
        return _timed(server, project, lambda: studio.retrieve_predictions(project.id))
    finally:
        backend.stop()


def _judge_in_bulk(server: LabelStudioProcess, home: Path, tasks: int) -> Run:
    """What bulk judging takes for a project."""
    studio = Studio(server.url, server.token)
    home.mkdir()
    service = slow_service(home / "store.sqlite", 0.0)
    try:
        project = make_project(studio, home.name, tasks)
        return _timed(server, project, lambda: judge_project(studio, service, project.id, RunOptions(batch_size=64)))
    finally:
        service.close()


def _timed(server: LabelStudioProcess, project: Project, judge: Callable[[], object]) -> Run:
    """This judging, per task. Raises RuntimeError when a task is without its prediction, or has two."""
    studio, pids = Studio(server.url, server.token), family(server.pid)
    used_s, began_s = sum(map(cpu_s, pids)), time.monotonic()
    judge()
    took_s, used_s = time.monotonic() - began_s, sum(map(cpu_s, pids)) - used_s
    counts = studio.prediction_counts(project.id)
    judged = sum(studio.count(project.id, (judged_by(version),)) for version in counts)
    if sum(counts.values()) != project.task_count or judged != project.task_count:
        raise RuntimeError(
            f"{project.task_count} tasks, {judged} of them judged, predictions by version: {dict(counts)}"
        )
    return Run(took_s / project.task_count, used_s / project.task_count)
