"""A judge that says of the sample tasks what a good one would, written down here by hand.

It is the scripted engine with a script, so that everything but the answers themselves comes about as in the product:
verdicts, marks, rationales, corrected texts, boxes. Its predictions are what the pictures of the documentation show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image

from backend.core.prompts import PAINTED
from backend.core.types import Answer, Question, Reply, Scored, Unwritten, Written
from backend.engines.base import JudgeRequest, WriteRequest
from backend.engines.scripted import ScriptedEngine
from tests.sample_pictures import FOLDER, LETTER_1, LETTER_2, NOTICE, RECEIPT

SURE, DOUBTED = 0.94, 0.03
Box = tuple[int, int, int, int]
APPLES: Box = (104, 106, 286, 196)


@dataclass(frozen=True, slots=True)
class Notes:
    """What is to be said of one sample, found by words that stand in no other one's texts."""

    words: str
    levels: Mapping[str, int] = field(default_factory=dict)
    """Levels of criteria; those not named here get the highest."""
    wrong: tuple[str, ...] = ()
    """What the image does not support: words, with the claims and requested features that hold them."""
    corrected: str = ""
    boxes: Mapping[str, Box] = field(default_factory=dict)
    """Where the image decides claims, by a word of theirs, in its pixels."""
    better: str = ""
    """How the better one of two texts begins."""


NOTES = (
    Notes(
        "orange sail",
        {"consistency": 3},
        ("orange",),
        "A sailing boat with a white sail passes a lighthouse with red and white bands. Two gulls fly above the sea.",
        {"orange": (90, 88, 264, 236)},
    ),
    Notes(
        "Four red apples",
        {"consistency": 2, "requested_features": 5},
        ("Four", "green"),
        "Three red apples lie in a white bowl on a wooden table. A blue cup stands at its right.",
        {"Four": APPLES, "green": (340, 170, 450, 274)},
    ),
    Notes("submarines", {"consistency": 1, "requested_features": 1}, ("submarines", "dive", "coral", "reef")),
    Notes(
        "are four apples",
        {"consistency": 3},
        ("four",),
        "There are three apples in the bowl. A blue cup stands beside it.",
        {"four": APPLES},
    ),
    Notes("The blue one", {"consistency": 2}, ("blue",), "The one with yellow and red stripes."),
    Notes("Who lives", {"answerability": 2, "consistency": 2}, ("family", "children")),
    Notes(
        "April was the",
        {"value_accuracy": 3, "consistency": 3},
        ("April",),
        "Rainfall in Ashford peaked in May with 90 mm. June was the driest month with 34 mm.",
        {"April": (464, 236, 540, 398)},
    ),
    Notes(
        "sun 37",
        {"value_accuracy": 3},
        ("37",),
        "Wind gives Lindholm 41 % of its electricity, sun 27 % and water 19 %.",
    ),
    Notes("three birds", {"requested_features": 3, "feature_accuracy": 4}, ("three birds",)),
    Notes("a green cup", {"requested_features": 3, "feature_accuracy": 3}, ("a green cup",)),
    Notes("over green hills", better="A large balloon"),
    Notes("lies at anchor", better="It sails past"),
    Notes("GREENHILL", {"text_accuracy": 3}, ("17:12", "3.90")),
    Notes("POOL CLOSED", {"text_accuracy": 3, "consistency": 2}, ("3 to 4",)),
    Notes(
        "three leaves",
        {"consistency": 3},
        ("three",),
        "The first image shows a pot with bare earth. In the second a sprout has two leaves. In the last a red flower "
        "is in bloom.",
    ),
    Notes(
        "Before, the books stand",
        {"consistency": 2, "image_reference": 2},
        ("row", "heaps", "no lamp"),
        "Before, the books lie in heaps. Afterwards they stand in a row, and there is a lamp.",
    ),
)
NOTHING, NOTHING_NOTED = Notes(""), "nothing is noted for it"


def sample_judge() -> ScriptedEngine:
    """The engine, with all that is noted here."""
    return ScriptedEngine(script=script, author=author)


def script(request: JudgeRequest, question: Question) -> Answer:
    """The answer that the notes call for; on everything else the sample is right."""
    notes = _notes(request.fields)
    kind, _, rest = question.id.partition(":")
    if kind == PAINTED:
        return _yes(question, False)
    if kind == "better":
        return _better(question, request.fields, notes.better)
    if kind == "difference":
        return Scored(question, (1 - SURE, SURE) if rest.endswith(":0") else (SURE, 1 - SURE), 1.0)
    if kind in ("claim", "word", "feature"):
        return _yes(question, _supported(question, notes.wrong))
    return _level(question, notes.levels.get(question.id))


def author(request: WriteRequest) -> Reply:
    """The corrected text or the box of the notes, or what stands on the page."""
    notes, writing = _notes(request.fields), request.writing
    frames = tuple((image.width, image.height) for image in request.images)
    if writing.id.startswith("box"):
        box = next((box for word, box in notes.boxes.items() if word in writing.text), None)
        return Written(writing, json.dumps({"bbox_2d": box}), frames) if box else Unwritten(writing, NOTHING_NOTED)
    if writing.id.startswith("page"):
        return Written(writing, json.dumps({"text": _read(request.images[0])}), frames)
    if notes.corrected:
        return Written(writing, json.dumps({"text": notes.corrected}), frames)
    return Unwritten(writing, NOTHING_NOTED)


def _notes(texts: str) -> Notes:
    return next((notes for notes in NOTES if notes.words in texts), NOTHING)


def _asked(question: Question) -> str:
    """The claim, word or feature in a question: its only quoted text, or the last one of two."""
    return str(json.loads(re.findall(r'"(?:[^"\\]|\\.)*"', question.text)[-1]))


def _supported(question: Question, wrong: tuple[str, ...]) -> bool:
    asked = _asked(question)
    return asked not in wrong if question.id.startswith("word") else not any(word in asked for word in wrong)


def _yes(question: Question, supported: bool) -> Scored:
    prob = SURE if supported else DOUBTED
    return Scored(question, tuple(prob if option.value == "yes" else 1 - prob for option in question.options), 1.0)


def _level(question: Question, level: int | None) -> Scored:
    """Most of it on the level, the rest on the others alike; None is the highest one."""
    values = [option.value for option in question.options]
    chosen = str(level) if level else max(values)
    rest = (1 - SURE) / (len(values) - 1)
    return Scored(question, tuple(SURE if value == chosen else rest for value in values), 1.0)


def _better(question: Question, fields: str, begins: str) -> Scored:
    """The better text by how it begins; without one whichever is shown as A, so that the orders disagree."""
    a = SURE if not begins or f'A: "{begins}' in fields else 1 - SURE
    return Scored(question, (a, 1 - a), 1.0)


def _read(image: Image.Image) -> str:
    """What stands on a page, known by its pixels."""
    for name, lines in {"receipt": RECEIPT, "letter-1": LETTER_1, "letter-2": LETTER_2, "notice": NOTICE}.items():
        if Image.open(FOLDER / f"{name}.png").convert("RGB").tobytes() == image.convert("RGB").tobytes():
            return "\n".join(lines)
    return ""
