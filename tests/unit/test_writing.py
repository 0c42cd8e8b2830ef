"""What the local engine writes: in form, repeatable, the same alone and among others."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.core.types import Reply, Unwritten, Writing, Written
from backend.core.writing import box_writing, claims_writing, reply_schema, text_writing, vqa_writing
from backend.engines.base import WriteRequest
from backend.engines.local import LocalEngine
from backend.engines.prefill import image_inputs
from backend.engines.writing import SCHEMAS, Grammars, Job, gumbel
from backend.errors import EngineError
from tests.tiny_models import FAMILIES, save_tiny_model

PICTURES = tuple(Image.linear_gradient("L").resize(size).convert("RGB") for size in ((150, 90), (70, 140)))

WRITINGS = (
    text_writing("caption", "Write a caption.\n"),
    vqa_writing("vqa", "Ask something.\n"),
    claims_writing("claims", "List the claims.\n", most=3),
    box_writing("box", "Where is the red star?\n"),
)


class Terse(LocalEngine):
    """Random weights seldom end a string; here all that ends one is likelier, so that replies stay short."""

    def load(self) -> None:
        import torch

        fresh = self._encoder is None
        super().load()
        if fresh:
            loaded = self._ready().loaded
            bias = torch.zeros(loaded.vocabulary)
            for text, token in loaded.tokenizer.get_vocab().items():
                bias[token] = 4.0 if text == '"' else 0.0
            loaded.model.lm_head.bias = torch.nn.Parameter(bias)


@pytest.fixture(scope="module", params=FAMILIES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    return Terse(str(save_tiny_model(tmp_path_factory.mktemp(request.param), request.param)), device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("qwen2_5_vl"), "qwen2_5_vl")


def test_grammars_of_tasks_that_bring_their_own_choices_do_not_pile_up(engine: LocalEngine) -> None:
    grammars = Grammars(engine.loaded())
    for number in range(SCHEMAS + 5):
        grammars.matcher(reply_schema(label={"enum": [f"choice {number}"]}))
    kept = grammars.at_start.cache_info()
    assert (kept.currsize, kept.misses) == (SCHEMAS, SCHEMAS + 5)
    grammars.matcher(reply_schema(label={"enum": [f"choice {SCHEMAS + 4}"]}))
    assert grammars.at_start.cache_info().hits == 1


def ask(writing: Writing, images: int = 1, temperature: float = 0.0, seed: int = 0, fields: str = "") -> WriteRequest:
    return WriteRequest(PICTURES[:images], "", fields, writing, temperature, seed)


REQUESTS = (
    *(ask(writing) for writing in WRITINGS),
    ask(WRITINGS[3], images=2, fields='caption: "A red star, and a good deal more is said about it here."\n'),
    ask(WRITINGS[0], images=0, fields='caption: "x"\n'),
    *(ask(WRITINGS[0], temperature=1.0, seed=seed) for seed in range(3)),
)


def test_replies_fit_their_schemas(engine: LocalEngine) -> None:
    replies = engine.write(REQUESTS)
    assert [reply.writing for reply in replies] == [request.writing for request in REQUESTS]
    values = [reply.value for reply in replies if isinstance(reply, Written)]
    assert len(values) == len(REQUESTS)
    for request, reply in zip(REQUESTS, replies, strict=True):
        assert isinstance(reply, Written)
        assert reply.json == as_dumped(reply.value)
        assert list(reply.value) == list(json.loads(request.writing.schema)["properties"])
    text, vqa, claims, box, *_ = values
    assert isinstance(text["text"], str)
    assert all(isinstance(part, str) for part in vqa.values())
    assert len(claims["claims"]) <= 3
    assert all(isinstance(claim, str) for claim in claims["claims"])
    assert [type(corner) for corner in box["bbox_2d"]] == [int] * 4
    assert all(0 <= corner <= 99_999 for corner in box["bbox_2d"])


def as_dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def test_a_reply_is_the_same_alone_and_among_others(engine: LocalEngine) -> None:
    assert engine.write(REQUESTS) == [engine.write([request])[0] for request in REQUESTS]


def test_sampling_repeats_with_its_seed_and_varies_without(engine: LocalEngine) -> None:
    requests = [ask(WRITINGS[0], temperature=1.0, seed=seed) for seed in range(8)]
    once, again = engine.write(requests), engine.write(requests[::-1])[::-1]
    assert once == again
    assert len({reply.json for reply in once if isinstance(reply, Written)}) > 1


def test_boxes_come_with_their_frames(folder: Path, tmp_path: Path) -> None:
    """150 x 90 and 70 x 140 pixels are resized to whole tokens, 28 pixels a side: 140 x 84 and 56 x 140 (2.5 rounds
    to 2)."""
    pixels = Terse(str(folder), device="cpu").write([REQUESTS[4]])[0]
    thousandths = Terse(str(save_tiny_model(tmp_path, "qwen3_vl")), device="cpu").write([REQUESTS[4]])[0]
    assert isinstance(pixels, Written)
    assert isinstance(thousandths, Written)
    assert pixels.frames == ((140, 84), (56, 140))
    assert thousandths.frames == ((1000, 1000), (1000, 1000))


def test_greedy_writing_is_what_the_plain_model_would_say_next(folder: Path) -> None:
    """The grammar leaves the digits of a corner free: the first is the likeliest digit of one plain forward pass."""
    import torch

    engine = LocalEngine(str(folder), device="cpu")
    reply = engine.write([ask(WRITINGS[3])])[0]
    assert isinstance(reply, Written)
    loaded, prompt = engine._ready().loaded, engine._ready().prompt(ask(WRITINGS[3]))
    tokenizer = loaded.tokenizer
    ids = torch.tensor([[*prompt.ids, *tokenizer('{"bbox_2d": [', add_special_tokens=False).input_ids]])
    with torch.inference_mode():
        logits = loaded.model(
            input_ids=ids,
            **image_inputs(loaded, [prompt]),
            mm_token_type_ids=(ids == loaded.image_token_id).int(),
        ).logits[0, -1]
    digits = {tokenizer.convert_tokens_to_ids(str(digit)): str(digit) for digit in range(10)}
    assert reply.json.removeprefix('{"bbox_2d": [')[0] == digits[max(digits, key=lambda token: float(logits[token]))]


def test_habits_of_the_checkpoint_have_no_say(folder: Path, tmp_path: Path) -> None:
    other = save_tiny_model(tmp_path, "qwen2_5_vl")
    habits = {"do_sample": True, "temperature": 9.0, "top_k": 1, "repetition_penalty": 50.0, "max_new_tokens": 1}
    (other / "generation_config.json").write_text(json.dumps(habits))
    request = ask(WRITINGS[2])
    assert Terse(str(other), device="cpu").write([request]) == Terse(str(folder), device="cpu").write([request])


def test_a_reply_that_does_not_end_within_its_limit_is_none(folder: Path) -> None:
    short = Writing("caption", "Write.\n", WRITINGS[0].schema, 3)
    replies = Terse(str(folder), device="cpu").write([ask(short), ask(WRITINGS[0])])
    assert replies[0] == Unwritten(short, "the reply was not complete at its limit of 3 tokens")
    assert isinstance(replies[1], Written)


def test_a_schema_that_cannot_be_held_to_is_an_error(folder: Path) -> None:
    engine = LocalEngine(str(folder), device="cpu")
    for schema, reason in (('{"type":"objekt"}', "Invalid type: objekt"), ("{", "not a JSON Schema")):
        with pytest.raises(EngineError, match=f"writing odd: .*{reason}"):
            engine.write([ask(Writing("odd", "Write.\n", schema, 9))])


def test_an_image_the_model_does_not_take_is_left_unwritten(folder: Path) -> None:
    strip = WriteRequest((Image.new("RGB", (603, 3)),), "", "", WRITINGS[3])
    replies = Terse(str(folder), device="cpu").write([strip, ask(WRITINGS[3])])
    assert isinstance(replies[0], Unwritten)
    assert replies[0].reason.startswith("the model takes no such image: absolute aspect ratio must be smaller than 200")
    assert isinstance(replies[1], Written)


class SmallMemory(Terse):
    """Has memory for a number of tokens at once."""

    room = 10**9

    def _write_pass(self, jobs: Sequence[Job]) -> list[Reply]:
        import torch

        if len(jobs) * max(job.length for job in jobs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super()._write_pass(jobs)


def test_memory_that_runs_out_makes_smaller_batches_then_no_reply(folder: Path) -> None:
    engine = SmallMemory(str(folder), device="cpu")
    requests = [ask(WRITINGS[3]), ask(WRITINGS[3], images=2), ask(WRITINGS[3])]
    whole = engine.write(requests)
    engine.room = Job(requests[0], engine._ready().prompt(requests[0])).length
    assert engine.write(requests) == [
        whole[0],
        Unwritten(
            WRITINGS[3],
            "the sample does not fit into memory, even at 12544 pixels an image: shorten its texts, "
            "show fewer images, or run a smaller model (VLM_JUDGE_MODEL), or one on a machine with more memory",
        ),
        whole[2],
    ]


def test_nothing_to_write_gives_nothing(folder: Path) -> None:
    assert LocalEngine(str(folder), device="cpu").write([]) == []


def test_gumbel_numbers_sample_by_the_softmax() -> None:
    """Of 20000 draws with logits ln 1, ln 3, ln 6, shares 0.1, 0.3 and 0.6 within four standard errors of 0.0035."""
    import torch

    noise = torch.Generator().manual_seed(0)
    logits = torch.tensor([math.log(weight) for weight in (1, 3, 6)])
    drawn = torch.stack([(logits + gumbel(3, noise)).argmax() for _ in range(20_000)])
    shares = torch.bincount(drawn, minlength=3) / len(drawn)
    assert shares.tolist() == pytest.approx([0.1, 0.3, 0.6], abs=0.014)
