from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backend.engines.vision import grouped_sdpa, linear_patch_embedding


@pytest.mark.parametrize("lengths", [[4, 4, 4], [4, 2, 4, 7, 2], [5], [3, 0, 3]])
def test_windows_attend_as_if_each_were_alone(lengths: list[int]) -> None:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    torch.manual_seed(0)
    total = sum(lengths)
    query, key, value = (torch.randn(1, 2, total, 8) for _ in range(3))
    bounds = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    got, _ = grouped_sdpa(torch.nn.Identity(), query, key, value, None, cu_seq_lens_q=torch.tensor(bounds), scaling=0.3)
    alone = [
        scaled_dot_product_attention(query[:, :, a:b], key[:, :, a:b], value[:, :, a:b], scale=0.3)
        for a, b in pairwise(bounds)
        if b > a
    ]
    assert got.shape == (1, total, 2, 8)
    assert torch.allclose(got, torch.cat(alone, dim=2).transpose(1, 2), atol=1e-6)


def test_the_patch_embedding_as_a_matrix_product_is_the_same(tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForImageTextToText

    model: Any = AutoModelForImageTextToText.from_pretrained(tiny_model, dtype=torch.float32)
    patches = torch.randn(12, 3 * 2 * 14 * 14)
    before = model.model.visual.patch_embed(patches)
    linear_patch_embedding(model.model.visual)
    assert torch.allclose(model.model.visual.patch_embed(patches), before, atol=1e-5)
