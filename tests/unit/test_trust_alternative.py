"""The alternative annotator test, against what its authors published."""

from __future__ import annotations

import pytest
from scipy.stats import ttest_1samp

from backend.core.trust.agreement.alternative import (
    SKILLED,
    AlternativeTest,
    Answer,
    Comparison,
    NoTest,
    alternative_test,
    compare,
    decide,
)

PUBLISHED = {
    ("LGBTeen", "gpt-4o", 0.2): (0.75, 0.77, [(92, 575, 173), (88, 611, 181), (66, 517, 137), (14, 69, 37)]),
    ("LGBTeen", "gemini_pro", 0.2): (0.0, 0.67, [(60, 518, 262), (88, 509, 283), (68, 445, 207), (14, 56, 50)]),
    ("LGBTeen", "gemini_flash", 0.2): (0.25, 0.71, [(72, 548, 220), (91, 557, 232), (74, 473, 173), (12, 63, 45)]),
    ("lesion", "gemini_flash", 0.15): (
        0.17,
        0.71,
        [(139, 230, 131), (108, 243, 149), (67, 286, 135), (69, 265, 165), (86, 268, 146), (93, 264, 136)],
    ),
}
"""Winning rate and advantage as printed in alt_test_example.ipynb of github.com/nitaytech/AltTest, for how often the
judge, neither and the person were closer in its data (counted with `compare`; all 52 lines of it agree with ours)."""


@pytest.mark.parametrize("case", sorted(PUBLISHED))
def test_the_decision_is_the_published_one(case: tuple[str, str, float]) -> None:
    winning_rate, advantage, counts = PUBLISHED[case]
    found = decide([Comparison(f"person {number}", *row) for number, row in enumerate(counts)], case[2])
    assert (round(found.winning_rate, 2), round(found.advantage, 2)) == (winning_rate, advantage)
    assert found.passed == (winning_rate >= 0.5)


def test_the_p_value_is_that_of_the_t_test_on_the_differences() -> None:
    (contest,) = decide([Comparison("a", 10, 25, 5)], SKILLED).contests
    differences = [-1] * 10 + [0] * 25 + [1] * 5
    assert contest.p_value == pytest.approx(ttest_1samp(differences, SKILLED, alternative="less").pvalue, rel=1e-9)


def test_two_who_never_differ_are_decided_without_a_test() -> None:
    assert [one.p_value for one in decide([Comparison("a", 0, 40, 0)], 0.1).contests] == [0.0]
    assert [one.p_value for one in decide([Comparison("a", 0, 0, 40)], 0.1).contests] == [1.0]


def test_who_is_closer_by_hand() -> None:
    """Left out: anna. Item 1: others say x, x; the judge x, anna y. Item 2: y, x; both y, the same. Item 3: x alone;
    the judge y, anna x. Item 4 nobody else answered; item 5 the judge did not."""
    judge: dict[str, Answer] = {"1": "x", "2": "y", "3": "y", "4": "x"}
    people: dict[str, dict[str, Answer]] = {
        "anna": {"1": "y", "2": "y", "3": "x", "4": "x", "5": "x"},
        "bela": {"1": "x", "2": "y", "3": "x", "5": "x"},
        "carl": {"1": "x", "2": "x"},
    }
    assert compare(judge, people, "anna") == Comparison("anna", judge_closer=1, same=1, person_closer=1)


def test_a_judge_that_says_what_most_say_wins_and_one_that_says_the_opposite_loses() -> None:
    items = [str(number) for number in range(60)]
    people: dict[str, dict[str, Answer]] = {
        name: {item: int(number % 6 != place) for number, item in enumerate(items)}
        for place, name in enumerate(("a", "b", "c"))
    }
    found = alternative_test(dict.fromkeys(items, 1), people, 0.1)
    assert isinstance(found, AlternativeTest)
    assert (found.winning_rate, found.advantage, found.left_out) == (1.0, 1.0, ())
    opposite = alternative_test(dict.fromkeys(items, 0), people, 0.1)
    assert isinstance(opposite, AlternativeTest)
    assert (opposite.winning_rate, opposite.passed) == (0.0, False)


def test_people_with_few_items_are_left_out_and_none_is_said_plainly() -> None:
    items = [str(number) for number in range(40)]
    people: dict[str, dict[str, Answer]] = {"a": dict.fromkeys(items, 1), "b": dict.fromkeys(items, 1), "c": {"0": 1}}
    found = alternative_test(dict.fromkeys(items, 1), people, 0.1)
    assert isinstance(found, AlternativeTest)
    assert found.left_out == (("c", 1),)
    few: dict[str, dict[str, Answer]] = {"a": {"0": 1}, "b": {"0": 1}}
    assert alternative_test({"0": 1}, few, 0.1) == NoTest(
        "30 items are needed that the judge, one person and at least one other answered; "
        "the most that any person has is 1"
    )
