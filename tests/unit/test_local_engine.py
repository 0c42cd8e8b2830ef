from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from backend.core.prompts import YES_NO, claim_question
from backend.core.rubric import load_rubric
from backend.core.types import Option, Question, Scored, Unscored
from backend.engines.base import JudgeRequest
from backend.engines.demo.engine import RUBRIC
from backend.engines.demo.world import draw, random_scene
from backend.engines.local import LocalEngine, hash_folder, refuse_broken_transformers
from backend.errors import EngineError

QUESTIONS = (
    *(load_rubric(RUBRIC).question(criterion) for criterion in load_rubric(RUBRIC).criteria),
    claim_question(0, "Does the picture show {claim}?", "a red star at the top left"),
)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> LocalEngine:
    engine = LocalEngine(str(tiny_model), device="cpu", name="tiny", rubric=load_rubric(RUBRIC))
    engine.load()
    return engine


def request(seed: int, fields: str, questions: tuple[Question, ...] = QUESTIONS, images: int = 1) -> JudgeRequest:
    rng = random.Random(seed)
    pictures = tuple(draw(random_scene(rng), rng) for _ in range(images))
    return JudgeRequest(pictures, "", fields, questions)


REQUESTS = (
    request(1, 'caption: "A red star at the top left."\n'),
    request(2, 'caption: "Two shapes. The word is MOON, and much more is said."\nrequested: "a box"\n', images=2),
    request(3, 'caption: "Nothing."\n', QUESTIONS[:2]),
)


def separately(folder: Path, request: JudgeRequest, question: Question) -> Any:
    """Log-probabilities by the plainest road: the processor's inputs, one full forward pass, stock attention."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    processor: Any = AutoImageProcessor
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    images = processor.from_pretrained(folder)(images=list(request.images), return_tensors="pt")
    content = [*({"type": "image"} for _ in request.images), {"type": "text", "text": request.fields + question.text}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    for grid in images["image_grid_thw"].tolist():
        text = text.replace("<|image_pad|>", "<|pad|>" * (grid[0] * grid[1] * grid[2] // 4), 1)
    inputs = tokenizer(text.replace("<|pad|>", "<|image_pad|>"), return_tensors="pt")
    kinds = (inputs.input_ids == model.config.image_token_id).int()
    with torch.inference_mode():
        logits = model(**inputs, **images, mm_token_type_ids=kinds).logits[0, -1].float()
    return torch.log_softmax(logits, dim=-1)


def test_packed_questions_equal_a_forward_pass_each(engine: LocalEngine, tiny_model: Path) -> None:
    packed = [engine.pack(item) for item in REQUESTS]
    together = engine._forward(packed)
    expected = [separately(tiny_model, item, question) for item in REQUESTS for question in item.questions]
    assert len(together) == len(expected) == 12
    for got, want in zip(together, expected, strict=True):
        assert float((got - want).abs().max()) < 1e-4


def test_answers_come_in_order_whatever_shares_the_batch(engine: LocalEngine) -> None:
    engine_answers = engine.answer(REQUESTS)
    alone = [engine.answer([item])[0] for item in REQUESTS]
    assert [[a.question for a in answers] for answers in engine_answers] == [list(item.questions) for item in REQUESTS]
    for got, want in zip(engine_answers, alone, strict=True):
        for one, other in zip(got, want, strict=True):
            assert type(one) is type(other)
            if isinstance(one, Scored) and isinstance(other, Scored):
                assert one.probs == pytest.approx(other.probs, abs=1e-4)


def test_a_model_that_wants_to_say_something_else_gives_no_answer(engine: LocalEngine) -> None:
    """Random weights spread over the vocabulary: far less than half falls on yes and no."""
    answers = engine.answer([request(4, 'caption: "x"\n', QUESTIONS[-1:])])
    assert isinstance(answers[0][0], Unscored)


def test_an_option_of_several_tokens_is_refused(engine: LocalEngine) -> None:
    question = Question("q", "Good?", (Option("a", "Absolutely"), Option("b", "No")))
    with pytest.raises(EngineError, match="'Absolutely' is not a single token after the prompt"):
        engine.answer([request(1, "", (question,))])


def test_options_that_share_a_token_are_refused(engine: LocalEngine) -> None:
    question = Question("q", "Good?", (Option("a", "No"), Option("b", "No")))
    with pytest.raises(EngineError, match="question q: two options share a token"):
        engine.answer([request(1, "", (question,))])


def test_the_pixel_budget_reaches_the_processor(tiny_model: Path) -> None:
    small = LocalEngine(str(tiny_model), device="cpu", max_pixels=56 * 56)
    packed = small.pack(request(1, "", (Question("q", "Good?", YES_NO),)))
    assert packed.grids == ((1, 4, 2),)


def test_identity_is_known_without_loading_and_changes_with_the_weights(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_model, folder)
    engine = LocalEngine(str(folder), device="cpu")
    before = engine.identity
    assert engine._model is None
    assert before.name == "copy"
    assert before.details["model"] == hash_folder(tiny_model)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert engine.identity != before


def test_a_missing_model_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot load the model"):
        LocalEngine(str(tmp_path), device="cpu").load()


@pytest.mark.parametrize("installed", ["4.53.3", "4.57.0", "5.4.0", "5.5.3"])
def test_versions_with_wrong_positions_are_refused(installed: str) -> None:
    with pytest.raises(EngineError, match=f"transformers {installed} places image tokens wrongly"):
        refuse_broken_transformers(installed)


@pytest.mark.parametrize("installed", ["5.5.4", "5.6", "5.23.0"])
def test_other_versions_are_taken(installed: str) -> None:
    refuse_broken_transformers(installed)
