"""Certificates: exact numbers, the rule that is fixed beforehand, and every way in which none is given."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from backend.core.trust.acceptance.bad_accepted import BadAccepted, bad_accepted, bad_accepted_from_json
from backend.core.trust.acceptance.binding import Binding, digest_of
from backend.core.trust.acceptance.certificate import (
    BlindLabel,
    Certificate,
    NoCertificate,
    Promise,
    certificate_from_json,
    certify,
    certify_strata,
    enough_without_error,
)

FIVE = Promise(0.05, 0.95)
HERE = Binding("judge-1", digest_of([(1, "a"), (2, "b")]))
PROJECT = {task: task / 1_000 for task in range(1_000)}
"""A thousand tasks, the higher the number the more confident."""


def every_tenth(wrong_below: int) -> list[BlindLabel]:
    return [BlindLabel(task, wrong=task < wrong_below) for task in range(0, 1_000, 10)]


@pytest.mark.parametrize(
    ("max_error", "errors", "published"),
    [(0.05, 0, 59), (0.05, 1, 93), (0.05, 2, 124), (0.05, 3, 153), (0.05, 4, 181), (0.1, 0, 29), (0.02, 0, 149)],
)
def test_how_many_labels_are_enough_is_in_the_tables_of_auditors(max_error: float, errors: int, published: int) -> None:
    """AICPA Audit Guide "Audit Sampling", table A.1 (5 % risk): sample sizes with the errors allowed in brackets."""
    assert enough_without_error(max_error, 0.05, errors) == published


def test_the_lowest_threshold_that_passes_is_certified() -> None:
    """Wrong are the tasks below 0.1. 100 labels: the first threshold is the first with 1.25 * 59 = 73.75 expected.

    That accepts 750. It passes, as do 800, 850 and 900 (0 of 90); of the next, 950, 5 of 95 are wrong:
    P(Binomial(95, 0.05) <= 5) = 0.65. The bound is 1 - 0.05^(1/90).
    """
    found = certify(FIVE, every_tenth(100), PROJECT, HERE)
    assert found == Certificate(FIVE, 0.1, 900, 1_000, 90, 0, 100, pytest.approx(1 - 0.05 ** (1 / 90)), HERE)  # type: ignore[arg-type]


def test_the_first_threshold_that_fails_ends_it() -> None:
    """Ten errors at the very top, none elsewhere: 10 of 75. All tasks together, 10 of 200 thinned, are not looked at.

    P(Binomial(n, 0.05) <= 10) is at most 0.05 from 336 on, so 336 - 75 are missing there, and 348 in the whole project.
    """
    labels = [BlindLabel(task, wrong=task >= 900) for task in range(0, 1_000, 10)]
    assert enough_without_error(0.05, 0.05, 10) == 336
    assert certify(FIVE, labels, PROJECT, HERE) == NoCertificate(
        "10 of 75 blind labels of the most confident 75% of the tasks say the judge is wrong; 261 more there without "
        "error are needed, and at this rate of errors (13.3%) no number of labels will do",
        100,
        more_above=261,
        more=348,
        threshold=0.25,
        labels_above=75,
        errors_above=10,
    )


def test_one_error_too_many_says_how_many_more_labels_are_needed() -> None:
    """One of 75 is wrong: 93 are enough with one error, so 18 more above, and 18 / 0.75 = 24 in all."""
    labels = [BlindLabel(task, wrong=task == 500) for task in range(0, 1_000, 10)]
    found = certify(FIVE, labels, PROJECT, HERE)
    assert isinstance(found, NoCertificate)
    assert (found.more_above, found.more) == (18, 24)
    assert found.reason == (
        "1 of 75 blind labels of the most confident 75% of the tasks say the judge is wrong; "
        "18 more there without error are needed"
    )


def test_fifty_nine_blind_labels_without_error_are_the_fewest() -> None:
    tasks = range(0, 1_000, 17)
    labels = [BlindLabel(task, wrong=False) for task in tasks]
    assert len(labels) == 59
    whole = certify(FIVE, labels, PROJECT, HERE)
    assert isinstance(whole, Certificate)
    assert (whole.threshold, whole.accepted, whole.labels_above) == (0.0, 1_000, 59)
    assert certify(FIVE, labels[:50], PROJECT, HERE) == NoCertificate(
        "9 more blind labels without error are needed", 50, 9, 9
    )


@pytest.mark.parametrize(("count", "errors"), [(59, 0), (93, 1), (124, 2), (153, 3), (181, 4)])
def test_one_label_fewer_is_not_enough(count: int, errors: int) -> None:
    """All are equally confident, so that there is one threshold and the test is the auditors' table."""
    project = dict.fromkeys(range(1_000), 0.8)
    labels = [BlindLabel(task, wrong=task < errors) for task in range(count)]
    found = certify(FIVE, labels, project, HERE)
    assert isinstance(found, Certificate)
    assert (found.labels_above, found.errors_above, found.accepted) == (count, errors, 1_000)
    assert 0.049 < found.upper_bound <= 0.05
    fewer = certify(FIVE, labels[:-1], project, HERE)
    assert isinstance(fewer, NoCertificate)
    assert (fewer.more_above, fewer.more) == (1, 1)


