"""What is taken as the judge's answer when a project is read."""

from __future__ import annotations

import pytest

from backend.annotated import AnnotatedTask, Prediction
from backend.core.label_config import parse_label_config
from backend.core.regions import encode
from backend.core.trust.labels import Judgement
from backend.core.types import ControlValue
from backend.trust.reading import labelled_task
from tests.labelled import IMAGE_TEXT

CONFIG = parse_label_config(IMAGE_TEXT)
RESULT = tuple(encode((ControlValue("verdict", "Choices", ("accept",)),), CONFIG))


@pytest.mark.parametrize(
    ("score", "judge"),
    [(0.0, Judgement({"verdict": ("accept",)}, 0.0)), (0.9, Judgement({"verdict": ("accept",)}, 0.9)), (None, None)],
)
def test_a_prediction_without_a_score_is_no_judgement_and_gets_no_made_up_one(
    score: float | None, judge: Judgement | None
) -> None:
    task = AnnotatedTask(1, {"image": "a.png"}, (), (Prediction(1, RESULT, score, "judge-1", None),))
    assert labelled_task(task, CONFIG, "judge-1", None).judge == judge


def test_what_travels_with_a_prediction_is_read_also_where_nothing_was_decided() -> None:
    told = {"flags": ["injection"], "features": [{"text": "a red car", "prob": 0.25}]}
    result = tuple(encode((ControlValue("realism", "Rating", 4),), CONFIG, {"verdict": told}))
    task = AnnotatedTask(1, {"image": "a.png"}, (), (Prediction(1, result, 0.0, "judge-1", None),))
    assert labelled_task(task, CONFIG, "judge-1", None).judge == Judgement(
        {"realism": 4}, 0.0, flags=("injection",), features={"a red car": 0.25}
    )
