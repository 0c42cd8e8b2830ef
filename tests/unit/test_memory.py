"""The engine when memory runs out in the middle of a pass: the allocator really refuses, the model is a real one."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from backend.core.types import Answer, Option, Question, Reply, Scored, Unscored, Unwritten, Writing, Written
from backend.core.writing import box_writing
from backend.engines.base import JudgeRequest, WriteRequest
from backend.engines.local import LocalEngine
from backend.engines.pixels import Patching
from backend.engines.writing import Job
from backend.errors import EngineDead, EngineError
from tests.tiny_models import save_tiny_model

YES_NO = (Option("yes", "Yes"), Option("no", "No"))
QUESTIONS = (
    Question("star", "Does the picture show a red star? Answer Yes or No.", YES_NO),
    Question("boxes", "Two blue boxes?", YES_NO),
    Question("word", 'And the word "MOON", at the top left, beside it?', YES_NO),
)
AREA = 448 * 560
"""Pixels of the pictures: 32 x 40 patches, so 320 tokens."""
ELSE = "or run a smaller model (VLM_JUDGE_MODEL), or one on a machine with more memory"


def picture(colour: str, size: tuple[int, int] = (448, 560)) -> Image.Image:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    ImageDraw.Draw(image).ellipse((4, 8, size[0] // 2, size[1] // 2), fill=colour)
    return image


LARGE = JudgeRequest((picture("red"),), "", 'caption: "A red star."\n', QUESTIONS)
SMALL = tuple(
    JudgeRequest((picture(colour, (70, 140)),), "", f'caption: "{colour}"\n', QUESTIONS)
    for colour in ("red", "green", "blue")
)


class Memory:
    """Lets a pass hold so many tokens at once, what it has cached counted, and runs out in its second layer."""

    def __init__(self, engine: LocalEngine) -> None:
        self.room = math.inf
        self.run_out: Callable[[], Any] = no_memory
        self.passes: list[tuple[int, int]] = []
        """Rows and tokens of each, those of single steps left out."""
        self.left_behind: list[bool] = []
        """Per pass, whether the failed one before it is still in memory."""
        self.ran_out: list[int] = []
        """Per failure, how many tokens of the prompt and the reply were done already."""
        self._held: weakref.ref[Any] | None = None
        self.layer = engine._ready().loaded.model.model.language_model.layers[1]
        self._forward = self.layer.forward
        self.layer.forward = self._enter

    def remove(self) -> None:
        """Leave the model as it was."""
        self.layer.forward = self._forward

    def _enter(self, hidden: Any, **kwargs: Any) -> Any:
        rows, length, _ = hidden.shape
        cache = kwargs.get("past_key_values")
        done = cache.get_seq_length(1) if cache else 0
        if length > 1:
            self.passes.append((rows, length))
            self.left_behind.append(self._held is not None and self._held() is not None)
        if rows * (length + done) > self.room:
            self.ran_out.append(done)
            self._held = weakref.ref(hidden)
            self.run_out()
        return self._forward(hidden, **kwargs)


def no_memory() -> None:
    import torch

    torch.empty(2**60, dtype=torch.uint8)


def no_gpu_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("memory"), "qwen2_5_vl")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Iterator[LocalEngine]:
    """An engine, set up for many small passes: in one thread, and with little to look through for each collection."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine = LocalEngine(str(folder), device="cpu", max_pixels=AREA)
    engine.load()
    gc.freeze()
    yield engine
    gc.unfreeze()
    torch.set_num_threads(threads)


@pytest.fixture
def engine(loaded: LocalEngine) -> LocalEngine:
    """A fresh engine, which remembers nothing, around the model that was loaded once."""
    engine = LocalEngine("m", device="cpu", max_pixels=AREA)
    engine._encoder = loaded._encoder
    return engine


@pytest.fixture
def memory(engine: LocalEngine) -> Iterator[Memory]:
    memory = Memory(engine)
    yield memory
    memory.remove()


