"""What is measured on a quiet machine without a GPU; `make bench`. The model itself: `vlm-judge bench`.

python -m tests.bench --only start --only studio --tasks 1000 --out docs/bench
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from backend.bench.record import Record, as_markdown, save
from tests.bench import export, servers, start, studio

NAMES = ("start", "servers", "ray", "studio", "export")
BUSY = 1.0
"""A load average above this is somebody else's work, and falsifies what is measured."""


def of_studio(sizes: list[int] | None) -> Record:
    """Through Label Studio, over other sizes where some are given."""
    plan = studio.Plan(min(studio.BUTTON_TASKS, *sizes), 1, tuple(sizes)) if sizes else studio.Plan()
    return studio.measure(plan)


def of_ray() -> Record:
    """Over many processes with Ray. Raises ModuleNotFoundError where that is not there."""
    found: Record = import_module("tests.bench.ray").measure()
    return found


def measurements(sizes: list[int] | None) -> dict[str, Callable[[], Record]]:
    """What can be measured here, in the order in which it is."""
    found: dict[str, Callable[[], Record]] = {"start": start.measure, "servers": servers.measure}
    if find_spec("ray") and find_spec("tests.bench.ray"):
        found["ray"] = of_ray
    return found | {"studio": lambda: of_studio(sizes), "export": lambda: export.measure(max(sizes or [export.ROWS]))}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures, and keeps what it found.")
    parser.add_argument("--only", action="append", choices=NAMES, help="may be repeated")
    parser.add_argument("--out", type=Path, default=Path("docs/bench"), help="folder for the JSON files (docs/bench)")
    parser.add_argument(
        "--tasks", action="append", type=int, help="of a project or an export, to try it small; may be repeated"
    )
    given = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for every request otherwise
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
    if (load := os.getloadavg()[0]) > BUSY:
        print(f"the load average is {load:.1f}: what else runs here falsifies the times", file=sys.stderr)
    for name, measure in measurements(given.tasks).items():
        if given.only and name not in given.only:
            continue
        found = measure()
        save(found, given.out / f"{name}.json")
        print(f"{found.title}\n\n{as_markdown(found)}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
