"""Trains the embedded judge from nothing: `python -m backend.engines.demo.train --out DIR`.

Two stages. First the vision tower alone learns to point at the word embeddings of what each part
of a board shows (colour, shape, place, printed word, damage), because a language model this small
finds things only in features that already live among its words. Then the tower rests and the
language model learns to judge: for every example the rubric's criteria, each claim and some words,
all packed behind one prefix as the engine packs them. Where a caption is right it also learns to
write it, which teaches it to look long before yes and no alone would.

`--resume DIR` skips the first stage and goes on from a model folder, with other boards for another `--seed`. Claims
about the printed word and about a thing where another one is, right or wrong by the toss of a coin, are then asked
beside those of the caption: they are what is learned last.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.core.rubric import load_rubric
from backend.engines.demo.architecture import (
    HEIGHT_TOKENS,
    WIDTH_TOKENS,
    build_config,
    build_image_processor,
    build_tokenizer,
    training_texts,
)
from backend.engines.demo.lessons import IMAGE_TOKENS, Batch, Board, Lessons, batches, draw_boards
from backend.engines.demo.world import COLOURS, REALISM, SHAPES, WORDS, Scene
from backend.engines.packing import tree_mask, tree_positions
from backend.engines.vision import linear_patch_embedding, register

if TYPE_CHECKING:
    import torch

HERE = Path(__file__).parent
RUBRIC = HERE / "rubric.yaml"
GRID = (1, 2 * HEIGHT_TOKENS, 2 * WIDTH_TOKENS)


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
    parser.add_argument("--length", type=int, default=240)
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
    source = Lessons(tokenizer, rubric, options.length)
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
    model: Any, boards: list[Board], features: torch.Tensor, source: Lessons, options: Any, on_save: Callable[[], None]
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
