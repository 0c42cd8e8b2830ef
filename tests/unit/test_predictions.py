"""A verdict as a prediction: what travels unseen with it."""

from __future__ import annotations

from dataclasses import replace

from backend.core.kinds import kind_of
from backend.core.label_config import parse_label_config
from backend.core.predictions import prediction
from backend.core.regions import details
from backend.core.types import Flag, Option, Question, Scored
from backend.engines.rubrics import ready_rubric
from tests.store_processes import verdict

CONFIG = parse_label_config(
    """<View><Image name="image" value="$image"/><Text name="caption" value="$caption"/>
    <Rating name="verdict" toName="caption"/></View>"""
)


def test_a_criterion_called_verdict_keeps_its_own_probabilities_beside_what_is_said_of_the_decision() -> None:
    ready = ready_rubric(kind_of(CONFIG))
    first, *others = ready.criteria
    rubric = ready.model_copy(update={"criteria": (first.model_copy(update={"id": "verdict"}), *others)})
    levels = tuple(Option(str(level.value), str(level.value)) for level in first.levels)
    probs = (1.0, *(0.0 for _ in levels[1:]))
    made = replace(
        verdict(),
        answers=(Scored(Question("verdict", "How consistent?", levels), probs, 0.99),),
        flags=(Flag("instructions", "The text addresses the judge."),),
        reliance=0.5,
    )
    lowest = first.levels[0].value
    assert details(prediction(made, rubric, CONFIG)["result"]) == {
        "verdict": {
            "expected": lowest,
            "probs": {option.value: prob for option, prob in zip(levels, probs, strict=True)},
            "label_mass": 0.99,
            "flags": ["instructions"],
            "reliance": 0.5,
            "features": [{"text": "a cat 🐈", "prob": 0.9}],
        }
    }