def length(engine: LocalEngine, request: JudgeRequest, questions: Sequence[Question] = QUESTIONS) -> int:
    """Tokens of a sample with these questions."""
    return engine.pack(replace(request, questions=tuple(questions))).length


def longest(engine: LocalEngine, request: JudgeRequest) -> int:
    return max(length(engine, request, [question]) for question in request.questions)


def shares(answers: Sequence[tuple[Answer, ...]]) -> list[list[float]]:
    """What was read: a random model puts little on any menu, and how little stands in the reason."""
    return [
        [a.label_mass if isinstance(a, Scored) else float(a.reason.split()[1].rstrip("%")) / 100 for a in row]
        for row in answers
    ]


def lines(engine: LocalEngine, requests: Sequence[JudgeRequest]) -> list[Any]:
    """The log-probabilities of all options, which the answers are made of."""
    return [line for found in engine._read(requests) for line in found]


@pytest.mark.parametrize("run_out", [no_memory, no_gpu_memory])
def test_a_batch_that_does_not_fit_is_halved_and_answers_alike(
    engine: LocalEngine, memory: Memory, run_out: Callable[[], None]
) -> None:
    whole = lines(engine, SMALL)
    assert [rows for rows, _ in memory.passes] == [3]
    memory.room, memory.run_out = 2 * min(length(engine, request) for request in SMALL) - 1, run_out
    memory.passes.clear()
    halved = lines(engine, SMALL)
    assert [rows for rows, _ in memory.passes] == [3, 1, 2, 1, 1]
    assert not any(memory.left_behind)
    assert len(halved) == len(whole) == 9
    for got, expected in zip(halved, whole, strict=True):
        assert got == pytest.approx(expected, abs=1e-4)


def test_a_row_of_questions_that_does_not_fit_is_asked_one_by_one(engine: LocalEngine, memory: Memory) -> None:
    whole = lines(engine, [LARGE])
    memory.room = longest(engine, LARGE)
    memory.passes.clear()
    apart = lines(engine, [LARGE])
    assert memory.passes == [(1, length(engine, LARGE)), *((1, length(engine, LARGE, [q])) for q in QUESTIONS)]
    for got, expected in zip(apart, whole, strict=True):
        assert got == pytest.approx(expected, abs=1e-4)


