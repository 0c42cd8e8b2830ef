"""Images as a model takes them: shrunk by Pillow on any thread, cut into normalised patches on the model's device.

transformers' image processors say how (sizes, means, deviations), and `selftest` holds what is made here against them
at every start. They are not asked to do it, because they hand over 32-bit patches with every pixel twice: eight times
as much to compute on the CPU and to copy as the image's own bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.engines.backbones import Grid

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Patching:
    """How a model's images are prepared, by its image processor."""

    patch: int
    """Side of a patch, in pixels of the resized image."""
    merge: int
    """Patches along each side of what becomes one token."""
    frames: int
    """How often a still image is repeated in time."""
    scale: float
    """What a byte is multiplied with first."""
    mean: tuple[float, ...]
    """Per channel, then taken away."""
    deviation: tuple[float, ...]
    """Per channel, then divided by."""
    resample: int
    """Pillow's number of the filter."""

    def grid(self, width: int, height: int, smallest: int, largest: int) -> Grid:
        """The patches of an image that is resized to an area between the two. Raises ValueError for a thin strip."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        side = self.patch * self.merge
        rows, columns = smart_resize(height, width, factor=side, min_pixels=smallest, max_pixels=largest)
        return 1, rows // self.patch, columns // self.patch

    def shrink(self, image: Image.Image, grid: Grid) -> torch.Tensor:
        """The image at the size of a grid, bytes of shape (height, width, 3)."""
        import torch
        from PIL import Image as pil

        _, rows, columns = grid
        size = (columns * self.patch, rows * self.patch)
        # a copy, as torch wants memory that may be written
        return torch.from_numpy(np.array(image.convert("RGB").resize(size, pil.Resampling(self.resample))))

    def patches(self, pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Shape (patches, values), on the device of the bytes; patches that are merged stand together."""
        import torch

        height, width, channels = pixels.shape
        mean, deviation = (torch.tensor(values).to(pixels.device) for values in (self.mean, self.deviation))
        normal = ((pixels.float() * self.scale - mean) / deviation).to(dtype)
        rows, columns = (side // (self.patch * self.merge) for side in (height, width))
        cut = normal.view(rows, self.merge, self.patch, columns, self.merge, self.patch, channels)
        cut = cut.permute(0, 3, 1, 4, 6, 2, 5)[:, :, :, :, :, None].expand(-1, -1, -1, -1, -1, self.frames, -1, -1)
        return cut.reshape(-1, channels * self.frames * self.patch**2)


def patching_of(image_processor: Any) -> Patching:
    """How transformers' image processor of a Qwen-VL model prepares images."""
    return Patching(
        patch=int(image_processor.patch_size),
        merge=int(image_processor.merge_size),
        frames=int(image_processor.temporal_patch_size),
        scale=float(image_processor.rescale_factor),
        mean=tuple(image_processor.image_mean),
        deviation=tuple(image_processor.image_std),
        resample=int(image_processor.resample),
    )


class Pictures:
    """The images of one prompt, shrunk when they are taken, or before that by another thread."""

    def __init__(self, images: Sequence[Image.Image], grids: Sequence[Grid], patching: Patching) -> None:
        self._images = tuple(images)
        self._grids = tuple(grids)
        self._patching = patching
        self._begun: Future[list[torch.Tensor]] | None = None

    def begin(self, pool: Executor) -> None:
        """Have them shrunk by the pool, unless that was said before."""
        if self._begun is None:
            self._begun = pool.submit(self._shrunk)

    def take(self) -> list[torch.Tensor]:
        """Per image, bytes of shape (height, width, 3). They are not kept."""
        begun, self._begun = self._begun, None
        return self._shrunk() if begun is None else begun.result()

    def _shrunk(self) -> list[torch.Tensor]:
        pairs = zip(self._images, self._grids, strict=True)
        return [self._patching.shrink(image, grid) for image, grid in pairs]
