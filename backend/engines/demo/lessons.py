"""What the embedded judge learns from: boards, and packed rows of questions and requests with known replies."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.core.claims import Piece, split_words
from backend.core.prompts import claim_question, quote, render_fields, word_question
from backend.core.rubric import Rubric
from backend.engines.demo.architecture import HEIGHT_TOKENS, WIDTH_TOKENS, text_fields
from backend.engines.demo.examples import Claim, Corruption, Example, make_example
from backend.engines.demo.world import (
    WORDS,
    Area,
    Condition,
    Scene,
    Statement,
    draw,
    phrase,
    question_and_answer,
    random_scene,
)
from backend.engines.messages import split_prompt
from backend.engines.packing import lay_out

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

IMAGE_TOKENS = HEIGHT_TOKENS * WIDTH_TOKENS
_SHRUNK = 4
"""Pixels of the drawn board to one pixel of what the model sees; its boxes count the latter."""

CONDITION_SHARES: dict[Condition, float] = {
    "clean": 0.6,
    "light noise": 0.08,
    "heavy noise": 0.08,
    "light blur": 0.08,
    "heavy blur": 0.08,
    "broken": 0.08,
}
CORRUPTION_SHARES: dict[Corruption, float] = {
    "none": 0.22,
    "colour": 0.1,
    "shape": 0.08,
    "position": 0.14,
    "count": 0.12,
    "word": 0.1,
    "several": 0.06,
    "unrelated": 0.03,
    "misspelled": 0.07,
    "missing feature": 0.08,
}
DESCRIBING_SHARE = 0.2
"""Rows that show a board without a text, to be described, read and asked about."""

WRITTEN_WEIGHT = 0.06
"""Of one written token in the loss, where an answer weighs about 1."""


@dataclass(frozen=True, slots=True)
class Board:
    """A drawn scene as the vision tower takes it."""

    scene: Scene
    patches: NDArray[np.uint8]
    """Shape (patches, 3, 14, 14), in the processor's order."""


def draw_boards(seed: int, count: int, processor: Any) -> list[Board]:
    """Draw that many boards; the shares of their conditions are `CONDITION_SHARES`."""
    rng = random.Random(seed)
    conditions = rng.choices(tuple(CONDITION_SHARES), tuple(CONDITION_SHARES.values()), k=count)
    return [make_board(random_scene(rng, condition), rng, processor) for condition in conditions]


