"""Four ways to judge the same samples with the same weights: three that people take today, and ours."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.core.prompts import YES_NO
from backend.core.types import Question
from backend.engines.base import JudgeRequest
from backend.engines.fast import layers_of, replace_slow_spots
from backend.engines.loading import LoadedModel
from backend.engines.vision import set_width

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Task:
    """What every sample looks like."""

    side: int
    """Of its image, in pixels."""
    prompt_tokens: int
    """Of its text, with what the chat template puts around."""
    criteria: int
    question_tokens: int
    """Of one criterion's question, with what the chat template puts behind."""
    verdict_tokens: int
    """Of a verdict that is written out as JSON."""


def samples(loaded: LoadedModel, task: Task, count: int, seed: int = 0) -> list[JudgeRequest]:
    """So many samples that all differ, in just so many tokens."""
    rng = random.Random(seed)
    words = _words(loaded)
    head, tail = _template_tokens(loaded)
    questions = tuple(
        Question(f"criterion-{number}", _text(words, task.question_tokens - tail, rng), YES_NO)
        for number in range(task.criteria)
    )
    return [
        JudgeRequest((picture(task.side, rng),), "", _text(words, task.prompt_tokens - head, rng), questions)
        for _ in range(count)
    ]


def picture(side: int, rng: random.Random) -> Image.Image:
    """A square of coloured noise over a slope, decoded."""
    from PIL import Image

    dice = np.random.default_rng(rng.getrandbits(32))
    slope = np.linspace(0, 128, side, dtype=np.float32)[:, None, None]
    noise = dice.integers(0, 127, (side, side, 3), dtype=np.uint8)
    return Image.fromarray((slope + noise).astype(np.uint8))


class Stock:
    """The model as transformers runs it, asked as its documentation shows."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    def generate(self, requests: Sequence[JudgeRequest], new_tokens: int) -> None:
        """Write every verdict out, all of them side by side."""
        import torch

        texts = [request.fields + "".join(question.text for question in request.questions) for request in requests]
        inputs = self._inputs(requests, texts)
        with torch.inference_mode():
            self._loaded.model.generate(**inputs, do_sample=False, min_new_tokens=new_tokens, max_new_tokens=new_tokens)

    def prefill_each(self, requests: Sequence[JudgeRequest], criteria: int) -> None:
        """Ask one criterion after the other, all samples side by side, and read the label's probabilities."""
        import torch

        for number in range(criteria):
            texts = [request.fields + request.questions[number].text for request in requests]
            inputs = self._inputs(requests, texts)
            with torch.inference_mode():
                logits = self._loaded.model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1]
                logits.float().softmax(-1).cpu()

    def _inputs(self, requests: Sequence[JudgeRequest], texts: Sequence[str]) -> dict[str, Any]:
        """What transformers' processor makes of them, padded from the left."""
        loaded = self._loaded
        images = loaded.image_processor(images=[image for r in requests for image in r.images], return_tensors="pt")
        pad = loaded.tokenizer.convert_ids_to_tokens(loaded.image_token_id)
        prompts = []
        for text, grid in zip(texts, images["image_grid_thw"].tolist(), strict=True):
            content = [{"type": "image"}, {"type": "text", "text": text}]
            prompt = loaded.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
            tokens = grid[0] * grid[1] * grid[2] // loaded.patching.merge**2
            prompts.append(prompt.replace(pad, pad * tokens, 1))
        ids = loaded.tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt").to(loaded.device)
        kinds = (ids["input_ids"] == loaded.image_token_id).int()
        pixels = images["pixel_values"].to(loaded.device, loaded.model.dtype)
        grids = images["image_grid_thw"].to(loaded.device)
        return {**ids, "mm_token_type_ids": kinds, "pixel_values": pixels, "image_grid_thw": grids}


@contextmanager
def as_released(model: Any) -> Iterator[None]:
    """The model without what we replaced in it, for a while."""
    layers = layers_of(model)
    compiled = [layer._compiled_call_impl for layer in layers]
    for layer in layers:
        layer._compiled_call_impl = None
    model.set_attn_implementation("sdpa")
    del model.model.visual.patch_embed.forward
    for block in model.model.visual.blocks:
        set_width(block.mlp, model.config.vision_config.intermediate_size)
    try:
        yield
    finally:
        replace_slow_spots(model)
        for layer, call in zip(layers, compiled, strict=True):
            layer._compiled_call_impl = call


def _words(loaded: LoadedModel) -> list[str]:
    """Words that are one token each, wherever they stand."""
    found = [f" {word}" for word in ("red", "star", "box", "blue", "top", "left", "the", "a")]
    return [word for word in found if len(loaded.tokenizer(word, add_special_tokens=False).input_ids) == 1]


def _text(words: Sequence[str], tokens: int, rng: random.Random) -> str:
    return "".join(rng.choice(words) for _ in range(tokens))


def _template_tokens(loaded: LoadedModel) -> tuple[int, int]:
    """Of the chat template around an image and a text, the image's placeholder left out: before and behind the text."""
    mark = " red"
    text = loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": mark}]}],
        tokenize=False,
        add_generation_prompt=True,
    )
    before, _, after = text.rpartition(mark)
    head, tail = loaded.tokenizer([before, after], add_special_tokens=False).input_ids
    return len(head) - 1, len(tail)
