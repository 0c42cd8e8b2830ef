"""Turns predictions above a certified threshold into annotations, and goes on watching whether the promise is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backend.annotated import read_task
from backend.audit_slice import hide
from backend.authorship import ACCEPTED, is_accepted
from backend.core.audit import blind_prediction, is_blind
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.blind import is_wrong, population_of
from backend.core.trust.acceptance.issued import Issued, issued_from_json
from backend.core.trust.acceptance.watch import Watch, watch
from backend.core.trust.confidence.calibration import Calibration
from backend.core.trust.labels import LabelledTask
from backend.errors import TrustError
from backend.store import Store
from backend.studio import Studio
from backend.trust.calibrating import calibration_of, confidence_of, name_of
from backend.trust.certifying import KINDS, STOPPED
from backend.trust.reading import Reading

Json = Mapping[str, Any]
Progress = Callable[[int, int], None]

SERVICE_ACCOUNT = "vlm-judge@label-studio.invalid"
"""E-mail address of the account that accepted tasks are annotated by; a name that can receive no mail."""
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What may be accepted now."""

    issued: Issued
    certified_at: datetime
    accept: tuple[int, ...]
    """Tasks that become annotated by the judge."""
    again: tuple[int, ...]
    """Tasks above the threshold that go to people all the same, blind, from now on."""
    before: int
    """Tasks that were accepted earlier."""
    by_people: int
    """Tasks above the threshold that people have labelled, or that are in the slice and theirs to label."""
    below: int
    """Tasks that the judge has answered and that need a person, or had one."""
    audit: Watch | None
    """How the continuing audit stands; None where the promise is about all tasks, of which it says nothing."""
    open_again: int
    """Tasks of the continuing audit that nobody has looked at yet."""


def acceptance(reading: Reading, store: Store, *, keep: bool = True) -> Acceptance:
    """What the certificate that is there allows.

    Raises TrustError as `foreseen`, and where the continuing audit says that the promise is broken; with `keep` that is
    put into the store, and stays so.
    """
    found = foreseen(reading, store)
    if found.audit is not None and found.audit.alarm_at is not None:
        if keep:
            store.statements.put(reading.project.uid, reading.binding.fingerprint, STOPPED, _alarm(found.audit))
        raise TrustError(_alarm(found.audit))
    return found


def foreseen(reading: Reading, store: Store) -> Acceptance:
    """What the certificate that is there would allow if the continuing audit agreed; nothing is written.

    Raises TrustError where there is none, and where it does not hold for the judge or the tasks as they are now.
    """
    issued, certified_at = issued_of(reading, store)
    calibration = calibration_of(reading, store)
    if void := issued.void_because(reading.binding, name_of(calibration)):
        raise TrustError(f"the certificate of {certified_at:%Y-%m-%d %H:%M} UTC does not hold any more: {void}")
    above = {task.task: task for task in _above(reading, issued, calibration)}
    theirs = reading.accepted.keys() | reading.again
    free = [n for n, task in above.items() if n in reading.open and task.drawn_with is None and n not in theirs]
    again = frozenset(number for number in free if reading.plan.place_again(number) is not None)
    answered = [task.task for task in reading.labelled.tasks if task.judge is not None]
    below = [number for number in answered if number not in above and number not in theirs]
    return Acceptance(
        issued=issued,
        certified_at=certified_at,
        accept=tuple(number for number in free if number not in again),
        again=tuple(number for number in free if number in again),
        before=len(reading.accepted),
        by_people=len(above.keys() - set(free) - theirs),
        below=len(below),
        audit=_audit(reading, issued, above),
        open_again=sum(not above[task].said for task in reading.again if task in above),
    )


def accept(
    studio: Studio,
    store: Store,
    reading: Reading,
    found: Acceptance,
    progress: Progress = lambda done, total: None,
    said: Callable[[str], None] = lambda text: None,
) -> int:
    """Carry it out; how many tasks were annotated. Can be broken off and begun again. Raises StudioError, StoreError.

    What people look at again is made blind first, so that nothing is accepted that is not watched. `said` is told where
    no account of the judge's own can be made.
    """
    fingerprint, total = reading.binding.fingerprint, len(found.again) + len(found.accept)
    hidden = accepted = 0
    for task, made in _predictions(studio, reading, found.again):
        place = reading.plan.place_again(task) or 0.0
        hide(studio, store, reading.plan, task, made, blind_prediction(place, fingerprint))
        progress(hidden := hidden + 1, total)
    account = studio.service_account(SERVICE_ACCOUNT, "VLM judge") if found.accept else None
    if found.accept and account is None:
        said(
            "this key's user may not make an account for the judge, so the accepted tasks stand under that user's own "
            "name; the export tells them apart all the same"
        )
    for task, made in _predictions(studio, reading, found.accept):
        studio.annotate(task, _annotation(made, found.issued.id, account))
        accepted += 1
        progress(hidden + accepted, total)
    return accepted


