"""The rubrics that come with the product."""

from __future__ import annotations

from backend.core.kinds import Kind
from backend.core.rubric import Rubric, load_rubric
from backend.interfaces import rubric_file


def default_rubric() -> Rubric:
    """The four criteria for image-text pairs, worded for instruction-tuned models."""
    return ready_rubric("image-text")


def ready_rubric(kind: Kind) -> Rubric:
    """The rubric for a kind of samples, worded for instruction-tuned models."""
    return load_rubric(rubric_file(kind))
