from __future__ import annotations

import gc
import json
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.core.prompts import YES_NO, claim_question
from backend.core.rubric import load_rubric
from backend.core.types import Answer, Option, Question, Scored, Unscored
from backend.engines.base import JudgeRequest
from backend.engines.demo.engine import RUBRIC
from backend.engines.demo.world import draw, random_scene
from backend.engines.encoding import Encoder
from backend.engines.loading import load_model, refuse_broken_transformers
from backend.engines.local import LocalEngine, hash_folder
from backend.engines.packing import PackedRequest
from backend.engines.prefill import PendingMenus, branch_logits
from backend.engines.selftest import check_and_prepare
from backend.errors import EngineDead, EngineError

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
    together = branch_logits(engine._ready().loaded, packed).log_softmax(dim=-1)
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


def test_a_request_may_bring_a_pixel_budget_of_its_own(engine: LocalEngine) -> None:
    """448 x 560 pixels are 32 x 40 patches of 14 x 14; the engine's own budget of 112 x 140 leaves 8 x 10."""
    grids = [
        engine.pack(replace(REQUESTS[0], max_pixels=budget)).prefix.grids
        for budget in (None, 448 * 560, 448 * 560 // 4)
    ]
    assert grids == [((1, 10, 8),), ((1, 40, 32),), ((1, 20, 16),)]


def test_identity_is_known_without_loading_and_changes_with_the_weights(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_model, folder)
    engine = LocalEngine(str(folder), device="cpu")
    before = engine.identity
    assert engine._encoder is None
    assert before.name == "copy"
    assert before.details["model"] == hash_folder(tiny_model)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert engine.identity != before


def test_identity_changes_with_weights_of_the_older_form_too(tiny_model: Path, tmp_path: Path) -> None:
    """transformers loads `pytorch_model.bin` where there are no safetensors."""
    marks = set()
    for name, weights in (("a", b"some"), ("b", b"same"), ("a again", b"some")):
        folder = tmp_path / name
        shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
        (folder / "pytorch_model.bin").write_bytes(weights)
        marks.add(LocalEngine(str(folder), device="cpu").identity.details["model"])
    assert len(marks) == 2


def test_an_image_the_model_does_not_take_leaves_its_sample_unscored(engine: LocalEngine) -> None:
    from PIL import Image

    strip = JudgeRequest((Image.new("RGB", (603, 3)),), "", 'caption: "x"\n', QUESTIONS[:2])
    answers = engine.answer([strip, REQUESTS[2]])
    assert [type(answer) for answer in answers[0]] == [Unscored, Unscored]
    assert all(
        "absolute aspect ratio must be smaller than 200" in a.reason for a in answers[0] if isinstance(a, Unscored)
    )
    assert [answer.question for answer in answers[1]] == list(QUESTIONS[:2])


def test_the_models_own_image_token_in_a_text_is_refused(engine: LocalEngine) -> None:
    with pytest.raises(EngineError, match="22 image placeholders in the prompt where 20 belong"):
        engine.answer([request(1, "caption: <|image_pad|><|image_pad|>\n")])


class Watched(LocalEngine):
    """Notes the size of every forward pass."""

    def _answer_pass(self, rows: Sequence[PackedRequest]) -> list[PendingMenus]:
        self.passes = [*getattr(self, "passes", []), (len(rows), max(row.length for row in rows))]
        return super()._answer_pass(rows)


def chances(answers: list[tuple[Answer, ...]]) -> list[list[float]]:
    """Every answer's label mass; of an unscored one, the share its reason names, rounded as it is there."""
    return [
        [a.label_mass if isinstance(a, Scored) else float(a.reason.split()[1].rstrip("%")) / 100 for a in line]
        for line in answers
    ]


@pytest.mark.parametrize("budget", [10_000, 120, 90, 1])
def test_a_token_budget_changes_the_passes_and_not_the_answers(
    engine: LocalEngine, tiny_model: Path, budget: int
) -> None:
    watched = Watched(str(tiny_model), device="cpu", max_batch_tokens=budget)
    got = watched.answer(REQUESTS)
    assert [[a.question for a in answers] for answers in got] == [list(item.questions) for item in REQUESTS]
    for line, expected in zip(chances(got), chances(engine.answer(REQUESTS)), strict=True):
        assert line == pytest.approx(expected, abs=0.011)
    rows = [row for item in REQUESTS for row in watched.pack(item).split(budget)]
    assert sum(count for count, _ in watched.passes) == len(rows)
    assert all(count * length <= budget or count == 1 for count, length in watched.passes)
    assert len(watched.passes) == {10_000: 1, 1: 12}.get(budget, len(watched.passes))


def test_nothing_asked_is_nothing_answered(engine: LocalEngine) -> None:
    assert engine.answer([]) == []
    assert engine.answer([request(1, "", ())]) == [()]


def test_a_missing_model_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot load the model"):
        LocalEngine(str(tmp_path), device="cpu").load()


def test_a_model_that_could_not_be_loaded_is_loaded_once_it_is_there(
    engine: LocalEngine, tiny_model: Path, tmp_path: Path
) -> None:
    """First there is nothing, then a download that broke off in the middle of the weights, then all of it."""
    folder = tmp_path / "model"
    late = LocalEngine(str(folder), device="cpu", rubric=load_rubric(RUBRIC))
    with pytest.raises(EngineError, match="cannot load the model"):
        late.load()
    shutil.copytree(tiny_model, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    for ask in (late.load, lambda: late.answer(REQUESTS), lambda: late.write([])):
        with pytest.raises(EngineError, match="cannot load the model"):
            ask()
    shutil.copy(tiny_model / "model.safetensors", weights)
    assert late.answer(REQUESTS) == engine.answer(REQUESTS)


def test_an_error_in_loading_does_not_keep_the_model_in_memory(tiny_model: Path, tmp_path: Path) -> None:
    """The weights are read before it shows that the image processor is another model's."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    def models() -> int:
        return sum(type(item) is Qwen2_5_VLForConditionalGeneration for item in gc.get_objects())

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = folder / "preprocessor_config.json"
    right = config.read_text()
    config.write_text(json.dumps(json.loads(right) | {"patch_size": 16}))
    late, before = LocalEngine(str(folder), device="cpu"), models()
    with pytest.raises(EngineError, match="cuts patches of 16 pixels") as kept:
        late.load()
    assert models() == before
    config.write_text(right)
    late.load()
    assert models() == before + 1
    assert "cuts patches" in str(kept.value)


def test_a_model_without_a_chat_template_is_told_where_to_get_one(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(EngineError) as caught:
        LocalEngine(str(folder), device="cpu").load()
    assert str(caught.value) == (
        f"{folder} has no chat template: take chat_template.jinja, or chat_template.json, "
        "from where config.json is from"
    )


class Burdened(LocalEngine):
    """Finds memory or GPU gone while the model is tried for the first time."""

    def __init__(self, folder: Path, trouble: Callable[[], object]) -> None:
        super().__init__(str(folder), device="cpu")
        self._trouble = trouble

    def _prepare(self) -> Encoder:
        loaded = load_model(self._source, revision=None, max_pixels=None, device="cpu")
        loaded.model.model.visual.register_forward_pre_hook(lambda *_: self._trouble() and None)
        encoder = Encoder(loaded)
        check_and_prepare(loaded, encoder)
        return encoder


def no_memory() -> object:
    import torch

    return torch.empty(2**60, dtype=torch.uint8)


def no_gpu() -> object:
    import torch

    raise torch.AcceleratorError("CUDA error: unspecified launch failure\nmore")


def no_kernels() -> object:
    import torch

    raise torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device\nmore")


def test_what_stands_in_the_way_of_the_first_pass_is_said(tiny_model: Path) -> None:
    """And does not stand there for ever."""
    said = {}
    for trouble in (no_memory, no_gpu, no_kernels):
        burdened = Burdened(tiny_model, trouble)
        with pytest.raises(EngineError) as caught:
            burdened.load()
        said[trouble.__name__] = (type(caught.value), str(caught.value))
        burdened._trouble = lambda: None
        burdened.load()
        assert burdened.parameters > 0
    assert said == {
        "no_memory": (
            EngineError,
            f"{tiny_model} leaves no memory to run it in; choose a smaller model (VLM_JUDGE_MODEL), or a device with "
            "more memory (VLM_JUDGE_DEVICE)",
        ),
        "no_gpu": (
            EngineDead,
            f"{tiny_model} cannot be run: CUDA error: unspecified launch failure; the GPU is lost to this process, "
            "which has to be started anew",
        ),
        "no_kernels": (
            EngineError,
            f"{tiny_model} cannot be run: CUDA error: no kernel image is available for execution on the device; "
            "install a torch that fits this GPU and its driver, or set VLM_JUDGE_DEVICE=cpu",
        ),
    }


def test_exactly_the_versions_before_the_repair_are_refused() -> None:
    said = {}
    for installed in ("4.53.3", "4.57.0", "5.4.0", "5.5.3", "5.5.4", "5.6", "5.23.0"):
        try:
            refuse_broken_transformers(installed)
        except EngineError as exc:
            said[installed] = str(exc)
    assert said == {
        installed: f"transformers {installed} places image tokens wrongly; install 5.5.4 or newer"
        for installed in ("4.53.3", "4.57.0", "5.4.0", "5.5.3")
    }


@pytest.mark.parametrize("missing", ["torch", "transformers", "accelerate"])
def test_without_its_packages_a_model_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EngineError) as refused:
        load_model("a/model", revision=None, max_pixels=None, device="cpu")
    assert str(refused.value) == (
        f"a judge that runs here needs {missing}; run: pip install 'vlm-judge-label-studio[local]', or name servers "
        "that run it with --engine remote and VLM_JUDGE_SERVERS"
    )