def take_back(studio: Studio, reading: Reading, progress: Progress = lambda done, total: None) -> int:
    """Delete every annotation that the judge was given without a person, and that nobody has worked on; how many.

    Each is looked at once more just before. Can be broken off and begun again. Raises StudioError.
    """
    deleted = 0
    for page in _pages(studio, reading, reading.accepted):
        for number in (one.id for task in map(read_task, page) for one in task.annotations if is_accepted(one)):
            studio.delete_annotation(number)
            deleted += 1
            progress(deleted, max(deleted, len(reading.accepted)))
    return deleted


def issued_of(reading: Reading, store: Store) -> tuple[Issued, datetime]:
    """The certificate that counts. Raises TrustError."""
    found = store.statements.last(reading.project.uid, reading.binding.fingerprint, *KINDS)
    if found is None:
        raise TrustError(
            f"nothing is certified of the judge {reading.binding.fingerprint} in project {reading.project.id}; run "
            f"`vlm-judge certify --project {reading.project.id}`, with the store in which that is to be found"
        )
    if found.kind == STOPPED:
        raise TrustError(f"{found.body} Acceptance was stopped on {found.created_at:%Y-%m-%d %H:%M} UTC.")
    try:
        return issued_from_json(found.body), found.created_at
    except ValueError as exc:
        raise TrustError(f"the certificate in {store.shown} cannot be used: {exc}") from exc


def _above(reading: Reading, issued: Issued, calibration: Calibration | None) -> Iterator[LabelledTask]:
    """The tasks that may be accepted, whoever has labelled them; none whose confidence was learned from its label."""
    fitted_on = set(calibration.tasks if calibration else ())
    for task in population_of(reading.labelled.tasks, reading.labelled.config):
        threshold = issued.threshold(task.data)
        if task.judge is None or threshold is None or task.task in fitted_on:
            continue
        if confidence_of(task.judge, reading.labelled.kind, calibration) >= threshold:
            yield task


def _audit(reading: Reading, issued: Issued, above: Mapping[int, LabelledTask]) -> Watch | None:
    """The continuing audit, in the order in which people came to its tasks.

    Who had the task open when it was made blind has seen the judge's answer; that says nothing about it, and no alarm
    may come of it.
    """
    promises = [found.promise for found in issued.certificates.values() if not isinstance(found, BadAccepted)]
    if not promises:
        return None
    unseen = {n: tuple(one for one in above[n].said if not one.saw_prediction) for n in reading.again if n in above}
    checked = [number for number, said in unseen.items() if said]
    checked.sort(key=lambda number: (max(_moment(one.at) for one in unseen[number]), number))
    wrong = [is_wrong(above[number], unseen[number], reading.labelled.config) for number in checked]
    return watch(wrong, promises[0].max_error, promises[0].confidence)


def _alarm(audit: Watch) -> str:
    return (
        f"The promise is broken: of {audit.checked} accepted tasks that people looked at again the judge is wrong on "
        f"{audit.errors}, so that more than the promised {audit.promise:.1%} are wrong (at least "
        f"{audit.lower_bound:.1%}). Nothing more is accepted; `vlm-judge accept --take-back` gives the accepted tasks "
        "back to people. This judge cannot be certified here again: change it (model, rubric, prompt), or make a "
        "project of the tasks that it is still good at, with a blind slice of its own."
    )


def _moment(at: datetime | None) -> datetime:
    return at or datetime.min.replace(tzinfo=UTC)


def _predictions(studio: Studio, reading: Reading, tasks: Iterable[int]) -> Iterator[tuple[int, Json]]:
    """The shown predictions of these tasks; tasks that somebody has annotated meanwhile are passed over."""
    for page in _pages(studio, reading, tasks):
        for task in page:
            made = [one for one in task["predictions"] if one["model_version"] == reading.binding.fingerprint]
            shown = [one for one in made if not is_blind(one.get("result") or ())]
            if shown and not task.get("annotations"):
                yield task["id"], shown[-1]


def _pages(studio: Studio, reading: Reading, tasks: Iterable[int]) -> Iterator[tuple[Json, ...]]:
    """These tasks as they are now."""
    numbers = sorted(tasks)
    for at in range(0, len(numbers), _AT_ONCE):
        chosen = numbers[at : at + _AT_ONCE]
        some: Json = {"filter": "filter:tasks:id", "operator": "in_list", "type": "Number", "value": chosen}
        yield from studio.annotated_tasks(reading.project.id, _AT_ONCE, filters=(some,))


def _annotation(made: Json, certificate: str, account: int | None) -> dict[str, Any]:
    """The prediction as an annotation that says in every region by which certificate it was taken."""
    result = [{**region, "meta": {**(region.get("meta") or {}), ACCEPTED: certificate}} for region in made["result"]]
    by = {} if account is None else {"completed_by": account}
    return {"result": result, "parent_prediction": made["id"], "was_cancelled": False, **by}
