"""The small world the embedded judge knows: boards of coloured shapes over a word in letter tiles.

A board has four pastel squares (top left, top right, bottom left, bottom right), each empty or
with one shape in one colour, and below them a word of four letters. Everything is drawn from a
seeded `random.Random`, so that the same seed gives the same world.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

COLOURS = {
    "red": (214, 39, 40),
    "green": (38, 150, 60),
    "blue": (38, 84, 214),
    "yellow": (247, 205, 30),
    "purple": (142, 52, 190),
    "black": (28, 28, 32),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
POSITIONS = ("top left", "top right", "bottom left", "bottom right")
NUMBERS = ("one", "two", "three", "four")
WORDS = ("BIRD", "FISH", "LAMP", "TREE", "MOON", "KING", "BOOK", "DOOR", "RAIN", "GOLD", "WAVE", "CHEF")

Condition = Literal["clean", "light noise", "heavy noise", "light blur", "heavy blur", "broken"]
CONDITIONS: tuple[Condition, ...] = ("clean", "light noise", "heavy noise", "light blur", "heavy blur", "broken")
REALISM = {"clean": 5, "light noise": 4, "light blur": 4, "heavy noise": 2, "heavy blur": 2, "broken": 1}

_THING, _PLACE = rf"a ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})", f"at the ({'|'.join(POSITIONS)})"
_COUNTING = re.compile(rf"^(?:there (?:is|are) |the board has )?({'|'.join(NUMBERS)}) shapes?$")
_PLACING = re.compile(rf"^{_THING}(?: sits)? {_PLACE}$")
_PLACING_FIRST = re.compile(rf"^{_PLACE} is {_THING}$")
_READING = re.compile(rf"^(?:[Tt]he sign says|[Tt]he word is|[Bb]elow it reads) ({'|'.join(WORDS)})$")

WIDTH, HEIGHT = 448, 560
"""Pixels of a drawn board; the judge's processor shrinks it to 112 x 140."""

_PASTELS = ((214, 230, 250), (250, 226, 214), (220, 244, 218), (244, 236, 200))
_TILE, _GAP = 224, 10


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape on the board."""

    colour: str
    shape: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What is on a board; `things` holds one entry per position, None where it is empty."""

    things: tuple[Thing | None, Thing | None, Thing | None, Thing | None]
    word: str
    condition: Condition = "clean"

    @property
    def count(self) -> int:
        """How many shapes there are, 1 to 4."""
        return sum(thing is not None for thing in self.things)


Area = tuple[int, int, int, int]
"""A part of the drawn board in pixels: left, top, right, bottom."""

