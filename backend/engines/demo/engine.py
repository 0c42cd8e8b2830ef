"""The embedded judge: the local engine on the weights that come with the product."""

from __future__ import annotations

from pathlib import Path

from backend.core.rubric import load_rubric
from backend.engines.local import LocalEngine

FOLDER = Path(__file__).parent
MODEL = FOLDER / "model"
RUBRIC = FOLDER / "rubric.yaml"


def demo_engine(model: Path = MODEL) -> LocalEngine:
    """The engine with the embedded weights, on the CPU, in the wording it was trained with."""
    return LocalEngine(str(model), device="cpu", name="demo", rubric=load_rubric(RUBRIC))
