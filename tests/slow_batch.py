"""Judges a dataset with a slow engine, in a process of its own that can be killed; every row it judges is noted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from backend.batch import judging
from backend.batch.run import BatchOptions, judge_dataset
from backend.core.types import Answer
from backend.engines.base import JudgeRequest
from backend.settings import Settings
from tests.slow_judge import SlowEngine

BATCH = 8
"""Rows in the engine at a time; as many may be judged and not yet written down."""


class NotingEngine(SlowEngine):
    """Writes the texts it is asked about to a file, before it answers."""

    def __init__(self, seconds: float, asked: Path) -> None:
        super().__init__(seconds)
        self.asked_file = asked

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        criteria = [request for request in requests if any(q.id == "consistency" for q in request.questions)]
        with self.asked_file.open("a") as file:
            file.writelines(f"{' '.join(request.fields.split())}\n" for request in criteria)
        return super().answer(requests)


def main(source: str, out: str, asked: str, seconds: str) -> None:
    vars(judging)["make_engine"] = lambda settings: NotingEngine(float(seconds), Path(asked))
    judge_dataset(Settings(engine="scripted", batch_size=BATCH), BatchOptions(source, Path(out), part_rows=25))


if __name__ == "__main__":
    main(*sys.argv[1:])
