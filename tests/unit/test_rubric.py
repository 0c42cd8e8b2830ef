from pathlib import Path

import pytest

from backend.core.rubric import load_rubric, parse_rubric
from backend.core.types import Option
from backend.engines.demo.engine import RUBRIC
from backend.engines.rubrics import default_rubric
from backend.errors import RubricError

SMALL = """
name: small
instructions: Judge.
criteria:
  - id: sound
    title: Sound
    question: Is it sound?
    levels:
      - {value: 1, means: No., decision: reject}
      - {value: 2, means: Yes., decision: accept}
checks: {claim: "Shown: {claim}?", word: "Right: {word}?"}
"""


def test_a_question_lists_its_levels_from_best_to_worst() -> None:
    rubric = parse_rubric(SMALL, "small.yaml")
    question = rubric.question(rubric.criteria[0])
    assert question.text == "Is it sound?\n2 = Yes.\n1 = No.\nAnswer with one digit only."
    assert question.options == (Option("1", "1"), Option("2", "2"))


def test_any_change_of_wording_changes_the_hash_and_a_comment_does_not() -> None:
    base = parse_rubric(SMALL, "a").hash
    assert parse_rubric("# note\n" + SMALL, "b").hash == base
    assert parse_rubric(SMALL.replace("means: No.", "means: Not."), "c").hash != base


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("name: small\n", "", "name: Field required"),
        ("decision: reject", "decision: maybe", "criteria.0.levels.0.decision: Input should be 'accept'"),
        ("value: 2", "value: 1", "levels of sound must have different values in ascending order, not"),
        ("title: Sound", "titel: Sound", "criteria.0.titel: Extra inputs are not permitted"),
        ('claim: "Shown: {claim}?"', 'claim: "Shown?"', "checks.claim: String should match pattern"),
        ("id: sound", "id: Sound", "criteria.0.id: String should match pattern"),
        ("criteria:", "criteria: [", "mine.yaml is not valid YAML"),
    ],
)
def test_a_wrong_rubric_is_refused_with_place_and_reason(old: str, new: str, reason: str) -> None:
    with pytest.raises(RubricError) as error:
        parse_rubric(SMALL.replace(old, new), "mine.yaml")
    assert "mine.yaml" in str(error.value)
    assert reason in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RubricError, match=r"cannot read the rubric .*gone\.yaml"):
        load_rubric(tmp_path / "gone.yaml")


def test_the_rubrics_that_come_along_have_the_four_criteria() -> None:
    four = ["visual_realism", "text_accuracy", "consistency", "requested_features"]
    assert [criterion.id for criterion in default_rubric().criteria] == four
    assert [criterion.id for criterion in load_rubric(RUBRIC).criteria] == four
