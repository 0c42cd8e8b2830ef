from pathlib import Path

import pytest

from backend.core.prompts import YES_NO
from backend.core.rubric import load_rubric, parse_rubric
from backend.core.types import Option, Question
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
        ("name: small\n", "", "line 1: name: Field required"),
        ("decision: reject", "decision: maybe", "line 9: criteria.0.levels.0.decision: Input should be 'accept'"),
        ("value: 2", "value: 1", "line 8: criteria.0.levels: the levels must have different values in ascending order"),
        ("title: Sound", "titel: Sound", "line 6: criteria.0.titel: Extra inputs are not permitted"),
        ("title: Sound", "titel: Sound", "line 5: criteria.0.title: Field required"),
        ("title: Sound", "title: [Sound", "line 7: expected ',' or ']', but got ':'"),
        ("title: Sound", "title: Sound\n    title: Loud", "line 7: title is there twice"),
        ('claim: "Shown: {claim}?"', 'claim: "Shown?"', "line 11: checks.claim: String should match pattern"),
        ("id: sound", "id: Sound", "line 5: criteria.0.id: String should match pattern"),
        ("title: Sound", "title: Sound\n    weight: -1", "line 7: criteria.0.weight: Input should be greater than"),
        (
            "title: Sound",
            "title: Sound\n    weight: 0",
            "line 4: criteria: at least one criterion needs a weight above 0",
        ),
        ("title: Sound", "title: Sound\n    needs: pictures", "line 7: criteria.0.needs: Input should be 'candidate'"),
        ("checks:", "transcription: {}\nchecks:", "line 11: transcription: transcription needs requests.ocr"),
        ("criteria:", "criteria: [", "mine.yaml is not valid YAML: line 5"),
        (SMALL, "- a list", "must hold the fields of a rubric"),
        (SMALL, "", "must hold the fields of a rubric"),
    ],
)
def test_a_wrong_rubric_is_refused_with_line_and_reason(old: str, new: str, reason: str) -> None:
    with pytest.raises(RubricError) as error:
        parse_rubric(SMALL.replace(old, new), "mine.yaml")
    assert "mine.yaml" in str(error.value)
    assert reason in str(error.value)


def test_all_that_is_wrong_is_said_at_once_from_top_to_bottom() -> None:
    wrong = SMALL.replace("name: small", "nam: small").replace("value: 1", "value: ten").replace("{word}", "it")
    with pytest.raises(RubricError) as error:
        parse_rubric(wrong, "mine.yaml")
    assert str(error.value).splitlines() == [
        "mine.yaml is not a valid rubric:",
        "  line 1: name: Field required",
        "  line 2: nam: Extra inputs are not permitted",
        "  line 9: criteria.0.levels.0.value: Input should be a valid integer, unable to parse string as an integer",
        "  line 11: checks.word: String should match pattern '\\{word\\}'",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RubricError, match=r"cannot read the rubric .*gone\.yaml"):
        load_rubric(tmp_path / "gone.yaml")


def test_criteria_need_different_ids_and_something_has_to_be_asked() -> None:
    head, criterion, checks = SMALL.partition("  - id")[0], "  - id" + SMALL.partition("  - id")[2], ""
    criterion, _, checks = criterion.partition("checks")
    with pytest.raises(RubricError, match=r"line 4: criteria: criteria need different ids, not \['sound', 'sound'\]"):
        parse_rubric(head + criterion * 2 + "checks" + checks, "mine.yaml")
    with pytest.raises(RubricError, match="needs criteria, or a comparison"):
        parse_rubric(head.replace("criteria:\n", "checks") + checks, "mine.yaml")


def test_a_requested_feature_is_asked_like_a_claim_unless_worded() -> None:
    rubric = parse_rubric(SMALL, "small.yaml")
    assert rubric.feature_question(2, "a {claim}") == Question("feature:2", 'Shown: "a {claim}"?', YES_NO)
    worded = parse_rubric(SMALL.replace("checks: {", 'checks: {feature: "There: {feature}?", '), "small.yaml")
    assert worded.feature_question(0, "a dog").text == 'There: "a dog"?'


def test_the_rubrics_that_come_along_have_the_four_criteria() -> None:
    four = ["visual_realism", "text_accuracy", "consistency", "requested_features"]
    assert [criterion.id for criterion in default_rubric().criteria] == four
    assert [criterion.id for criterion in load_rubric(RUBRIC).criteria] == four
