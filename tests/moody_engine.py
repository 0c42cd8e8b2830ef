"""A judge on which things go wrong at random, and that never can judge some samples."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence

from backend.core.types import Answer
from backend.engines.base import JudgeRequest
from backend.errors import EngineError
from tests.slow_judge import SlowEngine

THROWN: tuple[BaseException, ...] = (
    EngineError("out of memory, and the batch cannot be made smaller"),
    RuntimeError("CUDA error: unspecified launch failure"),
    MemoryError(),
    IndexError("list index out of range"),
    SystemExit(3),
    KeyboardInterrupt(),
)


class MoodyEngine(SlowEngine):
    """Throws, or hangs for a while, as the dice fall."""

    def __init__(self, seconds: float, dice: random.Random, *, throws: float, hangs: float, hang_s: float) -> None:
        """`throws` and `hangs` are probabilities per batch."""
        super().__init__(seconds)
        self._dice = dice
        self._throws, self._hangs, self._hang_s = throws, hangs, hang_s
        self.met: Counter[str] = Counter()
        """How often what went wrong."""

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        if any("never readable" in request.fields for request in requests):
            raise EngineError("the model cannot read this one")
        if any("always a defect" in request.fields for request in requests):
            raise ValueError("a defect")
        fall = self._dice.random()
        if fall < self._throws:
            thrown = self._dice.choice(THROWN)
            self.met[type(thrown).__name__] += 1
            raise thrown
        if fall < self._throws + self._hangs:
            self.met["hung"] += 1
            time.sleep(self._hang_s)
        return super().answer(requests)