def test_equal_confidences_are_accepted_together() -> None:
    project = {task: 0.9 if task < 800 else 0.2 for task in range(1_000)}
    labels = [BlindLabel(task, wrong=task >= 800) for task in range(0, 1_000, 10)]
    found = certify(FIVE, labels, project, HERE)
    assert isinstance(found, Certificate)
    assert (found.threshold, found.accepted, found.labels_above, found.errors_above) == (0.9, 800, 80, 0)


def test_a_slice_with_nothing_above_the_first_threshold_is_told_what_is_missing() -> None:
    """100 labels, all among the least confident quarter: 59 are missing in the upper three, 59 / 0.75 in all."""
    labels = [BlindLabel(task, wrong=True) for task in range(100)]
    assert certify(FIVE, labels, PROJECT, HERE) == NoCertificate(
        "0 of 0 blind labels of the most confident 75% of the tasks say the judge is wrong; "
        "59 more there without error are needed",
        100,
        more_above=59,
        more=79,
        threshold=0.25,
    )


def test_which_thresholds_are_tried_does_not_depend_on_the_slice() -> None:
    """All labels say wrong, so that the first threshold is told: the same for every slice of that size.

    73.75 labels of 120 are expected above 0.35 for the first time, and a third of 600 above 0.65.
    """
    rng = np.random.default_rng(1)
    firsts: dict[int, set[float | None]] = {120: set(), 600: set()}
    for size, seen in firsts.items():
        for _ in range(50):
            tasks = rng.choice(1_000, size, replace=False).tolist()
            found = certify(FIVE, [BlindLabel(task, wrong=True) for task in tasks], PROJECT, HERE)
            assert isinstance(found, NoCertificate)
            seen.add(found.threshold)
    assert firsts == {120: {0.35}, 600: {0.65}}


def test_drawing_without_replacement_errs_no_more_often_than_the_binomial_says() -> None:
    """Point 2 of the argument: of M accepted tasks just more than the share a are wrong, n of them are looked at."""
    for accepted in (60, 97, 150, 400, 1_000):
        for max_error in (0.01, 0.02, 0.05, 0.1, 0.2):
            bad = int(max_error * accepted) + 1
            for labels in range(20, min(accepted, 300) + 1, 7):
                k = np.arange(labels + 1)
                rejecting = k[binom.cdf(k, labels, max_error) <= 0.1]
                exact = hypergeom.cdf(rejecting, accepted, bad, labels)
                assert (exact <= binom.cdf(rejecting, labels, max_error) + 1e-12).all()


