"""A rich project, made up but computed like any other: two blind annotators, shown labels, corrections, groups."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from backend.core.audit import AuditPlan
from backend.core.trust.labels import Judgement, LabelledTask, Said
from backend.core.types import Value
from backend.store import Store
from backend.trust.accepting import acceptance
from backend.trust.certifying import Terms, certify_project
from backend.trust.reading import Reading
from tests.trust_readings import KEY, labelled_project, reading_of

TASKS, IMAGES = 1_800, 700
RICH_PLAN = AuditPlan(0.2, KEY)
GENERATORS = ("Qwen2.5-VL-7B-Instruct", "llava-1.6-mistral-7b", "gpt-4o-mini")
THINGS = ("cat", "dog", "lamp", "tree", "car", "boat", "bottle", "chair", "bridge", "kite", "clock", "horse")
COLOURS = ("red", "blue", "green", "black", "white", "yellow", "old", "wooden", "small", "large")
PLACES = ("on a table", "in a garden", "by the sea", "in an empty street", "under a tree", "in front of a house")
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
ANNOTATORS = ("annotator 3", "annotator 4", "annotator 7")


def rich_reading(rng: Generator, store: Store) -> Reading:
    """1,800 captions of which a certificate has taken some and people have looked again at a few of these."""
    of_image = rng.normal(scale=0.3, size=IMAGES)
    made = [_task(rng, number, of_image) for number in range(1, TASKS + 1)]
    truth = {task.task: right for task, right in made}
    labelled = labelled_project(
        (task for task, _ in made), RICH_PLAN, fingerprint="Qwen2.5-VL-7B-Instruct-3f9c21d07be4"
    )
    labelled = replace(labelled, title="Captions of street photographs")
    reading = reading_of(labelled)
    certify_project(reading, store, Terms(0.05))
    found = acceptance(reading, store)
    again = set(found.again[: 3 * len(found.again) // 4])
    looked_at = tuple(
        replace(task, said=_blind(rng, task, truth[task.task])) if task.task in again else task
        for task in labelled.tasks
    )
    taken = {number: (10_000 + number,) for number in found.accept}
    return reading_of(replace(labelled, tasks=looked_at), accepted=taken, again=found.again)


def _task(rng: Generator, number: int, of_image: NDArray[np.float64]) -> tuple[LabelledTask, str]:
    """A task, and the right decision."""
    image = int(rng.integers(IMAGES))
    generator = GENERATORS[int(rng.choice(3, p=(0.5, 0.3, 0.2)))]
    thing, colour = str(rng.choice(THINGS)), str(rng.choice(COLOURS))
    extra = int(rng.integers(0, 4))
    caption = f"A {colour} {thing} {rng.choice(PLACES)}" + "".join(
        f", beside a {rng.choice(COLOURS)} {rng.choice(THINGS)}" for _ in range(extra)
    )
    good = rng.random() < 0.82 - 0.05 * extra - 0.08 * (generator == GENERATORS[2])
    truth = "accept" if good else str(rng.choice(("fix", "reject")))
    logit = 4.6 * (good - 0.45) + 1.1 * rng.normal() + of_image[image] + 0.8 * (generator == GENERATORS[0])
    accept = float(1 / (1 + np.exp(-1.5 * logit)))
    fix = (1 - accept) * (0.75 if truth == "fix" else 0.25)
    probs = {"accept": accept, "fix": fix, "reject": 1 - accept - fix}
    decision = max(probs, key=lambda name: probs[name])
    stars = int(np.clip(round(2.7 + 1.6 * accept + rng.normal() * 0.6), 1, 5))
    values: dict[str, Value] = {"verdict": (decision,), "realism": stars}
    if decision == "fix":
        values["corrected_text"] = caption.split(",")[0]
    judge = Judgement(
        values,
        probs[decision],
        {"verdict": probs, "realism": {str(stars): 0.7, str(max(stars - 1, 1) if stars > 1 else 2): 0.3}},
        {"verdict": float(rng.uniform(0.9, 1.0))},
        ("instructions",) if rng.random() < 0.004 else (),
        float(rng.beta(3, 3)) if number % 4 == 0 else None,
    )
    data = {
        "image": f"{image}.jpg",
        "caption": caption,
        "generator": generator,
        "source": ("street", "market", "harbour")[image % 3],
        "language": "en",
        "requested": f"{colour}, {thing}",
    }
    task = LabelledTask(number, data, f"{image}.jpg", judge)
    if RICH_PLAN.drawn_with(number, data) is not None:
        return replace(task, said=_blind(rng, task, truth)), truth
    reviewed = number % 5 == 0 and max(probs.values()) < 0.95
    return replace(task, said=_shown(rng, task, truth)) if reviewed else task, truth


def _blind(rng: Generator, task: LabelledTask, truth: str) -> tuple[Said, ...]:
    """One person or three, who are right most of the time."""
    return tuple(
        _said(rng, task, who, truth if rng.random() < 0.99 else "fix", 41.0, saw=False)
        for who in ANNOTATORS[: int(rng.choice((1, 3)))]
    )


def _shown(rng: Generator, task: LabelledTask, truth: str) -> tuple[Said, ...]:
    """One person who is sometimes led by what the judge says."""
    says = str(task.judge.values["verdict"][0]) if task.judge and rng.random() < 0.45 else truth  # type: ignore[index]
    return (_said(rng, task, str(rng.choice(ANNOTATORS)), says, 17.0, saw=True),)


def _said(rng: Generator, task: LabelledTask, who: str, verdict: str, seconds: float, *, saw: bool) -> Said:
    assert task.judge is not None
    stars = int(np.clip(int(task.judge.values["realism"]) + rng.choice((-1, 0, 0, 0, 1)), 1, 5))  # type: ignore[arg-type]
    values: dict[str, Value] = {"verdict": (verdict,), "realism": stars}
    if verdict == "fix":
        values["corrected_text"] = str(task.data["caption"]).split(",")[0].replace("A ", "One ")
    at = START + timedelta(minutes=7 * task.task + ANNOTATORS.index(who))
    taken = float(rng.lognormal(np.log(seconds), 0.4))
    return Said(10 * task.task + ANNOTATORS.index(who), who, values, saw, seconds=taken, at=at)
