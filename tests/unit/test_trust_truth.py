"""The one answer of several people, that a judge is held against."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.label_config import parse_label_config
from backend.core.trust.labels import Said
from backend.core.trust.truth import (
    UNDECIDED,
    consolidated,
    consolidated_value,
    decision_of,
    latest_of_each,
    value_of,
)
from tests.labelled import IMAGE_TEXT, OWN_FORM, PAIRWISE, said, skip

REVIEW = parse_label_config(IMAGE_TEXT)
PAIR = parse_label_config(PAIRWISE)
OWN = parse_label_config(OWN_FORM)


def test_one_persons_verdict_is_the_answer() -> None:
    only = said("ann", verdict="fix", realism=2)
    assert consolidated([only], REVIEW) == only


def test_a_strict_majority_answers_in_the_words_of_its_latest() -> None:
    first, other, last = (
        said("ann", verdict="accept", realism=5),
        said("ben", verdict="reject", realism=1),
        said("cid", verdict="accept", realism=4),
    )
    assert consolidated([first, other, last], REVIEW) == last
    assert consolidated([last, first, other], REVIEW) == first


@pytest.mark.parametrize("words", [("accept", "fix"), ("accept", "fix", "reject"), ("accept", "accept", "fix", "fix")])
def test_no_more_than_half_is_no_answer(words: tuple[str, ...]) -> None:
    assert consolidated([said(str(who), verdict=word) for who, word in enumerate(words)], REVIEW) is None


def test_skips_and_empty_verdicts_say_nothing() -> None:
    one = said("ann", verdict="accept")
    assert consolidated([skip("ben"), one, said("cid", realism=3), skip("dan")], REVIEW) == one
    assert consolidated([skip("ben"), skip("dan")], REVIEW) is None
    assert consolidated([said("cid", realism=3)], REVIEW) is None
    assert consolidated([], REVIEW) is None


def test_who_labels_twice_has_one_say_and_it_is_the_latest() -> None:
    changed = said("ann", verdict="reject")
    assert consolidated([said("ann", verdict="accept"), changed], REVIEW) == changed
    assert consolidated([said("ann", verdict="accept"), skip("ann")], REVIEW) is None
    two_against_one = [said("ann", verdict="accept"), said("ann", verdict="accept"), said("ben", verdict="fix")]
    assert consolidated(two_against_one, REVIEW) is None


def test_the_latest_of_each_keeps_the_order_of_time() -> None:
    a1, b1, a2 = said("ann", realism=1), said("ben", realism=2), said("ann", realism=3)
    assert latest_of_each([a1, b1, a2]) == (b1, a2)


def test_an_empty_pairwise_is_a_decision() -> None:
    """Label Studio stores nothing for `undecided`: two who left it empty outvote one who did not."""
    empty, also, left = said("ann"), said("ben"), said("cid", better="left")
    assert consolidated([empty, left, also], PAIR) == also
    assert consolidated([empty, left], PAIR) is None
    assert (decision_of({}, PAIR), decision_of({"better": "left"}, PAIR), decision_of(None, PAIR)) == (
        UNDECIDED,
        "left",
        None,
    )


def test_a_pairwise_that_was_not_shown_says_nothing() -> None:
    hidden = parse_label_config(
        PAIRWISE.replace(
            "<Pairwise ",
            '<Choices name="both" toName="image"><Choice value="yes"/></Choices>'
            '<Pairwise visibleWhen="choice-selected" whenTagName="both" ',
        )
    )
    assert decision_of({}, hidden) is None


def test_a_form_of_ones_own_takes_the_latest_label() -> None:
    early, late = said("ann", style=("photo",)), said("ben", style=("drawing",))
    assert consolidated([early, late, skip("cid")], OWN) == late
    assert consolidated([skip("cid")], OWN) is None
    assert decision_of(late.values, OWN) is None


def test_one_control_breaks_ties_by_the_latest() -> None:
    realism = REVIEW.control("realism")
    assert realism is not None
    assert consolidated_value([said("a", realism=3), said("b", realism=5), said("c", realism=3)], realism) == 3
    assert consolidated_value([said("a", realism=3), said("b", realism=5)], realism) == 5
    assert consolidated_value([said("a", realism=3), said("b"), skip("c")], realism) == 3
    assert consolidated_value([said("b"), skip("c")], realism) is None
    assert value_of(skip("c"), realism) is None


def test_sets_are_alike_in_any_order() -> None:
    faults = OWN.control("faults")
    assert faults is not None
    labels = [said("a", faults=("blur", "hands")), said("b", faults=("hands", "blur")), said("c", faults=("blur",))]
    assert consolidated_value(labels, faults) == ("hands", "blur")


LABELS = st.lists(
    st.builds(
        lambda who, word: skip(who) if word is None else said(who, verdict=word),
        st.sampled_from("abcde"),
        st.sampled_from([None, "accept", "fix", "reject"]),
    ),
    max_size=8,
)


@given(LABELS)
def test_an_answer_is_always_that_of_more_than_half_who_decided(labels: list[Said]) -> None:
    answer = consolidated(labels, REVIEW)
    decided = [one.values["verdict"] for one in latest_of_each(labels) if not one.skipped]
    most = max((decided.count(word) for word in decided), default=0)
    if answer is None:
        assert 2 * most <= len(decided)
    else:
        assert 2 * decided.count(answer.values["verdict"]) > len(decided)
        assert answer in labels
