"""What a GPU of which memory judges, by model and image size: weights drawn at random, nothing downloaded.

python -m tests.bench.sizing --out docs/bench/sizing-h100.json
"""

from __future__ import annotations

import argparse
import gc
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backend.bench.floor import timed
from backend.bench.record import Cell, Column, Record, as_markdown, record, save
from backend.bench.roads import Task, samples
from backend.bench.setting import CRITERIA, PROMPT_TOKENS, QUESTION_TOKENS
from backend.bench.shapes import RandomEngine, ShapeName
from backend.core.types import Unscored

if TYPE_CHECKING:
    from backend.engines.base import JudgeRequest

SHAPES: tuple[ShapeName, ...] = ("3b", "7b")
SIDES = (252, 504, 756, 1002)
"""The last is as large as an image gets without VLM_JUDGE_MAX_PIXELS."""
CARDS_GIB: dict[ShapeName, tuple[int, ...]] = {"3b": (12, 16), "7b": (20, 24)}
"""Memory of cards that are common and might be too small."""
TAKEN_GIB = 1.0
"""What the driver and CUDA's context leave to nobody, with something to spare."""
PAIRS = 256
"""Of a round with images of the second size; fewer of larger ones."""
ROUNDS = 3
COLUMNS = (
    Column("model", "Model"),
    Column("card", "GPU"),
    Column("side", "Image side"),
    Column("pairs_per_s", "Pairs/s", 1),
    Column("pairs_per_day", "Pairs a day", 0),
    Column("peak_gib", "Peak memory, GiB", 1),
    Column("answered", "Answered, %", 0),
)


def measure(command: str) -> Record:
    """Every model with every size, on the card as it is, and as if it had less memory. Raises EngineError."""
    import torch

    name, whole_gib = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory / 2**30
    rows: list[dict[str, Cell]] = []
    for shape in SHAPES:
        engine = RandomEngine(shape)
        engine.load()
        for side in SIDES:
            rows.append(_row(engine, shape, name, side))
        for card_gib in CARDS_GIB[shape]:
            torch.cuda.set_per_process_memory_fraction((card_gib - TAKEN_GIB) / whole_gib)
            rows.append(_row(engine, shape, f"the same, held to {card_gib} GiB", SIDES[-1]))
        torch.cuda.set_per_process_memory_fraction(1.0)
        del engine
        gc.collect()
        torch.cuda.empty_cache()
    notes = (
        f"A pair is an image and a text of {PROMPT_TOKENS} tokens, with {CRITERIA} criteria; the best of {ROUNDS} "
        "rounds. Peak memory is what torch had reserved. Boxes and corrected texts, which are written for what is "
        "found wanting, come on top.",
        f"Held to less memory: torch refuses to take more than that less {TAKEN_GIB:g} GiB, after loading. This shows "
        "that it fits, not how fast a smaller card is.",
    )
    return record("What a GPU judges, by model and image size", command, COLUMNS, rows, notes, {"gpu": name})


def _row(engine: RandomEngine, shape: ShapeName, card: str, side: int) -> dict[str, Cell]:
    import torch

    task = Task(side, PROMPT_TOKENS, CRITERIA, QUESTION_TOKENS, 0)
    some = samples(engine.loaded(), task, max(1, PAIRS * SIDES[1] ** 2 // max(side, SIDES[1]) ** 2))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    answered = _answered(engine, some)
    best_s = min(timed(partial(engine.answer, some), "cuda") for _ in range(ROUNDS)) / len(some)
    print(f"{shape} {card} {side}: {1 / best_s:.1f} pairs/s, {answered:.0%} answered", file=sys.stderr, flush=True)
    return {
        "model": shape.upper(),
        "card": card,
        "side": side,
        "pairs_per_s": 1 / best_s,
        "pairs_per_day": 86_400 / best_s,
        "peak_gib": torch.cuda.max_memory_reserved() / 2**30,
        "answered": 100 * answered,
    }


def _answered(engine: RandomEngine, some: list[JudgeRequest]) -> float:
    """Share of the questions that did not exceed the memory, in a first round that does not count.

    A model of random weights answers few of them in its menu's words, which is not what is asked here.
    """
    answers = [answer for several in engine.answer(some) for answer in several]
    too_large = sum(isinstance(answer, Unscored) and "fit into memory" in answer.reason for answer in answers)
    return 1 - too_large / len(answers)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sizing", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = measure(f"python -m tests.bench.sizing --out docs/bench/{given.out.name}")
    save(found, given.out)
    print(as_markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
