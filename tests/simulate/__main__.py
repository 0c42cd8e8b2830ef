"""Simulated projects, of good and bad judges: whether what is promised is kept; `make simulate`.

python -m tests.simulate --projects 2000 --out docs/simulation.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from backend.bench.record import as_markdown, save
from tests.simulate.table import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description="Simulates, and keeps what it found.")
    parser.add_argument("--projects", type=int, default=2_000, help="per judge (2,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file to keep the table in; only printed without")
    given = parser.parse_args()
    found = simulate(given.projects, given.seed)
    if given.out:
        save(found, given.out)
    print(as_markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
