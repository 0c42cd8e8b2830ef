"""Random models of every family the local engine runs, small enough for a unit test, in folders as from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.engines.demo.architecture import SPECIAL_TOKENS, build_tokenizer

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")

TEXTS = [
    'caption: "A red star at the top left, two blue boxes and the word MOON."\n',
    "Does the picture show a red star? Answer Yes or No.\nYes\nNo\n1\n2\n3\n4\n5\n",
    '{"text": "a red star"}\n{"bbox_2d": [0, 12, 345, 678]}\n{"claims": ["one", "two"]}\nuser\nassistant\nsystem\n',
]


def save_tiny_model(folder: Path, family: str, seed: int = 0) -> Path:
    """A random model with tokenizer and image processor; the weights are large enough for its answers to differ."""
    import torch
    from transformers import AutoModelForImageTextToText, Qwen2VLImageProcessorPil

    torch.manual_seed(seed)
    tokenizer = build_tokenizer(TEXTS * 20)
    config = tiny_config(family, tokenizer)
    model_class: Any = AutoModelForImageTextToText
    model = model_class.from_config(config, dtype=torch.float32)
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=1.2 / weight[0].numel() ** 0.5)
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    patch = config.vision_config.patch_size
    area = {"shortest_edge": 4 * (2 * patch) ** 2, "longest_edge": 24 * (2 * patch) ** 2}
    Qwen2VLImageProcessorPil(size=area, patch_size=patch).save_pretrained(folder)
    return folder


def tiny_config(family: str, tokenizer: Any) -> Any:
    """A config with what makes its family special: windows, DeepStack, interleaved M-RoPE, experts."""
    from transformers import AutoConfig

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    config_class: Any = AutoConfig
    return config_class.for_model(
        family,
        text_config=_text(family, len(tokenizer), ids),
        vision_config=_vision(family),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )


def _text(family: str, vocabulary: int, ids: dict[str, Any]) -> dict[str, Any]:
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "decoder_sparse_step": 1}
    return {
        "vocab_size": vocabulary + 6,  # published models have room for more tokens than their tokenizers know
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [4, 2, 2],
            "mrope_interleaved": family.startswith("qwen3"),
        },
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        **(experts if family == "qwen3_vl_moe" else {}),
    }


def _vision(family: str) -> dict[str, Any]:
    if family == "qwen2_vl":
        return {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 4, "mlp_ratio": 2, "patch_size": 14}
    common = {"hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 64}
    if family == "qwen2_5_vl":
        return {**common, "depth": 3, "fullatt_block_indexes": [2], "window_size": 56, "patch_size": 14}
    return {**common, "depth": 3, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64, "patch_size": 16}
