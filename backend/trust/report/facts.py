"""Gathers all statements about a judge in a project."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backend.core.deciding import deciding_control, verdict_of
from backend.core.measures import NotComputable
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.blind import BlindSlice, blind_slice_of, only_random, strata_of
from backend.core.trust.acceptance.certificate import Certificate
from backend.core.trust.acceptance.risk import RiskCurve, risk_curve
from backend.core.trust.acceptance.watch import Watch
from backend.core.trust.agreement.anchoring import Anchoring, anchoring_of
from backend.core.trust.agreement.corrections import ProjectCorrections, corrections_of
from backend.core.trust.agreement.form_use import ProjectUse, form_use_of
from backend.core.trust.agreement.project_agreement import ProjectAgreement, agreement_of
from backend.core.trust.agreement.standing_in import StandingIn, standing_in
from backend.core.trust.agreement.time_spent import TimeSpent, time_spent
from backend.core.trust.bias.biases import Biases, biases
from backend.core.trust.bias.groups import GroupReport, group_report
from backend.core.trust.confidence.project_calibration import ProjectCalibration, calibration_of
from backend.core.trust.confidence.project_quality import ProjectQuality, quality_of
from backend.core.trust.diversity.variety import Diversity, diversity
from backend.errors import TrustError
from backend.store import Store
from backend.trust.accepting import foreseen, issued_of
from backend.trust.calibrating import calibration_of as kept_calibration
from backend.trust.calibrating import name_of
from backend.trust.certifying import KINDS, STOPPED
from backend.trust.reading import Reading

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks there are of what."""

    tasks: int
    judged: int
    labelled: int
    """By people; a skip counts."""
    blind: int
    """In the slice, whose labels were given without the judge's answer."""
    shown: int
    """Labelled with the judge's answer before the person."""
    accepted: int
    """Without a person, by a certificate."""
    people: int
    decisions: Mapping[str, int]
    """The judge's, by what it decides; `none` where it does not."""


@dataclass(frozen=True, slots=True)
class SliceCounts:
    """How far the blind slice is labelled; as `BlindSlice`, without the labels themselves."""

    drawn: int
    labelled: int
    missing: tuple[int, ...]
    beyond: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is certified, and whether it holds."""

    certificates: Mapping[str, Certificate | BadAccepted]
    """By group; empty where nothing is certified."""
    id: str | None = None
    at: datetime | None = None
    void: str | None = None
    """Why it does not hold any more, or why acceptance was stopped."""
    audit: Watch | None = None
    """The continuing audit."""
    would_accept: int | None = None
    """Tasks that `vlm-judge accept` would accept now."""


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    project: int
    title: str
    kind: str
    deciding: str | None
    """The control that says the verdict or the preference; None on a form without one."""
    fingerprint: str
    made_at: datetime
    counts: Counts
    slices: Mapping[str, SliceCounts]
    """By group; empty where the project has no blind slice."""
    standing: Standing
    agreement: ProjectAgreement
    use: ProjectUse
    corrections: ProjectCorrections | None
    """None where the form has no corrected text."""
    time: TimeSpent
    anchoring: tuple[Anchoring, ...]
    standing_in: StandingIn | NotComputable
    calibration: ProjectCalibration
    quality: ProjectQuality | NotComputable
    risk: RiskCurve
    groups: GroupReport
    biases: Biases
    diversity: Diversity


def make_report(
    reading: Reading,
    store: Store,
    fields: tuple[str, ...] = (),
    looks: Mapping[str, tuple[str, str]] | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """The report; `fields` are data keys to compare groups by beside those that suggest themselves.

    `looks` are perceptual hashes and colours by image address, where near-duplicates are to be found. Raises TrustError
    and StoreError.
    """
    plan = reading.labelled.config.audit
    project = only_random(reading.labelled, plan) if plan else reading.labelled
    strata = strata_of(project, plan) if plan else {}
    steps: dict[str, Callable[[], Any]] = {
        "standing": lambda: standing_of(reading, store),
        "agreement": lambda: agreement_of(project),
        "use": lambda: form_use_of(project),
        "corrections": lambda: corrections_of(project),
        "time": lambda: time_spent(project),
        "anchoring": lambda: anchoring_of(project),
        "standing_in": lambda: standing_in(project),
        "calibration": lambda: calibration_of(project),
        "quality": lambda: quality_of(project),
        "risk": lambda: risk_curve(project),
        "groups": lambda: group_report(project, fields),
        "biases": lambda: biases(project),
        "diversity": lambda: diversity(project, fields, looks=looks),
    }
    found: dict[str, Any] = {}
    for done, (name, make) in enumerate(steps.items()):
        told(done, len(steps))
        found[name] = make()
    told(len(steps), len(steps))
    return Report(
        project=project.id,
        title=project.title,
        kind=project.kind,
        deciding=control.name if (control := project.config.control(deciding_control(project.config))) else None,
        fingerprint=project.fingerprint,
        made_at=datetime.now(UTC),
        counts=counts_of(reading),
        slices={name: _counted(blind_slice_of(tasks, plan)) for name, tasks in strata.items()} if plan else {},
        **found,
    )


def counts_of(reading: Reading) -> Counts:
    """How many tasks there are of what."""
    project = reading.labelled
    deciding = deciding_control(project.config)
    judged = [task.judge for task in project.tasks if task.judge is not None]
    return Counts(
        tasks=len(project.tasks),
        judged=len(judged),
        labelled=sum(bool(task.said) for task in project.tasks),
        blind=sum(bool(task.blind) for task in project.tasks),
        shown=sum(bool(task.shown) for task in project.tasks),
        accepted=len(reading.accepted),
        people=len({one.annotator for task in project.tasks for one in task.said}),
        decisions=dict(Counter(verdict_of(judge.values, deciding) or "none" for judge in judged)),
    )


def _counted(found: BlindSlice) -> SliceCounts:
    return SliceCounts(found.drawn, len(found.labelled), found.missing, found.beyond)


UNREADABLE = "what is kept of the certificate was written by another version of vlm-judge; certify anew"


def standing_of(reading: Reading, store: Store) -> Standing:
    """What is certified; nothing is changed by asking. Raises StoreError."""
    last = store.statements.last(reading.project.uid, reading.binding.fingerprint, *KINDS)
    if last is None or last.kind == STOPPED:
        return Standing({}, void=last.body if last else None)
    try:
        issued, at = issued_of(reading, store)
        void = issued.void_because(reading.binding, name_of(kept_calibration(reading, store)))
    except TrustError:  # says where the store is, which is nobody's business on a page or a card
        return Standing({}, void=UNREADABLE)
    if void is not None:
        return Standing(issued.certificates, issued.id, at, void)
    found = foreseen(reading, store)
    if found.audit is not None and found.audit.alarm_at is not None:
        alarm = "the continuing audit says that the promise is broken; `vlm-judge accept` will accept nothing more"
        return Standing(issued.certificates, issued.id, at, alarm, found.audit)
    return Standing(issued.certificates, issued.id, at, None, found.audit, len(found.accept))


def as_json(report: Report) -> str:
    """The report for programs; what could not be computed is an object with the reason, no number is NaN."""
    return json.dumps(_plain(report), ensure_ascii=False, allow_nan=False, indent=1)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def addresses_of(reading: Reading) -> Iterator[str]:
    """The images that the project's tasks show, each once."""
    seen: set[str] = set()
    for task in reading.labelled.tasks:
        for address in task.image.split("|"):
            if address and address not in seen:
                seen.add(address)
                yield address
