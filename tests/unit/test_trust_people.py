"""What people do with the judge's form: what they change, how far, in what time, and whether it moves them."""

from __future__ import annotations

import numpy as np
import pytest

from backend.core.measures import Estimate, NotComputable, Outcome
from backend.core.trust.agreement.anchoring import NO_BLIND, NO_SHOWN, anchoring_of
from backend.core.trust.agreement.corrections import Corrections, Edits, corrections_of
from backend.core.trust.agreement.form_use import FormUse, form_use_of
from backend.core.trust.agreement.spread import Spread, median_and_ratio, spread_of
from backend.core.trust.agreement.time_spent import time_spent
from backend.core.trust.labels import LabelledTask
from tests.labelled import OWN_FORM, judged, project, said, skip, task, verdict


def found(outcome: Outcome) -> Estimate:
    assert isinstance(outcome, Estimate), outcome
    return outcome


def test_what_became_of_every_control_is_counted_by_label() -> None:
    """verdict: left, changed, left, removed. realism: added, empty, changed, left. Skips and blind labels are out."""
    seen = project(
        [
            task(
                1, verdict("fix"), said("a", saw=True, verdict="fix", realism=3), said("b", saw=True, verdict="accept")
            ),
            task(2, verdict("fix", realism=3), said("a", saw=True, verdict="fix", realism=4), skip("b", saw=True)),
            task(3, verdict("fix", realism=5), said("a", saw=True, realism=5)),
            task(4, verdict("fix"), said("a", verdict="accept"), drawn_with=0.1),
            task(5, None, said("a", saw=True, verdict="accept")),
        ]
    )
    use = form_use_of(seen)
    assert (use.kind, use.labels) == ("image-text", 4)
    by_name = {one.control: one.use for one in use.controls}
    assert _counts(by_name["verdict"]) == (2, 1, 0, 1, 0)
    assert _counts(by_name["realism"]) == (1, 1, 1, 0, 1)
    assert _counts(by_name["corrected_text"]) == (0, 0, 0, 0, 4)
    assert _counts(use.overall) == (3, 2, 1, 1, 5)
    assert found(by_name["verdict"].confirmed_share).value == 0.5
    overall = found(use.overall.confirmed_share)
    assert overall.value == pytest.approx(3 / 7)
    assert (overall.rows, overall.clusters) == (7, 3)
    assert by_name["corrected_text"].confirmed_share == NotComputable(
        "no label of someone who saw the judge's answer has anything here, of the judge or of the person", 0
    )


def _counts(use: FormUse) -> tuple[int, ...]:
    return use.confirmed, use.changed, use.added, use.removed, use.empty


def test_blanks_and_the_order_of_choices_are_no_change() -> None:
    judge = judged(faults=("blur", "hands"), remark="two cats")
    use = form_use_of(
        project([task(1, judge, said("a", saw=True, faults=("hands", "blur"), remark="two cats \n"))], OWN_FORM)
    )
    assert _counts(use.overall) == (2, 0, 0, 0, 3)


def test_an_empty_project_is_counted_too() -> None:
    assert _counts(form_use_of(project([])).overall) == (0, 0, 0, 0, 0)


def test_how_far_a_correction_is_from_the_candidate_and_from_the_proposal() -> None:
    """From red to black three letters are replaced and two put in: 5 of 11 characters, 1 of 3 words.

    The judge's "a black cats" is one character and one word off. Ben leaves the text as it was.
    """
    data = {"caption": "a red cat "}
    seen = project(
        [
            task(
                1,
                verdict("fix", corrected_text="a black cats"),
                said("ann", saw=True, verdict="fix", corrected_text="a black cat"),
                said("ben", saw=True, verdict="accept", corrected_text=" a red cat"),
                said("cid", saw=True, verdict="accept"),
                skip("dan", saw=True),
                data=data,
            ),
            task(2, verdict("fix"), said("ann", corrected_text="a black cat"), drawn_with=0.1, data=data),
        ]
    )
    corrections = corrections_of(seen)
    assert corrections is not None
    edits = 5
    assert corrections.blind == Corrections(
        1,
        0,
        Edits(1, 0, *(Spread(1, x, x, x) for x in (edits, 1.0, edits / 11, 1 / 3))),
        Edits(0, 0, None, None, None, None),
    )
    shown = corrections.shown
    assert (shown.labels, shown.without) == (2, 1)
    assert (shown.from_candidate.texts, shown.from_candidate.same) == (2, 1)
    assert shown.from_candidate.characters == Spread(2, edits / 4, edits / 2, edits * 3 / 4)
    assert (shown.from_judge.texts, shown.from_judge.same) == (2, 0)


def test_a_form_without_corrected_text_has_no_corrections() -> None:
    assert corrections_of(project([], OWN_FORM)) is None


