"""Certifies from which confidence on a project's tasks need no person, and remembers how often it was tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from backend.core.trust.acceptance.bad_accepted import BadAccepted, bad_accepted, fewest_labels
from backend.core.trust.acceptance.blind import (
    BlindSlice,
    blind_slice_of,
    digest_of_look,
    labels_of,
    population_of,
    strata_of,
)
from backend.core.trust.acceptance.certificate import (
    BlindLabel,
    Certificate,
    NoCertificate,
    Promise,
    certify,
    certify_strata,
    enough_without_error,
)
from backend.core.trust.acceptance.issued import Issued, issued_from_json
from backend.core.trust.confidence.calibration import Calibration
from backend.core.trust.labels import LabelledTask
from backend.errors import TrustError
from backend.store import Statement, Store
from backend.trust.calibrating import calibration_of, confidence_of, name_of
from backend.trust.reading import Reading

CERTIFICATE, BAD_ACCEPTED, STOPPED = "certificate", "bad accepted", "stopped"
KINDS = (CERTIFICATE, BAD_ACCEPTED, STOPPED)
"""Of statements: two that allow acceptance, and one that ends it; the last one counts."""
NOTHING_ALONE = "the judge has given no answer that could do without a person"
ONLY_LOOK = "only look"
"""The statement that labels were looked at, and never are again."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to be promised."""

    max_error: float | None = 0.05
    """Share of wrong ones among the accepted; None where `max_bad_accepted` is promised instead."""
    max_bad_accepted: float | None = None
    """Share of all tasks that are accepted and wrong."""
    confidence: float = 0.95
    only_look: bool = False
    """Whether the labels are looked at this one time, and never again."""

    def promise(self, look: int | None, strata: int = 1) -> Promise:
        """What is promised of the accepted, in so many strata at once. Raises ValueError where nothing is."""
        if self.max_error is None:
            raise ValueError("these terms promise nothing about the accepted")
        return Promise(self.max_error, 1 - (1 - self.confidence) / strata, look)


@dataclass(frozen=True, slots=True)
class Group:
    """What was found for tasks that were drawn alike."""

    name: str
    """Empty where all were."""
    tasks: int
    """That the judge has answered, those that always need a person among them."""
    found: BlindSlice
    answer: Certificate | BadAccepted | NoCertificate


@dataclass(frozen=True, slots=True)
class Certified:
    """What came of it."""

    project: int
    terms: Terms
    groups: tuple[Group, ...]
    look: int | None
    """Which look at the slice's labels this was, from 1; None for the only one."""
    looked: bool
    """Whether it was one: so few labels that nothing could follow, whatever they say, are not looked at."""
    calibrated: bool
    """Whether the confidences were learned from other blind labels; else they are the judge's own."""
    issued: Issued | None
    """What was handed out; None where nothing can be certified."""
    earlier: datetime | None = None
    """Where nothing was: when something was handed out that still holds."""


def certify_project(reading: Reading, store: Store, terms: Terms) -> Certified:
    """Certify what can be, and put it into the store.

    Raises StoreError; and TrustError where there is no blind slice, where it has been said that labels would not be
    looked at again, and after the continuing audit has stopped acceptance.
    """
    last = store.statements.last(reading.project.uid, reading.binding.fingerprint, *KINDS)
    if last is not None and last.kind == STOPPED:
        raise TrustError(last.body)
    calibration = calibration_of(reading, store)
    strata = {
        name: _Stratum(tasks, blind_slice_of(tasks, reading.plan), reading, calibration)
        for name, tasks in strata_of(reading.labelled, reading.plan).items()
    }
    look, looked = _look(reading, store, strata, terms, name_of(calibration))
    answers = {
        name: answer if strata[name].population else NoCertificate(NOTHING_ALONE, 0)
        for name, answer in _answers(reading, strata, terms, calibration, look).items()
    }
    issued = Issued(
        {name: found for name, found in answers.items() if not isinstance(found, NoCertificate)},
        reading.plan.by if len(strata) > 1 else "",
        name_of(calibration),
    )
    if issued.certificates:
        kind = CERTIFICATE if terms.max_bad_accepted is None else BAD_ACCEPTED
        store.statements.put(reading.project.uid, reading.binding.fingerprint, kind, issued.to_json())
    groups = tuple(Group(name, each.judged, each.found, answers[name]) for name, each in strata.items())
    found = Certified(reading.project.id, terms, groups, look, looked, calibration is not None, None)
    if not issued.certificates:
        return replace(found, earlier=_still_holds(last, reading, calibration))
    return replace(found, issued=issued)