def test_a_sample_that_alone_does_not_fit_is_told_the_size_that_would(
    engine: LocalEngine, memory: Memory, folder: Path
) -> None:
    """A quarter of 250880 pixels goes through, a half does not; at that setting the sample is indeed answered."""
    small = engine.answer(SMALL)
    memory.room = longest(engine, replace(LARGE, max_pixels=AREA // 4))
    got = engine.answer([SMALL[0], LARGE, *SMALL[1:]])
    reason = (
        "the sample does not fit into memory at 250880 pixels an image; 62720 would fit: set VLM_JUDGE_MAX_PIXELS=62720"
    )
    assert got[1] == tuple(Unscored(question, reason, transient=False) for question in QUESTIONS)
    for line, expected in zip(shares([got[0], *got[2:]]), shares(small), strict=True):
        assert line == pytest.approx(expected, abs=0.011)
    assert not any(memory.left_behind)
    obedient = LocalEngine(str(folder), device="cpu", max_pixels=62_720)
    Memory(obedient).room = memory.room
    assert all("on the menu" in answer.reason for answer in obedient.answer([LARGE])[0] if isinstance(answer, Unscored))


def test_the_next_large_sample_is_not_searched_again(engine: LocalEngine, memory: Memory) -> None:
    """Every sample is tried at its size; only what would fit is remembered, also for a sample a few words shorter."""
    memory.room = longest(engine, replace(LARGE, max_pixels=AREA // 4))
    first = engine.answer([LARGE])
    full = [(1, length(engine, LARGE)), (1, length(engine, LARGE, QUESTIONS[:1]))]
    tries = [(1, longest(engine, replace(LARGE, max_pixels=budget))) for budget in (AREA // 2, AREA // 4)]
    assert memory.passes == full + tries
    memory.passes.clear()
    assert engine.answer([LARGE]) == first
    assert memory.passes == full
    memory.passes.clear()
    shorter = replace(LARGE, fields='caption: "A star."\n')
    assert engine.answer([shorter]) == first
    assert memory.passes[2:] == [(1, longest(engine, replace(shorter, max_pixels=AREA // 2)))]
    memory.room = math.inf
    assert [answer for answer in engine.answer([LARGE])[0] if answer in first[0]] == []


def test_a_sample_that_fits_at_no_size_says_so(engine: LocalEngine, memory: Memory) -> None:
    memory.room = 10
    assert {answer.reason for answer in engine.answer([LARGE])[0] if isinstance(answer, Unscored)} == {
        "the sample does not fit into memory, even at 12544 pixels an image: shorten its texts, show fewer images, "
        f"{ELSE}"
    }
    text = JudgeRequest((), "", 'caption: "A red star."\n' * 3, QUESTIONS)
    assert engine.answer([text])[0] == tuple(
        Unscored(question, f"the sample's texts, 69 characters, do not fit into memory: shorten them, {ELSE}")
        for question in QUESTIONS
    )


class Frugal:
    """Has memory for so many numbers of patches at a time, those in use counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = math.inf
        self._alive: list[Any] = []
        self._make = Patching.patches
        monkeypatch.setattr(Patching, "patches", lambda *args: self._patches(*args))

    def _patches(self, *args: Any) -> Any:
        import numpy as np

        made = self._make(*args)
        in_use = [ref() for ref in self._alive]
        if sum(patches.numel() for patches in in_use if patches is not None) + made.numel() > self.room:
            np.empty(2**60, dtype=np.uint8)
        self._alive.append(weakref.ref(made))
        return made


@pytest.fixture
def frugal(monkeypatch: pytest.MonkeyPatch) -> Frugal:
    """Where patches are cut, with a memory."""
    return Frugal(monkeypatch)


def test_images_that_do_not_fit_as_patches_are_told_alike(engine: LocalEngine, memory: Memory, frugal: Frugal) -> None:
    """A patch is 2 x 3 x 14 x 14 numbers; half of 250880 pixels are 22 x 28 of them, of which there is room for one."""
    small = engine.answer(SMALL)
    frugal.room = 22 * 28 * 1176
    got = engine.answer([SMALL[0], LARGE, *SMALL[1:]])
    assert {answer.reason for answer in got[1] if isinstance(answer, Unscored)} == {
        "the sample does not fit into memory at 250880 pixels an image; 125440 would fit: "
        "set VLM_JUDGE_MAX_PIXELS=125440"
    }
    for line, expected in zip(shares([got[0], *got[2:]]), shares(small), strict=True):
        assert line == pytest.approx(expected, abs=0.011)


def test_images_that_only_together_do_not_fit_as_patches_are_taken_apart(
    engine: LocalEngine, memory: Memory, frugal: Frugal
) -> None:
    whole = lines(engine, [LARGE, LARGE, SMALL[0]])
    memory.passes.clear()
    frugal.room = 32 * 40 * 1176
    apart = engine.answer([LARGE, LARGE, SMALL[0]])
    assert [rows for rows, _ in memory.passes] == [1, 1, 1]
    assert len(whole) == 9
    assert all("on the menu" in a.reason for row in apart for a in row if isinstance(a, Unscored))


WRITING = box_writing("box", "Where is the red star?\n")


def ask(request: JudgeRequest, writing: Writing = WRITING) -> WriteRequest:
    return WriteRequest(request.images, "", request.fields, writing, max_pixels=request.max_pixels)


@pytest.fixture
def written(engine: LocalEngine) -> list[Reply]:
    """Replies of a batch that fits."""
    replies = engine.write([ask(request) for request in SMALL])
    assert {type(reply) for reply in replies} == {Written}
    return replies


def test_replies_that_only_together_do_not_fit_are_written_apart(
    engine: LocalEngine, written: list[Reply], memory: Memory
) -> None:
    memory.room = 2 * max(Job(ask(request), engine._ready().prompt(ask(request))).length for request in SMALL) - 1
    memory.room = min(memory.room, 3 * max(len(engine._ready().prompt(ask(request)).ids) for request in SMALL) - 1)
    assert engine.write([ask(request) for request in SMALL]) == written
    assert [rows for rows, _ in memory.passes][:2] == [3, 1]
    assert not any(memory.left_behind)


def test_memory_that_runs_out_in_the_middle_of_a_reply_loses_nothing(
    engine: LocalEngine, written: list[Reply], memory: Memory
) -> None:
    """The prompts fit side by side, and five tokens more for each do not."""
    longest = max(len(engine._ready().prompt(ask(request)).ids) for request in SMALL)
    memory.room = 3 * (longest + 5) - 1
    assert engine.write([ask(request) for request in SMALL]) == written
    assert [rows for rows, _ in memory.passes][:2] == [3, 1]
    assert memory.ran_out[0] == longest + 4
    assert not any(memory.left_behind)


def test_a_reply_that_alone_does_not_fit_is_told_the_size_that_would(
    engine: LocalEngine, written: list[Reply], memory: Memory
) -> None:
    quarter = ask(replace(LARGE, max_pixels=AREA // 4))
    memory.room = Job(quarter, engine._ready().prompt(quarter)).length
    got = engine.write([ask(LARGE), ask(SMALL[0])])
    reason = (
        "the sample does not fit into memory at 250880 pixels an image; 62720 would fit: set VLM_JUDGE_MAX_PIXELS=62720"
    )
    assert got == [Unwritten(WRITING, reason, transient=False), written[0]]
    memory.passes.clear()
    assert engine.write([ask(LARGE)]) == [Unwritten(WRITING, reason)]
    assert len(memory.passes) == 1


@pytest.mark.parametrize("work", [lambda e: e.answer(SMALL), lambda e: e.write([ask(request) for request in SMALL])])
def test_a_gpu_that_is_lost_ends_the_engine_and_no_other_error_does(
    engine: LocalEngine, memory: Memory, work: Callable[[LocalEngine], Any]
) -> None:
    import torch

    def lose_the_gpu() -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nSearch for it.")

    def multiply_wrongly() -> None:
        torch.ones(3, 4) @ torch.ones(5, 6)

    memory.room, memory.run_out = 1, lose_the_gpu
    with pytest.raises(EngineDead, match="an illegal memory access was encountered; the GPU is lost to this process"):
        work(engine)
    memory.run_out = multiply_wrongly
    with pytest.raises(EngineError, match="mat1 and mat2 shapes cannot be multiplied") as caught:
        work(engine)
    assert type(caught.value) is EngineError
    assert memory.left_behind == [False, False]
    assert memory._held is not None
    assert memory._held() is None


def test_the_area_of_a_sample_is_that_of_its_largest_image_as_the_model_sees_it(engine: LocalEngine) -> None:
    """Images are enlarged to 4 tokens of 28 x 28 pixels at least, and shrunk to the engine's size or the request's."""
    encoder, none = engine._ready(), JudgeRequest((), "", "", ())
    tiny, middle, huge = (Image.new("RGB", size) for size in ((8, 8), (100, 90), (600, 900)))
    shown: list[tuple[tuple[Image.Image, ...], int | None]] = [
        *(((), None), ((tiny,), None), ((tiny, middle), None), ((huge, middle), None)),
        *(((middle,), 8000), ((tiny,), 1000)),
    ]
    areas = [encoder.area(replace(none, images=images, max_pixels=limit)) for images, limit in shown]
    assert areas == [0, 3136, 9000, 250_880, 8000, 1000]
