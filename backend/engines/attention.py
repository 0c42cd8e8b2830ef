"""Attention over rows of a prefix and branches behind it, as a causal pass and a small masked one.

A mask over whole rows would keep scaled-dot-product attention from its fastest kernels and be computed in full. Only
the branches need one: what stands in the prefix region is causal, and padding behind it is seen by nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "tree_sdpa"


def tree_sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as `branch_mask` says; (rows, heads, length, head_dim) in, (rows, length, heads, head_dim) out.

    A mask of fewer lines than there are tokens is one of the branches, which stand last. With any other, or none,
    this is transformers' own attention.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attention_mask is None or attention_mask.shape[2] >= query.shape[2]:
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return plain
    room = query.shape[2] - attention_mask.shape[2]
    prefix = scaled_dot_product_attention(
        query[:, :, :room], key[:, :, :room], value[:, :, :room], is_causal=True, scale=scaling, enable_gqa=True
    )
    rows, heads, _, dim = query.shape
    shared = heads // key.shape[1]
    folded = query[:, :, room:].reshape(rows, key.shape[1], -1, dim)  # heads that share keys, one below the other
    mask = attention_mask.expand(-1, shared, -1, -1).reshape(rows, 1, -1, key.shape[2])
    branches = scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    attended = torch.cat([prefix, branches.reshape(rows, heads, -1, dim)], dim=2)
    return attended.transpose(1, 2), None


def register() -> str:
    """Make the implementation known to transformers, with the masks of its own one, and return its name."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, tree_sdpa)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME
