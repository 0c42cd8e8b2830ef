"""What a certificate lets be accepted: whom, of whom people see some again, and when it is over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from backend.core.audit import AuditPlan
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.certificate import Certificate, Promise
from backend.core.trust.acceptance.issued import Issued
from backend.core.trust.acceptance.watch import watch
from backend.core.trust.labels import LabelledTask, Said
from backend.errors import TrustError
from backend.store import Store
from backend.trust.accepting import Acceptance, acceptance, foreseen
from backend.trust.calibrating import calibrate_project
from backend.trust.certifying import BAD_ACCEPTED, CERTIFICATE, STOPPED, Terms, certify_project
from backend.trust.reading import Reading
from tests.labelled import said, skip, task, verdict
from tests.trust_readings import KEY, PLAN, labelled_project, reading_of, simulated_reading

NUMBERS = range(1, 401)
THRESHOLD = 0.8
DRAWN = frozenset(n for n in NUMBERS if PLAN.drawn_with(n, {}) is not None)
AGAIN = tuple(n for n in NUMBERS if n not in DRAWN and PLAN.place_again(n) is not None)
"""Of the 400 tasks those that people look at though they are accepted."""
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.db")


def sure(number: int) -> float:
    """Three of four tasks are above the threshold."""
    return 0.7 if number % 4 == 0 else 0.9


def plain(number: int) -> LabelledTask:
    return task(number, verdict("accept", sure(number)))


def reading(changed: Iterable[LabelledTask] = (), **more: object) -> Reading:
    others = {each.task: each for each in changed}
    return reading_of(labelled_project(others.get(n) or plain(n) for n in NUMBERS), **more)  # type: ignore[arg-type]


def certified(store: Store, about: Reading, found: Certificate | BadAccepted | None = None) -> Issued:
    """As if it had been certified; `test_trust_certifying` is about whether it may be."""
    made = found or Certificate(Promise(0.05, 0.95, 1), THRESHOLD, 300, 400, 100, 1, 120, 0.047, about.binding)
    issued = Issued({"": made})
    kind = CERTIFICATE if isinstance(made, Certificate) else BAD_ACCEPTED
    store.statements.put(about.project.uid, about.binding.fingerprint, kind, issued.to_json())
    return issued


def adds_up(found: Acceptance, about: Reading) -> None:
    """Every task that the judge has answered is in one of the numbers."""
    judged = sum(each.judge is not None for each in about.labelled.tasks)
    watched = len(about.again - about.accepted.keys())
    assert len(found.accept) + len(found.again) + found.before + found.by_people + found.below + watched == judged


def looked_at(labels: Iterable[tuple[int, Said]]) -> Reading:
    """The tasks of the continuing audit, labelled one a minute in this order."""
    made = {n: replace(one, at=MONDAY + timedelta(minutes=minute)) for minute, (n, one) in enumerate(labels)}
    accepted = {n: (1_000 + n,) for n in NUMBERS if n % 4 and n not in DRAWN and n not in AGAIN}
    return reading((replace(plain(n), said=(one,)) for n, one in made.items()), accepted=accepted, again=AGAIN)


WATCHED = tuple(n for n in AGAIN if n % 4)
"""Those of them that are above the threshold."""
RIGHT, WRONG = said("ann", verdict="accept"), said("ann", verdict="reject")


def test_without_a_certificate_nothing_is_accepted_and_it_says_what_to_run(store: Store) -> None:
    with pytest.raises(
        TrustError, match=r"nothing is certified of the judge judge-1 in .*vlm-judge certify --project 1"
    ):
        acceptance(reading(), store)


def test_what_is_above_the_threshold_and_nobodys_yet_is_accepted(store: Store) -> None:
    about = reading()
    issued = certified(store, about)
    found = acceptance(about, store)
    free = [n for n in NUMBERS if n % 4 and n not in DRAWN]
    assert 0 < len(WATCHED) < 20
    assert found.accept == tuple(n for n in free if n not in WATCHED)
    assert found.again == WATCHED
    assert (found.issued, found.before, found.open_again) == (issued, 0, 0)
    assert found.by_people == len([n for n in NUMBERS if n % 4 and n in DRAWN])
    assert found.below == 100
    assert found.audit == watch([], 0.05, 0.95)
    adds_up(found, about)


def test_who_is_never_accepted(store: Store) -> None:
    """Corrections, tasks without a verdict, those that people have labelled, and those of the slice."""
    fix, none, labelled, skipped, free = [n for n in NUMBERS if n % 4 and n not in DRAWN and n not in AGAIN][:5]
    about = reading(
        [
            task(fix, verdict("fix", 0.99)),
            task(none, None),
            task(labelled, verdict("accept", 0.99), said("ann", saw=True, verdict="accept")),
            task(skipped, verdict("accept", 0.99), skip("ann", saw=True)),
        ]
    )
    certified(store, about)
    found = acceptance(about, store)
    assert not {fix, none, labelled, skipped} & {*found.accept, *found.again}
    assert free in found.accept
    assert not DRAWN & {*found.accept, *found.again}
    adds_up(found, about)


def test_exactly_the_threshold_is_enough(store: Store) -> None:
    number = next(n for n in NUMBERS if n % 4 and n not in DRAWN and n not in AGAIN)
    about = reading([task(number, verdict("accept", THRESHOLD))])
    certified(store, about)
    assert number in acceptance(about, store).accept


def test_what_was_done_is_not_done_again(store: Store) -> None:
    first = reading()
    certified(store, first)
    found = acceptance(first, store)
    half = {n: (1_000 + n,) for n in found.accept[::2]}
    broken_off = reading(accepted=half, again=found.again)
    then = acceptance(broken_off, store)
    assert (then.accept, then.again, then.before, then.open_again) == (
        found.accept[1::2],
        (),
        len(half),
        len(found.again),
    )
    adds_up(then, broken_off)
    done = acceptance(reading(accepted={n: (1_000 + n,) for n in found.accept}, again=found.again), store)
    assert (done.accept, done.again, done.before) == ((), (), len(found.accept))


def test_tasks_accepted_by_an_earlier_laxer_certificate_are_not_counted_twice(store: Store) -> None:
    below = [n for n in NUMBERS if n % 4 == 0 and n not in DRAWN]
    about = reading(accepted={n: (n,) for n in below[:7]})
    certified(store, about)
    found = acceptance(about, store)
    assert (found.before, found.below) == (7, 93)
    adds_up(found, about)


def test_it_does_not_hold_for_other_tasks_or_another_judge(store: Store) -> None:
    about = reading()
    certified(store, about)
    edited = reading([task(7, verdict("accept"), data={"caption": "another"})])
    unjudged = reading([task(7, None)])
    for changed in (edited, unjudged, reading_of(labelled_project(plain(n) for n in range(1, 402)))):
        with pytest.raises(TrustError, match=r"UTC does not hold any more: the project has changed since"):
            acceptance(changed, store)
    with pytest.raises(TrustError, match="nothing is certified of the judge judge-2"):
        acceptance(reading_of(replace(about.labelled, fingerprint="judge-2")), store)
    assert acceptance(about, store).accept


def test_it_does_not_hold_for_confidences_that_were_calibrated_since(store: Store) -> None:
    made = simulated_reading(np.random.default_rng(1), tasks=1_200, labels=450).reading
    certify_project(made, store, Terms(0.2))
    assert acceptance(made, store).accept
    used = calibrate_project(made, store).tasks
    with pytest.raises(TrustError, match="the confidence has been calibrated since"):
        acceptance(made, store)
    certify_project(made, store, Terms(0.2))
    found = acceptance(made, store)
    assert found.accept
    assert not set(used) & {*found.accept, *found.again}
    adds_up(found, made)


def test_only_groups_that_were_certified_are_accepted(store: Store) -> None:
    plan = AuditPlan(0.5, KEY, "generator", (("gpt", 0.4), ("llava", 0.6)))
    tasks = [task(n, verdict("accept"), data={"generator": ("gpt", "llava", "new")[n % 3]}) for n in NUMBERS]
    about = reading_of(labelled_project(tasks, plan))
    made = Certificate(Promise(0.05, 0.975, 1), THRESHOLD, 133, 133, 80, 0, 80, 0.047, about.binding)
    issued = Issued({"gpt": made}, "generator")
    store.statements.put(about.project.uid, "judge-1", CERTIFICATE, issued.to_json())
    found = acceptance(about, store)
    assert {n % 3 for n in (*found.accept, *found.again)} == {0}
    adds_up(found, about)


def test_a_certificate_that_cannot_be_read_is_refused(store: Store) -> None:
    store.statements.put(reading().project.uid, "judge-1", CERTIFICATE, "{}")
    with pytest.raises(TrustError, match=r"the certificate in .*store.db cannot be used: .* certify anew"):
        acceptance(reading(), store)


def test_people_who_look_again_find_nothing_and_it_goes_on(store: Store) -> None:
    about = looked_at((n, RIGHT) for n in WATCHED[:-1])
    certified(store, about)
    found = acceptance(about, store)
    assert found.audit == watch([False] * (len(WATCHED) - 1), 0.05, 0.95)
    assert found.open_again == 1
    adds_up(found, about)


def test_errors_that_break_the_promise_stop_acceptance_for_good(store: Store) -> None:
    """Two wrong of two leave a lower bound of 4.5 %, three of three one of 9.7 %, above the 5 % that were promised."""
    about = looked_at((n, WRONG) for n in WATCHED[:3])
    issued = certified(store, about)
    before = foreseen(about, store)
    assert before.audit is not None
    assert before.audit.alarm_at == 3
    assert store.statements.last(about.project.uid, "judge-1", STOPPED) is None, "looking writes nothing"
    broken = r"The promise is broken: of 3 accepted tasks .* the judge is wrong on 3"
    with pytest.raises(TrustError, match=broken):
        acceptance(about, store, keep=False)
    assert store.statements.last(about.project.uid, "judge-1", STOPPED) is None, "nor does a dry run"
    with pytest.raises(TrustError, match=broken):
        acceptance(about, store)
    stopped = store.statements.last(about.project.uid, "judge-1", STOPPED)
    assert stopped is not None
    healed = looked_at((n, RIGHT) for n in WATCHED)
    with pytest.raises(TrustError, match=r"The promise is broken: .* Acceptance was stopped on 20\d\d-"):
        acceptance(healed, store)
    with pytest.raises(TrustError, match="cannot be certified here again"):
        certify_project(healed, store, Terms(0.05))
    assert issued.certificates


def test_the_alarm_goes_by_the_order_in_which_people_came_and_stays(store: Store) -> None:
    """Errors at first, and then none any more: the alarm that rang at the third is still one."""
    says = [WRONG] * 3 + [RIGHT] * (len(WATCHED) - 3)
    about = looked_at(zip(reversed(WATCHED), says, strict=True))
    certified(store, about)
    found = foreseen(about, store).audit
    assert found == watch([True] * 3 + [False] * (len(WATCHED) - 3), 0.05, 0.95)
    assert found is not None
    assert found.alarm_at == 3


def test_labels_of_people_who_saw_the_answer_ring_no_alarm_and_skips_count_as_wrong(store: Store) -> None:
    """Who had the task open while it was made blind says nothing about the judge."""
    seen = said("ann", saw=True, verdict="reject")
    about = looked_at([*((n, seen) for n in WATCHED[:3]), (WATCHED[3], skip("bob")), (WATCHED[4], RIGHT)])
    certified(store, about)
    found = acceptance(about, store)
    assert found.audit == watch([True, False], 0.05, 0.95)
    assert found.open_again == len(WATCHED) - 5


def test_a_promise_about_all_tasks_is_not_watched(store: Store) -> None:
    about = looked_at((n, WRONG) for n in WATCHED)
    certified(store, about, BadAccepted(0.05, THRESHOLD, 300, 400, 5, 120, 6 / 121, about.binding))
    found = acceptance(about, store)
    assert (found.audit, found.open_again) == (None, 0)
