"""Captions of boards, right or wrong in a known way, with the answers a judge should give."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from backend.core.claims import split_claims, split_words
from backend.engines.demo.world import (
    CHANGES,
    COLOURS,
    NUMBERS,
    POSITIONS,
    REALISM,
    SHAPES,
    WHOLE,
    WORDS,
    Area,
    Change,
    Scene,
    Statement,
    Thing,
    compose,
    falsify_any,
    misspell,
    phrase,
    random_scene,
    true_statements,
)

Corruption = Literal[
    "none", "colour", "shape", "position", "count", "word", "several", "unrelated", "misspelled", "missing feature"
]
CORRUPTIONS: tuple[Corruption, ...] = (
    "none",
    *CHANGES,
    "several",
    "unrelated",
    "misspelled",
    "missing feature",
)

_FOREIGN_SUBJECTS = ("a dog", "a cat", "an old man", "a young woman", "a child", "two horses", "a train", "a boat")
_FOREIGN_VERBS = ("sleeps on", "stands near", "moves past", "waits behind", "plays beside")
_FOREIGN_PLACES = ("a sofa", "the river", "a wooden house", "the market", "a bridge", "some trees", "the beach")


@dataclass(frozen=True, slots=True)
class Claim:
    """One checkable piece of a caption or one requested feature, with its truth."""

    text: str
    holds: bool
    wrong_words: tuple[str, ...] | None = None
    """The words that make it false; None when that cannot be said."""
    area: Area = WHOLE
    """Where on the board that shows."""


@dataclass(frozen=True, slots=True)
class Example:
    """A caption with requested features for a scene, and the answers it deserves."""

    caption: str
    requested: str
    corruption: Corruption
    original: str
    """The caption before it was corrupted; equal to `caption` when nothing was."""
    claims: tuple[Claim, ...]
    features: tuple[Claim, ...]
    realism: int
    text: int
    consistency: int
    requested_level: int | None
    """None where nothing was asked for."""


def make_example(scene: Scene, corruption: Corruption, rng: random.Random) -> Example | None:
    """A caption of the scene with this one corruption; None where this scene's caption cannot have it."""
    statements = true_statements(scene, rng)
    styles = [rng.randrange(3) for _ in statements]
    layout_seed = rng.getrandbits(32)
    said = _corrupt(statements, corruption, scene, rng)
    if said is None:
        return None
    original = _caption(statements, styles, layout_seed)
    if corruption == "unrelated" and rng.random() < 0.5:
        caption, claims = _foreign(rng)
        wrong = len(claims)
    else:
        if len(said) != len(styles):
            styles = [rng.randrange(3) for _ in said]
        caption = _caption(said, styles, layout_seed)
        claims = _claims(caption, said, scene)
        wrong = sum(not claim.holds for claim in claims)
    text_level = 5
    if corruption == "misspelled":
        caption, text_level = _misspelled(caption, rng)
        claims = tuple(Claim(piece.text, True) for piece in split_claims(caption))
    features = _features(scene, corruption, rng)
    return Example(
        caption=caption,
        requested=", ".join(feature.text for feature in features),
        corruption=corruption,
        original=original,
        claims=claims,
        features=features,
        realism=REALISM[scene.condition],
        text=text_level,
        consistency=_consistency(wrong, len(claims)),
        requested_level=_requested_level(features),
    )


def _claims(caption: str, said: tuple[Statement, ...], scene: Scene) -> tuple[Claim, ...]:
    return tuple(
        Claim(piece.text, statement.holds(scene), _wrong_words(piece.text, statement, scene), statement.area)
        for piece, statement in zip(split_claims(caption), said, strict=True)
    )


def _corrupt(
    statements: tuple[Statement, ...], corruption: Corruption, scene: Scene, rng: random.Random
) -> tuple[Statement, ...] | None:
    if corruption in CHANGES:
        return falsify_any(statements, corruption, scene, rng)
    if corruption == "several":
        wanted, changed, touched = rng.choice((2, 2, 3)), statements, 0
        order: list[Change] = rng.sample(CHANGES, len(CHANGES))
        for change in order:
            right = [index for index, statement in enumerate(changed) if statement.holds(scene)]
            if touched == wanted or not right:
                break
            redone = falsify_any([changed[index] for index in right], change, scene, rng)
            if redone is not None:
                parts = dict(zip(right, redone, strict=True))
                changed = tuple(parts.get(index, statement) for index, statement in enumerate(changed))
                touched += 1
        return changed if touched >= 2 else None
    if corruption == "unrelated":
        other = true_statements(random_scene(rng), rng)
        return other if sum(statement.holds(scene) for statement in other) * 4 <= len(other) else None
    return statements


