"""The long fault test: a real Label Studio, and everything that can go wrong around it. `make soak`.

python -m tests.soak --minutes 20 --only late
"""

from __future__ import annotations

import argparse
import logging
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from backend.label_studio_server import LabelStudioOptions, LabelStudioProcess, free_port
from tests.soak import away, clock, engines, full_disk, fuzzed, killed_backend, killed_judge, late, two_writers
from tests.soak.ground import Ground, Notes
from tests.soak.report import Result, line, table

Scenario = Callable[[Ground, Notes], None]

SCENARIOS: dict[str, tuple[Scenario, float]] = {
    "late": (late.more_than_a_request_can_judge, 7.0),
    "killed-judge": (killed_judge.killed_at_random_moments, 1.5),
    "killed-backend": (killed_backend.killed_while_it_answers_and_while_it_delivers, 2.0),
    "drained-backend": (killed_backend.ended_in_good_order, 0.7),
    "killed-server": (killed_backend.killed_serving_process, 0.7),
    "killed-arbiter": (killed_backend.killed_first_process, 0.5),
    "lost-gpu": (killed_backend.lost_gpu, 0.7),
    "away": (away.faults_while_it_delivers, 2.0),
    "away-bulk": (away.faults_while_it_is_judged_in_bulk, 1.0),
    "one-fails": (away.one_project_fails, 1.0),
    "frozen": (away.frozen_while_it_stores, 2.0),
    "engine": (engines.failing_at_random, 1.5),
    "clock": (clock.jumping_by_hours, 1.0),
    "clock-set": (clock.set_once, 0.7),
    "full-disk": (full_disk.full_and_with_room_again, 1.5),
    "fuzz": (fuzzed.any_request, 1.0),
    "one-store": (two_writers.sharing_a_store, 1.0),
    "two-stores": (two_writers.each_with_its_own_store, 1.0),
}
"""Each with its share of the time; the shares need not add up to anything."""


@dataclass(slots=True)
class Recorded:
    """Runs a scenario's body; an exception is among what is wrong, and ends that scenario only."""

    notes: Notes

    def __enter__(self) -> Notes:
        return self.notes

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if exc is None or not isinstance(exc, Exception):
            return False
        place = traceback.extract_tb(trace)[-1]
        self.notes.wrong.append(f"{type(exc).__name__}: {exc} ({Path(place.filename).name}:{place.lineno})")
        traceback.print_exc()
        return True


def run(name: str, label_studio: LabelStudioProcess, home: Path, minutes: float, seed: int) -> Result:
    """One scenario."""
    folder, notes, began = home / name, Notes(), time.monotonic()
    folder.mkdir()
    ground = Ground(label_studio, folder, 60 * minutes, random.Random(f"{seed} {name}"))
    with Recorded(notes):
        SCENARIOS[name][0](ground, notes)
    return Result(name, time.monotonic() - began, tuple(notes.said), tuple(notes.wrong), notes.left_out)


def start_label_studio(home: Path) -> LabelStudioProcess:
    """One for all scenarios."""
    options = LabelStudioOptions(
        data_dir=home / "label-studio" / "data",
        document_root=home / "label-studio" / "files",
        port=free_port(),
        log=home / "label-studio.log",
        email="soak@example.org",
        password=secrets.token_hex(12),
    )
    server = LabelStudioProcess(options)
    server.start()
    return server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="The long fault test.")
    parser.add_argument("--minutes", type=float, default=20.0, help="about how long all of it takes (20)")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="only this scenario; may be repeated")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random")
    given = parser.parse_args()
    names = given.only or list(SCENARIOS)
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    share = given.minutes / sum(SCENARIOS[name][1] for name in names)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for every request otherwise
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
    home = Path(tempfile.mkdtemp(prefix="vlm-judge-soak-"))
    print(f"seed {seed}, logs in {home}", flush=True)
    label_studio = start_label_studio(home)
    results = []
    try:
        for name in names:
            results.append(run(name, label_studio, home, share * SCENARIOS[name][1], seed))
            print(line(results[-1]), flush=True)
    finally:
        label_studio.stop()
    print(f"\n{table(results)}")
    if any(result.wrong for result in results):
        return 1
    shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
