"""The engine over every model family: packed questions, frames of boxes, and the test at the start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from backend.core.types import Option, Question
from backend.engines.backbones import find_backbone
from backend.engines.base import JudgeRequest
from backend.engines.encoding import Encoder
from backend.engines.loading import LoadedModel, load_model
from backend.engines.local import LocalEngine
from backend.engines.prefill import branch_logits
from backend.engines.selftest import check_and_prepare, mrope_positions
from backend.errors import EngineError
from tests.tiny_models import FAMILIES, save_tiny_model

YES_NO = (Option("yes", "Yes"), Option("no", "No"))
QUESTIONS = (
    Question("star", "Does the picture show a red star? Answer Yes or No.", YES_NO),
    Question("boxes", "Two blue boxes?", (Option("1", "1"), Option("2", "2"))),
    Question("word", 'And the word "MOON", at the top left?', YES_NO),
)


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def engine(folder: Path) -> LocalEngine:
    engine = LocalEngine(str(folder), device="cpu")
    engine.load()
    return engine


def picture(width: int, height: int, colour: str) -> Image.Image:
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    ImageDraw.Draw(image).ellipse((4, 8, width // 2, height // 2), fill=colour)
    return image


REQUESTS = (
    JudgeRequest((picture(150, 90, "red"),), "", 'caption: "A red star."\n', QUESTIONS),
    JudgeRequest(
        (picture(70, 140, "blue"), picture(96, 96, "green")),
        "Be strict.",
        "Two blue boxes, at the top.\n",
        QUESTIONS[:2],
    ),
    JudgeRequest((), "", 'caption: "The word MOON."\n', QUESTIONS[1:]),
)


def separately(folder: Path, request: JudgeRequest, question: Question) -> Any:
    """Logits by the plainest road: one full forward pass, stock attention, the model's own positions."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    processor: Any = AutoImageProcessor
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    content = [*({"type": "image"} for _ in request.images), {"type": "text", "text": request.fields + question.text}]
    system = [{"role": "system", "content": request.instructions}] if request.instructions else []
    text = tokenizer.apply_chat_template(
        [*system, {"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    images = {}
    if request.images:
        images = processor.from_pretrained(folder)(images=list(request.images), return_tensors="pt")
        for grid in images["image_grid_thw"].tolist():
            text = text.replace("<|image_pad|>", "<|pad|>" * (grid[1] * grid[2] // 4), 1)
    inputs = tokenizer(text.replace("<|pad|>", "<|image_pad|>"), return_tensors="pt")
    kinds = (inputs.input_ids == model.config.image_token_id).int()
    with torch.inference_mode():
        return model(**inputs, **images, mm_token_type_ids=kinds).logits[0, -1].float()


def test_packed_questions_equal_a_forward_pass_each(engine: LocalEngine, folder: Path) -> None:
    packed = [engine.pack(item) for item in REQUESTS]
    together = branch_logits(engine._ready().loaded, packed)
    expected = [separately(folder, item, question) for item in REQUESTS for question in item.questions]
    assert len(together) == len(expected) == 7
    assert float(expected[0].std()) > 0.3
    for got, want in zip(together, expected, strict=True):
        assert float((got.log_softmax(-1) - want.log_softmax(-1)).abs().max()) < 1e-4


def test_what_the_model_sees_reaches_the_answer(engine: LocalEngine) -> None:
    """Without its image, or with another, a question has other logits: the equality above is not one of constants."""
    red, blue = (
        JudgeRequest((picture(150, 90, colour),), "", 'caption: "A red star."\n', QUESTIONS)
        for colour in ("red", "blue")
    )
    one, other = branch_logits(engine._ready().loaded, [engine.pack(red), engine.pack(blue)]).chunk(2)
    assert float((one - other).abs().max()) > 1e-2


def test_rows_that_repeat_the_prefix_answer_alike(engine: LocalEngine) -> None:
    loaded = engine._ready().loaded
    whole = engine.pack(REQUESTS[0])
    parts = whole.split(len(whole.prefix.ids) + 1)
    assert [part.branch_ids for part in parts] == [(branch,) for branch in whole.branch_ids]
    apart = branch_logits(loaded, parts)
    assert float((apart - branch_logits(loaded, [whole])).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("model_type", "frame"),
    [
        ("qwen2_vl", (1000, 1000)),
        ("qwen2_5_vl", (10 * 14, 6 * 14)),
        ("qwen3_vl", (1000, 1000)),
        ("qwen3_vl_moe", (1000, 1000)),
    ],
)
def test_boxes_are_measured_as_the_family_does(model_type: str, frame: tuple[int, int]) -> None:
    """A grid of 6 rows and 10 columns of patches, 14 pixels each."""
    assert find_backbone(model_type, "a/model").frame((1, 6, 10), 14) == frame


def test_positions_of_text_and_images() -> None:
    """Two tokens, an image of 2 x 3 tokens, one token, an image of 2 x 1 tokens, one token; 9 marks an image."""
    ids = (5, 5, *[9] * 6, 5, 9, 9, 5)
    places, end = mrope_positions(ids, ((1, 4, 6), (1, 4, 2)), 9, 2)
    assert places == [
        *[(0, 0, 0), (1, 1, 1)],
        *[(2, 2, 2), (2, 2, 3), (2, 2, 4), (2, 3, 2), (2, 3, 3), (2, 3, 4)],
        (5, 5, 5),  # 2 + the longer side, 3
        *[(6, 6, 6), (6, 7, 6)],
        (8, 8, 8),
    ]
    assert end == 9


def test_a_model_of_another_type_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen"}))
    with pytest.raises(EngineError, match=r"type 'qwen'; the local engine runs Qwen2-VL, Qwen2.5-VL, Qwen3-VL"):
        LocalEngine(str(tmp_path), device="cpu").load()


def test_an_image_processor_of_another_model_is_refused(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, "qwen2_5_vl")
    config = tmp_path / "preprocessor_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"patch_size": 16}))
    with pytest.raises(EngineError, match="cuts patches of 16 pixels and merges 2 a side, its model wants 14 and 2"):
        LocalEngine(str(tmp_path), device="cpu").load()


def loaded_with(folder: Path, defect: Callable[[Any], Any]) -> LoadedModel:
    """The model as another version of transformers might run it: its inner class replaced by a subclass."""
    loaded = load_model(str(folder), revision=None, max_pixels=None, device="cpu")
    inner = loaded.model.model
    inner.__class__ = defect(type(inner))
    return loaded


def with_shifted_images(base: Any) -> Any:
    """As transformers 5.4.0 to 5.5.3: still images moved along in time."""

    class Shifted(base):  # type: ignore[misc]
        def get_rope_index(self, ids: Any, **kwargs: Any) -> Any:
            positions, deltas = super().get_rope_index(ids, **kwargs)
            positions[0] += kwargs["mm_token_type_ids"]
            return positions, deltas

    return Shifted


def without_tree_mask(base: Any) -> Any:
    """Every token sees all that came before, whatever mask is given."""

    class Blind(base):  # type: ignore[misc]
        def forward(self, *args: Any, attention_mask: Any, **kwargs: Any) -> Any:
            return super().forward(*args, attention_mask=attention_mask if attention_mask.ndim == 2 else None, **kwargs)

    return Blind


def without_token_kinds(base: Any) -> Any:
    """As before `mm_token_type_ids` was there."""

    class Older(base):  # type: ignore[misc]
        def get_rope_index(self, ids: Any, image_grid_thw: Any = None, attention_mask: Any = None) -> Any:
            raise NotImplementedError

    return Older


@pytest.mark.parametrize(
    ("defect", "reason"),
    [
        (with_shifted_images, "it places the tokens of an image wrongly"),
        (without_tree_mask, "questions asked together get other answers than alone"),
        (without_token_kinds, "got an unexpected keyword argument 'mm_token_type_ids'"),
    ],
)
def test_a_transformers_that_runs_the_model_otherwise_is_refused(folder: Path, defect: Any, reason: str) -> None:
    loaded = loaded_with(folder, defect)
    with pytest.raises(EngineError, match=rf"transformers \S+ does not fit \S+ \(.*{reason}"):
        check_and_prepare(loaded, Encoder(loaded))


def test_in_bfloat16_the_test_at_the_start_is_as_sharp(folder: Path) -> None:
    import torch

    fine = load_model(str(folder), revision=None, max_pixels=None, device="cpu")
    fine.model.to(torch.bfloat16)
    check_and_prepare(fine, Encoder(fine))
    blind = loaded_with(folder, without_tree_mask)
    blind.model.to(torch.bfloat16)
    with pytest.raises(EngineError, match="a question's answer depends on what else is asked"):
        check_and_prepare(blind, Encoder(blind))
