"""What is said of what was found, in sentences and for programs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from backend.core.measures import Estimate, NotComputable
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.binding import Binding
from backend.core.trust.acceptance.blind import BlindSlice
from backend.core.trust.acceptance.certificate import Certificate, NoCertificate, Promise
from backend.core.trust.acceptance.issued import Issued
from backend.core.trust.acceptance.watch import Watch
from backend.core.trust.confidence.calibration import Calibration, Fitted, Goodness, TooFew
from backend.core.trust.confidence.curves import Curve
from backend.trust.accepting import Acceptance
from backend.trust.certifying import Certified, Group, Terms
from backend.trust.telling import (
    acceptance_as_json,
    acceptance_lines,
    calibration_lines,
    certified_as_json,
    certified_lines,
)
from tests.labelled import task

HERE = Binding("judge-1", "d1")
ANSWER = Certificate(Promise(0.05, 0.95, 2), 0.93127, 710, 900, 142, 2, 180, 0.0438, HERE)
LABELLED = tuple(task(number, None) for number in range(180))
WHOLE = BlindSlice(180, LABELLED, (), 0)
WHEN = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def certified(answer: Certificate | BadAccepted, **more: object) -> Certified:
    issued = Issued({"": answer})
    group = Group("", 1_000, WHOLE, answer)
    return Certified(4, Terms(), (group,), 2, True, False, issued, **more)  # type: ignore[arg-type]


def refused(answer: NoCertificate, found: BlindSlice = WHOLE, **more: object) -> Certified:
    return Certified(4, Terms(), (Group("", 1_000, found, answer),), 1, True, False, None, **more)  # type: ignore[arg-type]


def test_a_certificate_says_what_for_whom_on_what_and_what_next() -> None:
    found = certified(ANSWER)
    assert found.issued is not None
    assert certified_lines(found) == (
        "Certified: of the tasks with a confidence of 0.9313 or more at most 5.0% are wrong, with 95% confidence.",
        "710 of 1000 judged tasks (71.0%) need no person but for the continuing audit; 142 blind labels above it, 2 "
        "say the judge is wrong",
        "Blind slice: 180 of 180 tasks labelled",
        "Look 2 at the labels of this slice; another one, at more labels or for another promise, is stricter.",
        f"Certificate {found.issued.id}, by the judge's own confidence; it holds for this judge and these tasks, and "
        "is void when either changes.",
        "Next: vlm-judge accept --project 4 --dry-run",
    )


def test_a_promise_about_all_tasks_is_not_called_a_confidence() -> None:
    answer = BadAccepted(0.05, 0.8, 710, 900, 8, 180, 9 / 181, HERE)
    assert certified_lines(certified(answer))[:2] == (
        "Certified: at most 5.0% of all tasks that could do without a person are accepted and wrong from a confidence "
        "of 0.8 on; on average over slices.",
        "710 of 1000 judged tasks (71.0%) need no person but for the continuing audit; 8 of 180 blind labels are above "
        "it and wrong",
    )


def test_a_refusal_says_how_many_labels_are_missing_and_where_they_are_to_come_from() -> None:
    few = BlindSlice(100, LABELLED[:40], (17, 4), 3)
    answer = NoCertificate("1 of 30 say the judge is wrong; 65 more there without error are needed", 40, 65, 90, 0.9)
    assert certified_lines(refused(answer, few)) == (
        "Cannot certify: 1 of 30 say the judge is wrong; 65 more there without error are needed.",
        "About 90 more blind labels of any task are expected to bring 65.",
        "The slice has only 60 tasks left to label; draw a larger share with `vlm-judge project create --title TITLE "
        "--audit SHARE`.",
        "Blind slice: 40 of 100 tasks labelled; 3 labels more count once these are labelled, which were drawn before "
        "them: 17, 4",
        "Look 1 at the labels of this slice; another one, at more labels or for another promise, is stricter.",
    )


def test_no_more_than_eight_missing_tasks_are_named() -> None:
    found = BlindSlice(100, (), tuple(range(20, 40)), 3)
    line = certified_lines(refused(NoCertificate("63 more are needed", 0, 63, 63), found))[-2]
    assert line.endswith("drawn before them: 20, 21, 22, 23, 24, 25, 26, 27 ...")


def test_what_was_no_look_is_not_called_one_and_the_only_one_is() -> None:
    answer = NoCertificate("63 more blind labels without error are needed", 0, 63, 63)
    empty = Certified(4, Terms(), (Group("", 10, BlindSlice(90, (), (), 0), answer),), 1, False, False, None)
    assert certified_lines(empty) == (
        "Cannot certify: 63 more blind labels without error are needed.",
        "Blind slice: 0 of 90 tasks labelled",
    )
    once = Certified(4, Terms(only_look=True), (Group("", 10, WHOLE, answer),), None, True, False, None)
    assert certified_lines(once)[-1] == "These labels were looked at this once; more of them cannot be used."


def test_the_earlier_certificate_is_named_where_it_still_holds() -> None:
    line = "The certificate of 2026-03-02 09:30 UTC still holds; `accept` goes by that."
    assert certified_lines(refused(NoCertificate("too many errors", 180), earlier=WHEN))[-1] == line


def test_every_group_has_its_own_sentences() -> None:
    answer = NoCertificate("63 more blind labels without error are needed", 0, 63, 63)
    groups = (Group("gpt", 1_000, WHOLE, ANSWER), Group("llava", 50, BlindSlice(70, (), (), 0), answer))
    found = Certified(4, Terms(), groups, 1, True, True, Issued({"gpt": ANSWER}, "generator"))
    heads = [line.partition(":")[0] for line in certified_lines(found)]
    assert heads == ["gpt", "gpt", "gpt", "llava", "llava", *heads[5:]]
    assert "by the judge's calibrated confidence" in certified_lines(found)[-2]


def test_the_same_for_programs() -> None:
    found = certified(ANSWER)
    assert found.issued is not None
    assert json.loads(certified_as_json(found)) == {
        "certified": True,
        "certificate": found.issued.id,
        "certified_earlier": None,
        "terms": {"max_error": 0.05, "max_bad_accepted": None, "confidence": 0.95, "only_look": False},
        "look": 2,
        "looked": True,
        "calibrated": False,
        "groups": {
            "": {
                "tasks": 1_000,
                "drawn": 180,
                "labelled": 180,
                "missing": [],
                "beyond": 0,
                "answer": json.loads(ANSWER.to_json()),
            }
        },
    }
    none = json.loads(certified_as_json(refused(NoCertificate("too many errors", 180), earlier=WHEN)))
    assert (none["certified"], none["certificate"], none["certified_earlier"]) == (
        False,
        None,
        "2026-03-02T09:30:00+00:00",
    )
    assert none["groups"][""]["answer"]["reason"] == "too many errors"


FOUND = Acceptance(
    Issued({"": ANSWER}), WHEN, (3, 5, 8), (13,), 21, 34, 55, Watch(0.05, 0.95, 20, 2, 0.0213, None), open_again=6
)


@pytest.mark.parametrize(
    ("done", "first", "second"),
    [
        (None, "3 tasks would be accepted without a person", "1 more would go to people blind"),
        (2, "2 tasks accepted without a person", "1 more go to people blind"),
    ],
    ids=["dry run", "done"],
)
def test_acceptance_in_sentences(done: int | None, first: str, second: str) -> None:
    assert acceptance_lines(FOUND, done) == (
        f"Certificate {FOUND.issued.id} of 2026-03-02 09:30 UTC holds.",
        f"{first}, {second}, as the continuing audit",
        "21 were accepted before; 34 above the threshold are people's already; 55 need a person, or had one",
        "continuing audit: 20 looked at, 2 wrong, 6 still to look at; at least 2.1% of the accepted are wrong, and at "
        "most 5.0% are promised",
    )


def test_where_nothing_was_looked_at_yet_nothing_is_said_of_it() -> None:
    assert FOUND.audit is not None
    unseen = replace(FOUND, audit=replace(FOUND.audit, checked=0, errors=0, lower_bound=0.0))
    assert acceptance_lines(unseen, None)[-1] == (
        "continuing audit: 0 looked at, 0 wrong, 6 still to look at; at most 5.0% of the accepted may be wrong"
    )


def test_acceptance_for_programs() -> None:
    assert json.loads(acceptance_as_json(FOUND, None)) == {
        "certificate": FOUND.issued.id,
        "certified_at": "2026-03-02T09:30:00+00:00",
        "dry_run": True,
        "accepted": 3,
        "looked_at_again": 1,
        "accepted_before": 21,
        "by_people": 34,
        "need_a_person": 55,
        "audit": {
            "promise": 0.05,
            "confidence": 0.95,
            "checked": 20,
            "errors": 2,
            "lower_bound": 0.0213,
            "alarm_at": None,
        },
    }
    done = json.loads(acceptance_as_json(FOUND, 2))
    assert (done["dry_run"], done["accepted"]) == (False, 2)


def test_a_calibration_says_what_was_fitted_what_it_is_worth_and_what_it_costs() -> None:
    unknown = NotComputable("all are right", 60)
    before = Goodness(Estimate(0.12, 0.08, 0.16, 60, 50), Estimate(0.1, None, None, 60, 1), unknown)
    after = Goodness(Estimate(0.04, 0.02, 0.09, 60, 50), Estimate(0.08, 0.05, 0.1, 60, 50), unknown)
    fitted = Fitted("image-text", Curve("temperature", (0.0,), (1.0,), (0.7,), 0.0), 60, 9, before, after)
    short = TooFew("document", 12, 18, "18 more blind labels are needed, 30 at least")
    assert calibration_lines(Calibration("judge-1", (fitted,), (short,), (1, 2)), 0.25) == (
        "image-text: temperature on 60 blind labels, 9 of which say the judge is wrong",
        "  ECE: 0.120 (0.080 to 0.160) before, 0.040 (0.020 to 0.090) after",
        "  Brier: 0.100 before, 0.080 (0.050 to 0.100) after",
        "  AUROC: not known (all are right) before, not known (all are right) after",
        "document: not calibrated: of the labels set apart for that, 18 more blind labels are needed, 30 at least; "
        "with --share 0.25 that is about 72 more of the slice",
        "kept for the judge judge-1; these labels cannot certify it any more",
    )
    assert calibration_lines(Calibration("judge-1", (), (), ()), 0.25) == (
        "not calibrated: of the slice, from the first drawn on, no task is labelled in which the judge decides",
    )
