"""The rubrics that come with the product."""

from __future__ import annotations

from pathlib import Path

from backend.core.rubric import Rubric, load_rubric

_FOLDER = Path(__file__).parent.parent / "interfaces" / "rubrics"


def default_rubric() -> Rubric:
    """The four criteria for image-text pairs, worded for instruction-tuned models."""
    return load_rubric(_FOLDER / "default.yaml")