def _caption(statements: tuple[Statement, ...], styles: list[int], seed: int) -> str:
    phrases = [phrase(statement, style) for statement, style in zip(statements, styles, strict=True)]
    return compose(phrases, [statement.kind for statement in statements], random.Random(seed))


def _foreign(rng: random.Random) -> tuple[str, tuple[Claim, ...]]:
    parts = [
        f"{rng.choice(_FOREIGN_SUBJECTS)} {rng.choice(_FOREIGN_VERBS)} {rng.choice(_FOREIGN_PLACES)}"
        for _ in range(rng.randint(2, 3))
    ]
    caption = ". ".join(part[0].upper() + part[1:] for part in parts) + "."
    return caption, tuple(Claim(piece.text, False) for piece in split_claims(caption))


def _misspelled(caption: str, rng: random.Random) -> tuple[str, int]:
    words = [
        word
        for piece in split_claims(caption)
        for word in split_words(piece)
        if len(word.text) > 3 and word.text.islower()
    ]
    chosen = sorted(rng.sample(words, min(len(words), rng.choice((1, 1, 2)))), key=lambda word: -word.start)
    for word in chosen:
        caption = caption[: word.start] + misspell(word.text, rng) + caption[word.end :]
    return caption, 3 if len(chosen) == 1 else 2


def _consistency(wrong: int, claims: int) -> int:
    """5 nothing wrong, 3 one thing, 2 two things, 1 three or everything."""
    if wrong == 0:
        return 5
    if wrong >= 3 or wrong == claims:
        return 1
    return 3 if wrong == 1 else 2


def _wrong_words(text: str, statement: Statement, scene: Scene) -> tuple[str, ...] | None:
    """The words to change; for a thing said in the wrong place the place words, unless the thing is nowhere."""
    if statement.holds(scene):
        return ()
    if statement.kind == "count":
        return (_as_written(NUMBERS[statement.count - 1], text),)
    if statement.kind == "word":
        return (statement.word,)
    there = scene.things[statement.position]
    if statement.thing is None:
        return None
    if scene.things.count(statement.thing) == 1:
        actual = POSITIONS[scene.things.index(statement.thing)].split()
        return tuple(word for word in POSITIONS[statement.position].split() if word not in actual)
    if statement.thing in scene.things or there is None:
        return None
    same_colour, same_shape = there.colour == statement.thing.colour, there.shape == statement.thing.shape
    if same_colour == same_shape:
        return None
    return (statement.thing.shape,) if same_colour else (statement.thing.colour,)


def _as_written(word: str, text: str) -> str:
    return word if word in text else word.capitalize()


def _features(scene: Scene, corruption: Corruption, rng: random.Random) -> tuple[Claim, ...]:
    """One to three requested features; one or all of them absent for `missing feature`, sometimes none asked for."""
    if corruption != "missing feature" and rng.random() < 0.3:
        return ()
    things = [thing for thing in scene.things if thing]
    present = [
        f"a {rng.choice(things).colour} shape",
        "a {0.colour} {0.shape}".format(rng.choice(things)),
        f"a {rng.choice(things).shape}",
        f"the word {scene.word}",
    ]
    chosen = [Claim(text, True, ()) for text in dict.fromkeys(rng.sample(present, rng.randint(1, 3)))]
    if corruption != "missing feature":
        return tuple(chosen)
    absent = _absent_features(scene)
    missing = len(chosen) if rng.random() < 0.25 else 1
    for index in rng.sample(range(len(chosen)), missing):
        texts = [text for text in absent if text not in {claim.text for claim in chosen}]
        chosen[index] = Claim(rng.choice(texts), False)
    return tuple(chosen)


def _absent_features(scene: Scene) -> list[str]:
    things = [thing for thing in scene.things if thing]
    colours, shapes = {thing.colour for thing in things}, {thing.shape for thing in things}
    return [
        *(f"a {colour} shape" for colour in COLOURS if colour not in colours),
        *(f"a {shape}" for shape in SHAPES if shape not in shapes),
        *(
            f"a {colour} {shape}"
            for colour in COLOURS
            for shape in SHAPES
            if (colour in colours or shape in shapes) and Thing(colour, shape) not in things
        ),
    ][:40] + [f"the word {word}" for word in WORDS if word != scene.word]


def _requested_level(features: tuple[Claim, ...]) -> int | None:
    """5 all there, 3 some missing, 1 all missing; None when none were asked for."""
    if not features:
        return None
    there = sum(feature.holds for feature in features)
    return 5 if there == len(features) else 3 if there else 1
