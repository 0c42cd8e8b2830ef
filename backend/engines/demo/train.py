"""Trains the embedded judge from nothing: `python -m backend.engines.demo.train --out DIR`.

Two stages. First the vision tower alone learns to point at the word embeddings of what each part
of a board shows (colour, shape, place, printed word, damage), because a language model this small
finds things only in features that already live among its words. Then the tower rests and the
language model learns to judge: for every example the rubric's criteria, each claim and some words,
all packed behind one prefix as the engine packs them. Where a caption is right it also learns to
write it, which teaches it to look long before yes and no alone would.

`--resume DIR` skips the first stage and goes on from a model folder, with other boards for another `--seed`. Claims
about the printed word, right or wrong by the toss of a coin, are then asked beside those of the caption: they are what
is learned last.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.core.claims import Piece, split_words
from backend.core.prompts import claim_question, render_fields, word_question
from backend.core.rubric import Rubric, load_rubric
from backend.core.types import Question
from backend.engines.demo.architecture import (
    HEIGHT_TOKENS,
    WIDTH_TOKENS,
    build_config,
    build_image_processor,
    build_tokenizer,
    text_fields,
    training_texts,
)
from backend.engines.demo.examples import Claim, Corruption, Example, make_example
from backend.engines.demo.world import (
    COLOURS,
    REALISM,
    SHAPES,
    WORDS,
    Condition,
    Scene,
    Statement,
    draw,
    phrase,
    random_scene,
)
from backend.engines.messages import split_prompt
from backend.engines.packing import lay_out, tree_mask, tree_positions
from backend.engines.vision import linear_patch_embedding, register

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

HERE = Path(__file__).parent
RUBRIC = HERE / "rubric.yaml"
IMAGE_TOKENS = HEIGHT_TOKENS * WIDTH_TOKENS
GRID = (1, 2 * HEIGHT_TOKENS, 2 * WIDTH_TOKENS)

CONDITION_SHARES: dict[Condition, float] = {
    "clean": 0.6,
    "light noise": 0.08,
    "heavy noise": 0.08,
    "light blur": 0.08,
    "heavy blur": 0.08,
    "broken": 0.08,
}
CORRUPTION_SHARES: dict[Corruption, float] = {
    "none": 0.26,
    "colour": 0.1,
    "shape": 0.08,
    "position": 0.1,
    "count": 0.12,
    "word": 0.1,
    "several": 0.06,
    "unrelated": 0.03,
    "misspelled": 0.07,
    "missing feature": 0.08,
}


@dataclass(frozen=True, slots=True)
class Board:
    """A drawn scene as the vision tower takes it."""

    scene: Scene
    patches: NDArray[np.uint8]
    """Shape (patches, 3, 14, 14), in the processor's order."""


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


TrainingPair = tuple[int, Example, tuple[Claim, ...]]
"""Index of a board, its caption, and claims to ask about besides."""


