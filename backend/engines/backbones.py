"""What differs between the model families and stands in none of their files: how they speak of places in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend.errors import EngineError

Grid = tuple[int, int, int]
"""An image's patches in time, height and width."""

_THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Backbone:
    """One model family, by the `model_type` of its config."""

    model_type: str
    family: str
    """As people call it."""
    boxes: Literal["pixels", "thousandths"]
    """Whether a box is measured in pixels of the resized image or in thousandths of its sides."""

    def frame(self, grid: Grid, patch_size: int) -> tuple[int, int]:
        """Width and height that the corners of a box in this image are measured in."""
        if self.boxes == "thousandths":
            return _THOUSAND, _THOUSAND
        _, height, width = grid
        return width * patch_size, height * patch_size


BACKBONES = (
    Backbone("qwen2_vl", "Qwen2-VL", "thousandths"),
    Backbone("qwen2_5_vl", "Qwen2.5-VL", "pixels"),
    Backbone("qwen3_vl", "Qwen3-VL", "thousandths"),
    Backbone("qwen3_vl_moe", "Qwen3-VL (mixture of experts)", "thousandths"),
)
"""By the families' own grounding examples: absolute pixels in Qwen2.5-VL only, 0 to 1000 before and after it."""


def find_backbone(model_type: str, source: str) -> Backbone:
    """The family with this `model_type`. Raises EngineError that names those known."""
    for backbone in BACKBONES:
        if backbone.model_type == model_type:
            return backbone
    known = ", ".join(backbone.family for backbone in BACKBONES)
    raise EngineError(f"{source} is a model of type {model_type!r}; the local engine runs {known}. Choose one of those")
