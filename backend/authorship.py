"""Who said what of a task: the judge, a person who saw its answer, one who did not, or the judge on its own account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from backend.annotated import AnnotatedTask, Annotation, Prediction, Region
from backend.core.audit import is_blind
from backend.core.changes import changed_controls
from backend.core.label_config import LabelConfig
from backend.core.regions import decode
from backend.core.types import ControlValue
from backend.errors import StudioError

NOT_JUDGED_SUFFIXES = ("-failed", "-pending")
"""End the model version of a prediction that is no judgement; the first versions of the backend left such behind."""
ACCEPTED = "accepted_by"
"""Key in the unseen part of a region, with the certificate by which the judge's answer was taken without a person."""


def is_judgement(prediction: Prediction) -> bool:
    """Whether it says anything: not one that is kept blind, nor a notice that the task is not judged."""
    return not is_blind(prediction.result) and not _is_notice(prediction)


def is_audited(task: AnnotatedTask) -> bool:
    """Whether a prediction of it is kept from annotators."""
    return any(one.withheld or (is_blind(one.result) and not _is_notice(one)) for one in task.predictions)


def was_shown(prediction: Prediction) -> bool:
    """Whether annotators can see it."""
    return is_judgement(prediction) and not prediction.withheld


def newest_judgement(predictions: Sequence[Prediction], fingerprint: str | None = None) -> Prediction | None:
    """The newest answer of any judge, or of this one."""
    return max(
        (one for one in predictions if is_judgement(one) and fingerprint in (None, one.model_version)),
        key=lambda one: (one.created_at or datetime.min.replace(tzinfo=UTC), one.id),
        default=None,
    )


def parent_of(task: AnnotatedTask, annotation: Annotation) -> Prediction | None:
    """The prediction that had filled in the form; None also when it has been deleted since."""
    return next((item for item in task.predictions if item.id == annotation.parent_prediction), None)


def saw_prediction(task: AnnotatedTask, annotation: Annotation) -> bool:
    """Whether the person could see a judge's answer: they started from one, or one was there when they last wrote.

    When what they started from has been deleted since, they are taken to have seen it.
    """
    if annotation.parent_prediction is not None:
        parent = parent_of(task, annotation)
        if parent is None or was_shown(parent):
            return True
    if any(region.get("origin") in ("prediction", "prediction-changed") for region in annotation.result):
        return True
    wrote_at = annotation.updated_at or annotation.created_at
    return any(
        was_shown(one) and (one.created_at is None or wrote_at is None or one.created_at <= wrote_at)
        for one in task.predictions
    )


def is_accepted(annotation: Annotation) -> bool:
    """Whether it is the judge's own, taken without a person by a certificate, and nobody has worked on it since."""
    return bool(annotation.result) and not annotation.lead_time_s and all(map(_is_marked, annotation.result))


def is_mass_created(task: AnnotatedTask, annotation: Annotation, config: LabelConfig) -> bool:
    """Whether "Create annotations from predictions" made it and nobody has opened it since.

    Label Studio credits such a row to whoever clicked; it is known by what only a person's submission
    has: the time spent, who wrote it last, and the origin of each region. Raises StudioError.
    """
    if annotation.parent_prediction is None or annotation.lead_time_s or annotation.updated_by is not None:
        return False
    if any("origin" in region for region in annotation.result):
        return False
    parent = parent_of(task, annotation)
    if parent is None:
        return True
    shown = () if parent.withheld else parent.result
    return not changed_controls(decoded(task, shown, config), decoded(task, annotation.result, config))


def decoded(task: AnnotatedTask, result: Sequence[Region], config: LabelConfig) -> dict[str, ControlValue]:
    """What each control says. Raises StudioError naming the task when a region cannot be read."""
    try:
        return decode(result, config)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise StudioError(
            f"task {task.id}: an annotation or prediction has a region that cannot be read "
            f"({type(exc).__name__}: {exc}); open the task in Label Studio and submit it again"
        ) from exc


def _is_notice(prediction: Prediction) -> bool:
    return (prediction.model_version or "").endswith(NOT_JUDGED_SUFFIXES)


def _is_marked(region: Region) -> bool:
    meta = region.get("meta")
    return isinstance(meta, dict) and ACCEPTED in meta
