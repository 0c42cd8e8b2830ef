from __future__ import annotations

import pytest

from backend.core.families import family, same_family


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl"),
        ("Qwen2.5-VL-7B-Instruct-0a1b2c3d4e5f", "qwen2.5-vl"),
        ("models/qwen2_5_vl/", "qwen2.5-vl"),
        ("Qwen/Qwen2-VL-2B-Instruct-AWQ", "qwen2-vl"),
        ("Qwen/Qwen3-VL-30B-A3B-Thinking", "qwen3-vl"),
        ("unsloth/Qwen3-VL-8B-Instruct-GGUF@main", "qwen3-vl"),
        ("Qwen/Qwen-VL-Chat", "qwen-vl"),
        ("qwen-vl-max", "qwen-vl"),
        ("Qwen/Qwen2.5-Omni-7B", "qwen2.5-omni"),
        ("Qwen/QVQ-72B-Preview", "qvq"),
        ("allenai/olmOCR-7B-0825", "qwen-vl"),
        ("OpenGVLab/InternVL3-8B", "internvl"),
        ("llava-hf/llava-v1.6-mistral-7b-hf", "llava"),
        ("google/paligemma2-3b-mix-448", "paligemma"),
        ("google/gemma-3-12b-it", "gemma"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "llama"),
        ("gpt-4o-2024-08-06", "gpt"),
        ("demo", "demo"),
        ("demo-0a1b2c3d4e5f", "demo"),
        ("acme/Picture-Writer-13b-chat-bf16", "picture-writer"),
        ("7b", "7b"),
        ("", ""),
    ],
)
def test_family_by_name(model: str, expected: str) -> None:
    assert family(model) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen2.5-VL-72B-Instruct-AWQ", True),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen3-VL-8B-Instruct", True),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "allenai/olmOCR-7B-0825", True),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "OpenGVLab/InternVL3-8B", False),
        ("acme/writer-7b", "other/Writer-13B-Instruct", True),
        ("demo", "Qwen/Qwen2.5-VL-7B-Instruct", False),
    ],
)
def test_same_family(one: str, other: str, same: bool) -> None:
    assert same_family(one, other) is same
    assert same_family(other, one) is same
