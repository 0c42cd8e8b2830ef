"""`vlm-judge` itself, with a slow judge in the place of the scripted engine: for tests that kill it.

python -m tests.slow_command --seconds 0.2 --set delivery.PAUSE_S=0.5 -- serve --engine scripted --port 9090
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from backend import assemble
from backend.core.types import Answer
from backend.engines.base import Engine, JudgeRequest
from backend.errors import EngineDead
from backend.settings import Settings
from tests.slow_judge import SlowEngine


class MortalEngine(SlowEngine):
    """Dies of its GPU after so many samples, in every process anew."""

    def __init__(self, seconds: float, samples: int | None) -> None:
        super().__init__(seconds)
        self._samples = samples

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        answers = super().answer(requests)
        if self._samples is not None and len(self.judged) > self._samples:
            raise EngineDead("the GPU has fallen off the bus")
        return answers


def set_constant(assignment: str) -> None:
    """`delivery.PAUSE_S=0.5` sets that number in `backend.delivery`."""
    name, _, value = assignment.partition("=")
    module, _, constant = name.rpartition(".")
    found = importlib.import_module(f"backend.{module}")
    setattr(found, constant, type(getattr(found, constant))(value))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="tests.slow_command")
    parser.add_argument("--seconds", type=float, default=0.0, help="that the judge needs for a sample")
    parser.add_argument("--dies-after", type=int, help="samples after which the judge's GPU is lost")
    parser.add_argument("--set", action="append", default=[], dest="constants", metavar="MODULE.CONSTANT=NUMBER")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)

    def make_engine(settings: Settings) -> Engine:
        return MortalEngine(given.seconds, given.dies_after)

    setattr(assemble, "make_engine", make_engine)  # noqa: B010 - an import of that module, which types do not see
    for assignment in given.constants:
        set_constant(assignment)
    from backend.cli import main as vlm_judge

    vlm_judge(given.command, prog_name="vlm-judge")


if __name__ == "__main__":
    main(sys.argv[1:])