WHOLE: Area = (0, 0, WIDTH, HEIGHT)


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing a caption says; which fields count depends on `kind`."""

    kind: Literal["count", "thing", "word"]
    count: int = 0
    position: int = 0
    thing: Thing | None = None
    word: str = ""

    def holds(self, scene: Scene) -> bool:
        """Whether it is true of the scene."""
        if self.kind == "count":
            return self.count == scene.count
        if self.kind == "word":
            return self.word == scene.word
        return scene.things[self.position] == self.thing

    @property
    def area(self) -> Area:
        """Where on the board to look to tell whether it is true."""
        if self.kind == "count":
            return (0, 0, 2 * _TILE, 2 * _TILE)
        if self.kind == "word":
            return (0, 2 * _TILE, WIDTH, HEIGHT)
        left, top = (self.position % 2) * _TILE, (self.position // 2) * _TILE
        return (left + _GAP, top + _GAP, left + _TILE - _GAP, top + _TILE - _GAP)


def random_scene(rng: random.Random, condition: Condition = "clean") -> Scene:
    """A board with one to four shapes, each position, colour, shape and word equally likely."""
    taken = rng.sample(range(4), rng.randint(1, 4))
    things = tuple(
        Thing(rng.choice(tuple(COLOURS)), rng.choice(SHAPES)) if place in taken else None for place in range(4)
    )
    return Scene((things[0], things[1], things[2], things[3]), rng.choice(WORDS), condition)


def true_statements(scene: Scene, rng: random.Random) -> tuple[Statement, ...]:
    """Two to five true things to say, in the order a person would say them."""
    places = [place for place, thing in enumerate(scene.things) if thing]
    shown = sorted(rng.sample(places, rng.randint(1, min(3, len(places)))))
    things = [Statement("thing", position=place, thing=scene.things[place]) for place in shown]
    count = [Statement("count", count=scene.count)] if rng.random() < 0.75 else []
    word = [Statement("word", word=scene.word)] if rng.random() < 0.75 or len(count) + len(things) < 2 else []
    return (*count, *things, *word) if rng.random() < 0.8 else (*word, *count, *things)


Change = Literal["colour", "shape", "position", "count", "word"]
CHANGES: tuple[Change, ...] = ("colour", "shape", "position", "count", "word")


def falsify(statement: Statement, change: Change, scene: Scene, rng: random.Random) -> Statement:
    """The statement with one thing changed so that it no longer holds. Raises ValueError if the kinds do not fit."""
    if change == "count" and statement.kind == "count":
        return replace(statement, count=rng.choice([n for n in range(1, 5) if n != scene.count]))
    if change == "word" and statement.kind == "word":
        return replace(statement, word=rng.choice([word for word in WORDS if word != scene.word]))
    if statement.kind == "thing" and statement.thing:
        thing = statement.thing
        if change == "colour":
            return replace(
                statement, thing=replace(thing, colour=rng.choice([c for c in COLOURS if c != thing.colour]))
            )
        if change == "shape":
            return replace(statement, thing=replace(thing, shape=rng.choice([s for s in SHAPES if s != thing.shape])))
        if change == "position":
            free = [place for place in range(4) if scene.things[place] != thing]
            if free:
                return replace(statement, position=rng.choice(free))
    raise ValueError(f"cannot change the {change} of a statement about {statement.kind}")


def falsify_any(
    statements: Sequence[Statement], change: Change, scene: Scene, rng: random.Random
) -> tuple[Statement, ...] | None:
    """The statements with one of them changed in the way asked for; None where none can be."""
    order = list(range(len(statements)))
    rng.shuffle(order)
    for index in order:
        try:
            changed = falsify(statements[index], change, scene, rng)
        except ValueError:
            continue
        return (*statements[:index], changed, *statements[index + 1 :])
    return None


def phrase(statement: Statement, style: int) -> str:
    """The statement in words, without capital or full stop; `style` picks one of three wordings."""
    if statement.kind == "count":
        noun = "shape" if statement.count == 1 else "shapes"
        number = NUMBERS[statement.count - 1]
        verb = "is" if statement.count == 1 else "are"
        return (f"{number} {noun}", f"there {verb} {number} {noun}", f"the board has {number} {noun}")[style]
    if statement.kind == "word":
        return (f"the sign says {statement.word}", f"the word is {statement.word}", f"below it reads {statement.word}")[
            style
        ]
    if statement.thing is None:
        raise ValueError("a statement about a thing needs one")
    name, place = f"a {statement.thing.colour} {statement.thing.shape}", POSITIONS[statement.position]
    return (f"{name} at the {place}", f"{name} sits at the {place}", f"at the {place} is {name}")[style]


def read_phrase(text: str) -> Statement | None:
    """The statement that a phrase in any of the wordings makes; None when it makes none."""
    if found := _COUNTING.search(text.lower()):
        return Statement("count", count=NUMBERS.index(found[1]) + 1)
    if found := _PLACING.search(text.lower()):
        return Statement("thing", position=POSITIONS.index(found[3]), thing=Thing(found[1], found[2]))
    if found := _PLACING_FIRST.search(text.lower()):
        return Statement("thing", position=POSITIONS.index(found[1]), thing=Thing(found[2], found[3]))
    found = _READING.search(text)
    return Statement("word", word=found[1]) if found else None


def question_and_answer(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """Something a person might ask about the board, and the right answer."""
    place = rng.randrange(4)
    thing = scene.things[place]
    asked = [
        (f"What is at the {POSITIONS[place]}?", f"a {thing.colour} {thing.shape}" if thing else "nothing"),
        ("What does the sign say?", scene.word),
        ("How many shapes are there?", NUMBERS[scene.count - 1]),
    ]
    return rng.choice(asked)


def compose(phrases: Sequence[str], kinds: Sequence[str], rng: random.Random) -> str:
    """One caption from the phrases; every phrase ends at punctuation, so that it can be checked on its own."""
    out = ""
    for index, (text, kind) in enumerate(zip(phrases, kinds, strict=True)):
        start = not out or out.endswith(". ")
        out += text[0].upper() + text[1:] if start else text
        if index == len(phrases) - 1:
            out += "."
        elif kind == "count" and kinds[index + 1] == "thing":
            out += rng.choice((": ", ", ", ". "))
        elif kind == kinds[index + 1]:
            out += rng.choice((", ", ", ", ". "))
        else:
            out += ". "
    return out


def misspell(word: str, rng: random.Random) -> str:
    """The word with two neighbours swapped, one letter dropped or one doubled, and never the same word."""
    while True:
        at = rng.randrange(1, len(word) - 1)
        kind = rng.randrange(3)
        if kind == 0:
            wrong = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif kind == 1:
            wrong = word[:at] + word[at + 1 :]
        else:
            wrong = word[:at] + word[at] + word[at:]
        if wrong != word:
            return wrong


def draw(scene: Scene, rng: random.Random) -> Image.Image:
    """Paint the scene, with small random differences in size and place, and with its condition's damage."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    pen = ImageDraw.Draw(image)
    for place, thing in enumerate(scene.things):
        left, top, right, bottom = Statement("thing", position=place).area
        pen.rounded_rectangle((left, top, right, bottom), radius=18, fill=_PASTELS[place])
        if thing:
            _draw_thing(pen, thing, (left + right) / 2, (top + bottom) / 2, rng)
    _draw_word(pen, scene.word)
    return _damage(image, scene.condition, rng)


