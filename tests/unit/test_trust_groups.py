"""Shares, differences and tests against published numbers and hand computations; groups of planted and of no bias."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from backend.core.trust.bias.groups import Comparison, GroupStats, group_report
from backend.core.trust.bias.metadata import LeftOut, partings, quarters
from backend.core.trust.bias.shares import (
    GroupTest,
    Observed,
    Share,
    adjusted,
    difference,
    homogeneity,
    more_or_fewer,
    net_share,
    percent,
    share,
)
from backend.core.trust.labels import LabelledProject, LabelledTask
from tests.labelled import project, said, skip, task, verdict
from tests.trust_simulated import simulated_project


def observed(values: list[float], images: list[int] | None = None, weights: list[float] | None = None) -> Observed:
    count = len(values)
    return Observed(
        np.array(values, dtype=np.float64),
        np.array(range(count) if images is None else images, dtype=np.intp),
        np.array([1.0] * count if weights is None else weights),
    )


def ones(count: int, of: int) -> list[float]:
    return [1.0] * count + [0.0] * (of - count)


def numbered(*sizes: int) -> NDArray[np.intp]:
    return np.repeat(np.arange(len(sizes)), sizes)


def test_a_share_of_independent_tasks_has_wilsons_interval() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    found = share(observed(ones(81, 263)))
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (81 / 263, 0.2553, 0.3662)
    none = share(observed(ones(0, 20)))
    assert (none.low, round(none.high, 4), none.of, none.images) == (0.0, 0.1611, 20, 20)


def test_two_tasks_per_image_that_say_the_same_count_for_hardly_more_than_half() -> None:
    # Ten images, two tasks each, half of the images all ones. By image the mean is moved by 2 (1 - 0.5) / 20 = 0.05,
    # so its variance is 10 / 9 * 10 * 0.05^2 = 0.027778; of 20 independent tasks 0.25 / 19 = 0.013158. Design effect
    # 2.1111, so 20 / 2.1111 = 9.4737 tasks; times (1.95996 / t(9) = 2.26216)^2 = 0.75067 that is 7.1116.
    n, z = 7.1116, 1.959964
    half = z * (0.25 / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    found = share(
        observed([float(image % 2) for image in range(10) for _ in range(2)], [i for i in range(10) for _ in "ab"])
    )
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
    assert (found.of, found.images) == (20, 10)


def test_tasks_that_were_drawn_rarely_count_for_more_and_make_the_share_less_sure() -> None:
    # 10 ones drawn with 0.5 and 10 zeros drawn with 0.1: weights 2 and 10, so the share is 20 / 120.
    even, uneven = share(observed(ones(10, 20))), share(observed(ones(10, 20), weights=[2.0] * 10 + [10.0] * 10))
    assert uneven.value == pytest.approx(1 / 6)
    # Kish: (10 * 2 + 10 * 10)^2 / (10 * 4 + 10 * 100) = 13.85 tasks at most
    assert uneven.high - uneven.low > (even.high - even.low) * (20 / 13.85) ** 0.5 * 0.7


def test_one_image_alone_says_next_to_nothing() -> None:
    found = share(observed([1.0, 1.0, 0.0], [0, 0, 0]))
    assert found.low < 0.2
    assert found.high > 0.9


def test_differences_of_shares_are_newcombes() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), 873-890, table II (a), method 10
    found = difference(observed(ones(56, 70)), observed(ones(48, 80), list(range(70, 150))))
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)


def test_a_difference_on_the_same_images_is_surer_than_on_others() -> None:
    # 30 and 26 of 60, the 26 all among the 30: four tasks differ, all the same way
    first, second = ones(30, 60), ones(26, 60)
    apart = difference(observed(first), observed(second, list(range(60, 120))))
    same = difference(observed(first), observed(second))
    assert apart.value == same.value == pytest.approx(4 / 60)
    assert same.low > 0 > apart.low


def test_a_net_share_is_bonetts_and_prices() -> None:
    # 6 of 20 wrongly accepted, 1 wrongly not: a = 7 / 22, b = 2 / 22, a - b = 0.22727;
    # z sqrt((0.31818 + 0.09091 - 0.22727^2) / 22) = 1.95996 * 0.12747 = 0.24984
    found = net_share(observed([1.0] * 6 + [-1.0] + [0.0] * 13))
    assert (found.value, found.low, found.high) == pytest.approx((0.25, -0.02257, 0.47711), abs=1e-4)


def test_homogeneity_of_independent_tasks_is_pearsons_chi_square() -> None:
    # 30 of 100 and 50 of 100: 200 (30 * 50 - 70 * 50)^2 / (100 * 100 * 80 * 120) = 8.3333, p = 0.0039
    found = homogeneity(observed([*ones(30, 100), *ones(50, 100)]), numbered(100, 100))
    assert isinstance(found, GroupTest)
    assert (round(found.p, 4), found.method) == (0.0039, "chi-square")
    table = [[30, 70], [50, 50], [33, 47]]
    three = homogeneity(observed([*ones(30, 100), *ones(50, 100), *ones(33, 80)]), numbered(100, 100, 80))
    assert isinstance(three, GroupTest)
    assert three.p == pytest.approx(chi2_contingency(table, correction=False).pvalue)


def test_every_task_twice_is_no_more_evidence_when_images_are_kept_together() -> None:
    # Scores of groups of one size: U = -10 of 12 variance (80 * 0.6^2 / 4 + 120 * 0.4^2 / 4 = 12), 8.3333 as above;
    # twice over (-20)^2 / 48.
    values, groups = [*ones(30, 100), *ones(50, 100)], numbered(100, 100)
    twice = homogeneity(observed(values * 2, [*range(200), *range(200)]), np.tile(groups, 2))
    assert isinstance(twice, GroupTest)
    assert (round(twice.p, 4), twice.method) == (0.0039, "chi-square, images kept together")


def test_few_outcomes_are_tested_exactly() -> None:
    # Fisher's lady tasting tea: three of four and one of four; two-sided p = 34 / 70 = 0.486
    found = homogeneity(observed([1, 1, 1, 0, 1, 0, 0, 0]), numbered(4, 4))
    assert isinstance(found, GroupTest)
    assert found.p == pytest.approx(34 / 70, abs=0.04)
    # No of 30 and 6 of 30: 2 * C(30, 6) / C(60, 6) = 2 * 593775 / 50063860 = 0.0237
    rare = homogeneity(observed([*ones(0, 30), *ones(6, 30)]), numbered(30, 30))
    assert isinstance(rare, GroupTest)
    assert rare.p == pytest.approx(0.0237, abs=0.003)
    assert rare.method == "exact, by drawn tables"


def test_what_cannot_be_tested_says_why() -> None:
    assert homogeneity(observed([1.0] * 40), numbered(20, 20)) == "all have the same outcome"
    uneven = homogeneity(observed(ones(2, 40), weights=[1.0] * 20 + [2.0] * 20), numbered(20, 20))
    assert uneven == "too few of the rarer outcome, in a slice that was drawn unevenly"


def test_p_values_are_made_good_for_their_number() -> None:
    # Three tests: times 3 (1 + 1/2 + 1/3) / rank = 5.5 / rank: 0.01 * 5.5, 0.04 * 5.5 / 3, and 0.03 * 5.5 / 2 = 0.0825,
    # which may not exceed the next one.
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.055, 0.22 / 3, 0.22 / 3])
    assert adjusted([]) == []


def test_shares_in_words() -> None:
    assert percent(Share(0.81, 0.756, 0.853, 200, 200)) == "81 % (76-85)"
    assert percent(Share(0.043, 0.021, 0.1049, 200, 200)) == "4.3 % (2.1-10.5)"
    assert more_or_fewer(Share(-0.03, -0.06, 0.004, 200, 200)) == "3 points fewer (-6 to 0)"


def with_data(*rows: Mapping[str, Any]) -> LabelledProject:
    return project([task(number, None, data=row) for number, row in enumerate(rows, 1)])


def test_fields_are_those_that_part_the_tasks_and_are_not_shown() -> None:
    parted, left_out = partings(
        with_data(
            *(
                {
                    "image": "a.png",
                    "caption": "same",
                    "generator": "A" if number < 4 else "B",
                    "checked": number % 2 == 0,
                    "made": "2024",
                    "words": {"a": 1},
                    "key": f"key {number}",
                    "score": number / 2,
                    **({"style": "plain"} if number < 5 else {}),
                }
                for number in range(1, 17)
            )
        )
    )
    assert [(one.field, one.names, one.index.tolist(), one.quarters) for one in parted] == [
        ("checked", ("false", "true"), [0, 1] * 8, False),
        ("generator", ("B", "A"), [1] * 3 + [0] * 13, False),
        ("score", ("0.5 to 2", "2.5 to 4", "4.5 to 6", "6.5 to 8"), [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4, True),
        ("style", ("plain", "not given"), [0] * 4 + [1] * 12, False),
    ]
    assert left_out == (
        LeftOut("key", "nearly every task has a value of its own"),
        LeftOut("made", "all tasks have the value “2024”"),
        LeftOut("words", "its values are lists or objects"),
    )


def test_a_field_that_is_asked_for_is_looked_at_with_its_rare_values_together() -> None:
    rows = [{"meta": {"place": f"place {number:02}"}} for number in range(35)]
    rows += [{"meta": {"place": "place 07"}}, {"meta": {}}]
    parted, left_out = partings(with_data(*rows), ["meta.place"])
    (one,) = parted
    assert (len(one.names), one.names[0], one.names[-2:]) == (31, "place 07", ("6 other values", "not given"))
    assert one.index[[7, 35, 34, 36]].tolist() == [0, 0, 29, 30]
    assert left_out == (LeftOut("meta", "its values are lists or objects"),)


def test_equal_numbers_stay_in_one_quarter() -> None:
    found = quarters("year", [1.0] * 9 + [2.0, 3.0, 3.0, None])
    assert found is not None
    assert (found.names, found.index.tolist()) == (("1", "2 to 3", "not given"), [0] * 9 + [1, 1, 1, 2])
    assert quarters("year", [2.0, None, 2.0]) is None


def labelled_by_hand() -> LabelledProject:
    """Generator A: 30 tasks, of which the judge accepts 24; B: 30, 9 of them. Ten of each are labelled blind."""
    tasks: list[LabelledTask] = []
    for name, accepts, people in (
        ("A", 24, ("accept",) * 8 + ("reject",) * 2),
        ("B", 9, ("accept",) * 6 + ("fix",) * 3),
    ):
        for number in range(30):
            judge = verdict("accept" if number < accepts else "reject", 0.9 if number < 15 else 0.7)
            labels = [said("ann", verdict=people[number])] if number < len(people) else []
            if name == "B" and number == 9:
                labels = [skip("ann")]
            tasks.append(
                task(len(tasks) + 1, judge, *labels, drawn_with=0.1 if number < 10 else None, data={"generator": name})
            )
    tasks.append(task(61, None, data={"generator": "B"}))
    return project(tasks)


def test_groups_carry_what_judge_and_people_say() -> None:
    report = group_report(labelled_by_hand())
    (field,) = report.fields
    b, a = field.groups
    assert (b.name, b.tasks, b.images, b.judged, b.blind_labels) == ("B", 31, 31, 30, 10)
    assert (a.name, a.tasks, a.images, a.judged, a.blind_labels) == ("A", 30, 30, 30, 10)

    def values(group: GroupStats) -> list[float]:
        shares = [group.accepted, group.confidence, group.people_accept, group.error]
        shares += [group.false_accept, group.false_reject, group.leniency]
        return [round(one.value, 4) for one in shares if one is not None]

    # A, blind: the judge accepts all ten, people eight: wrong 2 of 10, both as false accepts; leniency 2 of 10.
    assert values(a) == [0.8, 0.8, 0.8, 0.2, 1.0, 0.0, 0.2]
    # B, blind: the judge accepts nine, people six of nine; the tenth is skipped, which counts as wrong: 4 of 10. All
    # three that people would fix are accepted; leniency 3 of 9.
    assert values(b) == [0.3, 0.8, 0.6667, 0.4, 1.0, 0.0, 0.3333]


def test_groups_that_differ_are_named_with_their_numbers() -> None:
    report = group_report(labelled_by_hand())
    # 24 of 30 and 9 of 30: chi-square 60 (24 * 21 - 6 * 9)^2 / (30 * 30 * 33 * 27) = 15.152, p = 9.92e-5.
    # Wilson: 0.627 to 0.905 and 0.167 to 0.479, so 0.5 - sqrt(0.173^2 + 0.179^2) = 0.251 to
    # 0.5 + sqrt(0.105^2 + 0.133^2) = 0.670. Ten labels each are too few for the other two.
    (field,) = report.fields
    accepted, wrong, lenient = field.comparisons
    assert accepted.p == accepted.adjusted_p == pytest.approx(9.92e-5, rel=1e-2)
    assert (accepted.of, accepted.highest, accepted.lowest, accepted.method) == ("accepted", "A", "B", "chi-square")
    few = "fewer than two groups have 20 tasks it is known of"
    assert (wrong, lenient) == (Comparison("wrong", (), refused=few), Comparison("lenient", (), refused=few))
    assert report.warnings == (
        "generator: the judge accepts 80 % (63-90) of the tasks with “A” and 30 % (17-48) of those with “B” "
        "(50 points apart, 25 to 67); there are too few blind labels to say whether people would too.",
    )
    assert (report.tests, report.left_out) == (1, ())


def test_a_form_without_verdicts_is_compared_by_error_alone() -> None:
    xml = """<View><Image name="image" value="$image"/><Choices name="style" toName="image">
      <Choice value="photo"/><Choice value="drawing"/></Choices></View>"""
    tasks = [
        task(
            number,
            verdict("accept", style=("photo",)),
            said("ann", style=("photo" if number % (10 if number <= 50 else 2) else "drawing",)),
            drawn_with=1.0,
            data={"source": "old" if number <= 50 else "new"},
        )
        for number in range(1, 101)
    ]
    report = group_report(project(tasks, xml))
    (field,) = report.fields
    assert [(one.of, one.highest, one.lowest) for one in field.comparisons] == [("wrong", "new", "old")]
    # 25 of 50 and 5 of 50; 0.4 - sqrt(0.134^2 + 0.114^2) = 0.225 to 0.4 + sqrt(0.134^2 + 0.056^2) = 0.545
    assert report.warnings == (
        "source: the judge is wrong about 50 % (37-63) of the tasks with “new” and 10 % (4-21) of those with “old”, "
        "5 times as often (40 points apart, 22 to 55).",
    )


def test_a_planted_bias_is_found_and_told_from_the_others() -> None:
    report = group_report(simulated_project(np.random.default_rng(7), tasks=2_000, images=800, likes_style=1.2))
    assert any(sentence.startswith("style: the judge accepts ") for sentence in report.warnings)
    assert any(
        "points more" in sentence and "than people who labelled blind" in sentence for sentence in report.warnings
    )
    style = next(one for one in report.fields if one.field == "style")
    assert {(one.of, one.highest) for one in style.comparisons if (one.adjusted_p or 1) < 0.05} >= {
        ("accepted", "plain"),
        ("lenient", "plain"),
    }
    assert [one.field for one in report.fields] == ["aesthetic", "generator", "source", "style"]
    assert json.loads(json.dumps(asdict(report)))["fields"][3]["groups"][0]["name"] in (
        "plain",
        "formal",
        "short",
        "list",
    )


def test_where_nothing_was_planted_few_projects_are_warned_of() -> None:
    """Generators differ in truth; so only the fields that make no difference are counted, with all tests together."""
    false = 0
    for seed in range(200):
        report = group_report(simulated_project(np.random.default_rng(seed), tasks=150, images=60))
        false += any(one.warnings for one in report.fields if one.field != "generator")
    assert false <= 10  # 5 % of 200
