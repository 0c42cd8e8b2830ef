"""What was found, in sentences and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from math import ceil
from typing import Any

from backend.core.measures import NotComputable, Outcome
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.blind import BlindSlice
from backend.core.trust.acceptance.certificate import Certificate, NoCertificate
from backend.core.trust.confidence.calibration import Calibration, Fitted
from backend.trust.accepting import Acceptance
from backend.trust.certifying import Certified, Group, Terms

_NAMED = 8


def certified_lines(found: Certified) -> tuple[str, ...]:
    """What was certified or not, for the one who asked."""
    lines = [line for group in found.groups for line in _of_group(group, found.terms)]
    if found.looked and found.look is None:
        lines.append("These labels were looked at this once; more of them cannot be used.")
    elif found.looked and found.terms.max_bad_accepted is not None:
        lines.append(f"Look {found.look}: such a promise holds for one look; later ones are not made good for.")
    elif found.looked:
        lines.append(
            f"Look {found.look} at the labels of this slice; another one, at more labels or for another promise, is "
            "stricter."
        )
    if found.earlier is not None:
        lines.append(f"The certificate of {found.earlier:%Y-%m-%d %H:%M} UTC still holds; `accept` goes by that.")
    if found.issued is not None:
        lines.append(
            f"Certificate {found.issued.id}, by the judge's {'calibrated' if found.calibrated else 'own'} confidence; "
            "it holds for this judge and these tasks, and is void when either changes."
        )
        lines.append(f"Next: vlm-judge accept --project {found.project} --dry-run")
    return tuple(lines)


def certified_as_json(found: Certified) -> str:
    """The same for programs."""
    groups = {
        group.name: {
            "tasks": group.tasks,
            "drawn": group.found.drawn,
            "labelled": len(group.found.labelled),
            "missing": group.found.missing,
            "beyond": group.found.beyond,
            "answer": _answer_as_json(group.answer),
        }
        for group in found.groups
    }
    return json.dumps(
        {
            "certified": found.issued is not None,
            "certificate": found.issued.id if found.issued else None,
            "terms": asdict(found.terms),
            "certified_earlier": found.earlier.isoformat() if found.earlier else None,
            "look": found.look,
            "looked": found.looked,
            "calibrated": found.calibrated,
            "groups": groups,
        }
    )


def calibration_lines(found: Calibration, share: float) -> tuple[str, ...]:
    """What was fitted, and what it is worth; `share` is that of the labels that were set apart for it."""
    lines = [line for one in found.fitted for line in _of_fitted(one)]
    lines += [
        f"{one.kind}: not calibrated: of the labels set apart for that, {one.reason}; with --share {share:g} that is "
        f"about {ceil(one.missing / share)} more of the slice"
        for one in found.refused
    ]
    if not found.fitted and not found.refused:
        lines.append(
            "not calibrated: of the slice, from the first drawn on, no task is labelled in which the judge decides"
        )
    if found.fitted:
        lines.append(f"kept for the judge {found.fingerprint}; these labels cannot certify it any more")
    return tuple(lines)


def acceptance_lines(found: Acceptance, done: int | None) -> tuple[str, ...]:
    """What is accepted, by which certificate, and how the continuing audit stands; `done` is None for a dry run."""
    accepted = len(found.accept) if done is None else done
    lines = [
        f"Certificate {found.issued.id} of {found.certified_at:%Y-%m-%d %H:%M} UTC holds.",
        f"{accepted} tasks {'would be accepted' if done is None else 'accepted'} without a person, "
        f"{len(found.again)} more {'would go' if done is None else 'go'} to people blind, as the continuing audit",
        f"{found.before} were accepted before; {found.by_people} above the threshold are people's already; "
        f"{found.below} need a person, or had one",
    ]
    if found.audit is not None:
        most = f"at most {found.audit.promise:.1%}"
        seen = f"at least {found.audit.lower_bound:.1%} of the accepted are wrong, and {most} are promised"
        lines.append(
            f"continuing audit: {found.audit.checked} looked at, {found.audit.errors} wrong, {found.open_again} still "
            f"to look at; {seen if found.audit.checked else f'{most} of the accepted may be wrong'}"
        )
    else:
        lines.append("this promise is about all tasks: the continuing audit cannot refute it, nor stop acceptance")
    return tuple(lines)


def acceptance_as_json(found: Acceptance, done: int | None) -> str:
    """The same for programs."""
    return json.dumps(
        {
            "certificate": found.issued.id,
            "certified_at": found.certified_at.isoformat(),
            "dry_run": done is None,
            "accepted": len(found.accept) if done is None else done,
            "looked_at_again": len(found.again),
            "accepted_before": found.before,
            "by_people": found.by_people,
            "need_a_person": found.below,
            "audit": asdict(found.audit) if found.audit else None,
        }
    )


def _of_group(group: Group, terms: Terms) -> Iterator[str]:
    head = f"{group.name}: " if group.name else ""
    answer, found = group.answer, group.found
    if isinstance(answer, NoCertificate):
        yield f"{head}Cannot certify: {answer.reason}."
        if answer.more is not None and answer.more_above is not None and answer.more > answer.more_above:
            yield f"{head}About {answer.more} more blind labels of any task are expected to bring {answer.more_above}."
        left = found.drawn - len(found.labelled)
        if answer.more is not None and answer.more > left:
            lacking = f"The slice has only {left} tasks left to label" if left else "The whole slice is labelled"
            yield f"{head}{lacking}; draw a larger share with `vlm-judge project create --title TITLE --audit SHARE`."
    else:
        share = answer.accepted / group.tasks
        yield f"{head}Certified: {_promised(answer, terms)}"
        yield (
            f"{head}{answer.accepted} of {group.tasks} judged tasks ({share:.1%}) need no person but for the "
            f"continuing audit; {_evidence(answer)}"
        )
    yield f"{head}{_of_slice(found)}"


def _promised(answer: Certificate | BadAccepted, terms: Terms) -> str:
    if isinstance(answer, BadAccepted):
        return (
            f"at most {answer.max_bad:.1%} of all tasks that could do without a person are accepted and wrong from a "
            f"confidence of {answer.threshold:.4g} on; on average over slices."
        )
    return (
        f"of the tasks with a confidence of {answer.threshold:.4g} or more at most {answer.promise.max_error:.1%} are "
        f"wrong, with {terms.confidence:.0%} confidence."
    )


def _evidence(answer: Certificate | BadAccepted) -> str:
    if isinstance(answer, BadAccepted):
        return f"{answer.errors_above} of {answer.labels} blind labels are above it and wrong"
    return f"{answer.labels_above} blind labels above it, {answer.errors_above} say the judge is wrong"


def _of_slice(found: BlindSlice) -> str:
    said = f"Blind slice: {len(found.labelled)} of {found.drawn} tasks labelled"
    if found.missing:
        named = ", ".join(map(str, found.missing[:_NAMED])) + (" ..." if len(found.missing) > _NAMED else "")
        said += f"; {found.beyond} labels more count once these are labelled, which were drawn before them: {named}"
    return said


def _of_fitted(one: Fitted) -> Iterator[str]:
    yield f"{one.kind}: {one.curve.method} on {one.labels} blind labels, {one.wrong} of which say the judge is wrong"
    for name, title in (("ece", "ECE"), ("brier", "Brier"), ("auroc", "AUROC")):
        yield f"  {title}: {_shown(getattr(one.before, name))} before, {_shown(getattr(one.after, name))} after"


def _shown(outcome: Outcome) -> str:
    if isinstance(outcome, NotComputable):
        return f"not known ({outcome.reason})"
    value, low, high = outcome.value, outcome.low, outcome.high
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _answer_as_json(answer: Certificate | BadAccepted | NoCertificate) -> dict[str, Any]:
    return asdict(answer) if isinstance(answer, NoCertificate) else dict(json.loads(answer.to_json()))
