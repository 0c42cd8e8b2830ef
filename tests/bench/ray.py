"""What dealing a dataset to the actors of a Ray costs, beside judging it in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from backend.bench.record import Cell, Column, Record, middle_and_spread, record
from backend.engines.demo.sample import write_sample
from tests.datasets_made import rows as small_rows
from tests.datasets_made import write_parquet

ACTORS = 2
COLUMNS = (
    Column("engine", "engine"),
    Column("road", "road"),
    Column("rows", "rows"),
    Column("runs", "runs"),
    Column("start_s", "to start, s", 1),
    Column("ms", "ms a row", 2),
    Column("spread", "spread, %", 0),
    Column("per_s", "rows a second", 1),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: of each engine a small and a large dataset, whose difference has no start in it."""

    demo: tuple[int, int] = (8, 72)
    """Rows of the embedded judge's drawn boards."""
    instant: tuple[int, int] = (400, 8_000)
    """Rows of tiny images for the engine that answers at once."""
    part_rows: tuple[int, int] = (4, 200)
    """Rows a part, of the two."""
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of the runs of one road."""

    engine: str
    road: str
    sizes: tuple[int, int]
    small_s: tuple[float, ...]
    large_s: tuple[float, ...]

    def row(self) -> dict[str, Cell]:
        """As it is shown."""
        small, large = self.sizes
        each_s = [(b - a) / (large - small) for a, b in zip(self.small_s, self.large_s, strict=True)]
        middle_s, spread = middle_and_spread(each_s)
        return {
            "engine": self.engine,
            "road": self.road,
            "rows": large,
            "runs": len(each_s),
            "start_s": max(0.0, median(self.small_s) - small * middle_s),
            "ms": 1000 * middle_s,
            "spread": 100 * spread if len(each_s) > 2 else None,
            "per_s": 1 / middle_s,
        }


def measure(plan: Plan | None = None) -> Record:
    """Both roads in turns, with the embedded judge and with an engine that answers at once."""
    plan = plan or Plan()
    with tempfile.TemporaryDirectory(prefix="vlm-judge-bench-") as folder:
        home = Path(folder)
        demo = tuple(_boards(home / f"boards-{count}", count) for count in plan.demo)
        instant = tuple(write_parquet(home / f"tiny-{n}.parquet", small_rows(n), group=200) for n in plan.instant)
        took = [
            *_in_turns(home, "demo", plan.demo, demo, plan.part_rows[0], plan.rounds),
            *_in_turns(home, "scripted", plan.instant, instant, plan.part_rows[1], plan.rounds),
        ]
    return table(took)


def table(took: list[Took]) -> Record:
    """The record."""
    return record(
        "Judging a dataset in one process and on a Ray",
        "python -m tests.bench --only ray",
        COLUMNS,
        [entry.row() for entry in took],
        notes=(
            f"`vlm-judge judge --source` with and without `--ray --actors {ACTORS}`, in turns, on one machine. A "
            "row's time is the difference between a large and a small dataset, divided by the difference in rows; what "
            "is left of the small one is the start: Python, the model, and on a Ray its own processes.",
            "`demo` is the embedded judge. `scripted` answers at once, so that its rows cost what reading, decoding a "
            "tiny image, journal and Parquet cost.",
        ),
    )


def _in_turns(
    home: Path, engine: str, sizes: tuple[int, int], sources: tuple[Path, ...], part_rows: int, rounds: int
) -> tuple[Took, Took]:
    took: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds):
        for road, more in (("one process", ()), (f"Ray, {ACTORS} actors", ("--ray", "--actors", str(ACTORS)))):
            for size, source in zip(sizes, sources, strict=True):
                out = home / f"out-{engine}-{len(more)}-{size}-{number}"
                words = ("--source", str(source), "--out", str(out), "--part-rows", str(part_rows), *more)
                took.setdefault((road, size), []).append(_timed(home, engine, words, size))
    small, large = sizes
    one, other = (
        Took(engine, road, sizes, tuple(took[road, small]), tuple(took[road, large]))
        for road in ("one process", f"Ray, {ACTORS} actors")
    )
    return one, other


def _timed(home: Path, engine: str, words: tuple[str, ...], count: int) -> float:
    """Seconds of a run as a user types it. Raises CalledProcessError and AssertionError when it does not judge all."""
    began_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "backend.cli", "judge", "--engine", engine, *words],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "VLM_JUDGE_STORE": str(home / "unused.sqlite")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{count} rows = {count} judged"), done.stdout
    return time.perf_counter() - began_s


def _boards(folder: Path, count: int) -> Path:
    """Drawn boards with their captions, as Parquet."""
    sample = write_sample(folder, count=count, image_prefix="")
    tasks = [task["data"] for task in json.loads(sample.tasks.read_text())]
    found: list[dict[str, Any]] = [
        {**task, "image": {"bytes": (sample.images / task["image"]).read_bytes(), "path": task["image"]}}
        for task in tasks
    ]
    return write_parquet(folder / "boards.parquet", found)
