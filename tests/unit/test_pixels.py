from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.engines.pixels import Pictures, patching_of

SIZES = [(150, 90), (70, 140), (96, 96), (31, 400), (1200, 801)]
AREAS = (4 * 28 * 28, 60 * 28 * 28)


@pytest.fixture(scope="module", params=[14, 16])
def processor(request: pytest.FixtureRequest) -> Any:
    """As Qwen2.5-VL and Qwen3-VL have it."""
    from transformers import Qwen2VLImageProcessorPil

    size = {"shortest_edge": AREAS[0], "longest_edge": AREAS[1]}
    return Qwen2VLImageProcessorPil(patch_size=request.param, size=size)


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_patches_are_those_of_the_image_processor(processor: Any, mode: str) -> None:
    import torch

    images = [noise(size, mode) for size in SIZES]
    want = processor(images=images, return_tensors="pt")
    patching = patching_of(processor)
    grids = [patching.grid(*image.size, *AREAS) for image in images]
    pictures = Pictures(images, grids, patching).take()
    got = torch.cat([patching.patches(pixels, torch.float32) for pixels in pictures])
    assert [list(grid) for grid in grids] == want["image_grid_thw"].tolist()
    assert got.shape == want["pixel_values"].shape
    assert torch.allclose(got, want["pixel_values"], atol=1e-5)


def test_a_strip_is_refused_as_the_image_processor_refuses_it(processor: Any) -> None:
    for refuse in (lambda: patching_of(processor).grid(603, 3, *AREAS), lambda: processor(images=[noise((603, 3))])):
        with pytest.raises(ValueError, match="absolute aspect ratio must be smaller than 200"):
            refuse()


def test_pictures_begun_in_another_thread_are_the_same_and_can_be_taken_again(processor: Any) -> None:
    patching = patching_of(processor)
    images = [noise(size) for size in SIZES]
    pictures = Pictures(images, [patching.grid(*image.size, *AREAS) for image in images], patching)
    with ThreadPoolExecutor(2) as pool:
        pictures.begin(pool)
        pictures.begin(pool)
        first = pictures.take()
    again = pictures.take()
    assert [part.shape for part in first] == [part.shape for part in again]
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
