"""Examples in the local engine: really in the prompt, with their images, and of no consequence for other samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from backend.core.prompts import YES_NO
from backend.core.types import Question, Scored
from backend.engines.base import JudgeRequest, Passage
from backend.engines.local import LocalEngine
from backend.engines.prefill import branch_logits
from tests.tiny_models import save_tiny_model

QUESTIONS = (Question("star", "Does the picture show a red star? Answer Yes or No.", YES_NO),)
TEXT = 'How people decided.\n\nExample 1\ncaption: "two blue boxes"\nPeople decided: fix\n'


def picture(width: int, height: int, colour: str) -> Image.Image:
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    ImageDraw.Draw(image).ellipse((4, 8, width // 2, height // 2), fill=colour)
    return image


PASSAGES = (
    Passage((), "How people decided.\n"),
    Passage((picture(96, 96, "blue"), picture(70, 140, "green")), '\nExample 1\ncaption: "two blue boxes"\n'),
    Passage((picture(112, 84, "red"),), '\nExample 2\ncaption: "MOON"\n\nNow the sample:\n'),
)
PLAIN = JudgeRequest((picture(150, 90, "red"),), "Be strict.", 'caption: "A red star."\n', QUESTIONS)
OTHER = JudgeRequest((picture(84, 112, "blue"),), "", 'caption: "The word MOON."\n', QUESTIONS)
WORDS = replace(PLAIN, passages=(Passage((), TEXT),))
PICTURED = replace(PLAIN, passages=PASSAGES)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / request.param, request.param)


@pytest.fixture(scope="module")
def engine(folder: Path) -> LocalEngine:
    engine = LocalEngine(str(folder), device="cpu")
    engine.load()
    return engine


def separately(folder: Path, request: JudgeRequest) -> Any:
    """Log-probabilities by the plainest road: the whole prompt by the template, the processor, one forward pass."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    processor: Any = AutoImageProcessor
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    shown = [*request.passages, Passage(request.images, request.fields + QUESTIONS[0].text)]
    pictures = [image for passage in shown for image in passage.images]
    images = processor.from_pretrained(folder)(images=pictures, return_tensors="pt")
    content = [
        part
        for passage in shown
        for part in (*({"type": "image"} for _ in passage.images), {"type": "text", "text": passage.text})
    ]
    system = [{"role": "system", "content": request.instructions}] if request.instructions else []
    text = tokenizer.apply_chat_template(
        [*system, {"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    for grid in images["image_grid_thw"].tolist():
        text = text.replace("<|image_pad|>", "<|pad|>" * (grid[0] * grid[1] * grid[2] // 4), 1)
    inputs = tokenizer(text.replace("<|pad|>", "<|image_pad|>"), return_tensors="pt")
    kinds = (inputs.input_ids == model.config.image_token_id).int()
    with torch.inference_mode():
        logits = model(**inputs, **images, mm_token_type_ids=kinds).logits[0, -1].float()
    return torch.log_softmax(logits, dim=-1)


def test_the_answers_are_those_of_the_whole_prompt(engine: LocalEngine, folder: Path) -> None:
    asked = [PLAIN, WORDS, PICTURED, OTHER]
    together = branch_logits(engine.loaded(), [engine.pack(item) for item in asked]).log_softmax(dim=-1)
    for got, item in zip(together, asked, strict=True):
        assert float((got - separately(folder, item)).abs().max()) < 1e-4
    assert float((together[0] - together[1]).abs().max()) > 1e-2
    assert float((together[1] - together[2]).abs().max()) > 1e-2


def test_the_examples_stand_before_the_sample_with_their_images(engine: LocalEngine) -> None:
    """The images in order: 96 x 96, 70 x 140 and 112 x 84 of the examples, then the sample's own 150 x 90."""
    tokenizer = engine.loaded().tokenizer
    plain, words, pictured = (engine.pack(item) for item in (PLAIN, WORDS, PICTURED))
    said = tokenizer.decode(words.prefix.ids)
    assert said.index("Be strict.") < said.index(TEXT) < said.index("<|vision_start|>") < said.index("A red star.")
    assert tokenizer.decode(plain.prefix.ids) == said.replace(TEXT, "")
    assert plain.branch_ids == words.branch_ids == pictured.branch_ids
    alone = [
        engine.pack(replace(PLAIN, images=(image,))).grids[0]
        for image in (*(image for passage in PASSAGES for image in passage.images), *PLAIN.images)
    ]
    assert list(pictured.grids) == alone
    shown = tokenizer.decode(pictured.prefix.ids)
    marks = [shown.index(mark) for mark in ("How people", "Example 1", "Example 2", "Now the sample", "A red star.")]
    assert marks == sorted(marks)
    assert [shown[a:b].count("<|vision_start|>") for a, b in zip([0, *marks], marks, strict=False)] == [0, 2, 1, 0, 1]


def test_other_samples_of_the_batch_are_answered_as_without(engine: LocalEngine) -> None:
    mixed = engine.answer([PICTURED, OTHER, PLAIN, WORDS])
    for request, (answer,) in zip((PICTURED, OTHER, PLAIN, WORDS), mixed, strict=True):
        [[alone]] = engine.answer([request])
        assert type(answer) is type(alone)
        if isinstance(answer, Scored) and isinstance(alone, Scored):
            assert answer.probs == pytest.approx(alone.probs, abs=1e-4)


def test_a_text_cannot_move_where_the_question_goes(engine: LocalEngine) -> None:
    """The private-use character that stands for the question while the template is rendered is dropped from texts."""
    sly = replace(PLAIN, passages=(Passage((), f"\ue000{TEXT}\ue000"),))
    packed, words = engine.pack(sly), engine.pack(WORDS)
    assert (packed.prefix.ids, packed.branch_ids) == (words.prefix.ids, words.branch_ids)
