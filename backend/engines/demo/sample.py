"""The sample project: drawn boards with captions, about a third of them wrong in a known way, and the truth apart."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend.engines.demo.examples import CORRUPTIONS, Corruption, Example, make_example
from backend.engines.demo.world import Condition, Scene, draw, random_scene

SAMPLE_SEED = 20_260_731
"""Far from the seeds of training and of its held-out test."""
IMAGE_PREFIX = "/data/local-files/?d="
"""Label Studio serves files of a local files storage under this."""

_DAMAGED: tuple[Condition, ...] = ("heavy noise", "heavy blur", "broken")
_WORN: tuple[Condition, ...] = ("light noise", "light blur")


@dataclass(frozen=True, slots=True)
class Sample:
    """What was written, and where."""

    images: Path
    """Folder of `001.png` and so on."""
    tasks: Path
    """What Label Studio imports: a JSON list of `{"data": {"image", "caption", "requested"}}`."""
    truth: Path
    """A JSON list in the tasks' order with what is wrong with each; never imported, never shown to the judge."""
    count: int


@dataclass(frozen=True, slots=True)
class Item:
    """One scene of the sample with its caption; `example` holds the answers it deserves."""

    scene: Scene
    example: Example
    drawing_seed: int


def sample_items(count: int = 240, seed: int = SAMPLE_SEED) -> tuple[Item, ...]:
    """The sample's scenes; the same for the same seed.

    Of every 24 items 15 are right, 7 have wrong text or a missing feature, each kind in turn, and 2 have a right text
    under a damaged picture. One in six of the others has a slightly worn picture, which changes no decision.
    """
    rng = random.Random(seed)
    plan = _plan(count, rng)
    return tuple(_item(corruption, condition, rng) for corruption, condition in plan)


def write_sample(
    folder: Path, count: int = 240, seed: int = SAMPLE_SEED, image_prefix: str = IMAGE_PREFIX + "sample/images/"
) -> Sample:
    """Draw the sample into `folder`: `images/`, `tasks.json` and `truth/truth.json`.

    A task's image address is `image_prefix` and the file's name. Files that are there are written anew, with the same
    bytes.
    """
    images, truth = folder / "images", folder / "truth"
    for made in (images, truth):
        made.mkdir(parents=True, exist_ok=True)
    items = sample_items(count, seed)
    for number, item in enumerate(items, 1):
        draw(item.scene, random.Random(item.drawing_seed)).save(images / _file(number), optimize=False)
    tasks = [_task(item, image_prefix + _file(number)) for number, item in enumerate(items, 1)]
    answers = [_truth(item, _file(number)) for number, item in enumerate(items, 1)]
    sample = Sample(images, folder / "tasks.json", truth / "truth.json", len(items))
    _write_json(sample.truth, answers)
    _write_json(sample.tasks, tasks)  # last, so that its presence means the sample is whole
    return sample


def _plan(count: int, rng: random.Random) -> list[tuple[Corruption, Condition]]:
    wrong = [corruption for corruption in CORRUPTIONS if corruption != "none"]
    plan: list[tuple[Corruption, Condition]] = []
    bad = damaged = 0
    for number in range(count):
        place = number % 24
        condition: Condition = rng.choice(_WORN) if rng.random() < 1 / 6 else "clean"
        if place < 7:
            plan.append((wrong[bad % len(wrong)], condition))
            bad += 1
        elif place < 9:
            plan.append(("none", _DAMAGED[damaged % len(_DAMAGED)]))
            damaged += 1
        else:
            plan.append(("none", condition))
    rng.shuffle(plan)
    return plan


def _item(corruption: Corruption, condition: Condition, rng: random.Random) -> Item:
    while True:
        scene = random_scene(rng, condition)
        example = make_example(scene, corruption, rng)
        if example is not None:
            return Item(scene, example, rng.getrandbits(32))


def _task(item: Item, image: str) -> dict[str, Any]:
    return {"data": {"image": image, "caption": item.example.caption, "requested": item.example.requested}}


def _truth(item: Item, file: str) -> dict[str, Any]:
    return {"file": file, "scene": asdict(item.scene), **asdict(item.example)}


def _file(number: int) -> str:
    return f"{number:03d}.png"


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
