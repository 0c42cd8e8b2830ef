"""Certifying a project: what counts as a label and as a look, what is refused, and whether promises are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator
from scipy.stats import binomtest

from backend.core.audit import AuditPlan
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.certificate import Certificate, NoCertificate, Promise
from backend.core.trust.labels import LabelledTask, Said
from backend.errors import TrustError
from backend.store import Store
from backend.trust.calibrating import calibrate_project, calibration_of, name_of
from backend.trust.certifying import NOTHING_ALONE, STOPPED, Certified, Terms, certify_project
from backend.trust.reading import Reading
from tests.labelled import said, task, verdict
from tests.trust_readings import (
    KEY,
    Simulated,
    in_order,
    labelled_project,
    reading_of,
    simulated_project_of,
    simulated_reading,
)

TASKS = 240
ORDER = in_order(range(1, TASKS + 1))
"""Of 240 tasks those that are drawn, from the first on."""
FIVE = Terms(0.05)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.db")


def confidence_of(number: int) -> float:
    return 0.5 + number / 1_000


def project_with(labels: int, wrong: Collection[int] = (), decision: str = "accept") -> Reading:
    """Every answer is `accept`, the first so many of the slice are labelled, and people reject these places of them."""
    rejected = {ORDER[place] for place in wrong}
    first = set(ORDER[:labels])
    tasks = []
    for number in range(1, TASKS + 1):
        label = said("ann", verdict="reject" if number in rejected else decision)
        judge = verdict(decision, confidence_of(number))
        tasks.append(task(number, judge, *([label] if number in first else ())))
    return reading_of(labelled_project(tasks))


def only(found: Certified) -> Certificate | BadAccepted | NoCertificate:
    [group] = found.groups
    return group.answer


def test_without_a_blind_slice_nothing_can_be_certified(store: Store) -> None:
    bare = reading_of(labelled_project([task(1, verdict("accept"), said("ann", verdict="accept"))], None))
    with pytest.raises(TrustError, match=r"project 1 has no blind slice, .* project create --title 'Cats' --audit"):
        certify_project(bare, store, FIVE)


def test_63_labels_without_an_error_are_enough_for_a_first_look(store: Store) -> None:
    """A first look has 80 % of 5 %: 0.95^63 = 0.0395 is at most 0.04, and 0.95^62 = 0.0416 is not.

    So few labels are expected above any threshold but the last, so that all 240 tasks are accepted or none.
    """
    few = certify_project(project_with(62), store, FIVE)
    assert only(few) == NoCertificate("1 more blind labels without error are needed", 62, 1, 1)
    assert (few.issued, few.look, few.looked) == (None, 1, False)

    reading = project_with(63)
    found = certify_project(reading, store, FIVE)
    bound = 1 - 0.04 ** (1 / 63)  # Clopper and Pearson without an error
    answer = only(found)
    assert isinstance(answer, Certificate)
    assert answer.upper_bound == pytest.approx(bound)
    assert answer == Certificate(
        Promise(0.05, 0.95, 1), confidence_of(1), 240, 240, 63, 0, 63, answer.upper_bound, reading.binding
    )
    assert (found.look, found.looked, found.calibrated) == (1, True, False)
    assert found.issued is not None
    assert dict(found.issued.certificates) == {"": answer}


def test_asking_before_there_is_enough_to_see_is_no_look(store: Store) -> None:
    for labels in (0, 1, 20, 50):
        few = certify_project(project_with(labels, wrong=range(min(labels, 3))), store, FIVE)
        assert (few.look, few.looked, only(few)) == (
            1,
            False,
            NoCertificate(
                f"{63 - labels} more blind labels without error are needed", labels, 63 - labels, 63 - labels
            ),
        )
    assert certify_project(project_with(63), store, FIVE).look == 1


def test_every_look_at_other_labels_is_stricter_and_the_same_labels_are_the_same_look(store: Store) -> None:
    """One error of 63 fails. A second look has 0.8 %, and 0.95^95 = 0.0077 is at most that, 0.95^94 = 0.0081 is not."""
    assert only(certify_project(project_with(63, wrong=[5]), store, FIVE)) == NoCertificate(
        "1 of 63 blind labels of the most confident 100% of the tasks say the judge is wrong; 72 more there without "
        "error are needed",
        63,
        72,  # the next look needs 135 with one error: 0.95^135 + 135 * 0.05 * 0.95^134 = 0.00797, and 134 give 0.0083
        72,
        confidence_of(1),
        63,
        1,
    )
    again = certify_project(project_with(63, wrong=[5]), store, FIVE)
    assert (again.look, again.looked) == (1, True)
    second = certify_project(project_with(94), store, FIVE)
    assert (second.look, second.looked, only(second)) == (
        2,
        False,
        NoCertificate("1 more blind labels without error are needed", 94, 1, 1),
    )
    passed = certify_project(project_with(95), store, FIVE)
    assert (passed.look, passed.issued is not None) == (2, True)
    assert certify_project(project_with(95), store, FIVE).look == 2


def test_another_promise_by_the_same_labels_is_another_look(store: Store) -> None:
    """Else one could go through all promises until one is pleased by these labels."""
    reading = project_with(100)
    looks = [
        certify_project(reading, store, terms).look
        for terms in (FIVE, Terms(0.1), Terms(0.1, confidence=0.9), Terms(None, 0.05), FIVE, Terms(0.1))
    ]
    assert looks == [1, 2, 3, 4, 1, 2]


def test_who_never_looks_again_needs_59_labels(store: Store) -> None:
    """0.95^59 = 0.0485 is at most 0.05, and 0.95^58 = 0.0510 is not."""
    once = Terms(0.05, only_look=True)
    few = certify_project(project_with(58), store, once)
    assert (few.looked, only(few)) == (False, NoCertificate("1 more blind labels without error are needed", 58, 1, 1))
    found = certify_project(project_with(59), store, once)
    assert (found.look, found.looked, found.issued is not None) == (None, True, True)
    for terms in (once, FIVE):
        assert certify_project(project_with(59), store, terms).look is None
    for reading, terms in ((project_with(60), FIVE), (project_with(60), once), (project_with(59), Terms(0.1))):
        with pytest.raises(TrustError, match=r"were to be looked at once, on .*; more labels or another promise take"):
            certify_project(reading, store, terms)


def test_an_only_look_that_comes_too_late_is_refused_and_costs_nothing(store: Store) -> None:
    certify_project(project_with(70, wrong=[3]), store, FIVE)
    with pytest.raises(TrustError, match="--only-look comes too late"):
        certify_project(project_with(90), store, Terms(0.05, only_look=True))
    assert certify_project(project_with(95), store, FIVE).look == 2


def test_after_the_continuing_audit_has_stopped_acceptance_nothing_is_certified_again(store: Store) -> None:
    reading = project_with(100)
    certify_project(reading, store, FIVE)
    store.statements.put(reading.project.uid, "judge-1", STOPPED, "The promise is broken: 9 of 12.")
    for terms in (FIVE, Terms(0.5), Terms(None, 0.1)):
        with pytest.raises(TrustError, match="The promise is broken: 9 of 12"):
            certify_project(reading, store, terms)
    another_judge = reading_of(replace(reading.labelled, fingerprint="judge-2"))
    assert certify_project(another_judge, store, FIVE).issued is not None


def test_where_every_answer_needs_a_person_there_is_nothing_to_certify(store: Store) -> None:
    found = certify_project(project_with(100, decision="fix"), store, FIVE)
    assert (only(found), found.looked) == (NoCertificate(NOTHING_ALONE, 0), False)


def test_the_earlier_certificate_that_still_holds_is_named(store: Store) -> None:
    first = certify_project(project_with(63), store, FIVE)
    assert first.earlier is None
    worse = project_with(100, wrong=range(63, 80))
    found = certify_project(worse, store, FIVE)
    assert found.issued is None
    assert found.earlier == store.statements.last(worse.project.uid, "judge-1", "certificate").created_at  # type: ignore[union-attr]
    moved = replace(worse, binding=replace(worse.binding, tasks_digest="other"))
    assert certify_project(moved, store, FIVE).earlier is None


def test_accepted_and_wrong_is_promised_of_all_tasks(store: Store) -> None:
    """(errors + 1) / (labels + 1) <= 5 %: of 19 labels without an error, or of 100 with four (5 / 101 = 0.0495).

    The fifth most confident wrong one is the first that may not be accepted.
    """
    terms = Terms(None, 0.05)
    few = certify_project(project_with(18), store, terms)
    assert (only(few), few.looked) == (NoCertificate("1 more blind labels are needed", 18, None, 1), False)
    reading = project_with(19)
    assert only(certify_project(reading, store, terms)) == BadAccepted(
        0.05, confidence_of(1), 240, 240, 0, 19, 1 / 20, reading.binding
    )
    reading = project_with(100, wrong=range(10))
    last_refused = sorted((ORDER[place] for place in range(10)), reverse=True)[4]
    assert only(certify_project(reading, store, terms)) == BadAccepted(
        0.05, confidence_of(last_refused + 1), TASKS - last_refused, 240, 4, 100, 5 / 101, reading.binding
    )
    assert store.statements.last(reading.project.uid, "judge-1", "bad accepted") is not None


GROUPS = AuditPlan(0.5, KEY, "generator", (("gpt", 0.8), ("llava", 0.2)))


def of_groups(labelled: Callable[[LabelledTask], bool]) -> Reading:
    tasks = []
    for number in range(1, 401):
        data = {"generator": ("gpt", "llava")[number % 2]}
        made = task(number, verdict("accept", confidence_of(number % 400)), data=data)
        is_drawn = GROUPS.drawn_with(number, data) is not None
        label = (said("ann", verdict="accept"),) if is_drawn and labelled(made) else ()
        tasks.append(replace(made, said=label))
    return reading_of(labelled_project(tasks, GROUPS))


def test_groups_that_were_drawn_unevenly_are_certified_each_by_itself(store: Store) -> None:
    """Two groups share 4 %: each needs n with 0.95^n <= 0.02, which is 77. Of llava, a fifth of 200 is drawn."""
    reading = of_groups(lambda _: True)
    found = certify_project(reading, store, FIVE)
    gpt, llava = found.groups
    assert (gpt.name, gpt.tasks, llava.name, llava.tasks) == ("gpt", 200, "llava", 200)
    assert isinstance(gpt.answer, Certificate)
    assert gpt.answer.promise.confidence == pytest.approx(0.975)
    assert gpt.answer.tasks == 200
    drawn = len(llava.found.labelled)
    assert llava.answer == NoCertificate(
        f"{77 - drawn} more blind labels without error are needed", drawn, 77 - drawn, 77 - drawn
    )
    assert found.issued is not None
    assert (set(found.issued.certificates), found.issued.by) == ({"gpt"}, "generator")
    assert found.issued.threshold({"generator": "gpt"}) == gpt.answer.threshold
    assert found.issued.threshold({"generator": "llava"}) is None


def test_a_gap_in_one_group_does_not_hold_up_the_other(store: Store) -> None:
    found = certify_project(of_groups(lambda made: made.data["generator"] == "gpt"), store, FIVE)
    assert found.issued is not None
    assert set(found.issued.certificates) == {"gpt"}
    llava = found.groups[1]
    assert (len(llava.found.labelled), llava.found.missing) == (0, ())


def test_labels_that_fit_the_confidence_do_not_certify_it(store: Store) -> None:
    made = simulated_reading(np.random.default_rng(1), tasks=1_200, labels=450)
    calibration = calibrate_project(made.reading, store)
    assert calibration.fitted
    used = set(calibration.tasks)
    assert used <= set(in_order(range(1, 1_201))[:450])
    assert 0.25 < len(used) / 450 < 0.42
    found = certify_project(made.reading, store, Terms(0.2))
    [group] = found.groups
    assert isinstance(group.answer, Certificate)
    assert (group.tasks, group.answer.tasks, group.answer.labels) == (1_200 - len(used),) * 2 + (450 - len(used),)
    assert found.calibrated
    assert found.issued is not None
    assert found.issued.calibration == name_of(calibration) == name_of(calibration_of(made.reading, store))


def test_only_a_random_draw_fits_the_confidence(store: Store) -> None:
    """Else, if people passed over hard tasks and the others were fitted on, no random draw would be left to certify."""
    made = simulated_reading(np.random.default_rng(1), tasks=1_200, labels=450).reading
    first = in_order(range(1, 1_201))[0]
    tasks = tuple(replace(each, said=()) if each.task == first else each for each in made.labelled.tasks)
    found = calibrate_project(replace(made, labelled=replace(made.labelled, tasks=tasks)), store)
    assert (found.fitted, found.refused, found.tasks) == ((), (), ())


PROJECTS, DRAWS, SIZE = 10, 30, 600
EDGE = 0.105


def draws(project: Simulated, labels: int, of: int = 0) -> Iterator[Simulated]:
    """The same project, with another slice each time; the promise is about nothing else than the draw."""
    bare = tuple(replace(each, said=(), drawn_with=None) for each in project.reading.labelled.tasks)
    for number in range(of * DRAWS, (of + 1) * DRAWS):
        plan = AuditPlan(0.25, f"{number:016x}")
        first = set(in_order(range(1, SIZE + 1), plan)[:labels])
        tasks = [replace(each, said=(label(project, each.task),)) if each.task in first else each for each in bare]
        name = replace(project.reading.project, uid=f"{number}.1")
        yield replace(project, reading=replace(project.reading, project=name, labelled=labelled_project(tasks, plan)))


def label(project: Simulated, number: int) -> Said:
    return said("ann", verdict="reject" if number in project.wrong else "accept")


def mediocre(rng: Generator) -> Simulated:
    """Right in about 85 % of the tasks, and mostly aware of where."""
    return simulated_reading(rng, tasks=SIZE, labels=0)


def on_the_edge() -> Simulated:
    """Wrong in 10.5 %, evenly from the most to the least confident: nearly all that can be said of it is false."""
    wrong = np.zeros(SIZE, dtype=np.bool_)
    wrong[(np.arange(int(SIZE * EDGE)) / EDGE).astype(np.intp)] = True
    return simulated_project_of(np.linspace(0.999, 0.5, SIZE, dtype=np.float64), wrong, 0)


def is_broken(made: Simulated, threshold: float) -> bool:
    above = [
        each.task
        for each in made.reading.labelled.tasks
        if each.judge is not None and each.judge.confidence >= threshold
    ]
    return len(made.wrong.intersection(above)) > 0.1 * len(above)


def threshold_of(found: Certified) -> float | None:
    answer = only(found)
    return answer.threshold if isinstance(answer, Certificate) else None


def observed_to_be_good_enough(made: Simulated) -> float | None:
    """The lowest threshold above which no more than 10 % of the blind labels say that the judge is wrong."""
    labelled = [each for each in made.reading.labelled.tasks if each.blind]
    surest = sorted(((each.judge.confidence, each.task in made.wrong) for each in labelled if each.judge), reverse=True)
    errors = np.cumsum([wrong for _, wrong in surest])
    fit = np.flatnonzero(errors <= 0.1 * np.arange(1, len(surest) + 1))
    return surest[fit[-1]][0] if len(fit) else None


def may_be(broken: int) -> bool:
    """Whether so many broken promises of 300 can be, if each is broken with a probability of 5 % at most."""
    return bool(binomtest(broken, PROJECTS * DRAWS, 0.05, alternative="greater").pvalue > 0.01)


def test_promises_of_a_mediocre_judge_are_kept(store: Store) -> None:
    """And they would not be without all this: what was observed to be good enough breaks its promise far more often."""
    certified = broken = naive = 0
    for made in (one for n in range(PROJECTS) for one in draws(mediocre(np.random.default_rng(n)), 130, n)):
        threshold = threshold_of(certify_project(made.reading, store, Terms(0.1)))
        certified += threshold is not None
        broken += threshold is not None and is_broken(made, threshold)
        observed = observed_to_be_good_enough(made)
        naive += observed is not None and is_broken(made, observed)
    assert may_be(broken)
    assert certified > 80
    assert not may_be(naive)


def test_looking_again_and_again_breaks_no_more_promises(store: Store) -> None:
    """Of promises with 50 % confidence at most half may be broken; a look that took all of it each time breaks more."""
    project, terms, broken = on_the_edge(), Terms(0.1, confidence=0.5), set()
    for look, labels in enumerate((40, 60, 80, 100, 130), 1):
        for made in (one for part in range(2) for one in draws(project, labels, part)):
            found = certify_project(made.reading, store, terms)
            assert found.look == look
            threshold = threshold_of(found)
            if threshold is not None and is_broken(made, threshold):
                broken.add(made.reading.project.uid)
    assert 4 < len(broken) <= 0.5 * 2 * DRAWS
