from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from backend.engines.vision import linear_patch_embedding, pad_widths, set_width, windows_sdpa


@pytest.mark.parametrize("lengths", [[4, 4, 4], [4, 2, 4, 7, 2], [5], [3, 0, 3]])
def test_windows_attend_as_if_each_were_alone(lengths: list[int]) -> None:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    torch.manual_seed(0)
    total = sum(lengths)
    query, key, value = (torch.randn(1, 2, total, 8) for _ in range(3))
    bounds = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    got, _ = windows_sdpa(
        torch.nn.Identity(),
        query,
        key,
        value,
        None,
        cu_seq_lens_q=torch.tensor(bounds),
        max_length_q=max(lengths),
        scaling=0.3,
    )
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


def test_a_width_that_fast_kernels_do_not_take_is_widened_with_what_adds_nothing() -> None:
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    tower = {"depth": 2, "hidden_size": 32, "intermediate_size": 85, "num_heads": 4, "out_hidden_size": 64}
    text = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=tower)
    visual: Any = Qwen2_5_VLForConditionalGeneration(config).model.visual
    mlp, values = visual.blocks[1].mlp, torch.randn(5, 32)
    weights = {name: value.clone() for name, value in visual.state_dict().items()}
    before = mlp(values)
    pad_widths(visual)
    assert mlp.gate_proj.weight.shape == mlp.up_proj.weight.shape == (128, 32)
    assert mlp.down_proj.weight.shape == (32, 128)
    assert torch.allclose(mlp(values), before, atol=1e-6)
    for block in visual.blocks:
        set_width(block.mlp, 85)
    assert all(torch.equal(value, weights[name]) for name, value in visual.state_dict().items())


def test_a_width_that_they_take_stays(tiny_model: Path) -> None:
    from transformers import AutoModelForImageTextToText

    model: Any = AutoModelForImageTextToText.from_pretrained(tiny_model)
    before = [block.mlp.gate_proj.weight.shape for block in model.model.visual.blocks]
    pad_widths(model.model.visual)
    assert [block.mlp.gate_proj.weight.shape for block in model.model.visual.blocks] == before