def test_looks_share_what_may_go_wrong() -> None:
    """80 %, 16 %, 3.2 % of 5 %: 0.95^63 <= 0.04, 0.95^95 <= 0.008."""
    first = replace(FIVE, look=1)
    assert [first.delta, first.next.delta, first.next.next.delta] == pytest.approx([0.04, 0.008, 0.0016])
    assert sum(Promise(0.05, 0.95, look).delta for look in range(1, 30)) == pytest.approx(0.05)
    assert [enough_without_error(0.05, look.delta) for look in (FIVE, first, first.next)] == [59, 63, 95]
    assert FIVE.next == FIVE
    labels = [BlindLabel(task, wrong=task == 500) for task in range(0, 1_000, 10)]
    missed = certify(first, labels, PROJECT, HERE)
    assert isinstance(missed, NoCertificate)
    assert (missed.labels_above, missed.errors_above) == (80, 1)
    assert missed.more_above == enough_without_error(0.05, first.next.delta, 1) - 80 == 135 - 80


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.0, 0.95), "max_error must lie between 0 and 1, not 0.0"),
        ((0.05, 1.0), "confidence must lie between 0 and 1, not 1.0"),
        ((0.05, 0.95, 0), "looks are counted from 1, not 0"),
    ],
)
def test_promises_that_are_none_are_refused(values: tuple[float, float, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Promise(*values)


def test_labels_used_for_fitting_are_refused() -> None:
    with pytest.raises(ValueError, match="the confidence was fitted on task 10 and 1 others of these"):
        certify(FIVE, every_tenth(0), PROJECT, HERE, fitted_on=[10, 20, 5_000])


def test_labels_that_do_not_fit_are_refused() -> None:
    twice = [*every_tenth(0), BlindLabel(10, wrong=True)]
    with pytest.raises(ValueError, match="two labels of one task"):
        certify(FIVE, twice, PROJECT, HERE)
    with pytest.raises(ValueError, match="task 1001 is labelled but not in the project"):
        certify(FIVE, [BlindLabel(1_001, wrong=False)], PROJECT, HERE)
    with pytest.raises(ValueError, match="not a finite number"):
        certify(FIVE, every_tenth(0), {**PROJECT, 3: float("nan")}, HERE)


def test_an_uneven_draw_is_refused_and_its_strata_are_certified_by_themselves() -> None:
    """With two strata each gets 2.5 %: 72 labels without error are the fewest, 0.95^72 = 0.0249."""
    uneven = [replace(label, probability=0.1 if label.task < 500 else 0.05) for label in every_tenth(0)]
    assert certify(FIVE, uneven, PROJECT, HERE) == NoCertificate(
        "the slice was not drawn evenly, so its errors cannot simply be counted; certify each stratum by itself", 100
    )
    low = {task: confidence for task, confidence in PROJECT.items() if task < 500}
    high = {task: confidence for task, confidence in PROJECT.items() if task >= 500}
    strata = {
        "low": ([BlindLabel(task, wrong=False) for task in range(0, 500, 10)], low),
        "high": ([BlindLabel(task, wrong=False) for task in range(500, 1_000, 5)], high),
    }
    found = certify_strata(FIVE, strata, HERE)
    assert found["low"] == NoCertificate("22 more blind labels without error are needed", 50, 22, 22)
    assert isinstance(found["high"], Certificate)
    assert found["high"].promise.delta == pytest.approx(0.025)
    assert found["high"].accepted == 500


def test_a_certificate_can_be_written_and_read() -> None:
    found = certify(replace(FIVE, look=2), every_tenth(0), PROJECT, HERE)
    assert isinstance(found, Certificate)
    assert certificate_from_json(found.to_json()) == found
    for text in ("", "[]", '{"type": "bad accepted"}', json.dumps({**json.loads(found.to_json()), "more": 1})):
        with pytest.raises(ValueError, match="this is no certificate of ours"):
            certificate_from_json(text)


def test_a_certificate_is_void_for_another_judge_or_other_tasks() -> None:
    assert HERE.void_because(HERE) is None
    another_judge, other_tasks = replace(HERE, fingerprint="judge-2"), replace(HERE, tasks_digest=digest_of([(1, "a")]))
    assert HERE.void_because(another_judge) == (
        "the judge has changed: it was judge-1, now it is judge-2. "
        "Label a blind slice of the new judge's verdicts and certify anew"
    )
    assert HERE.void_because(other_tasks) == (
        "the project has changed since: its form, its tasks, or what the judge said of them. "
        "Draw the blind slice again from the tasks as they are now and certify anew"
    )


def test_the_digest_is_of_the_tasks_in_any_order() -> None:
    assert digest_of([(2, "b"), (1, "a")]) == digest_of([(1, "a"), (2, "b")])
    assert (
        len({digest_of(tasks) for tasks in ([], [(1, "a")], [(1, "b")], [(1, "a;2:1:b")], [(1, "a"), (2, "b")])}) == 5
    )


def test_bad_accepted_by_hand() -> None:
    """99 labels, at most 5 %: (errors + 1) / 100 <= 0.05 allows 4. The fifth wrong label from the top is at 0.15,
    and just above it the project goes on with 0.151; four errors are above."""
    wrong = {150, 300, 450, 600, 750}
    labels = [BlindLabel(task, wrong=task in wrong) for task in range(10, 1_000, 10)]
    assert len(labels) == 99
    found = bad_accepted(0.05, labels, PROJECT, HERE)
    assert found == BadAccepted(0.05, 0.151, 849, 1_000, 4, 99, 0.05, HERE)
    assert isinstance(found, BadAccepted)
    assert bad_accepted_from_json(found.to_json()) == found
    with pytest.raises(ValueError, match="this is no such statement of ours"):
        bad_accepted_from_json('{"type": "certificate"}')


def test_bad_accepted_says_what_is_missing() -> None:
    labels = [BlindLabel(task, wrong=True) for task in range(18)]
    assert bad_accepted(0.05, labels, PROJECT, HERE) == NoCertificate("1 more blind labels are needed", 18, None, 1)
    top = [BlindLabel(task, wrong=True) for task in range(981, 1_000)]
    assert bad_accepted(0.05, top, PROJECT, HERE) == NoCertificate(
        "the judge is wrong where it is most confident; no threshold will do", 19
    )
    few_errors = [BlindLabel(task, wrong=task < 50) for task in range(0, 1_000, 10)]
    everything = bad_accepted(0.1, few_errors, PROJECT, HERE)
    assert isinstance(everything, BadAccepted)
    assert (everything.threshold, everything.errors_above, everything.bound) == (0.0, 5, 6 / 101)
    with pytest.raises(ValueError, match="max_bad must lie between 0 and 1"):
        bad_accepted(0.0, labels, PROJECT, HERE)


def test_bad_accepted_keeps_its_promise_on_average_over_slices() -> None:
    """500 slices of 60 from one project with a middling judge; of all tasks at most 10 % accepted and wrong."""
    rng = np.random.default_rng(6)
    confidence = rng.random(600)
    wrong = rng.random(600) > 0.5 + confidence / 2
    project = dict(enumerate(confidence.tolist()))
    shares = []
    for _ in range(500):
        labels = [BlindLabel(task, bool(wrong[task])) for task in rng.choice(600, 60, replace=False).tolist()]
        found = bad_accepted(0.1, labels, project, HERE)
        assert isinstance(found, BadAccepted)
        shares.append(float(((confidence >= found.threshold) & wrong).mean()))
    assert 0.07 < np.mean(shares) <= 0.1
