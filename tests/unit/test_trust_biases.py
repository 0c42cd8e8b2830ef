"""Length, family, position and image reliance: hand computations, and planted and absent biases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from backend.core.label_config import parse_label_config
from backend.core.measures import Estimate, NotComputable
from backend.core.trust.bias.association import partial_p, partial_spearman, sign_p, slope
from backend.core.trust.bias.biases import ImageReliance, biases, image_reliance
from backend.core.trust.bias.family_bias import family_bias, judge_model
from backend.core.trust.bias.opinions import opinions_of
from backend.core.trust.bias.position_bias import position_bias, sides_of
from backend.core.trust.bias.shares import Observed, Share
from backend.core.trust.labels import LabelledProject
from tests.labelled import PAIRWISE, judged, project, said, task, verdict
from tests.trust_simulated import simulated_pairs, simulated_project

PREFERENCE = """<View>
  <Image name="image" value="$image"/>
  <Text name="text_a" value="$text_a"/><Text name="text_b" value="$text_b"/>
  <Choices name="preference" toName="image">
    <Choice value="A"/><Choice value="B"/><Choice value="undecided"/>
  </Choices>
</View>"""


def array(values: Sequence[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(values, dtype=np.float64)


def about(value: float, give_or_take: float | None = None) -> Any:
    return pytest.approx(value, abs=give_or_take)


def test_a_partial_correlation_holds_the_third_fixed() -> None:
    # Ranks 1 2 3 4 5; 2 1 4 3 5; 1 2 3 5 4. Spearman is 1 - 6 sum d^2 / 120: r12 = 1 - 24 / 120 = 0.8,
    # r13 = 1 - 12 / 120 = 0.9, r23 = 1 - 6 (1 + 1 + 1 + 4 + 1) / 120 = 0.6.
    # (0.8 - 0.54) / sqrt(0.19 * 0.64) = 0.26 / 0.34871 = 0.74560
    one, other, given = array([1, 2, 3, 4, 5]), array([2, 1, 4, 3, 5]), array([1, 2, 3, 5, 4])
    found = partial_spearman(one, other, given, np.arange(5), np.ones(5))
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(0.7456, abs=1e-4)
    constant = partial_spearman(one, other, np.ones(5), np.arange(5), np.ones(5))
    assert isinstance(constant, Estimate)
    assert constant.value == pytest.approx(0.8)
    assert isinstance(partial_spearman(one, np.ones(5), given, np.arange(5), np.ones(5)), NotComputable)


def test_a_difference_within_strata_is_mantels_and_haenszels() -> None:
    # Among what people accept: 9 of 10 in the group and 12 of 20 outside, 0.9 - 0.6 = 0.3, weight 10 * 20 / 30 = 20/3;
    # among the others: 4 of 20 and 1 of 10, 0.1, weight 20/3. So (0.3 + 0.1) / 2 = 0.2, while the plain shares, 13 of
    # 30 on both sides, do not differ.
    cells = ((1, 1, 9, 10), (0, 1, 12, 20), (1, 0, 4, 20), (0, 0, 1, 10))
    rows = [(float(n < ones), group, given) for group, given, ones, of in cells for n in range(of)]
    outcome, group, given = (array(column) for column in zip(*rows, strict=True))
    found = slope(outcome, group, given, np.arange(60), np.ones(60))
    assert found is not None
    assert found.value == pytest.approx(0.2)
    assert found.low < 0.2 < found.high
    both = (np.tile(column, 2) for column in (outcome, group, given))
    twice = slope(next(both), next(both), next(both), np.tile(np.arange(60), 2), np.ones(120))
    assert twice == Share(about(found.value), about(found.low), about(found.high), 120, 60)
    # what is left of the group is 2/3 or 1/3 within the strata; (sum of e1 e2)^2 over the sum of their squares, below
    p = partial_p(outcome, group, given, np.arange(60), np.ones(60))
    left = group - np.where(given == 1, 1 / 3, 2 / 3)
    products = left * (outcome - np.where(given == 1, 0.7, 1 / 6))
    assert p == pytest.approx(2 * t.sf(products.sum() / (products**2).sum() ** 0.5, 58))
    assert slope(outcome, given, given, np.arange(60), np.ones(60)) is None


def test_a_sign_test_is_mcnemars() -> None:
    # 12 up, 4 down of 100: (12 - 4) / sqrt(12 + 4) = 2, and with 99 degrees of freedom p = 0.0482
    values = array([1] * 12 + [-1] * 4 + [0] * 84)
    assert sign_p(Observed(values, np.arange(100), np.ones(100)), 0.0) == pytest.approx(0.0482, abs=1e-4)
    assert sign_p(Observed(np.zeros(9), np.arange(9), np.ones(9)), 0.0) is None


def test_a_verdict_other_than_accept_leaves_accept_its_even_part_here_too() -> None:
    """Of three verdicts, (1 - 0.4) / 2 = 0.3: a weak reject is no likely accept."""
    found = opinions_of(
        project([task(1, verdict("reject", 0.4)), task(2, verdict("accept", 0.8)), task(3, judged(0.0))])
    )
    assert found.accept_prob.tolist() == pytest.approx([0.3, 0.8, np.nan], nan_ok=True)


def test_the_judges_model_is_the_start_of_its_fingerprint() -> None:
    assert judge_model("Qwen2.5-VL-7B-Instruct-0123456789ab") == "Qwen2.5-VL-7B-Instruct"
    assert judge_model("judge-1") == "judge-1"


def by_family(own: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]) -> LabelledProject:
    """What judge and person say of texts by Qwen and by Llava, for a Qwen judge."""
    rows = [("Qwen/Qwen3-VL-8B", pair) for pair in own] + [("llava-1.6-34b", pair) for pair in others]
    tasks = [
        task(number, verdict(judge), said("ann", verdict=person), drawn_with=0.2, data={"generator": name})
        for number, (name, (judge, person)) in enumerate(rows, 1)
    ]
    return replace(project(tasks), fingerprint="Qwen2.5-VL-7B-Instruct-0123456789ab")


def test_the_own_family_is_told_from_the_others() -> None:
    # Own: 40 texts, the judge accepts 30, people 20. Others: 40, the judge accepts 21, people 20.
    own = [("accept", "accept")] * 20 + [("accept", "reject")] * 10 + [("reject", "reject")] * 10
    others = [("accept", "accept")] * 19 + [("reject", "accept")] + [("accept", "fix")] * 2 + [("reject", "fix")] * 18
    labelled = by_family(own, others)
    found = family_bias(labelled, opinions_of(labelled))
    assert found.own is not None
    assert found.others is not None
    assert found.own.leniency is not None
    assert found.others.leniency is not None
    assert (found.own.name, found.own.leniency.value, found.others.leniency.value) == ("own family", 0.25, 0.025)
    assert [(one.name, one.tasks) for one in found.families] == [("qwen3-vl", 40), ("llava", 40)]
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.225)
    # among what people accept 20 of 20 and 19 of 20, 0.05; among the rest 10 of 20 and 2 of 20, 0.4; equal weights
    assert found.at_same_answer is not None
    assert found.at_same_answer.value == pytest.approx(0.225)
    (sentence,) = biases(labelled).warnings
    assert sentence.startswith(
        "generator family: of texts that people answer alike, the judge (Qwen2.5-VL-7B-Instruct) accepts 22 points "
        "more by its own family ("
    )
    # Own: a = 11 / 42, b = 1 / 42: 0.2381 give or take 1.96 sqrt((0.2857 - 0.2381^2) / 42) = 0.1447. Others: 3 / 42 and
    # 2 / 42: 0.0238 give or take 1.96 sqrt((0.1190 - 0.0238^2) / 42) = 0.1041.
    assert sentence.endswith(
        "; it accepts 25 points more (9 to 38) of its own family's texts than people do, and 2 points more (-8 to 13) "
        "of the others'."
    )


def test_a_judge_that_is_too_kind_to_all_does_not_favour_its_family() -> None:
    # It accepts all that people accept and half of the rest, of both families; but of its own three quarters are bad.
    bad, good = [("accept", "reject"), ("reject", "reject")], [("accept", "accept")] * 2
    labelled = by_family((bad * 3 + good) * 10, (bad + good * 3) * 10)
    found = family_bias(labelled, opinions_of(labelled))
    # 30 of 80 too many against 10 of 80
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.25)
    assert found.at_same_answer is not None
    assert found.at_same_answer.value == pytest.approx(0.0, abs=1e-12)
    assert biases(labelled).warnings == ()


def test_a_family_bias_that_cannot_be_told_says_why() -> None:
    few = by_family([("accept", "accept")] * 3, [("accept", "accept")] * 40)
    assert family_bias(few, opinions_of(few)).refused == (
        "20 blind answers are needed on texts of its own family and of others; there are 3 and 40"
    )
    none = project([task(1, verdict("accept"))])
    assert family_bias(none, opinions_of(none)).refused == "no task says in `generator` which model wrote its text"


def test_positions_are_counted_and_held_against_people() -> None:
    # Judge A and person A in 14 tasks, A and B in 12, B and B in 10, undecided and B in 3; one task has no answer.
    pairs = [("A", "A")] * 14 + [("A", "B")] * 12 + [("B", "B")] * 10 + [("undecided", "B")] * 3
    tasks = [
        task(number, judged(preference=(judge,)), said("ann", preference=(person,)), drawn_with=0.5)
        for number, (judge, person) in enumerate(pairs, 1)
    ]
    labelled = project([*tasks, task(40, judged(0.0)), task(41, None)], PREFERENCE)
    sides = sides_of(labelled)
    assert sides is not None
    found = position_bias(labelled, sides)
    assert (found.judged, found.unanswered, found.against, found.refused) == (40, 1, "people", None)
    shares = (found.undecided, found.first, found.people_first, found.people_undecided, found.more_than_people)
    assert [(one.value, one.of) for one in shares if one] == [
        (3 / 39, 39),
        (pytest.approx(26 / 36), 36),
        (pytest.approx(14 / 39), 39),
        (0.0, 39),
        (pytest.approx(12 / 36), 36),
    ]
    # 12 one way, none the other: sqrt(12) with 35 degrees of freedom
    assert found.p == pytest.approx(0.00143, abs=1e-5)
    # a = 13 / 38, b = 1 / 38: 0.3158 give or take 1.96 sqrt((0.3684 - 0.3158^2) / 38) = 0.1648
    assert biases(labelled).warnings == (
        "position: the judge prefers the first text in 72 % (56-84) of the tasks, people who labelled blind in 36 % "
        "(23-52); where both decide, that is 33 points more (15 to 48).",
    )


def test_without_people_the_first_place_is_held_against_chance() -> None:
    tasks = [task(number, judged(better="left" if number <= 30 else "right")) for number in range(1, 41)]
    labelled = project([*tasks, task(41, judged(0.0))], PAIRWISE)
    found = biases(labelled).position
    assert found is not None
    assert found.undecided is not None
    # an empty Pairwise is undecided; 30 of 40: (30 - 20) / sqrt(40 / 4) = 3.1623 with 39 degrees of freedom
    assert (found.undecided.value, found.against, found.p) == (1 / 41, "chance", about(0.00303, 1e-5))
    assert found.warning == (
        "position: the judge prefers the first text in 75 % (60-86) of the tasks; if texts were put in their places by "
        "chance, that is too uneven."
    )


def test_forms_with_verdicts_have_no_sides() -> None:
    assert sides_of(project([task(1, verdict("accept"))])) is None


def test_image_reliance_counts_what_was_judged_without_the_image() -> None:
    blind = replace(verdict("accept"), flags=("image-independent",), reliance=0.02)
    seeing = replace(verdict("accept"), flags=("own-family",), reliance=0.6)
    tasks = [
        task(1, blind),
        task(2, seeing),
        task(3, seeing),
        task(4, seeing),
        task(5, verdict("accept")),
        task(6, None),
    ]
    # Wilson for 1 of 4: 0.0456 to 0.6994
    assert image_reliance(project(tasks)) == ImageReliance(
        4, Share(0.25, about(0.0456, 1e-4), about(0.6994, 1e-4), 4, 4), about(0.455)
    )
    assert image_reliance(project(tasks[4:])).refused is not None


def test_a_planted_liking_for_length_is_told_from_long_texts_being_better() -> None:
    honest, biased = (
        biases(simulated_project(np.random.default_rng(3), tasks=1_000, images=400, likes_length=liking))
        for liking in (0.0, 0.6)
    )
    for found, is_biased in ((honest, False), (biased, True)):
        characters, words = found.length
        assert isinstance(characters.accept, Estimate)
        assert characters.accept.low is not None
        assert characters.accept.low > 0  # long texts are better, so any good judge accepts them more
        assert isinstance(characters.given_people, Estimate)
        assert characters.given_people.low is not None
        assert (characters.given_people.low > 0) == is_biased
        assert words.given_people == NotComputable("all scores are the same", characters.given_people.rows)
        assert (characters.unit, words.unit, words.p) == ("characters", "words", None)
        assert len(characters.quarters) == 4
    assert honest.warnings == ()
    (sentence,) = biased.warnings
    assert sentence.startswith("length: the judge likes long texts: where people decide alike, it goes with the number")
    assert json.loads(json.dumps(asdict(biased)))["tests"] == 2


def test_a_planted_liking_for_its_family_is_found() -> None:
    found = biases(simulated_project(np.random.default_rng(3), tasks=1_000, images=400, likes_own=1.0))
    assert [sentence.split(":")[0] for sentence in found.warnings] == ["generator family"]


def test_a_planted_liking_for_the_first_text_is_found() -> None:
    found = biases(simulated_pairs(np.random.default_rng(3), likes_first=1.0))
    assert [sentence.split(":")[0] for sentence in found.warnings] == ["position"]
    assert [one.unit for one in found.length] == ["characters", "words"]


def test_where_nothing_was_planted_few_projects_are_warned_of() -> None:
    alone = [
        biases(simulated_project(np.random.default_rng(seed), tasks=200), resamples=40).warnings for seed in range(200)
    ]
    pairs = [
        biases(simulated_pairs(np.random.default_rng(seed), tasks=80), resamples=40).warnings for seed in range(200)
    ]
    # 5 % of 200
    assert sum(map(bool, alone)) <= 10
    assert sum(map(bool, pairs)) <= 10


def test_texts_that_compete_are_measured_by_the_difference_of_their_lengths() -> None:
    config = parse_label_config(PREFERENCE)
    assert config.control("preference") is not None
    # The judge takes the longer one always, people the first one in half of the cases, whatever its length.
    tasks = []
    for number in range(1, 61):
        longer = number % 3 == 0
        data = {"text_a": "a b c" if longer else "a", "text_b": "a b"}
        person = said("ann", preference=("A" if number % 2 else "B",))
        judge = judged(preference=("A" if longer else "B",))
        tasks.append(task(number, judge, person, drawn_with=1.0, data=data))
    words = biases(project(tasks, PREFERENCE)).length[1]
    assert isinstance(words.given_people, Estimate)
    assert words.given_people.value == pytest.approx(1.0)
    assert words.warning is None or "likes long texts" in words.warning
