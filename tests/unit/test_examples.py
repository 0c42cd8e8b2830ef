"""The demo's world: what is called wrong is wrong, and only that."""

from __future__ import annotations

import random

import pytest

from backend.core.claims import split_claims
from backend.engines.demo.examples import CORRUPTIONS, Corruption, Example, make_example
from backend.engines.demo.world import CHANGES, WORDS, Scene, Thing, draw, random_scene


def some(corruption: Corruption, count: int = 200) -> list[tuple[Scene, Example]]:
    rng = random.Random(5)
    made: list[tuple[Scene, Example]] = []
    while len(made) < count:
        scene = random_scene(rng)
        example = make_example(scene, corruption, rng)
        if example:
            made.append((scene, example))
    return made


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_claims_are_the_captions_pieces_and_the_levels_follow_from_them(corruption: Corruption) -> None:
    for _, example in some(corruption, 60):
        assert [claim.text for claim in example.claims] == [piece.text for piece in split_claims(example.caption)]
        wrong = sum(not claim.holds for claim in example.claims)
        allowed = {0: {5}, 1: {3, 1}, 2: {2, 1}}.get(wrong, {1})
        assert example.consistency in allowed
        assert (example.text < 5) == (corruption == "misspelled")


@pytest.mark.parametrize("corruption", CHANGES)
def test_one_change_makes_one_claim_wrong(corruption: Corruption) -> None:
    for _, example in some(corruption):
        assert sum(not claim.holds for claim in example.claims) == 1
        assert example.caption != example.original


def test_right_captions_hold_and_are_unchanged() -> None:
    for _, example in some("none"):
        assert all(claim.holds for claim in (*example.claims, *example.features))
        assert example.caption == example.original


def test_a_missing_feature_is_not_in_the_scene() -> None:
    for scene, example in some("missing feature"):
        for feature in example.features:
            words = feature.text.split()
            if words[0] == "the":
                there = words[-1] == scene.word
            else:
                things = [thing for thing in scene.things if thing]
                there = any({words[1], words[-1]} <= {thing.colour, thing.shape, "shape"} for thing in things)
            assert there == feature.holds, (feature, scene)
        assert example.requested_level in (1, 3)


def test_wrong_words_are_in_the_claim() -> None:
    for corruption in CHANGES:
        for _, example in some(corruption, 80):
            for claim in example.claims:
                assert all(word in claim.text for word in claim.wrong_words or ())
                assert not claim.holds or not claim.wrong_words


def test_the_same_seed_draws_the_same_picture() -> None:
    scene = Scene((Thing("red", "star"), None, None, Thing("blue", "circle")), WORDS[0], "heavy noise")
    pictures = [draw(scene, random.Random(3)).tobytes() for _ in range(2)]
    assert pictures[0] == pictures[1]
    assert draw(scene, random.Random(4)).tobytes() != pictures[0]
