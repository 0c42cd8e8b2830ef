"""Certifies from which confidence on a project's tasks need no person, and remembers how often it was tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backend.core.trust.acceptance.bad_accepted import BadAccepted, bad_accepted
from backend.core.trust.acceptance.blind import (
    BlindSlice,
    digest_of_labels,
    labels_of,
    population_of,
    slice_of,
    strata_of,
)
from backend.core.trust.acceptance.certificate import (
    BlindLabel,
    Certificate,
    NoCertificate,
    Promise,
    certify,
    certify_strata,
)
from backend.core.trust.acceptance.issued import Issued
from backend.core.trust.confidence.calibration import Calibration
from backend.core.trust.labels import LabelledTask
from backend.errors import TrustError
from backend.store import Store
from backend.trust.calibrating import calibration_of, confidence_of
from backend.trust.reading import Reading

CERTIFICATE, BAD_ACCEPTED, STOPPED = "certificate", "bad accepted", "stopped"
KINDS = (CERTIFICATE, BAD_ACCEPTED, STOPPED)
"""Of statements: two that allow acceptance, and one that ends it; the last one counts."""


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

    terms: Terms
    groups: tuple[Group, ...]
    look: int | None
    """Which look at the slice's labels this was, from 1; None for the only one."""
    calibrated: bool
    """Whether the confidences were learned from other blind labels; else they are the judge's own."""
    issued: Issued | None
    """What was handed out; None where nothing can be certified."""


def certify_project(reading: Reading, store: Store, terms: Terms) -> Certified:
    """Certify what can be, and put it into the store.

    Raises StoreError; and TrustError where there is no blind slice, where it has been said that labels would not be
    looked at again, and after the continuing audit has stopped acceptance.
    """
    stopped = store.statements.last(
        reading.project.uid, reading.binding.fingerprint, CERTIFICATE, BAD_ACCEPTED, STOPPED
    )
    if stopped is not None and stopped.kind == STOPPED:
        raise TrustError(stopped.body)
    calibration = calibration_of(reading, store)
    strata = {
        name: _Stratum(tasks, slice_of(tasks, reading.plan), reading, calibration)
        for name, tasks in strata_of(reading.labelled, reading.plan).items()
    }
    look = _look(reading, store, strata, terms)
    answers = _answers(reading, strata, terms, calibration, look)
    issued = Issued(
        {name: found for name, found in answers.items() if not isinstance(found, NoCertificate)},
        reading.plan.by if len(strata) > 1 else "",
    )
    if issued.certificates:
        kind = CERTIFICATE if terms.max_bad_accepted is None else BAD_ACCEPTED
        store.statements.put(reading.project.uid, reading.binding.fingerprint, kind, issued.to_json())
    groups = tuple(Group(name, each.judged, each.found, answers[name]) for name, each in strata.items())
    return Certified(terms, groups, look, calibration is not None, issued if issued.certificates else None)


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


def _look(reading: Reading, store: Store, strata: Mapping[str, _Stratum], terms: Terms) -> int | None:
    """The number of this look; None for the only one. Raises TrustError after an only one."""
    labels = [label for each in strata.values() for label in each.labels]
    if not labels:
        return None if terms.only_look else 1
    digest, fingerprint = digest_of_labels(labels), reading.binding.fingerprint
    only = store.statements.last(reading.project.uid, fingerprint, "only look")
    if only is not None and only.body != digest:
        raise TrustError(
            f"these labels were to be looked at once, on {only.created_at:%Y-%m-%d}, and that was done; what was added "
            "since can only be used by a slice of its own, in a new project"
        )
    number = store.statements.look(reading.plan.key, fingerprint, digest)
    if not terms.only_look:
        return number if only is None else None
    if number > 1:
        raise TrustError(f"--only-look comes too late: this is look {number} at these labels; leave it out")
    if only is None:
        store.statements.put(reading.project.uid, fingerprint, "only look", digest)
    return None


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
    promise = Promise(terms.max_error or 0.05, terms.confidence, look)
    if len(strata) == 1:
        return {
            name: certify(promise, each.labels, each.population, reading.binding, fitted_on)
            for name, each in strata.items()
        }
    each_group = {name: (each.labels, each.population) for name, each in strata.items()}
    return certify_strata(promise, each_group, reading.binding, fitted_on)
