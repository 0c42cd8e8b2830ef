"""What a report gathers, and its form for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.core.trust.acceptance.certificate import Certificate, NoCertificate
from backend.core.trust.labels import LabelledTask
from backend.store import Store
from backend.trust.accepting import acceptance
from backend.trust.calibrating import calibrate_project
from backend.trust.certifying import CERTIFICATE, STOPPED, Terms, certify_project
from backend.trust.reading import Reading
from backend.trust.report.facts import (
    UNREADABLE,
    Counts,
    Report,
    Standing,
    addresses_of,
    as_json,
    make_report,
    standing_of,
)
from tests.labelled import OWN_FORM, PAIRWISE, judged, said, skip, task, verdict
from tests.trust_readings import PLAN, in_order, labelled_project, reading_of, simulated_reading
from tests.trust_rich import rich_reading

FIRST, SECOND, *_ = in_order(range(1, 100))


def decided(number: int) -> LabelledTask:
    return task(number, verdict("accept"), said("ann", verdict="accept"))


def preferred(number: int) -> LabelledTask:
    return task(number, judged(better="left"), said("ann", better="right" if number % 3 else "left"))


def filled(number: int) -> LabelledTask:
    values = {"style": ("photo",), "faults": (), "place": (("in",),), "people": number % 4}
    return task(number, judged(**values), said("ann", **{**values, "people": 2}))  # type: ignore[arg-type]


PROJECTS: dict[str, Callable[[], Reading]] = {
    "empty": lambda: reading_of(labelled_project([])),
    "without a slice": lambda: reading_of(labelled_project([task(1, verdict("accept"))], None)),
    "unjudged": lambda: reading_of(labelled_project(task(n, None) for n in range(1, 9))),
    "one label": lambda: reading_of(labelled_project([decided(FIRST), task(SECOND, verdict("fix"))])),
    "skips only": lambda: reading_of(labelled_project(task(n, verdict("reject"), skip("ann")) for n in range(1, 30))),
    "preferences": lambda: reading_of(labelled_project((preferred(n) for n in range(1, 60)), xml=PAIRWISE)),
    "own form": lambda: reading_of(labelled_project((filled(n) for n in range(1, 60)), xml=OWN_FORM)),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.db")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reading, Store, Report]:
    store = Store(tmp_path_factory.mktemp("rich") / "store.db")
    reading = rich_reading(np.random.default_rng(4), store)
    return reading, store, make_report(reading, store, ("source",))


def leaves(found: Any) -> Iterator[Any]:
    if isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from leaves(each)
    else:
        yield found


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("name", PROJECTS)
def test_every_project_has_a_report_that_any_program_can_read(name: str, store: Store) -> None:
    reading = PROJECTS[name]()
    told: list[tuple[int, int]] = []
    found = json.loads(
        as_json(make_report(reading, store, told=lambda done, total: told.append((done, total)))),
        parse_constant=no_constant,
    )
    assert found["counts"]["tasks"] == len(reading.labelled.tasks)
    assert {type(leaf) for leaf in leaves(found)} <= {str, int, float, bool, type(None)}
    assert told == [(done, 13) for done in range(14)]


def test_the_rich_one_says_all_of_it_for_programs(rich: tuple[Reading, Store, Report]) -> None:
    reading, _, report = rich
    found = json.loads(as_json(report), parse_constant=no_constant)
    assert set(found) == {
        "project", "title", "kind", "deciding", "fingerprint", "made_at", "counts", "slices", "standing", "agreement",
        "use", "corrections", "time", "anchoring", "standing_in", "calibration", "quality", "risk", "groups", "biases",
        "diversity",
    }  # fmt: skip
    assert found["standing"]["certificates"][""]["promise"] == {"max_error": 0.05, "confidence": 0.95, "look": 1}
    assert found["slices"][""]["drawn"] == sum(each.drawn_with is not None for each in reading.labelled.tasks)
    assert (found["slices"][""]["missing"], found["slices"][""]["beyond"]) == ([], 0)
    assert found["deciding"] == "verdict"
    assert len(as_json(report)) < 200_000, "labels are counted, not listed"


def test_the_counts_by_hand(store: Store) -> None:
    outside = [n for n in range(1, 100) if PLAN.drawn_with(n, {}) is None]
    tasks = [
        task(FIRST, verdict("accept"), said("ann", verdict="accept"), said("bob", verdict="fix")),
        task(SECOND, verdict("fix"), skip("ann")),
        task(outside[0], verdict("reject"), said("cy", saw=True, verdict="reject")),
        task(outside[1], verdict("accept")),
        task(outside[2], judged(realism=3)),
        task(outside[3], None),
    ]
    reading = reading_of(labelled_project(tasks), accepted={outside[1]: (7, 8)})
    assert make_report(reading, store).counts == Counts(
        tasks=6,
        judged=5,
        labelled=3,
        blind=2,
        shown=1,
        accepted=1,
        people=3,
        decisions={"accept": 2, "fix": 1, "reject": 1, "none": 1},
    )


def test_what_stands_is_said_without_changing_it(rich: tuple[Reading, Store, Report]) -> None:
    reading, store, report = rich
    last = store.statements.last(reading.project.uid, reading.binding.fingerprint, CERTIFICATE)
    found = acceptance(reading, store)
    assert last is not None
    assert report.standing == Standing(
        certificates=found.issued.certificates,
        id=found.issued.id,
        at=last.created_at,
        void=None,
        audit=found.audit,
        would_accept=len(found.accept),
    )
    assert found.audit is not None
    assert found.audit.checked > 10


def test_what_does_not_hold_says_why(store: Store) -> None:
    made = simulated_reading(np.random.default_rng(1), tasks=1_200, labels=450).reading
    assert standing_of(made, store) == Standing({})
    issued = certify_project(made, store, Terms(0.2)).issued
    assert issued is not None
    assert standing_of(made, store).certificates == issued.certificates
    moved = standing_of(replace(made, binding=replace(made.binding, tasks_digest="other")), store)
    assert (moved.id, moved.would_accept) == (issued.id, None)
    assert str(moved.void).startswith("the project has changed")
    calibrate_project(made, store)
    assert str(standing_of(made, store).void).startswith("the confidence has been calibrated since")
    store.statements.put(made.project.uid, "judge-1", CERTIFICATE, "{}")
    assert standing_of(made, store).void == UNREADABLE
    store.statements.put(made.project.uid, "judge-1", STOPPED, "The promise is broken.")
    assert standing_of(made, store) == Standing({}, void="The promise is broken.")


def test_an_alarm_is_said_and_left_for_accept_to_write_down(store: Store) -> None:
    made = simulated_reading(np.random.default_rng(1), tasks=1_200, labels=450).reading
    assert isinstance(certify_project(made, store, Terms(0.2)).groups[0].answer, Certificate)
    again = acceptance(made, store).again
    wrong = {n: (said("ann", verdict="fix"),) for n in again}
    tasks = tuple(replace(each, said=wrong.get(each.task, each.said)) for each in made.labelled.tasks)
    rung = reading_of(replace(made.labelled, tasks=tasks), again=again)
    found = standing_of(rung, store)
    assert found.audit is not None
    assert found.audit.errors == len(again) > 5
    assert str(found.void).startswith("the continuing audit says that the promise is broken")
    assert found.would_accept is None
    assert store.statements.last(made.project.uid, "judge-1", STOPPED) is None


def test_the_risk_at_the_certified_threshold_is_that_of_the_certificate(rich: tuple[Reading, Store, Report]) -> None:
    """Both count the same labels: the nearest point of the curve from the threshold on has no more errors."""
    certificate = rich[2].standing.certificates[""]
    assert isinstance(certificate, Certificate)
    points = [point for point in rich[2].risk.points if point.threshold >= certificate.threshold]
    assert points[-1].labels <= certificate.labels_above
    assert points[-1].wrong == certificate.errors_above


def test_images_are_named_once(store: Store) -> None:
    tasks = [task(1, None, image="a.png"), task(2, None, image="a.png|b.png"), task(3, None, image="c.png")]
    assert list(addresses_of(reading_of(labelled_project(tasks)))) == ["a.png", "b.png", "c.png"]


def test_a_project_that_cannot_be_certified_stands_nowhere(store: Store) -> None:
    made = simulated_reading(np.random.default_rng(1), tasks=400, labels=30).reading
    assert isinstance(certify_project(made, store, Terms(0.05)).groups[0].answer, NoCertificate)
    assert make_report(made, store).standing == Standing({})
