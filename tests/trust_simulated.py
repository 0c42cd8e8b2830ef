"""Projects whose truth is known, with or without a bias planted in the judge."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator

from backend.core.kinds import kind_of
from backend.core.label_config import parse_label_config
from backend.core.trust.labels import Judgement, LabelledProject, LabelledTask, Said
from tests.labelled import IMAGE_TEXT, PAIRWISE

GENERATORS = ("Qwen2.5-VL-7B-Instruct", "llava-1.6", "gpt-4o")
STYLES = ("plain", "formal", "short", "list")


def simulated_project(
    rng: Generator,
    *,
    tasks: int = 300,
    images: int = 120,
    drawn_with: float = 0.5,
    likes_length: float = 0.0,
    likes_own: float = 0.0,
    likes_style: float = 0.0,
) -> LabelledProject:
    """Captions of 20 to 199 characters, of which long ones are better and those by Qwen worse, by a Qwen judge.

    The judge sees how good a text is through noise that all texts of an image share in part. `likes_length` moves its
    logit per 50 characters, `likes_own` for texts by Qwen, `likes_style` for plain ones. People know the truth.
    """
    of_image = rng.normal(scale=0.7, size=images)
    made = [_task(rng, n, of_image, drawn_with, (likes_length, likes_own, likes_style)) for n in range(1, tasks + 1)]
    config = parse_label_config(IMAGE_TEXT)
    fingerprint = "Qwen2.5-VL-7B-Instruct-0123456789ab"
    return LabelledProject(1, "simulated", config, kind_of(config), fingerprint, tuple(made))


def simulated_pairs(rng: Generator, *, tasks: int = 300, likes_first: float = 0.0) -> LabelledProject:
    """Pairs of texts that are shuffled; `likes_first` moves the judge's logit for the text that stands first."""
    made = []
    for number in range(1, tasks + 1):
        better = rng.normal()
        prob = float(1 / (1 + np.exp(-(1.5 * better + rng.normal() + likes_first))))
        said = Said(number, "ann", {"better": "left" if better > 0 else "right"}, saw_prediction=False)
        judge = Judgement(
            {"better": "left" if prob > 0.5 else "right"},
            max(prob, 1 - prob),
            {"better": {"text_a": prob, "text_b": 1 - prob}},
        )
        data = {"image": f"{number}.png", "text_a": "x" * int(rng.integers(20, 200)), "text_b": "y" * 100}
        made.append(LabelledTask(number, data, f"{number}.png", judge, (said,), 1.0))
    config = parse_label_config(PAIRWISE)
    return LabelledProject(1, "pairs", config, kind_of(config), "Qwen2.5-VL-7B-Instruct-0123456789ab", tuple(made))


def _task(
    rng: Generator, number: int, of_image: Any, drawn_with: float, likes: tuple[float, float, float]
) -> LabelledTask:
    image = int(rng.integers(len(of_image)))
    generator, style = str(rng.choice(GENERATORS)), str(rng.choice(STYLES))
    length = int(rng.integers(20, 200))
    own, plain = generator.startswith("Qwen"), style == "plain"
    good = bool(rng.random() < 0.4 + 0.4 * length / 200 - 0.2 * own)
    sees = 2.0 * good - 0.8 + 0.8 * rng.normal() + of_image[image]
    logit = 1.5 * (sees + likes[0] * (length - 110) / 50 + likes[1] * own + likes[2] * plain)
    prob = float(1 / (1 + np.exp(-logit)))
    judge = Judgement(
        {"verdict": ("accept" if prob > 0.5 else "reject",)},
        max(prob, 1 - prob),
        {"verdict": {"accept": prob, "fix": 0.0, "reject": 1 - prob}},
    )
    blind = rng.random() < drawn_with
    said = Said(number, "ann", {"verdict": ("accept" if good else "reject",)}, saw_prediction=False)
    data = {
        "image": f"{image}.png",
        "caption": "x" * length,
        "generator": generator,
        "style": style,
        "source": f"camera {image % 3}",
        "aesthetic": float(rng.random()),
    }
    return LabelledTask(number, data, f"{image}.png", judge, (said,) if blind else (), drawn_with if blind else None)
