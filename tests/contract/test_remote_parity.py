"""The same model gives the same answers in this process and on a server: prompt and pixels are the same."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from math import log

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from backend.core.types import Answer, Option, Question, Scored
from backend.engines.base import JudgeRequest
from backend.engines.demo.engine import demo_engine
from backend.engines.local import LocalEngine
from backend.engines.remote.engine import RemoteEngine
from backend.engines.remote.images import Family, family_of, picture_of, seen_size
from tests.contract import chat_server

PIXELS = 140 * 112
"""The area at which the embedded judge sees every image."""
SCALE = tuple(Option(str(level), str(level)) for level in range(1, 6))


class Served:
    """The embedded judge behind a server: the prompt is taken apart again and asked as it stands."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self.turn = threading.Lock()

    def logits(self, text: str, images: Sequence[bytes]) -> Mapping[str, float]:
        body = text.partition("<|im_start|>user\n")[2].partition("<|im_end|>")[0].rpartition("<|vision_end|>")[2]
        pictures = tuple(Image.open(io.BytesIO(image)) for image in images)
        with self.turn:
            ((answer,),) = self.engine.answer([JudgeRequest(pictures, "", "", (Question("q", body, SCALE),))])
        if not isinstance(answer, Scored):
            return dict(chat_server.by_digest(text, images))
        masses = {option.token: p * answer.label_mass for option, p in zip(SCALE, answer.probs, strict=True)}
        elsewhere = {"!": log(1 - answer.label_mass)} if answer.label_mass < 1 else {}
        likely = elsewhere | {token: log(mass) for token, mass in masses.items()}
        return {token: likely.get(token, chat_server.NOTHING) for token in chat_server.VOCABULARY}


def drawn(seed: int) -> Image.Image:
    """An image twice as large as the judge sees it, with an edge that resizing blurs."""
    image = Image.new("RGB", (280, 224), "white")
    ImageDraw.Draw(image).ellipse((20 + seed, 31, 111, 90 + seed), fill=(200, 30 * seed, 40))
    return image


def _flat(answers: Sequence[Answer]) -> list[float]:
    scored = [answer for answer in answers if isinstance(answer, Scored)]
    assert len(scored) == len(answers)
    return [number for answer in scored for number in (*answer.probs, answer.label_mass)]


@pytest.mark.parametrize("speaks", ["vllm", "openai", "sglang"])
def test_the_embedded_judge_answers_the_same_here_and_behind_a_server(speaks: str) -> None:
    local = demo_engine()
    questions = tuple(local.default_rubric.question(criterion) for criterion in local.default_rubric.criteria[:2])
    asked = [JudgeRequest((drawn(seed),), "", 'caption: "a red circle"\n', questions) for seed in range(2)]
    here = local.answer(asked)
    state = {"logits": Served(local).logits, "system": "", "model": "demo"}
    with chat_server.running_server(speaks=frozenset({speaks}), **state) as server:
        remote = RemoteEngine([server.address], "demo", max_pixels=PIXELS)
        answers = remote.answer(asked)
        remote.close()
    for row, wanted in zip(answers, here, strict=True):
        assert _flat(row) == pytest.approx(_flat(wanted), abs=1e-5)


@settings(deadline=None)
@given(
    width=st.integers(28, 3000),
    height=st.integers(28, 3000),
    max_pixels=st.integers(28 * 28 * 16, 4_000_000),
    family=st.sampled_from([family_of("Qwen2.5-VL"), family_of("Qwen3-VL")]),
)
@example(width=70, height=42, max_pixels=10**6, family=family_of("Qwen2.5-VL"))
def test_sizes_are_those_of_the_models_own_processor(width: int, height: int, max_pixels: int, family: Family) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    max_pixels = max(max_pixels, family.min_pixels)
    theirs = smart_resize(height, width, family.factor, family.min_pixels, max_pixels)
    assert seen_size(width, height, family, max_pixels) == tuple(reversed(theirs))


def test_the_processor_leaves_the_pixels_that_are_sent_as_they_are() -> None:
    import numpy as np
    from transformers import Qwen2VLImageProcessorPil

    family = family_of("Qwen2.5-VL")
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": family.min_pixels, "longest_edge": 10**5})
    original = drawn(2).resize((500, 300))
    uri = picture_of(original, family, 10**5).uri
    sent = Image.open(io.BytesIO(chat_server._content(uri)))
    here, there = (processor(images=[image], return_tensors="np")["pixel_values"] for image in (original, sent))
    assert np.array_equal(here, there)
