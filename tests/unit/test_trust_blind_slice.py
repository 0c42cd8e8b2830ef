"""Which labels of the blind slice are a random draw, whom they speak for, and when the judge is wrong by them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.core.audit import AuditPlan
from backend.core.trust.acceptance.blind import (
    BlindSlice,
    blind_slice_of,
    digest_of_look,
    is_wrong,
    labels_of,
    only_random,
    population_of,
    strata_of,
)
from backend.core.trust.acceptance.certificate import BlindLabel
from backend.core.trust.labels import LabelledTask, Said
from tests.labelled import OWN_FORM, PAIRWISE, judged, said, skip, task, verdict
from tests.trust_readings import KEY, PLAN, in_order, labelled_project

NUMBERS = range(1, 41)
ORDER = in_order(NUMBERS)
"""The 18 tasks of a slice of half of forty, from the first drawn on."""
EVEN = labelled_project([]).config


def labelled(number: int, says: str = "accept") -> LabelledTask:
    return task(number, verdict("accept"), said("ann", verdict=says))


def unlabelled(number: int) -> LabelledTask:
    return task(number, verdict("accept"))


def slice_with(labels: set[int]) -> BlindSlice:
    tasks = [labelled(n) if n in labels else unlabelled(n) for n in NUMBERS]
    return blind_slice_of(labelled_project(tasks).tasks, PLAN)


def numbers(found: BlindSlice) -> list[int]:
    return [each.task for each in found.labelled]


def test_the_slice_is_read_in_the_order_of_the_draw_and_not_of_the_numbers() -> None:
    assert sorted(ORDER) != ORDER
    assert len(ORDER) == 18
    everything = slice_with(set(ORDER))
    assert (numbers(everything), everything.drawn, everything.missing, everything.beyond) == (ORDER, 18, (), 0)


def test_who_stops_half_way_has_labelled_a_random_draw() -> None:
    found = slice_with(set(ORDER[:7]))
    assert (numbers(found), found.drawn, found.missing, found.beyond) == (ORDER[:7], 18, (), 0)


def test_labels_after_a_gap_do_not_count_and_the_gaps_are_named() -> None:
    """Third and sixth of the draw are left out, and the last label is the ninth: 2 count, 5 lie beyond."""
    found = slice_with({*ORDER[:2], *ORDER[3:5], *ORDER[6:9]})
    assert (numbers(found), found.missing, found.beyond) == (ORDER[:2], (ORDER[2], ORDER[5]), 5)
    filled = slice_with({*ORDER[:5], *ORDER[6:9]})
    assert (numbers(filled), filled.missing, filled.beyond) == (ORDER[:5], (ORDER[5],), 3)


def test_a_report_takes_only_what_is_a_random_draw_and_weighs_it_by_how_far_people_came() -> None:
    """9 of the 18 drawn are labelled, 5 of them before the gap: each was drawn with 1/2 times 5/18."""
    chosen = {*ORDER[:5], *ORDER[6:10]}
    tasks = [labelled(n) if n in chosen else unlabelled(n) for n in NUMBERS]
    found = only_random(labelled_project(tasks), PLAN)
    blind = {one.task: one.drawn_with for one in found.tasks if one.blind}
    assert blind == dict.fromkeys(ORDER[:5], pytest.approx(0.5 * 5 / 18))
    assert {one.task for one in found.tasks if not one.counts} == set(ORDER[5:])


def test_nothing_is_labelled_and_nothing_is_drawn() -> None:
    assert slice_with(set()) == BlindSlice(18, (), (), 0)
    assert blind_slice_of([], PLAN) == BlindSlice(0, (), (), 0)


def test_a_skip_fills_a_gap() -> None:
    tasks = [task(n, verdict("accept"), skip("ann")) if n == ORDER[0] else unlabelled(n) for n in NUMBERS]
    assert numbers(blind_slice_of(labelled_project(tasks).tasks, PLAN)) == ORDER[:1]


def test_tasks_that_the_judge_has_not_answered_are_no_gap() -> None:
    tasks = [task(n, None) if n == ORDER[0] else labelled(n) for n in NUMBERS]
    found = blind_slice_of(labelled_project(tasks).tasks, PLAN)
    assert (numbers(found), found.drawn) == (ORDER[1:], 17)


def test_only_answers_that_may_stand_alone_are_spoken_for() -> None:
    """A text that nobody has read must not become the final one, so `fix` always needs a person."""
    tasks = [task(1, verdict("accept")), task(2, verdict("fix")), task(3, verdict("reject")), task(4, judged())]
    assert [each.task for each in population_of([*tasks, task(5, None)], EVEN)] == [1, 3]
    pairs = labelled_project([], xml=PAIRWISE).config
    undecided, preferred = task(1, judged()), task(2, judged(better="left"))
    assert [each.task for each in population_of([undecided, preferred], pairs)] == [2]
    own = labelled_project([], xml=OWN_FORM).config
    whole = judged(style=("photo",), faults=(), place=(("in",),), people=2)
    assert [each.task for each in population_of([task(1, whole), task(2, judged(people=2))], own)] == [1]


def test_labels_of_tasks_outside_the_population_are_left_out_and_carry_their_probability() -> None:
    tasks = [labelled(n, "reject" if n == ORDER[1] else "accept") for n in NUMBERS]
    project = labelled_project(tasks)
    population = {n: 0.9 for n in NUMBERS if n != ORDER[0]}
    made = labels_of(blind_slice_of(project.tasks, PLAN), project.config, population)
    assert made == tuple(BlindLabel(n, n == ORDER[1], 0.5) for n in ORDER[1:])


@pytest.mark.parametrize(
    ("labels", "wrong"),
    [
        ((said("ann", verdict="accept"),), False),
        ((said("ann", verdict="reject"),), True),
        ((skip("ann"),), True),
        ((), True),
        ((said("ann", realism=4),), True),
        ((said("ann", verdict="accept"), said("bob", verdict="reject")), True),
        ((said("ann", verdict="accept"), said("bob", verdict="reject"), said("cy", verdict="accept")), False),
        ((said("ann", verdict="reject"), said("ann", verdict="accept")), False),
        ((skip("ann"), said("bob", verdict="accept")), False),
    ],
    ids=["same", "other", "skip", "nobody", "no verdict", "tie", "majority", "latest of one", "skip and same"],
)
def test_when_the_judge_is_wrong(labels: tuple[Said, ...], wrong: bool) -> None:
    one = replace(task(1, verdict("accept")), said=labels)
    assert is_wrong(one, one.said, EVEN) is wrong


def test_a_label_by_somebody_who_saw_the_answer_is_no_blind_one_and_counts_as_wrong() -> None:
    seen = {ORDER[0]: said("ann", saw=True, verdict="accept")}
    tasks = [task(n, verdict("accept"), seen.get(n, said("ann", verdict="accept"))) for n in NUMBERS]
    project = labelled_project(tasks)
    made = labels_of(blind_slice_of(project.tasks, PLAN), project.config, dict.fromkeys(NUMBERS, 0.9))
    assert [label.task for label in made if label.wrong] == [ORDER[0]]


def test_the_same_labels_and_promise_are_the_same_look() -> None:
    labels = [BlindLabel(3, True), BlindLabel(12, False)]
    same = digest_of_look(labels, "5 %")
    assert same == digest_of_look(reversed(labels), "5 %")
    others = [
        digest_of_look(labels, "10 %"),
        digest_of_look([BlindLabel(3, False), BlindLabel(12, False)], "5 %"),
        digest_of_look([BlindLabel(31, True), BlindLabel(2, False)], "5 %"),
        digest_of_look(labels[:1], "5 %"),
    ]
    assert len({same, *others}) == 5


def by_generator(plan: AuditPlan, *names: str) -> dict[str, list[int]]:
    tasks = [task(n, verdict("accept"), data={"generator": names[n % len(names)]}) for n in range(1, 7)]
    return {name: [each.task for each in found] for name, found in strata_of(labelled_project(tasks), plan).items()}


def test_tasks_that_were_drawn_alike_are_one_stratum() -> None:
    """By group with the same share each is an even draw, and so is a project of one group alone."""
    everyone = {"": [1, 2, 3, 4, 5, 6]}
    assert by_generator(PLAN, "a", "b") == everyone
    assert by_generator(AuditPlan(0.5, KEY, "generator", (("a", 0.5), ("b", 0.5))), "a", "b") == everyone
    assert by_generator(AuditPlan(0.5, KEY, "generator", (("a", 0.2), ("b", 0.8))), "a") == everyone


def test_groups_with_shares_of_their_own_are_strata() -> None:
    plan = AuditPlan(0.5, KEY, "generator", (("a", 0.2), ("b", 0.8)))
    assert by_generator(plan, "a", "b") == {"a": [2, 4, 6], "b": [1, 3, 5]}
    assert by_generator(plan, "b", "") == {"": [1, 3, 5], "b": [2, 4, 6]}


def test_a_group_that_came_after_the_draw_makes_it_uneven() -> None:
    """It has the share of the whole, 10 %, and not that which the others have, 40 %."""
    plan = AuditPlan(0.1, KEY, "generator", (("a", 0.4), ("b", 0.4)))
    assert set(by_generator(plan, "a", "b", "new")) == {"a", "b", "new"}
