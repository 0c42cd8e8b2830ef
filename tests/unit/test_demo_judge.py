"""The embedded weights are the ones the model card speaks of, and they judge their world."""

from __future__ import annotations

import pytest

from backend.core.types import DECISIONS
from backend.engines.demo.engine import MODEL, demo_engine
from backend.engines.demo.evaluate import CARD, held_out, measure, true_decision
from backend.engines.demo.examples import CORRUPTIONS
from backend.engines.demo.world import CONDITIONS
from backend.engines.local import hash_folder


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    return measure(demo_engine(), 480)


@pytest.mark.parametrize("kind", [*CORRUPTIONS[1:], *CONDITIONS[1:], "single claims"])
def test_every_kind_of_corruption_is_told_from_what_is_right(figures: dict[str, float], kind: str) -> None:
    """Thirty examples a kind, so the bound leaves room; the card has the figures over thousands."""
    assert figures[kind] >= 0.85


def test_verdicts_are_mostly_right(figures: dict[str, float]) -> None:
    assert figures["verdict accuracy"] >= 0.85


def test_the_card_speaks_of_these_weights() -> None:
    assert hash_folder(MODEL) in CARD.read_text(encoding="utf-8")


def test_the_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in MODEL.iterdir()) < 10_000_000


def test_held_out_examples_hold_every_decision_and_corruption() -> None:
    examples = held_out(64)
    rubric = demo_engine().default_rubric
    assert {example.corruption for _, example, _ in examples} == set(CORRUPTIONS)
    assert {true_decision(example, rubric) for _, example, _ in examples} == set(DECISIONS)
