from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from backend.engines.attention import tree_sdpa
from backend.engines.packing import lay_out, tree_mask

HEADS, DIM = 6, 8


class Shared:
    """What transformers' own attention reads off the layer it is called by."""

    def __init__(self, kept: int) -> None:
        self.num_key_value_groups = HEADS // kept
        self.is_causal = True
        self.training = False


def drawn(rows: int, length: int, kept: int) -> tuple[Any, Any, Any]:
    import torch

    torch.manual_seed(length)
    return tuple(torch.randn(rows, heads, length, DIM) for heads in (HEADS, kept, kept))  # type: ignore[return-value]


def laid_out(rows: Sequence[tuple[int, list[int]]]) -> tuple[Any, int]:
    """Segments of rows with these prefixes and branches, and the room of their prefixes."""
    import torch

    room = max(prefix for prefix, _ in rows)
    length = room + max(sum(branches) for _, branches in rows)
    layouts = [lay_out(prefix, branches, length, room) for prefix, branches in rows]
    return torch.from_numpy(np.stack([layout.segments for layout in layouts])), room


@pytest.mark.parametrize("kept", [6, 3, 1])
@pytest.mark.parametrize("rows", [[(5, [2, 3])], [(7, [1, 4, 2]), (3, [5]), (6, [2, 2])], [(2, [1]), (9, [1])]])
def test_a_causal_pass_and_a_small_mask_equal_one_mask_over_all(rows: list[tuple[int, list[int]]], kept: int) -> None:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    segments, room = laid_out(rows)
    query, key, value = drawn(len(rows), segments.shape[1], kept)
    got, _ = tree_sdpa(Shared(kept), query, key, value, tree_mask(segments, room), scaling=0.4)  # type: ignore[arg-type]
    whole = scaled_dot_product_attention(
        query, key, value, attn_mask=tree_mask(segments), scale=0.4, enable_gqa=True
    ).transpose(1, 2)
    real = segments >= 0
    assert got.shape == whole.shape
    assert torch.allclose(got[real], whole[real], atol=1e-6)


def test_without_branches_it_is_the_attention_of_transformers() -> None:
    """In a prompt that a reply is written to, and in each step of the writing."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    query, key, value = drawn(2, 5, 3)
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool).tril()
    for part, given in ((query, mask), (query, None), (query[:, :, -1:], mask[:, :, -1:])):
        got, _ = tree_sdpa(Shared(3), part, key, value, given)  # type: ignore[arg-type]
        want, _ = sdpa_attention_forward(Shared(3), part, key, value, given)  # type: ignore[arg-type]
        assert torch.equal(got, want)