class Examples:
    """Turns boards into packed rows of questions with known answers."""

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

    def questions(
        self, example: Example, probes: tuple[Claim, ...], rng: random.Random
    ) -> list[tuple[Question, str, float]]:
        """Questions with the token that answers them and their weight in the loss, most important first."""
        levels = {
            "visual_realism": example.realism,
            "text_accuracy": example.text,
            "consistency": example.consistency,
            "requested_features": example.requested_level,
        }
        weights = {"visual_realism": 0.5, "text_accuracy": 1.0, "consistency": 2.0, "requested_features": 1.5}
        asked = [
            (self._rubric.question(criterion), str(levels[criterion.id]), weights[criterion.id])
            for criterion in self._rubric.criteria
            if levels[criterion.id] is not None and (criterion.id == "consistency" or rng.random() < 0.6)
        ]
        checks = [*example.claims, *example.features]
        rng.shuffle(checks)
        checks.sort(key=lambda claim: claim.holds)
        for number, claim in enumerate((*probes, *checks[: 5 - len(probes)])):
            answer = "Yes" if claim.holds else "No"
            asked.append((claim_question(number, self._rubric.checks.claim, claim.text), answer, 1.0))
        asked += self._words(example, rng)
        return asked

    def _words(self, example: Example, rng: random.Random) -> list[tuple[Question, str, float]]:
        known = [claim for claim in example.claims if claim.wrong_words is not None]
        if not known:
            return []
        claim = min(known, key=lambda claim: claim.holds)
        words = [word.text for word in split_words(Piece(0, len(claim.text), claim.text))]
        wrong = [word for word in words if word in (claim.wrong_words or ())]
        right = [word for word in words if word not in wrong and word.lower() not in ("a", "at", "the", "is")]
        chosen = [*wrong[:1], *rng.sample(right, min(len(right), 2))]
        template = self._rubric.checks.word
        return [
            (word_question(0, i, template, word, claim.text), "No" if word in wrong else "Yes", 0.7)
            for i, word in enumerate(chosen)
        ]

    def batch(self, pairs: list[TrainingPair], rng: random.Random) -> Batch:
        """Pack the examples; questions that no longer fit into the row's length are left out."""
        import torch

        size = len(pairs)
        ids = np.full((size, self._length), self._ids("<|endoftext|>")[0], dtype=np.int64)
        segments = np.full((size, self._length), -1, dtype=np.int64)
        offsets = np.zeros((size, self._length), dtype=np.int64)
        prefix_lens = np.zeros(size, dtype=np.int64)
        answers: list[tuple[int, int, int, float]] = []
        captions: list[tuple[int, int]] = []
        for row, (_, example, probes) in enumerate(pairs):
            prefix = self._tokenizer(self._head + render_fields(text_fields(example))).input_ids
            used, branches = len(prefix), []
            for question, answer, weight in self.questions(example, probes, rng):
                branch = self._ids(question.text + self._tail)
                if used + len(branch) <= self._length:
                    branches.append((branch, self._ids(answer)[0], weight))
                    used += len(branch)
            layout = lay_out(len(prefix), [len(branch) for branch, _, _ in branches], self._length)
            ids[row, :used] = [*prefix, *(token for branch, _, _ in branches for token in branch)]
            segments[row], offsets[row], prefix_lens[row] = layout.segments, layout.offsets, len(prefix)
            if example.caption == example.original:
                captions += [(row, column) for column in range(self._head_length, len(prefix))]
            answers += [
                (row, int(end), token, weight) for end, (_, token, weight) in zip(layout.ends, branches, strict=True)
            ]
        rows, columns, tokens, weights = zip(*answers, strict=True)
        caption_rows, caption_columns = zip(*captions, strict=True) if captions else ((), ())
        return Batch(
            boards=torch.tensor([index for index, _, _ in pairs]),
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


def pixel_values(patches: torch.Tensor, processor: Any) -> torch.Tensor:
    """Normalised patches of shape (rows * patches, 3 * 2 * 14 * 14) from bytes of shape (rows, patches, 3, 14, 14)."""
    import torch

    mean = torch.tensor(processor.image_mean, device=patches.device)[:, None, None]
    std = torch.tensor(processor.image_std, device=patches.device)[:, None, None]
    frames = (patches.flatten(0, 1).float() / 255 - mean) / std
    return frames[:, :, None].expand(-1, -1, 2, -1, -1).flatten(1)


def prefix_positions(length: int, image_start: int) -> torch.Tensor:
    """M-RoPE positions of shape (3, length) for text, then the picture's tokens, then text."""
    import torch

    positions = torch.arange(length).repeat(3, 1)
    end = image_start + IMAGE_TOKENS
    rows = torch.arange(IMAGE_TOKENS) // WIDTH_TOKENS
    columns = torch.arange(IMAGE_TOKENS) % WIDTH_TOKENS
    positions[:, image_start:end] = image_start + torch.stack((torch.zeros_like(rows), rows, columns))
    positions[:, end:] = image_start + max(HEIGHT_TOKENS, WIDTH_TOKENS) + torch.arange(length - end)
    return positions


def losses(
    model: Any, batch: Batch, features: torch.Tensor, positions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the answers, weighted, and of the words of right captions.

    `features` holds the vision tower's output for every board, shape (boards, image tokens, hidden).
    """
    import torch
    from torch.nn.functional import cross_entropy

    embeds = model.model.language_model.embed_tokens(batch.ids)
    image = (batch.ids == model.config.image_token_id)[..., None].expand_as(embeds)
    embeds = embeds.masked_scatter(image, features[batch.boards].to(embeds.dtype))
    rows = positions[:, None].expand(-1, len(batch.ids), -1)
    after = positions[0][batch.prefix_lens]
    hidden = model.model.language_model(
        inputs_embeds=embeds,
        attention_mask=tree_mask(batch.segments),
        position_ids=tree_positions(rows, after, batch.segments, batch.offsets),
        use_cache=False,
    ).last_hidden_state
    answers = model.lm_head(hidden[batch.answer_rows, batch.answer_columns]).float()
    each = cross_entropy(answers, batch.answer_ids, reduction="none")
    judged = (each * batch.answer_weights).sum() / batch.answer_weights.sum()
    if not len(batch.caption_rows):
        return judged, torch.zeros_like(judged)
    written = model.lm_head(hidden[batch.caption_rows, batch.caption_columns - 1]).float()
    return judged, cross_entropy(written, batch.ids[batch.caption_rows, batch.caption_columns])


def image_features(model: Any, patches: torch.Tensor, processor: Any) -> torch.Tensor:
    """The vision tower's output for a batch of pictures, shape (rows, image tokens, hidden)."""
    import torch

    grid = torch.tensor([GRID] * len(patches), device=patches.device)
    merged: torch.Tensor = model.model.visual(pixel_values(patches, processor), grid_thw=grid).pooler_output
    return merged.view(len(patches), IMAGE_TOKENS, -1)


def warm_up_loss(features: torch.Tensor, scenes: list[Scene], words: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropies of what each part shows against fixed word embeddings, by cosine.

    A small penalty keeps the features as large as a word embedding (mean square 1): were they much
    larger, the language model could hardly write anything onto an image token.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    grid = features.float().view(len(scenes), HEIGHT_TOKENS, WIDTH_TOKENS, -1)
    squares = grid[:, :4].reshape(len(scenes), 2, 2, 2, 2, -1).mean(dim=(2, 4)).flatten(1, 2)
    sign = grid[:, 4].mean(dim=1)
    whole = grid.mean(dim=(1, 2))
    things = [thing for scene in scenes for thing in scene.things]
    targets = (
        (squares, "colour", [list(COLOURS).index(thing.colour) if thing else len(COLOURS) for thing in things]),
        (squares, "shape", [SHAPES.index(thing.shape) if thing else len(SHAPES) for thing in things]),
        (squares, "row", [0, 0, 1, 1] * len(scenes)),
        (squares, "column", [0, 1, 0, 1] * len(scenes)),
        (sign, "word", [WORDS.index(scene.word) for scene in scenes]),
        (whole, "realism", [REALISM[scene.condition] - 1 for scene in scenes]),
    )
    loss = 0.1 * (features.float().pow(2).mean() - 1) ** 2
    for part, name, truth in targets:
        logits = 20 * normalize(part.flatten(0, -2), dim=-1) @ normalize(words[name], dim=-1).T
        loss = loss + cross_entropy(logits, torch.tensor(truth, device=features.device))
    return loss


def word_targets(model: Any, tokenizer: Any) -> dict[str, torch.Tensor]:
    """Embeddings of the words the warm-up points at; the last colour and shape mean an empty square."""
    import torch

    weight = model.model.language_model.embed_tokens.weight.detach()

    def rows(*words: str) -> torch.Tensor:
        ids = [tokenizer(word).input_ids[0] for word in words]
        found: torch.Tensor = weight[torch.tensor(ids, device=weight.device)]
        return found

    return {
        "colour": rows(*(f" {colour}" for colour in COLOURS), " board"),
        "shape": rows(*(f" {shape}" for shape in SHAPES), " board"),
        "row": rows(" top", " bottom"),
        "column": rows(" left", " right"),
        "word": rows(*(f" {word}" for word in WORDS)),
        "realism": rows("1", "2", "3", "4", "5"),
    }


def learning_rate(step: int, steps: int, peak: float, warm: int) -> float:
    """Linear rise over `warm` steps, then a cosine down to a fiftieth of the peak."""
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))


def training_pairs(boards: list[Board], rng: random.Random, size: int, probing: bool) -> list[TrainingPair]:
    """Indices of random boards, each with a fresh caption; the shares of corruptions are `CORRUPTION_SHARES`."""
    kinds, shares = tuple(CORRUPTION_SHARES), tuple(CORRUPTION_SHARES.values())
    pairs: list[TrainingPair] = []
    while len(pairs) < size:
        index = rng.randrange(len(boards))
        example = make_example(boards[index].scene, rng.choices(kinds, shares)[0], rng)
        if example:
            pairs.append((index, example, _probes(boards[index].scene, rng) if probing else ()))
    return pairs


def _probes(scene: Scene, rng: random.Random) -> tuple[Claim, ...]:
    """A claim about the printed word, true half the time."""
    holds = rng.random() < 0.5
    word = scene.word if holds else rng.choice([word for word in WORDS if word != scene.word])
    return (Claim(phrase(Statement("word", word=word), rng.randrange(3)), holds),)


def batches(source: Examples, boards: list[Board], seed: int, size: int, device: Any, probing: bool) -> Iterator[Batch]:
    """Endless batches, made one ahead in a thread of their own."""
    from concurrent.futures import ThreadPoolExecutor

    rng = random.Random(seed)

    def build() -> Batch:
        batch = source.batch(training_pairs(boards, rng, size, probing), rng)
        return Batch(*(getattr(batch, name).to(device) for name in Batch.__slots__))

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(build)
        while True:
            batch = ahead.result()
            ahead = pool.submit(build)
            yield batch


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def main(argv: list[str] | None = None) -> None:
    """Train, saving the model every `--save-every` steps and at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--resume", type=Path, help="a model folder to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--boards", type=int, default=16_000)
    parser.add_argument("--warm-up-steps", type=int, default=700)
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--length", type=int, default=176)
    parser.add_argument("--peak", type=float, default=1.2e-3)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--save-every", type=int, default=500)
    train(parser.parse_args(argv))


def train(options: argparse.Namespace) -> None:
    """Both stages, on a GPU where there is one."""
    import torch
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rubric = load_rubric(RUBRIC)
    processor = build_image_processor()
    if options.resume:
        tokenizer: Any = AutoTokenizer.from_pretrained(options.resume)
        model: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(options.resume, dtype=torch.float32)
    else:
        tokenizer = build_tokenizer(training_texts(rubric, options.seed, 6_000))
        model = Qwen2_5_VLForConditionalGeneration(build_config(tokenizer))
        torch.nn.init.normal_(model.model.language_model.embed_tokens.weight, std=1.0)
    model.set_attn_implementation({"vision_config": register()})
    linear_patch_embedding(model.model.visual)
    model.to(device).train()
    if options.compile:
        model.model.language_model.compile(dynamic=False)
    _say(f"{sum(p.numel() for p in model.parameters()):,} parameters on {device}; drawing {options.boards:,} boards")
    boards = draw_boards(options.seed + 1, options.boards, processor)
    source = Examples(tokenizer, rubric, options.length)
    if not options.resume:
        _warm_up(model, tokenizer, processor, boards, options, device)
    features = all_features(model, processor, boards, device)
    _judge(model, boards, features, source, options, lambda: save(model, tokenizer, processor, options.out))
    save(model, tokenizer, processor, options.out)


def _warm_up(model: Any, tokenizer: Any, processor: Any, boards: list[Board], options: Any, device: Any) -> None:
    import torch

    words, rng = word_targets(model, tokenizer), random.Random(options.seed + 2)
    optimizer = torch.optim.AdamW(model.model.visual.parameters(), betas=(0.9, 0.98), weight_decay=0.05)
    for step in range(options.warm_up_steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options.warm_up_steps, 1.5e-3, 100)
        chosen = rng.sample(boards, options.batch)
        patches = torch.from_numpy(np.stack([board.patches for board in chosen])).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            features = image_features(model, patches, processor)
        loss = warm_up_loss(features, [board.scene for board in chosen], words)
        _update(loss, optimizer, model.model.visual.parameters())
        if step % 100 == 0:
            _say(f"warm-up {step}: loss {loss.item():.3f}")


def all_features(model: Any, processor: Any, boards: list[Board], device: Any) -> torch.Tensor:
    """The tower's output for every board, shape (boards, image tokens, hidden)."""
    import torch

    parts = []
    with torch.inference_mode():
        for at in range(0, len(boards), 256):
            patches = torch.from_numpy(np.stack([board.patches for board in boards[at : at + 256]])).to(device)
            parts.append(image_features(model, patches, processor))
    return torch.cat(parts).clone()


def _judge(
    model: Any, boards: list[Board], features: torch.Tensor, source: Examples, options: Any, on_save: Callable[[], None]
) -> None:
    import torch

    device = features.device
    positions = prefix_positions(options.length, source.image_start).to(device)
    learned = [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    optimizer = torch.optim.AdamW(learned, betas=(0.9, 0.98), weight_decay=0.05)
    running, began = [0.0, 0.0], time.monotonic()
    stream = batches(source, boards, options.seed + 3, options.batch, device, probing=options.resume is not None)
    for step, batch in zip(range(options.steps), stream, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options.steps, options.peak, 150)
        with torch.autocast(device.type, torch.bfloat16):
            judged, written = losses(model, batch, features, positions)
        _update(judged + max(0.1, 1 - 2 * step / options.steps) * written, optimizer, learned)
        keep = 0.98 if step else 0.0
        running = [keep * old + (1 - keep) * new.item() for old, new in zip(running, (judged, written), strict=True)]
        if step % 50 == 0:
            rate = (step + 1) / (time.monotonic() - began)
            _say(f"judge {step}: answers {running[0]:.4f}, captions {running[1]:.4f}, {rate:.2f} steps/s")
        if options.save_every and step and step % options.save_every == 0:
            on_save()


def _update(loss: torch.Tensor, optimizer: Any, parameters: Any) -> None:
    import torch

    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def save(model: Any, tokenizer: Any, processor: Any, out: Path) -> None:
    """Write weights (half precision), tokenizer and image processor where `from_pretrained` finds them."""
    out.mkdir(parents=True, exist_ok=True)
    half = type(model)(build_config(tokenizer)).half()
    half.load_state_dict(model.state_dict())
    half.save_pretrained(out)
    tokenizer.save_pretrained(out)
    processor.save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
