"""The judge's confidence over a whole project: what it is worth, what it saves, and how many samples are good."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import log

import numpy as np
import pytest

from backend.core.label_config import parse_label_config
from backend.core.measures import AUROC, BRIER, ECE, Bin, Estimate, NotComputable, estimate
from backend.core.trust.acceptance.intervals import exact
from backend.core.trust.acceptance.risk import ReviewSaved, RiskPoint, risk_curve
from backend.core.trust.accepted import accept_prob
from backend.core.trust.agreement.standing_in import TWO_ONLY, StandingIn, standing_in
from backend.core.trust.confidence.calibration import JudgedLabel, TooFew, calibrate
from backend.core.trust.confidence.project_calibration import calibration_of, features_of_judgement, judged_labels
from backend.core.trust.confidence.project_quality import ProjectQuality, quality_of
from backend.core.trust.confidence.quality import quality
from backend.core.trust.labels import Judgement, LabelledTask
from tests.labelled import IMAGE_TEXT, OWN_FORM, PAIRWISE, judged, project, said, skip, task, verdict


def test_the_features_of_a_judgement_are_three_whatever_it_says() -> None:
    """Entropy of 0.5, 0.5 is all of log 2; of 0.75, 0.25 it is 0.8113 of it; their mean 0.9056."""
    probs = {"realism": {"1": 0.5, "2": 0.5}, "accuracy": {"1": 0.75, "2": 0.25}}
    full = Judgement({}, 0.8, probs, {"realism": 0.99, "accuracy": 0.9})
    doubt = -(0.75 * log(0.75) + 0.25 * log(0.25)) / log(2)
    assert features_of_judgement(full) == pytest.approx((0.9, 0.5, (1 + doubt) / 2))
    assert features_of_judgement(Judgement({}, 0.8)) == (1.0, 1.0, 0.0)
    assert features_of_judgement(Judgement({}, 0.8, {"x": {"yes": 1.0, "no": 0.0}, "y": {"z": 1.0}})) == (1.0, 1.0, 0.0)


def test_labels_for_calibration_are_blind_answers_to_what_the_judge_decided() -> None:
    tasks = [
        task(1, verdict("fix", 0.7), said("a", verdict="fix"), drawn_with=0.1, image="one.png"),
        task(2, verdict("fix", 0.6), said("a", verdict="accept"), drawn_with=0.1),
        task(3, verdict("fix"), said("a", verdict="fix"), said("b", verdict="accept"), drawn_with=0.1),
        task(4, verdict("fix"), skip("a"), drawn_with=0.1),
        task(5, judged(0.0), said("a", verdict="fix"), drawn_with=0.1),
        task(6, verdict("fix"), said("a", saw=True, verdict="fix")),
        task(7, None, said("a", verdict="fix"), drawn_with=0.1),
    ]
    assert judged_labels(project(tasks)) == (
        JudgedLabel(1, "image-text", "one.png", 0.7, True, (1.0, 1.0, 0.0)),
        JudgedLabel(2, "image-text", "2.png", 0.6, False, (1.0, 1.0, 0.0)),
    )
    found = calibration_of(project(tasks))
    assert (found.labels, found.right, found.without_answer, found.undecided) == (2, 1, 2, 1)
    assert found.refused == TooFew("image-text", 2, 28, "28 more blind labels are needed, 30 at least")
    assert (found.after, found.method, found.bins_after) == (None, None, ())
    assert found.bins_before == (Bin(0.6, 0.0, 1), Bin(0.7, 1.0, 1))
    brier = found.before.brier
    assert isinstance(brier, Estimate)
    assert brier.value == pytest.approx((0.3**2 + 0.6**2) / 2)


def test_a_form_of_ones_own_is_decided_when_any_fixed_answer_is_given() -> None:
    tasks = [
        task(1, judged(style=("photo",)), said("a", style=("photo",)), drawn_with=0.1),
        task(2, judged(style=("photo",)), said("a", style=("drawing",)), drawn_with=0.1),
        task(3, judged(remark="nice"), said("a", style=("drawing",)), drawn_with=0.1),
    ]
    assert [(one.task, one.right) for one in judged_labels(project(tasks, OWN_FORM))] == [(1, True), (2, False)]


def test_no_labels_are_no_calibration() -> None:
    found = calibration_of(project([]))
    assert found.before.ece == NotComputable("no rows with such a label", 0)
    assert found.refused is not None
    assert (found.labels, found.bins_before, found.refused.missing) == (0, (), 30)


def _overconfident(count: int) -> list[LabelledTask]:
    """Sure to 0.6 to 0.99, right only so far that its logit is twice too large; labelled by one person."""
    rng = np.random.default_rng(4)
    tasks = []
    for number in range(count):
        confidence = float(rng.uniform(0.6, 0.99))
        logit = log(confidence / (1 - confidence)) / 2
        right = rng.random() < 1 / (1 + np.exp(-logit))
        label = said("a", verdict="accept" if right else "reject")
        tasks.append(task(number, verdict("accept", confidence), label, drawn_with=0.1))
    return tasks


def test_calibration_is_measured_on_labels_that_the_curve_has_not_seen() -> None:
    tasks = _overconfident(150)
    found = calibration_of(project(tasks), seed=3)
    labels = judged_labels(project(tasks))
    fitted = calibrate(labels, "judge-1", seed=3).fitted[0]
    assert (found.method, found.before, found.after) == ("Platt", fitted.before, fitted.after)
    assert sum(part.rows for part in found.bins_after) == found.labels == 150
    assert found.after is not None
    assert isinstance(found.before.ece, Estimate)
    assert isinstance(found.after.ece, Estimate)
    assert found.after.ece.value < found.before.ece.value
    right, probs = [label.right for label in labels], [label.prob for label in labels]
    for name, measure in (("ece", ECE), ("brier", BRIER), ("auroc", AUROC)):
        assert getattr(found.before, name) == estimate(measure, right, probs, range(150), seed=3)
    json.dumps(asdict(found), allow_nan=False)


def test_the_probability_of_acceptance() -> None:
    three = parse_label_config(IMAGE_TEXT)
    two = parse_label_config(IMAGE_TEXT.replace('<Choice value="fix"/>', ""))
    told = Judgement({"verdict": ("fix",)}, 0.6, {"verdict": {"accept": 0.3, "fix": 0.6, "reject": 0.1}})
    assert accept_prob(told, three) == 0.3
    assert accept_prob(verdict("accept", 0.8), three) == 0.8
    assert accept_prob(verdict("reject", 0.8), three) == pytest.approx(0.1)
    assert accept_prob(verdict("reject", 0.8), two) == pytest.approx(0.2)
    assert (accept_prob(judged(), three), accept_prob(None, three)) == (None, None)


def _slice(good: int, bad: int, rest: int) -> list[LabelledTask]:
    labelled = [
        task(
            n,
            verdict("accept" if n < good else "fix", 0.9),
            said("a", verdict="accept" if n < good else "fix"),
            drawn_with=0.1,
        )
        for n in range(good + bad)
    ]
    return labelled + [task(1_000 + n, verdict("accept", 0.7)) for n in range(rest)]


def test_quality_is_that_of_the_labels_and_the_judges_word_on_the_rest() -> None:
    """30 good with 0.9 and 10 bad with (1 - 0.9) / 2; of 60 others one is unjudged and takes the mean of all judged."""
    tasks = [*_slice(30, 10, 59), task(2_000, None), task(2_001, verdict("accept"), skip("a"), drawn_with=0.1)]
    found = quality_of(project(tasks))
    mean = (30 * 0.9 + 10 * 0.05 + 59 * 0.7 + 0.9) / 100
    expected = quality([True] * 30 + [False] * 10, [0.9] * 30 + [0.05] * 10, [0.7] * 59 + [mean, 0.9])
    assert isinstance(found, ProjectQuality)
    assert (found.without_answer, found.without_verdict, found.weighted) == (1, 1, False)
    assert found.quality.tuned is not None
    assert expected.tuned is not None
    assert found.quality.tuned.low == pytest.approx(expected.tuned.low)
    assert found.quality.classical == expected.classical
    assert found.quality.judge_alone == pytest.approx(expected.judge_alone)


def test_uneven_drawing_weighs_the_labels_and_takes_the_judges_word_on_all() -> None:
    """30 good drawn with 0.1, 10 bad with 0.5: 300 of 320 are good by weight."""
    tasks = [
        task(one.task, one.judge, *one.said, drawn_with=0.1 if one.task < 30 else 0.5) for one in _slice(30, 10, 0)
    ]
    found = quality_of(project([*tasks, *_slice(0, 0, 100)]))
    assert isinstance(found, ProjectQuality)
    assert (found.weighted, found.quality.tasks) == (True, 140)
    assert found.quality.classical.value == pytest.approx(300 / 320)


def test_quality_is_of_forms_that_accept() -> None:
    no_verdict = "the form has no verdict that accepts a sample, so none is called good"
    assert quality_of(project([], PAIRWISE)) == NotComputable(no_verdict, 0)
    assert quality_of(project([], OWN_FORM)) == NotComputable(no_verdict, 0)
    unjudged = [task(1, None, said("a", verdict="accept"), drawn_with=0.1)]
    assert quality_of(project(unjudged)) == NotComputable("the judge has not decided any task yet", 1)
    unlabelled = [task(1, verdict("accept"), said("a", saw=True, verdict="accept"))]
    assert quality_of(project(unlabelled)) == NotComputable(
        "no task was labelled blind with an answer that people agree on", 1
    )


def _point(threshold: float, coverage: float, wrong: int, labels: int) -> RiskPoint:
    interval = exact(wrong, labels)
    return RiskPoint(threshold, coverage, labels, wrong, wrong / labels, interval.low, interval.high)


def test_risk_against_coverage_by_hand() -> None:
    """Ten tasks. Those with `fix` or without a judge are never accepted unseen; a tie among people is wrong."""
    tasks = [
        task(1, verdict("accept", 0.99), said("a", verdict="accept"), drawn_with=0.5),
        task(2, verdict("accept", 0.9), said("a", verdict="accept"), drawn_with=0.5),
        task(3, verdict("reject", 0.9), said("a", verdict="reject"), drawn_with=0.5),
        task(4, verdict("accept", 0.8), said("a", verdict="accept"), said("b", verdict="fix"), drawn_with=0.5),
        task(5, verdict("fix", 0.99), said("a", verdict="accept"), drawn_with=0.5),
        task(6, None, said("a", verdict="accept"), drawn_with=0.5),
        task(7, verdict("accept", 0.95)),
        task(8, verdict("accept", 0.9)),
        task(9, verdict("accept", 0.5)),
        task(10, verdict("accept", 0.85), said("a", saw=True, verdict="reject")),
    ]
    curve = risk_curve(project(tasks), levels=(0.1, 0.25))
    points = (_point(0.99, 0.1, 0, 1), _point(0.9, 0.5, 0, 3), _point(0.8, 0.7, 1, 4))
    assert (curve.tasks, curve.labels, curve.weighted, curve.points) == (10, 4, False, points)
    assert curve.saved == (ReviewSaved(0.1, points[1]), ReviewSaved(0.25, points[2]))


def test_risk_is_weighted_where_tasks_were_drawn_unevenly() -> None:
    tasks = [
        task(1, verdict("accept", 0.9), said("a", verdict="accept"), drawn_with=0.1),
        task(2, verdict("accept", 0.8), said("a", verdict="fix"), drawn_with=0.5),
    ]
    curve = risk_curve(project(tasks), levels=(0.1,))
    assert curve.weighted
    assert curve.points == (
        RiskPoint(0.9, 0.5, 1, 0, 0.0, None, None),
        RiskPoint(0.8, 1.0, 2, 1, 2 / 12, None, None),
    )
    assert curve.saved == (ReviewSaved(0.1, curve.points[0]),)


def test_no_threshold_saves_nothing_and_many_points_are_thinned() -> None:
    wrong = [task(1, verdict("accept"), said("a", verdict="fix"), drawn_with=0.1)]
    assert risk_curve(project(wrong), levels=(0.1,)).saved == (ReviewSaved(0.1, None),)
    assert risk_curve(project([])).points == ()
    many = [task(n, verdict("accept", n / 1_000), said("a", verdict="accept"), drawn_with=0.1) for n in range(500)]
    points = risk_curve(project(many)).points
    assert len(points) == 200
    assert (points[0].threshold, points[-1].threshold, points[-1].coverage) == (0.499, 0.0, 1.0)


def _three_people(count: int, *people: str) -> list[LabelledTask]:
    """Everybody accepts, but Ann errs in every tenth task; the judge never."""
    return [
        task(
            n,
            verdict("accept"),
            *(said(who, verdict="fix" if who == "ann" and n % 10 == 0 else "accept") for who in people),
            drawn_with=0.1,
        )
        for n in range(count)
    ]


def test_the_judge_may_stand_in_for_people_who_agree_no_better() -> None:
    """Beside Ann the judge is closer in 4 of 40; beside the others, each is closer to the rest as often."""
    found = standing_in(project(_three_people(40, "ann", "ben", "cid")))
    assert isinstance(found, StandingIn)
    assert (found.control, found.passed, found.winning_rate, found.epsilon) == ("verdict", True, 1.0, 0.15)
    ann = found.people[0]
    assert (ann.person, ann.tasks, ann.judge_closer, ann.same, ann.person_closer) == ("ann", 40, 4, 36, 0)
    assert (ann.judge_advantage, ann.person_advantage) == (1.0, 0.9)
    assert found.caution is None


def test_two_people_are_few_and_one_is_none() -> None:
    pair = standing_in(project(_three_people(40, "ann", "ben")))
    assert isinstance(pair, StandingIn)
    assert pair.caution == TWO_ONLY
    alone = standing_in(project(_three_people(40, "ann")))
    assert alone == NotComputable("3 people are needed who label blind, there are 1", 40)
    few = standing_in(project(_three_people(20, "ann", "ben", "cid")))
    assert isinstance(few, NotComputable)
    assert few.reason.startswith("30 items are needed")
    assert standing_in(project([], OWN_FORM)) == NotComputable("the form has no control that decides", 0)
