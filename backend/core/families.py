"""Model families by name: a judge favours texts of its own family, so they have to be told apart."""

from __future__ import annotations

import re

_QWEN = re.compile(r"(qwen|qvq)-?((?:\d+(?:[.p]\d+)?)(?![\db]))?-?(vl|omni)?(?![a-z])")
_KNOWN = (
    "smolvlm",
    "paligemma",
    "medgemma",
    "gemma",
    "gemini",
    "internvl",
    "llava",
    "pixtral",
    "mistral",
    "molmo",
    "minicpm",
    "idefics",
    "florence",
    "deepseek",
    "janus",
    "kosmos",
    "blip",
    "claude",
    "gpt",
    "phi",
    "glm",
    "llama",
)
"""Names that stand for a family whatever follows them; one that holds another comes first."""
_OF_QWEN = ("olmocr", "nanonets-ocr", "ui-tars")
"""Released models that are trained on from a Qwen-VL although their names do not say so."""
_TRIM = re.compile(
    r"-(?:\d+(?:\.\d+)?[bm]|a\d+(?:\.\d+)?b|instruct|chat|it|hf|base|thinking|preview|latest|awq|gptq|gguf|int[48]|fp8|bf16|fp16"
    r"|\d{4,8}|[0-9a-f]{12})(?=-|$)"
)


def family(model: str) -> str:
    """The family of a model by its id, folder name or fingerprint, in lower case.

    `Qwen/Qwen2.5-VL-7B-Instruct` is `qwen2.5-vl`; a name that is not known gives its own stem, without owner, size,
    precision, date and the like.
    """
    name = re.sub(r"[\s_]+", "-", model.strip().rstrip("/").rsplit("/", 1)[-1].lower()).partition("@")[0]
    name = re.sub(r"^(qwen|internvl)-?(\d)-(\d)(?=-|$)", r"\1\2.\3", name)
    if found := _QWEN.search(name):
        line, generation, kind = found.groups()
        return f"{line}{(generation or '').replace('p', '.')}{f'-{kind}' if kind else ''}"
    if any(part in name for part in _OF_QWEN):
        return "qwen-vl"
    known = next((part for part in _KNOWN if re.search(rf"(?<![a-z]){part}", name)), None)
    return known or _TRIM.sub("", name) or name


def same_family(one: str, other: str) -> bool:
    """Whether two models are so closely related that one favours the other's texts.

    All of Qwen counts as one: Philautia-Eval (arXiv 2604.11589) finds the preference also between models that share
    parts and training data.
    """
    return _line(family(one)) == _line(family(other))


def _line(name: str) -> str:
    return "qwen" if name.startswith(("qwen", "qvq")) else name