def test_seconds_are_of_labels_that_have_a_time() -> None:
    """Blind 10, 20, 90: median 20, quartiles 15 and 55. Shown 5, 15: median 10, half of it."""
    times = time_spent(
        project(
            [
                task(1, None, said("a", seconds=10, verdict="fix"), said("b", seconds=20), drawn_with=0.1),
                task(2, None, said("a", seconds=90), said("b"), skip("c"), drawn_with=0.1),
                task(3, None, said("a", saw=True, seconds=5), said("b", saw=True, seconds=15)),
            ]
        )
    )
    assert times.blind.spread == Spread(3, 15, 20, 55)
    assert (times.blind.without_time, times.shown.without_time) == (1, 0)
    assert (found(times.blind.median).value, found(times.shown.median).value) == (20, 10)
    assert found(times.ratio).value == 0.5
    assert found(times.blind.median).clusters == 2
    assert found(times.shown.median) == Estimate(10, None, None, rows=2, clusters=1)


def test_without_times_nothing_is_said_of_time() -> None:
    times = time_spent(project([task(1, None, said("a"), drawn_with=0.1)]))
    assert (times.blind.spread, times.blind.without_time) == (None, 1)
    assert times.blind.median == NotComputable("no label with a time", 0)
    assert times.ratio == NotComputable("no label with a time on one side", 0)


def test_the_median_on_resamples_is_numpys() -> None:
    """Two images: the ends of the interval are the medians with one of them drawn twice."""
    values = np.array([1.0, 2, 4, 8, 16, 32])
    median, _, ratio = median_and_ratio(values.tolist(), [], (["a", "a", "a", "b", "b", "b"], []), resamples=200)
    assert found(median) == Estimate(6.0, 2.0, 16.0, rows=6, clusters=2)
    assert isinstance(ratio, NotComputable)
    assert spread_of([]) is None
    zero = median_and_ratio([0.0, 0.0], [1.0], ([1, 2], [3]), resamples=10)[2]
    assert zero == NotComputable("the first median is 0", 3)


def test_an_image_with_labels_on_both_sides_is_drawn_for_both() -> None:
    """Shown is always twice blind within an image, so the ratio is 2 whatever is drawn."""
    one = [10.0, 40.0, 90.0]
    images = ["a", "b", "c"]
    ratio = median_and_ratio(one, [2 * x for x in one], (images, images), resamples=100)[2]
    assert found(ratio) == Estimate(2.0, 2.0, 2.0, rows=6, clusters=3)


def _tasks(blind: tuple[int, int], shown: tuple[int, int]) -> list[LabelledTask]:
    """So many labels that agree with the judge and so many that do not."""
    words = [
        (saw, word)
        for saw, (agree, differ) in ((False, blind), (True, shown))
        for word in ("fix",) * agree + ("accept",) * differ
    ]
    return [
        task(n, verdict("fix"), said("ann", saw=saw, verdict=word), drawn_with=None if saw else 0.1)
        for n, (saw, word) in enumerate(words)
    ]


def test_anchoring_is_the_difference_of_agreement() -> None:
    decided = anchoring_of(project(_tasks((81, 19), (93, 7))))[-1]
    assert decided.control == "verdict"
    assert found(decided.blind).value == pytest.approx(0.81)
    assert found(decided.shown).value == pytest.approx(0.93)
    difference = found(decided.difference)
    # 0.12 give or take 1.96 sqrt(0.81 * 0.19 / 100 + 0.93 * 0.07 / 100) = 0.092, but for the bootstrap's chance.
    assert difference.value == pytest.approx(0.12)
    assert (difference.low, difference.high) == pytest.approx((0.028, 0.212), abs=0.02)
    assert decided.sentence == (
        "`verdict`: people who saw the judge's answer agree with it in 93 %, people who did not in 81 %: "
        "oftener than chance explains."
    )


def test_a_difference_that_may_be_chance_is_called_so() -> None:
    sentence = anchoring_of(project(_tasks((16, 4), (17, 3))))[-1].sentence
    assert sentence.endswith("agree with it in 85 %, people who did not in 80 %, which may be chance.")
    away = anchoring_of(project(_tasks((20, 0), (2, 18))))[-1].sentence
    assert away.endswith("more seldom than chance explains.")


def test_one_side_alone_tells_nothing_of_anchoring() -> None:
    only_blind = anchoring_of(project(_tasks((5, 5), (0, 0))))[-1]
    assert found(only_blind.blind).value == 0.5
    assert (only_blind.shown, only_blind.difference) == (NotComputable(NO_SHOWN, 0), NotComputable(NO_SHOWN, 10))
    assert only_blind.sentence == (
        "`verdict`: whether people move towards the judge cannot be told, there is "
        "no task with a label of someone who saw the judge's answer."
    )
    assert anchoring_of(project([]))[-1].difference == NotComputable(NO_BLIND, 0)
