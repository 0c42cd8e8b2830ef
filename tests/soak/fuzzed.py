"""Requests of every kind of nonsense, by `tests.fuzz`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

from tests.soak.ground import Ground, Notes

REQUESTS_PER_S = 9
"""About what two cores manage."""


def any_request(ground: Ground, notes: Notes) -> None:
    """Up to 10,000 fuzzed requests: no 5xx, no traceback, no hang."""
    if importlib.util.find_spec("tests.fuzz") is None:
        notes.expect(False, "tests/fuzz.py is not there")
        return
    requests = max(500, min(10_000, int(ground.budget_s * REQUESTS_PER_S)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--requests", str(requests)],
        capture_output=True,
        text=True,
        timeout=10 * ground.budget_s + 300,
    )
    said = done.stdout.strip().splitlines() or [""]
    notes.say(said[-1])
    notes.expect(done.returncode == 0, f"ended with {done.returncode}: {(done.stderr or done.stdout)[-400:]}")
