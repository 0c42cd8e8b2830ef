"""Which engine is measured, and on how much."""

from __future__ import annotations

from typing import cast

from backend.bench.roads import Task
from backend.bench.run import Plan
from backend.bench.shapes import RandomEngine, ShapeName
from backend.engines.demo.engine import demo_engine
from backend.engines.local import LocalEngine

PROMPT_TOKENS, CRITERIA, QUESTION_TOKENS = 200, 5, 12
WRITTEN_TOKENS = {"cuda": 200, "cpu": 50}
"""Of a JSON verdict with five ratings and a sentence on each; on a CPU only as many as one has patience for."""


def engine_for(shape: str | None, model: str | None) -> LocalEngine:
    """A model of published dimensions, one that is there, or the embedded judge."""
    if shape is not None:
        return RandomEngine(cast(ShapeName, shape))
    return LocalEngine(model) if model else demo_engine()


def plan_for(engine: LocalEngine, sides: tuple[int, ...], rounds: int) -> Plan:
    """As much as a GPU, or a CPU, does in some seconds a round."""
    device = engine.loaded().device
    task = Task(sides[0], PROMPT_TOKENS, CRITERIA, QUESTION_TOKENS, WRITTEN_TOKENS[device])
    if device == "cuda":
        return Plan(task, sides, one=1, written=64, each=32, ours=256, rounds=rounds)
    return Plan(task, sides, one=2, written=8, each=8, ours=16, rounds=rounds)
