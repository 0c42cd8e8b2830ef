"""Judging a dataset, killed at any moment and begun again: nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from backend.batch.run import BatchOptions, judge_dataset
from tests.datasets_made import SCRIPTED, judged, own, rows, write_parquet
from tests.slow_batch import BATCH

ROWS, KILLS = 120, 4
SECONDS = 0.01


def start(source: Path, out: Path, asked: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.slow_batch", str(source), str(out), str(asked), str(SECONDS)],
        cwd=Path(__file__).parents[2],
    )


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_run_that_is_killed_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    source, out, asked = write_parquet(tmp_path / "in.parquet", rows(ROWS)), tmp_path / "out", tmp_path / "asked"
    moments = random.Random(7)
    for _ in range(KILLS):
        process = start(source, out, asked)
        enough = len(lines(asked)) + moments.randint(5, 40)
        while len(lines(asked)) < enough:
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 2 * BATCH * SECONDS))
        process.kill()
        process.wait()
    process = start(source, out, asked)
    assert process.wait(timeout=60) == 0
    judge_dataset(SCRIPTED, BatchOptions(str(source), tmp_path / "undisturbed", part_rows=25))
    assert judged(out) == judged(tmp_path / "undisturbed")
    assert own(judged(out)) == rows(ROWS)
    times = Counter(lines(asked))
    assert len(times) == ROWS
    assert times.total() - ROWS <= KILLS * 2 * BATCH
