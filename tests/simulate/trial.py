"""One simulated project from its blind slice to its last audited task, by the code that is shipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from backend.core.trust.acceptance.bad_accepted import BadAccepted, bad_accepted
from backend.core.trust.acceptance.binding import Binding
from backend.core.trust.acceptance.certificate import BlindLabel, Certificate, Promise, certify
from backend.core.trust.acceptance.watch import watch
from backend.core.trust.confidence.curves import features_of, fit
from backend.core.trust.confidence.quality import quality
from tests.simulate.judges import Array, Judge, Project

FITTED_ON, CERTIFIED_ON = 100, 200
PROMISE = Promise(max_error=0.05, confidence=0.95)
MAX_BAD = 0.05
AUDITED = 0.03
"""Share of the accepted tasks that people look at again."""
HERE = Binding("simulated", "simulated")


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one project."""

    right: float
    """Share of the judge's decisions."""
    accepted: float | None
    """Share of the certified project; None without a certificate."""
    broken: bool
    """More of the accepted are wrong than was promised."""
    bad_accepted: float
    """Share of all tasks that are accepted and wrong, where that was to be kept small on average."""
    covered: bool
    """The truth lies in the PPI++ interval."""
    length: float
    """Of that interval, over that of the one from labels alone."""
    checked: int
    """Accepted tasks that were looked at again."""
    later_wrong: float | None
    """Share of the tasks accepted later that are wrong."""
    alarm_at: int | None


def run(judge: Judge, rng: Generator) -> Trial:
    """A project, its slice, a confidence fitted on one part of it, a certificate from the other, and an audit."""
    project = judge.project(rng)
    drawn = rng.permutation(len(project.good))
    fitted, labelled, rest = np.split(drawn, [FITTED_ON, FITTED_ON + CERTIFIED_ON])
    curve = fit("Platt", features(project)[fitted], (~project.wrong[fitted]).astype(np.float64))
    confidence = curve.probs(features(project))
    certifiable = np.concatenate([labelled, rest])
    known = dict(zip(certifiable.tolist(), confidence[certifiable].tolist(), strict=True))
    labels = [BlindLabel(task, bool(project.wrong[task])) for task in labelled.tolist()]
    certificate = certify(PROMISE, labels, known, HERE, fitted_on=fitted.tolist())
    accepted = certifiable[confidence[certifiable] >= threshold(certificate)]
    bad = bad_accepted(MAX_BAD, labels, known, HERE, fitted_on=fitted.tolist())
    badly = certifiable[confidence[certifiable] >= threshold(bad)]
    covered, length = of_quality(project, drawn[: FITTED_ON + CERTIFIED_ON], rest)
    later = judge.later(rng)
    taken = np.flatnonzero(curve.probs(features(later)) >= threshold(certificate))
    again = taken[rng.random(len(taken)) < AUDITED]
    found = watch(later.wrong[again].tolist(), PROMISE.max_error, PROMISE.confidence)
    return Trial(
        right=1 - float(project.wrong.mean()),
        accepted=len(accepted) / len(certifiable) if isinstance(certificate, Certificate) else None,
        broken=bool(len(accepted)) and float(project.wrong[accepted].mean()) > PROMISE.max_error,
        bad_accepted=float(project.wrong[badly].sum()) / len(certifiable),
        covered=covered,
        length=length,
        checked=len(again),
        later_wrong=float(later.wrong[taken].mean()) if len(taken) else None,
        alarm_at=found.alarm_at,
    )


def threshold(given: object) -> float:
    """Above which tasks are accepted; infinite where nothing may be."""
    return given.threshold if isinstance(given, Certificate | BadAccepted) else float("inf")


def features(project: Project) -> Array:
    """The logit of the judge's own confidence."""
    return features_of(project.own_confidence.tolist(), [()] * len(project.good))


def of_quality(project: Project, labelled: NDArray[np.intp], rest: NDArray[np.intp]) -> tuple[bool, float]:
    """Whether the project's share of good samples lies in the PPI++ interval, and how long that is."""
    found = quality(
        project.good[labelled].tolist(), project.accept_prob[labelled].tolist(), project.accept_prob[rest].tolist()
    )
    interval = found.tuned or found.classical
    truth = float(project.good.mean())
    classical = found.classical.high - found.classical.low
    return interval.low <= truth <= interval.high, (interval.high - interval.low) / classical
