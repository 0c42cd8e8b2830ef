"""The vision tower's two slow spots, computed another way with the same result.

transformers cuts the tower's attention into windows (whole images, but in Qwen2.5-VL) and, unless
a flash kernel is asked for, calls scaled-dot-product attention once per window and layer: hundreds
of launches an image. Windows of one length are computed as a batch here. And the patch embedding
is a convolution whose stride equals its kernel, so a matrix product; CPUs are several times
faster at that.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "flash_grouped_sdpa"
"""transformers hands over all windows at once only to an implementation with "flash" in its name."""


def grouped_sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: torch.Tensor,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each window; (1, heads, patches, head_dim) in, (1, patches, heads, head_dim) out."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    heads, total, dim = query.shape[1:]
    bounds = cu_seq_lens_q.tolist()
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
    return out[None], None


def register() -> str:
    """Make the implementation known to transformers and return its name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, grouped_sdpa)
    return NAME


def linear_patch_embedding(visual: Any) -> None:
    """Replace the tower's patch convolution by the equal matrix product; its weights stay where they are."""
    from torch.nn.functional import linear

    weight, bias = visual.patch_embed.proj.weight, visual.patch_embed.proj.bias

    def forward(patches: torch.Tensor) -> torch.Tensor:
        return linear(patches.to(weight.dtype), weight.flatten(1), bias)

    visual.patch_embed.forward = forward


def replace_slow_spots(model: Any) -> None:
    """Make a loaded Qwen-VL model compute its vision tower the faster way, from now on."""
    model.set_attn_implementation({"vision_config": register()})
    linear_patch_embedding(model.model.visual)
