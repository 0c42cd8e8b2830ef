"""The vision tower's two slow spots, computed another way with the same result.

transformers cuts the tower's attention into windows (whole images, but in Qwen2.5-VL) and, unless
a flash kernel is asked for, calls scaled-dot-product attention once per window and layer: hundreds
of launches an image. Here torch's own flash kernel takes all windows at once on a GPU, and elsewhere
windows of one length are computed as a batch. And the patch embedding is a convolution whose stride
equals its kernel, so a matrix product; CPUs are several times faster at that.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_ALIGNED, _WHOLE = 8, 128
"""Columns: what fast kernels want rows to be a multiple of, and the tiles that matrix units work in."""

NAME = "flash_windows"
"""transformers hands over all windows at once only to an implementation with "flash" in its name."""


def windows_sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each window; (1, heads, patches, head_dim) in, (1, patches, heads, head_dim) out."""
    if query.is_cuda and query.element_size() == 2:
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
        attended: Any = varlen_attn(q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q)
        return attended[None], None
    return grouped_sdpa(query, key, value, cu_seq_lens_q.tolist(), scaling), None


def grouped_sdpa(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bounds: list[int], scaling: float | None
) -> torch.Tensor:
    """Attention within each window, those of one length as a batch; shapes as of `windows_sdpa`."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    heads, total, dim = query.shape[1:]
    starts_by_length: dict[int, list[int]] = {}
    for start, end in pairwise(bounds):
        if end > start:
            starts_by_length.setdefault(end - start, []).append(start)
    out = query.new_empty(total, heads, dim)
    for length, starts in starts_by_length.items():
        whole = len(starts) * length == total
        index = None if whole else (torch.tensor(starts)[:, None] + torch.arange(length)).flatten().to(query.device)
        q, k, v = (
            (part[0] if index is None else part[0, :, index]).reshape(heads, len(starts), length, dim).transpose(0, 1)
            for part in (query, key, value)
        )
        attended = scaled_dot_product_attention(q, k, v, scale=scaling).transpose(1, 2).reshape(-1, heads, dim)
        out = attended if index is None else out.index_copy(0, index, attended)
    return out[None]


def register() -> str:
    """Make the implementation known to transformers and return its name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, windows_sdpa)
    return NAME


def linear_patch_embedding(visual: Any) -> None:
    """Replace the tower's patch convolution by the equal matrix product; its weights stay where they are."""
    from torch.nn.functional import linear

    weight, bias = visual.patch_embed.proj.weight, visual.patch_embed.proj.bias

    def forward(patches: torch.Tensor) -> torch.Tensor:
        return linear(patches.to(weight.dtype), weight.flatten(1), bias)

    visual.patch_embed.forward = forward


def pad_widths(visual: Any) -> None:
    """Widen the tower's gated layers with zeros where they are not of a width that matrix units take.

    Qwen2.5-VL's are 3,420 wide, so that their rows do not start at multiples of 16 bytes, which a GPU's fast kernels
    ask for. A zero that is gated is zero, and adds nothing to what the layer gives.
    """
    for block in visual.blocks:
        width = block.mlp.gate_proj.out_features if hasattr(block.mlp, "gate_proj") else 0
        if width % _ALIGNED:
            set_width(block.mlp, width + -width % _WHOLE)


def set_width(mlp: Any, width: int) -> None:
    """Cut a gated layer to its first columns, or widen it with zeros."""
    extra = width - mlp.gate_proj.out_features
    for layer, by in ((mlp.gate_proj, (0, 0, 0, extra)), (mlp.up_proj, (0, 0, 0, extra)), (mlp.down_proj, (0, extra))):
        _pad(layer, by)


def _pad(layer: Any, by: tuple[int, ...]) -> None:
    """Zeros behind the columns and rows of a linear layer's weights; fewer of them where that is negative."""
    from torch.nn import Parameter
    from torch.nn.functional import pad

    layer.weight = Parameter(pad(layer.weight.detach(), by).contiguous(), requires_grad=False)
    layer.out_features, layer.in_features = layer.weight.shape
    if layer.bias is not None:
        missing = layer.out_features - len(layer.bias)
        layer.bias = Parameter(pad(layer.bias.detach(), (0, missing)).contiguous(), requires_grad=False)


def image_places(visual: Any, grid: torch.Tensor) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """Where each patch stands and which look at each other, for images with these patches, (images, 3) on the CPU.

    Tensors and lengths that `get_image_features` takes, and would otherwise work out on the model's device.
    """
    from transformers import vision_utils

    merge = visual.spatial_merge_size
    bounds = vision_utils.get_vision_cu_seqlens(grid)
    places = {"image_position_ids": vision_utils.get_vision_position_ids(grid, merge), "image_cu_seqlens": bounds}
    lengths = {"image_max_seqlen": _longest(bounds)}
    if hasattr(visual, "window_size"):  # Qwen2.5-VL
        index, bounds = vision_utils.get_vision_window_index(grid, merge, visual.window_size, visual.patch_size)
        places |= {"image_window_index": index, "image_cu_window_seqlens": bounds}
        lengths["image_max_window_seqlen"] = _longest(bounds)
    if hasattr(visual, "num_grid_per_side"):  # Qwen3-VL
        indices, weights = vision_utils.get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=visual.num_grid_per_side,
            mode=visual.interpolation_mode,
            align_corners=visual.interpolation_align_corners,
            spatial_merge_size=merge,
        )
        places |= {"image_interp_indices": indices, "image_interp_weights": weights}
    return places, lengths


def _longest(bounds: torch.Tensor) -> int:
    return int((bounds[1:] - bounds[:-1]).max())
