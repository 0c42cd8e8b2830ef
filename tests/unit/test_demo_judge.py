"""The embedded weights are the ones the model card speaks of, and they judge their world."""

from __future__ import annotations

import random

import pytest

from backend.core.types import DECISIONS
from backend.engines.demo.engine import MODEL, demo_engine
from backend.engines.demo.evaluate import CARD, HeldOut, held_out, judge, marks, measure, true_decision
from backend.engines.demo.examples import CORRUPTIONS
from backend.engines.demo.sample import sample_items
from backend.engines.demo.world import CONDITIONS, draw
from backend.engines.local import hash_folder


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    return measure(demo_engine(), 480)


def on_the_card(kind: str) -> float:
    """The figure that the model card gives."""
    [row] = [line for line in CARD.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {kind} |")]
    return float(row.split("|")[2])


@pytest.mark.parametrize("kind", [*CORRUPTIONS[1:], *CONDITIONS[1:]])
def test_every_kind_of_corruption_is_seen_as_well_as_the_card_says(figures: dict[str, float], kind: str) -> None:
    """Thirty wrong examples a kind against sixty right ones: the standard error of such an area is below 0.06."""
    assert figures[kind] >= on_the_card(kind) - 0.15


def test_verdicts_and_claims_are_right(figures: dict[str, float]) -> None:
    assert figures["verdict accuracy"] >= 0.85
    assert figures["single claims"] >= 0.97


def test_the_evidence_points_at_what_was_changed(figures: dict[str, float]) -> None:
    assert figures["changed words marked"] >= 0.9
    assert figures["areas over the right place"] >= 0.9
    assert figures["corrected texts true"] >= 0.65


def test_in_the_sample_project_the_changed_words_are_marked() -> None:
    """All words that make a claim false, in nine of ten wrong captions; the marks are what an annotator sees."""
    shown = [HeldOut(i.scene, i.example, draw(i.scene, random.Random(i.drawing_seed))) for i in sample_items()]
    wrong = [item for item in shown if any(claim.wrong_words for claim in item.example.claims)]
    judged = judge(demo_engine(), wrong, explain=False)
    right = [all(marks(item, claim) for claim in item.example.claims if claim.wrong_words) for item in judged]
    assert len(right) == 51
    assert sum(right) / len(right) >= 0.9


def test_the_card_speaks_of_these_weights() -> None:
    assert hash_folder(MODEL) in CARD.read_text(encoding="utf-8")


def test_the_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in MODEL.iterdir()) < 10_000_000


def test_held_out_examples_hold_every_decision_and_corruption() -> None:
    examples = held_out(64)
    rubric = demo_engine().default_rubric
    assert {item.example.corruption for item in examples} == set(CORRUPTIONS)
    assert {true_decision(item.example, rubric) for item in examples} == set(DECISIONS)