def _draw_thing(pen: object, thing: Thing, x: float, y: float, rng: random.Random) -> None:
    radius = rng.uniform(66, 84)
    x, y = x + rng.uniform(-9, 9), y + rng.uniform(-9, 9)
    fill = tuple(max(0, min(255, value + rng.randint(-10, 10))) for value in COLOURS[thing.colour])
    if thing.shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)  # type: ignore[attr-defined]
        return
    pen.polygon([(x + radius * dx, y + radius * dy) for dx, dy in _outline(thing.shape)], fill=fill)  # type: ignore[attr-defined]


def _outline(shape: str) -> list[tuple[float, float]]:
    """Corners of a shape of radius 1 around the origin, y downwards."""
    if shape == "square":
        return [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
    if shape == "triangle":
        return [(0, -1), (0.98, 0.8), (-0.98, 0.8)]
    if shape == "star":
        angles = [(math.pi * i / 5 - math.pi / 2, 1.05 if i % 2 == 0 else 0.4) for i in range(10)]
        return [(r * math.cos(a), r * math.sin(a)) for a, r in angles]
    arm = 0.32
    corner = ((-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm))
    return [*corner, *((-dx, -dy) for dx, dy in corner)]


def _draw_word(pen: object, word: str) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size=86)
    for index, letter in enumerate(word):
        left, top = index * 112, 2 * _TILE
        box = (left + 6, top + 6, left + 106, top + 106)
        pen.rounded_rectangle(box, radius=14, fill=(64, 60, 72))  # type: ignore[attr-defined]
        pen.text((left + 56, top + 56), letter, font=font, fill=(255, 252, 240), anchor="mm")  # type: ignore[attr-defined]


def _damage(image: Image.Image, condition: Condition, rng: random.Random) -> Image.Image:
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter

    if condition in ("light blur", "heavy blur"):
        return image.filter(
            ImageFilter.GaussianBlur(rng.uniform(3.5, 5) if condition == "light blur" else rng.uniform(9, 12))
        )
    if condition in ("light noise", "heavy noise"):
        strength = rng.uniform(18, 26) if condition == "light noise" else rng.uniform(58, 75)
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, strength, (HEIGHT // 4, WIDTH // 4, 3))
        pixels = np.asarray(image, dtype=np.float32) + noise.repeat(4, axis=0).repeat(4, axis=1)
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if condition == "broken":
        pen = ImageDraw.Draw(image)
        for _ in range(rng.randint(4, 6)):
            left, top = rng.randrange(0, WIDTH - 112, 28), rng.randrange(0, HEIGHT - 56, 28)
            pen.rectangle((left, top, left + rng.choice((84, 112)), top + rng.choice((42, 56))), fill=(128, 128, 128))
    return image
