"""Agreement over a whole project: which labels are compared with what, and what cannot be computed says why."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from backend.core.measures import Estimate, NotComputable, Outcome
from backend.core.trust.agreement.answers import NotMeasured
from backend.core.trust.agreement.project_agreement import ControlAgreement, ProjectAgreement, agreement_of
from backend.core.trust.agreement.raters import Confusion
from tests.labelled import IMAGE_TEXT, OWN_FORM, PAIRWISE, judged, project, said, skip, task, verdict


def of(found: ProjectAgreement, control: str) -> ControlAgreement:
    return next(one for one in found.controls if one.control == control)


def value(outcome: Outcome) -> float:
    assert isinstance(outcome, Estimate), outcome
    return outcome.value


def test_blind_and_shown_labels_are_never_mixed() -> None:
    """Blind: judge right in 1 of 2 tasks. Shown: right in 3 of 3. A label outside of both is in neither."""
    found = agreement_of(
        project(
            [
                task(1, verdict("accept"), said("ann", verdict="accept"), drawn_with=0.1),
                task(2, verdict("accept"), said("ann", verdict="reject"), drawn_with=0.1),
                *(task(n, verdict("fix"), said("ann", saw=True, verdict="fix")) for n in (3, 4, 5)),
                task(6, verdict("fix"), said("ann", verdict="reject")),
                task(7, verdict("fix"), said("ann", saw=True, verdict="fix"), drawn_with=0.1),
            ]
        )
    )
    both = of(found, "verdict")
    assert (both.tag, both.measured_as, found.kind, found.weighted) == ("Choices", "answers", "image-text", False)
    assert (both.blind.judge.tasks, value(both.blind.judge.percent)) == (2, 0.5)
    assert (both.shown.judge.tasks, value(both.shown.judge.percent)) == (4, 1.0)
    assert both.blind.judge.confusion == Confusion(("accept", "fix", "reject"), ((1, 0, 1), (0, 0, 0), (0, 0, 0)))
    assert both.shown.judge.confusion == Confusion(("accept", "fix", "reject"), ((0, 0, 0), (0, 4, 0), (0, 0, 0)))


def test_kappa_of_judge_and_people_by_hand() -> None:
    """Judge and people both accept 4, both reject 4; one apart each way: p_o 0.8, p_e 0.5, kappa 0.6.

    Gwet: pi is 1/2, 1/2 and 0 of three answers: p_e = (1/4 + 1/4) / 2 = 0.25, AC1 = 0.55 / 0.75. Alpha: D_o = 2/10,
    D_e = 2 * 10 * 10 / (20 * 19): 1 - 0.2 * 1.9 = 0.62.
    """
    pairs = [("accept", "accept")] * 4 + [("reject", "reject")] * 4 + [("accept", "reject"), ("reject", "accept")]
    tasks = [task(n, verdict(j), said("ann", verdict=h), drawn_with=0.5) for n, (j, h) in enumerate(pairs)]
    judge = of(agreement_of(project(tasks)), "verdict").blind.judge
    assert value(judge.percent) == pytest.approx(0.8)
    assert value(judge.kappa) == pytest.approx(0.6)
    assert value(judge.ac) == pytest.approx(0.55 / 0.75)
    assert value(judge.alpha) == pytest.approx(0.62)
    assert (judge.tasks, judge.images, judge.raters) == (10, 10, 2)


def test_the_judge_is_held_against_the_majority_else_the_latest() -> None:
    tasks = [
        task(
            1, verdict("fix"), *(said(who, verdict=w) for who, w in zip("abc", ("fix", "fix", "accept"), strict=True))
        ),
        task(2, verdict("fix"), said("a", verdict="accept"), said("b", verdict="fix")),
        task(3, verdict("fix"), said("a", verdict="fix"), said("b", verdict="accept")),
    ]
    drawn = [task(one.task, one.judge, *one.said, drawn_with=0.2) for one in tasks]
    assert value(of(agreement_of(project(drawn)), "verdict").blind.judge.percent) == pytest.approx(2 / 3)


def test_skips_unanswered_tasks_and_empty_controls_are_no_ratings() -> None:
    found = agreement_of(
        project(
            [
                task(1, verdict("fix"), skip("ann"), drawn_with=0.1),
                task(2, None, said("ann", verdict="fix", realism=3), drawn_with=0.1),
                task(3, verdict("fix", realism=4), said("ann", realism=4), skip("ben"), drawn_with=0.1),
            ]
        )
    )
    why = NotComputable("no task with an answer of the judge and of people", 0)
    judge = of(found, "verdict").blind.judge
    assert (judge.percent, judge.kappa, judge.alpha, judge.ac, judge.confusion, judge.tasks) == (*[why] * 5, 0)
    assert of(found, "realism").blind.judge.tasks == 1
    assert of(found, "realism").blind.people.percent == NotComputable("no task with the answers of two people", 0)


def test_one_category_alone_has_no_kappa() -> None:
    tasks = [task(n, verdict("accept"), said("ann", verdict="accept"), drawn_with=0.1) for n in range(5)]
    judge = of(agreement_of(project(tasks)), "verdict").blind.judge
    why = NotComputable("only one category was used, so there is no chance to correct for", 5)
    assert (judge.kappa, judge.alpha) == (why, why)
    assert (value(judge.percent), value(judge.ac)) == (1.0, 1.0)


def test_a_near_miss_in_a_rating_is_a_miss_in_percent_and_a_part_in_kappa() -> None:
    """Judge 1, 2, 4, 5 and people 1, 3, 4, 5: squared distances 1 in all; by chance all 16 pairs of them.

    1: 0 4 9 16 | 2: 1 1 4 9 | 4: 9 1 0 1 | 5: 16 4 1 0, sum 76, of which 4 / 16 is 19: kappa = 1 - 1 / 19.
    """
    pairs = [(1, 1), (2, 3), (4, 4), (5, 5)]
    tasks = [task(n, judged(realism=j), said("ann", realism=h), drawn_with=0.1) for n, (j, h) in enumerate(pairs)]
    realism = of(agreement_of(project(tasks)), "realism")
    assert (realism.measured_as, value(realism.blind.judge.percent)) == ("steps", 0.75)
    assert value(realism.blind.judge.kappa) == pytest.approx(18 / 19)
    assert isinstance(realism.blind.judge.confusion, Confusion)
    assert realism.blind.judge.confusion.categories == (1, 2, 3, 4, 5)


def test_people_are_compared_with_each_other() -> None:
    """Three people on two tasks: 1 of 3 pairs, then all 3: (1/3 + 1) / 2. Kappa is for two."""
    tasks = [
        task(1, None, said("a", verdict="fix"), said("b", verdict="fix"), said("c", verdict="accept"), drawn_with=0.1),
        task(2, None, *(said(who, verdict="reject") for who in "abc"), drawn_with=0.1),
    ]
    people = of(agreement_of(project(tasks)), "verdict").blind.people
    assert value(people.percent) == pytest.approx(2 / 3)
    assert people.kappa == NotComputable("it is for two raters, and these are 3", 2)
    assert people.confusion == NotComputable("it is for two raters, and these are 3", 2)
    assert (people.tasks, people.raters) == (2, 3)


def test_two_people_have_a_table_with_the_first_by_name_in_its_rows() -> None:
    tasks = [
        task(1, None, said("ben", verdict="fix"), said("ann", verdict="accept"), drawn_with=0.1),
        task(2, None, said("ann", verdict="accept"), said("ben", verdict="accept"), drawn_with=0.1),
        task(3, None, said("ann", verdict="fix"), drawn_with=0.1),
    ]
    people = of(agreement_of(project(tasks)), "verdict").blind.people
    assert people.confusion == Confusion(("accept", "fix", "reject"), ((1, 1, 0), (0, 0, 0), (0, 0, 0)))


def test_uneven_drawing_weighs_every_blind_number_and_no_shown_one() -> None:
    """Two tasks drawn with 0.5 agree, one drawn with 0.1 does not: 2 * 2 of 2 * 2 + 10 = 4 / 14."""
    tasks = [
        task(1, verdict("fix"), said("ann", verdict="fix"), drawn_with=0.5),
        task(2, verdict("accept"), said("ann", verdict="accept"), drawn_with=0.5),
        task(3, verdict("fix"), said("ann", verdict="accept"), drawn_with=0.1),
        *(task(n, verdict("fix"), said("ann", saw=True, verdict=h)) for n, h in ((4, "fix"), (5, "reject"))),
    ]
    found = agreement_of(project(tasks))
    both = of(found, "verdict")
    assert found.weighted
    assert value(both.blind.judge.percent) == pytest.approx(4 / 14)
    assert value(both.shown.judge.percent) == 0.5
    # p_o = 4/14. The judge says fix with 12/14, people with 2/14: p_e = (12 * 2 + 2 * 12) / 196 = 12/49.
    assert value(both.blind.judge.kappa) == pytest.approx((4 / 14 - 12 / 49) / (1 - 12 / 49))
    assert isinstance(both.blind.judge.confusion, Confusion)
    assert both.blind.judge.confusion.counts[1] == (1, 1, 0)


def test_images_are_drawn_as_wholes() -> None:
    """All of one image agree, none of another: any share from 0 to 1 can be drawn."""
    tasks = [
        task(n, verdict("fix"), said("ann", verdict="fix" if n < 5 else "accept"), drawn_with=0.1, image=image)
        for n, image in enumerate(["one"] * 5 + ["two"] * 5)
    ]
    percent = of(agreement_of(project(tasks)), "verdict").blind.judge.percent
    assert percent == Estimate(0.5, 0.0, 1.0, rows=10, clusters=2)


def test_a_pairwise_has_three_answers() -> None:
    tasks = [
        task(1, judged(better="left"), said("ann", better="left"), drawn_with=0.1),
        task(2, judged(), said("ann"), drawn_with=0.1),
        task(3, judged(better="right"), said("ann"), drawn_with=0.1),
    ]
    found = agreement_of(project(tasks, PAIRWISE))
    assert found.kind == "preference-pair"
    judge = of(found, "better").blind.judge
    assert judge.confusion == Confusion(("left", "right", "undecided"), ((1, 0, 0), (0, 0, 1), (0, 0, 1)))
    assert value(judge.percent) == pytest.approx(2 / 3)


def test_sets_are_compared_as_wholes_and_by_overlap() -> None:
    """{blur} and {blur, hands} share 1 of 2; two empty ones are the same; order does not count: (1/2 + 1 + 1) / 3.

    The judge's empty set is an answer only where it has probabilities; task 4 has none, so it is not compared.
    """
    none = judged()
    tasks = [
        task(1, judged(faults=("blur",)), said("ann", faults=("blur", "hands")), drawn_with=0.1),
        task(2, type(none)({}, 0.9, {"faults": {"blur": 0.5, "hands": 0.5}}), said("ann"), drawn_with=0.1),
        task(3, judged(faults=("hands", "blur")), said("ann", faults=("blur", "hands")), drawn_with=0.1),
        task(4, none, said("ann", faults=("blur",)), drawn_with=0.1),
    ]
    faults = of(agreement_of(project(tasks, OWN_FORM)), "faults")
    assert (faults.measured_as, faults.blind.judge.tasks) == ("sets", 3)
    assert value(faults.blind.judge.percent) == pytest.approx(2 / 3)
    assert value(faults.blind.judge.overlap) == pytest.approx(5 / 6)
    why = NotComputable("the answers are sets, of which there are too many for a coefficient", 3)
    assert (faults.blind.judge.kappa, faults.blind.judge.alpha, faults.blind.judge.ac) == (why, why, why)


def test_numbers_have_alpha_alone() -> None:
    """Pairs (1, 2), (5, 5), (9, 8): D_o = 2 * (1 + 0 + 1) = 4.

    All six: sum 30, of squares 1 + 4 + 25 + 25 + 81 + 64 = 200: D_e = 2 (6 * 200 - 900) / 5 = 120; alpha = 1 - 4/120.
    """
    tasks = [
        task(n, judged(people=j), said("ann", people=h), drawn_with=0.1)
        for n, (j, h) in enumerate([(1, 2), (5, 5), (9, 8.0)])
    ]
    judge = of(agreement_of(project(tasks, OWN_FORM)), "people").blind.judge
    assert value(judge.alpha) == pytest.approx(1 - 4 / 120)
    assert value(judge.percent) == pytest.approx(1 / 3)
    assert judge.kappa == NotComputable("numbers have no fixed set of answers: read alpha", 3)


def test_controls_without_fixed_answers_are_named() -> None:
    found = agreement_of(project([], IMAGE_TEXT))
    assert [one.control for one in found.controls] == ["realism", "verdict"]
    assert found.not_measured == (
        NotMeasured("corrected_text", "it holds free text, which has no fixed set of answers"),
    )


def test_answers_that_the_form_no_longer_offers_and_too_many_of_them() -> None:
    dropped = [task(1, judged(style=("photo",)), said("ann", style=("collage",)), drawn_with=0.1)]
    table = of(agreement_of(project(dropped, OWN_FORM)), "style").blind.judge.confusion
    assert table == Confusion(("photo", "drawing", "collage"), ((0, 0, 1), (0, 0, 0), (0, 0, 0)))
    many = [task(n, judged(style=(str(n),)), said("ann", style=(str(n),)), drawn_with=0.1) for n in range(29)]
    judge = of(agreement_of(project(many, OWN_FORM)), "style").blind.judge
    assert judge.kappa == NotComputable("there are more than 30 answers", 29)
    assert value(judge.percent) == 1.0


def test_the_outcome_is_json() -> None:
    tasks = [task(1, verdict("fix", realism=3), said("ann", verdict="fix", realism=2), drawn_with=0.1)]
    written = json.loads(json.dumps(asdict(agreement_of(project(tasks))), allow_nan=False))
    # one of one: Clopper and Pearson's lower end is 0.025 ** (1 / 1)
    assert written["controls"][1]["blind"]["judge"]["percent"] == {
        "value": 1.0,
        "low": pytest.approx(0.025),
        "high": 1.0,
        "rows": 1,
        "clusters": 1,
    }