def _still_holds(last: Statement | None, reading: Reading, calibration: Calibration | None) -> datetime | None:
    """When the last certificate was handed out, if it holds; None also for one that cannot be read."""
    try:
        found = issued_from_json(last.body) if last else None
    except ValueError:
        return None
    void = found is None or found.void_because(reading.binding, name_of(calibration))
    return None if void or last is None else last.created_at


class _Stratum:
    """Tasks that were drawn alike, and what is known of them."""

    def __init__(
        self,
        tasks: Iterable[LabelledTask],
        found: BlindSlice,
        reading: Reading,
        calibration: Calibration | None,
    ) -> None:
        config, used = reading.labelled.config, set(calibration.tasks if calibration else ())
        kept = [task for task in tasks if task.judge is not None and task.task not in used]
        self.judged = len(kept)
        self.found = found
        self.population: Mapping[int, float] = {
            task.task: confidence_of(task.judge, reading.labelled.kind, calibration)
            for task in population_of(kept, config)
            if task.judge is not None
        }
        self.labels: tuple[BlindLabel, ...] = labels_of(found, config, self.population)


def _look(
    reading: Reading, store: Store, strata: Mapping[str, _Stratum], terms: Terms, calibration: str
) -> tuple[int | None, bool]:
    """The number of this look, None for the only one; and whether it is a look at all, which then is remembered.

    Raises TrustError after an only one, and for an only one that is none.
    """
    key, fingerprint = reading.plan.key, reading.binding.fingerprint
    promised = f"{terms.max_error} {terms.max_bad_accepted} {terms.confidence} {calibration}"
    digest = digest_of_look([label for each in strata.values() for label in each.labels], promised)
    only = store.statements.last(reading.project.uid, fingerprint, ONLY_LOOK)
    if only is not None and only.body != digest:
        raise TrustError(
            f"the labels of this slice were to be looked at once, on {only.created_at:%Y-%m-%d}, and that was done; "
            "more labels or another promise take a slice of their own, in a new project"
        )
    number = store.statements.look_to_come(key, fingerprint, digest)
    if terms.only_look and number > 1:
        raise TrustError("--only-look comes too late: labels of this slice were looked at before; leave it out")
    look = None if terms.only_look or only is not None else number
    if max(len(each.labels) for each in strata.values()) < _fewest(terms, look, len(strata)):
        return look, False
    if terms.only_look and only is None:
        store.statements.put(reading.project.uid, fingerprint, ONLY_LOOK, digest)
    counted = store.statements.look(key, fingerprint, digest)
    return None if look is None else counted, True


def _fewest(terms: Terms, look: int | None, strata: int) -> int:
    """Of fewer labels nothing can follow."""
    if terms.max_bad_accepted is not None:
        return fewest_labels(terms.max_bad_accepted)
    promise = terms.promise(look, strata)
    return enough_without_error(promise.max_error, promise.delta)


def _answers(
    reading: Reading,
    strata: Mapping[str, _Stratum],
    terms: Terms,
    calibration: Calibration | None,
    look: int | None,
) -> Mapping[str, Certificate | BadAccepted | NoCertificate]:
    fitted_on = calibration.tasks if calibration else ()
    if terms.max_bad_accepted is not None:
        return {
            name: bad_accepted(terms.max_bad_accepted, each.labels, each.population, reading.binding, fitted_on)
            for name, each in strata.items()
        }
    promise = terms.promise(look)
    if len(strata) == 1:
        return {
            name: certify(promise, each.labels, each.population, reading.binding, fitted_on)
            for name, each in strata.items()
        }
    each_group = {name: (each.labels, each.population) for name, each in strata.items()}
    return certify_strata(promise, each_group, reading.binding, fitted_on)
