"""Learns from blind labels what the judge's confidence is worth, and keeps it with the judge's fingerprint."""

from __future__ import annotations

import hashlib

from backend.core.trust.acceptance.blind import blind_slice_of, strata_of
from backend.core.trust.acceptance.parting import part
from backend.core.trust.confidence.calibration import Calibration, calibrate, calibration_from_json
from backend.core.trust.confidence.project_calibration import features_of_judgement, judged_labels
from backend.core.trust.labels import Judgement
from backend.errors import TrustError
from backend.store import Store
from backend.trust.reading import Reading

CALIBRATION = "calibration"
FITTING = "/fitting"
"""Ends the key by which labels are parted into those to fit on and those to certify with."""


def calibrate_project(reading: Reading, store: Store, share: float = 1 / 3) -> Calibration:
    """Fit on this share of the blind labels, chosen by a keyed hash; what was fitted goes into the store.

    Only labels before the first gap in the order of the draw are used: if people passed over hard tasks and the others
    were taken out for fitting, what is left to certify with would be no random draw.
    A kind with too few labels is refused, with the number that is missing. Raises TrustError without a blind slice.
    """
    plan = reading.plan
    found_in = [blind_slice_of(tasks, plan) for tasks in strata_of(reading.labelled, plan).values()]
    random = {task.task for each in found_in for task in each.labelled}
    usable = [one for one in judged_labels(reading.labelled) if one.task in random]
    fitting, _ = part((one.task for one in usable), plan.key + FITTING, share)
    chosen = set(fitting)
    labels = [one for one in usable if one.task in chosen]
    found = calibrate(labels, reading.binding.fingerprint)
    if found.fitted:
        store.statements.put(reading.project.uid, found.fingerprint, CALIBRATION, found.to_json())
    return found


def calibration_of(reading: Reading, store: Store) -> Calibration | None:
    """The last calibration of this judge in this project. Raises TrustError for one that cannot be read."""
    found = store.statements.last(reading.project.uid, reading.binding.fingerprint, CALIBRATION)
    if found is None:
        return None
    try:
        return calibration_from_json(found.body)
    except ValueError as exc:
        raise TrustError(f"the calibration in {store.shown} cannot be used: {exc}") from exc


def name_of(calibration: Calibration | None) -> str:
    """Twelve hexadecimal digits that name a calibration; empty for none."""
    return hashlib.sha256(calibration.to_json().encode()).hexdigest()[:12] if calibration else ""


def confidence_of(judgement: Judgement, kind: str, calibration: Calibration | None) -> float:
    """The probability that the judge is right: as calibrated, else its own."""
    if calibration is None:
        return judgement.confidence
    learned = calibration.confidence(kind, judgement.confidence, features_of_judgement(judgement))
    return judgement.confidence if learned is None else learned