def make_board(scene: Scene, rng: random.Random, processor: Any) -> Board:
    """Draw a scene and cut it into the processor's patches, before normalisation."""
    pixels = processor(images=draw(scene, rng), do_rescale=False, do_normalize=False)["pixel_values"]
    patches = np.asarray(pixels).reshape(len(pixels), 3, 2, 14, 14)[:, :, 0]
    return Board(scene, patches.clip(0, 255).round().astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Lesson:
    """One row: a board with a text to judge, or without one to be written about."""

    board: int
    scene: Scene
    example: Example | None
    probes: tuple[Claim, ...] = ()
    """Claims to ask about beside those of the text."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A question or request and the reply to learn."""

    asked: str
    reply: str
    weight: float
    """Of every token of the reply in the loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input; every tensor's first axis is the row."""

    boards: torch.Tensor
    """Index of each row's board."""
    ids: torch.Tensor
    segments: torch.Tensor
    offsets: torch.Tensor
    prefix_lens: torch.Tensor
    answer_rows: torch.Tensor
    answer_columns: torch.Tensor
    answer_ids: torch.Tensor
    answer_weights: torch.Tensor
    caption_rows: torch.Tensor
    """Tokens of right captions, to be predicted from what stands before them."""
    caption_columns: torch.Tensor


def make_lessons(boards: list[Board], rng: random.Random, size: int, probing: bool) -> list[Lesson]:
    """Random boards, each with a fresh caption or none; the shares of corruptions are `CORRUPTION_SHARES`."""
    kinds, shares = tuple(CORRUPTION_SHARES), tuple(CORRUPTION_SHARES.values())
    lessons: list[Lesson] = []
    while len(lessons) < size:
        index = rng.randrange(len(boards))
        scene = boards[index].scene
        if rng.random() < DESCRIBING_SHARE:
            lessons.append(Lesson(index, scene, None))
            continue
        example = make_example(scene, rng.choices(kinds, shares)[0], rng)
        if example:
            lessons.append(Lesson(index, scene, example, probes(scene, rng) if probing else ()))
    return lessons


def probes(scene: Scene, rng: random.Random) -> tuple[Claim, ...]:
    """Claims about the printed word or about a thing where another one is, each true about half the time."""
    claims: list[Claim] = []
    taken = [place for place, thing in enumerate(scene.things) if thing]
    if len(taken) > 1:
        for there in rng.sample(taken, 2):
            shown = there if rng.random() < 0.5 else rng.choice([place for place in taken if place != there])
            statement = Statement("thing", position=there, thing=scene.things[shown])
            claims.append(Claim(phrase(statement, rng.randrange(3)), statement.holds(scene)))
    if len(taken) < 2 or rng.random() < 0.3:
        holds = rng.random() < 0.5
        word = scene.word if holds else rng.choice([word for word in WORDS if word != scene.word])
        claims.append(Claim(phrase(Statement("word", word=word), rng.randrange(3)), holds))
    return tuple(claims)


class Lessons:
    """Turns lessons into packed rows."""

    def __init__(self, tokenizer: Any, rubric: Rubric, length: int) -> None:
        self._tokenizer = tokenizer
        self._rubric = rubric
        self._length = length
        self._known: dict[str, list[int]] = {}
        head, self._tail = split_prompt(self._render, rubric.instructions, 1, "")
        before, pad, after = head.partition("<|image_pad|>")
        self._head = before + pad * IMAGE_TOKENS + after
        self.image_start = len(self._ids(before))
        self._head_length = len(self._ids(self._head))

    def _render(self, messages: Any) -> str:
        text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text

    def _ids(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self._tokenizer(text).input_ids
        return self._known[text]

    def branches(self, lesson: Lesson, rng: random.Random) -> list[Branch]:
        """What is asked in the row, most important first."""
        if lesson.example is None:
            return self._descriptions(lesson.scene, rng)
        example = lesson.example
        return [
            *self._criteria(example, rng),
            *self._checks(example, lesson.probes, rng),
            *self._words(example, rng),
            *self._corrections(example, rng),
        ]

    def _criteria(self, example: Example, rng: random.Random) -> list[Branch]:
        levels = {
            "visual_realism": example.realism,
            "text_accuracy": example.text,
            "consistency": example.consistency,
            "requested_features": example.requested_level,
        }
        weights = {"visual_realism": 0.5, "text_accuracy": 1.0, "consistency": 3.0, "requested_features": 1.5}
        return [
            Branch(self._rubric.question(criterion).text, str(levels[criterion.id]), weights[criterion.id])
            for criterion in self._rubric.criteria
            if levels[criterion.id] is not None and (criterion.id == "consistency" or rng.random() < 0.6)
        ]

    def _checks(self, example: Example, probed: tuple[Claim, ...], rng: random.Random) -> list[Branch]:
        checks = [*example.claims, *example.features]
        rng.shuffle(checks)
        checks.sort(key=lambda claim: claim.holds)
        template = self._rubric.checks.claim
        return [
            Branch(claim_question(0, template, claim.text).text, _yes_no(claim.holds), 1.0)
            for claim in (*probed, *checks[: 5 - len(probed)])
        ]

    def _words(self, example: Example, rng: random.Random) -> list[Branch]:
        known = [claim for claim in example.claims if claim.wrong_words is not None]
        if not known:
            return []
        claim = min(known, key=lambda claim: claim.holds)
        words = [word.text for word in split_words(Piece(0, len(claim.text), claim.text))]
        wrong = [word for word in words if word in (claim.wrong_words or ())]
        right = [word for word in words if word not in wrong and word.lower() not in self._rubric.checks.skip_words]
        template = self._rubric.checks.word
        return [
            Branch(word_question(0, 0, template, word, claim.text).text, _yes_no(word not in wrong), 0.7)
            for word in (*wrong[:2], *rng.sample(right, min(len(right), 2)))
        ]

    def _corrections(self, example: Example, rng: random.Random) -> list[Branch]:
        """The text put right, and where one of its claims shows; most often where something is wrong."""
        if example.caption == example.original and rng.random() < 0.85:
            return []
        requests, claim = self._rubric.requests, min(example.claims, key=lambda claim: claim.holds)
        asked = str(requests.box).replace("{claim}", quote(claim.text))
        return [
            self._written(str(requests.correct), {"text": example.original}),
            self._written(asked, {"bbox_2d": _seen(claim.area)}),
        ]

    def _descriptions(self, scene: Scene, rng: random.Random) -> list[Branch]:
        requests = self._rubric.requests
        captions = [example.caption for _ in range(3) if (example := make_example(scene, "none", rng))]
        question, answer = question_and_answer(scene, rng)
        return [
            *(self._written(str(requests.caption), {"text": caption}) for caption in captions),
            self._written(str(requests.ocr), {"text": scene.word}),
            self._written(str(requests.vqa), {"question": question, "answer": answer}),
        ]

    def _written(self, request: str, reply: dict[str, Any]) -> Branch:
        return Branch(request, json.dumps(reply), WRITTEN_WEIGHT)

    def batch(self, lessons: list[Lesson], rng: random.Random) -> Batch:
        """Pack the lessons; branches that no longer fit into the row's length are left out."""
        import torch

        size = len(lessons)
        ids = np.full((size, self._length), self._ids("<|endoftext|>")[0], dtype=np.int64)
        segments = np.full((size, self._length), -1, dtype=np.int64)
        offsets = np.zeros((size, self._length), dtype=np.int64)
        prefix_lens = np.zeros(size, dtype=np.int64)
        answers: list[tuple[int, int, int, float]] = []
        captions: list[tuple[int, int]] = []
        for row, lesson in enumerate(lessons):
            prefix = self._prefix(lesson)
            parts, replies = self._fitting(self.branches(lesson, rng), self._length - len(prefix))
            layout = lay_out(len(prefix), [len(part) for part in parts], self._length)
            packed = [*prefix, *(token for part in parts for token in part)]
            ids[row, : len(packed)] = packed
            segments[row], offsets[row], prefix_lens[row] = layout.segments, layout.offsets, len(prefix)
            if lesson.example and lesson.example.caption == lesson.example.original:
                captions += [(row, column) for column in range(self._head_length, len(prefix))]
            for end, (reply, weight) in zip(layout.ends, replies, strict=True):
                first = int(end) - len(reply) + 1
                answers += [(row, first + at, token, weight) for at, token in enumerate(reply)]
        rows, columns, tokens, weights = zip(*answers, strict=True)
        caption_rows, caption_columns = zip(*captions, strict=True) if captions else ((), ())
        return Batch(
            boards=torch.tensor([lesson.board for lesson in lessons]),
            ids=torch.from_numpy(ids),
            segments=torch.from_numpy(segments),
            offsets=torch.from_numpy(offsets),
            prefix_lens=torch.from_numpy(prefix_lens),
            answer_rows=torch.tensor(rows),
            answer_columns=torch.tensor(columns),
            answer_ids=torch.tensor(tokens),
            answer_weights=torch.tensor(weights),
            caption_rows=torch.tensor(caption_rows, dtype=torch.long),
            caption_columns=torch.tensor(caption_columns, dtype=torch.long),
        )

    def _fitting(self, branches: list[Branch], room: int) -> tuple[list[list[int]], list[tuple[list[int], float]]]:
        """The tokens of each branch that still fits, and its reply's tokens with their weight."""
        parts: list[list[int]] = []
        replies: list[tuple[list[int], float]] = []
        for branch in branches:
            reply = self._ids(branch.reply)
            part = [*self._ids(branch.asked + self._tail), *reply[:-1]]
            if len(part) <= room:
                room -= len(part)
                parts.append(part)
                replies.append((reply, branch.weight))
        return parts, replies

    def _prefix(self, lesson: Lesson) -> list[int]:
        fields = render_fields(text_fields(lesson.example)) if lesson.example else ""
        ids: list[int] = self._tokenizer(self._head + fields).input_ids
        return ids


def batches(source: Lessons, boards: list[Board], seed: int, size: int, device: Any, probing: bool) -> Iterator[Batch]:
    """Endless batches, made one ahead in a thread of their own."""
    from concurrent.futures import ThreadPoolExecutor

    rng = random.Random(seed)

    def build() -> Batch:
        batch = source.batch(make_lessons(boards, rng, size, probing), rng)
        return Batch(*(getattr(batch, name).to(device) for name in Batch.__slots__))

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(build)
        while True:
            batch = ahead.result()
            ahead = pool.submit(build)
            yield batch


def _yes_no(holds: bool) -> str:
    return "Yes" if holds else "No"


def _seen(area: Area) -> list[int]:
    """The area in pixels of the picture as the model sees it."""
    return [edge // _SHRUNK for edge in area]
