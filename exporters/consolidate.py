"""Makes one row of everything said about a task, and says who decided it. Pure.

| the task has | becomes |
|---|---|
| an annotation that left the judge's answer as it was | a row, `confirmed` |
| an annotation that changed, added or removed any control's value | a row, `corrected`, with the controls' names |
| an annotation that did not start from a judge's answer | a row, `human` |
| no person's annotation, but the judge's, taken by a certificate | a row, `judge accepted`; human values are null |
| no annotation, but a judge's answer | a row, `judge only`; human values are null |
| annotations made by "Create annotations from predictions" and never opened | as if they were not there |
| skips only | left out, `skipped` |
| an annotation with nothing in it that did not start from a judge's answer | left out, `empty` |
| neither an annotation nor a judge's answer | left out, `unannotated` |
| a prediction that only says that the task is not judged (failed, pending) | as if the judge had not answered |
| several annotations | one row by the policy; the number and whether their verdicts agree stand beside it |
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from backend.annotated import AnnotatedTask, Annotation, Prediction
from backend.authorship import (
    decoded,
    is_accepted,
    is_audited,
    is_judgement,
    is_mass_created,
    newest_judgement,
    parent_of,
    saw_prediction,
    was_shown,
)
from backend.core.changes import changed_controls
from backend.core.deciding import VERDICT, deciding_control, verdict_of
from backend.core.label_config import LabelConfig, ObjectTag
from backend.core.sample import data_value, role_of
from backend.core.sides import chosen_text, compares
from backend.core.types import ControlValue, Value

CORRECTED_TEXT = "corrected_text"
"""Name of the control that carries the corrected text."""

Several = Literal["last", "first", "majority"]
"""Which of several annotations is the row: the latest, the earliest, or the latest with the most common verdict."""
DecidedBy = Literal["confirmed", "corrected", "human", "judge accepted", "judge only"]
TextSource = Literal["human", "judge", "original", "missing", "rejected"]
Reason = Literal["skipped", "empty", "unannotated"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the person who exports decides."""

    several: Several = "last"
    annotator_key: bytes = b""
    """The same key gives a person the same pseudonym in every export; another key cannot be linked to it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the dataset. None is missing: nobody said it."""

    task_id: int
    images: Mapping[str, tuple[str | None, ...]]
    """Where the images are to be had, by their key in the task's data: one or a whole list; None where it is empty."""
    texts: Mapping[str, str | None]
    """The task's texts by their key."""
    final_text: str | None
    final_text_source: TextSource
    decided_by: DecidedBy
    corrected_controls: tuple[str, ...] | None
    """What the person changed in the judge's answer; None when they did not start from one."""
    human: Mapping[str, Value] | None
    """What the person said by control; None when no person decided."""
    judge: Mapping[str, Value] | None
    """What the judge had said when the person started, else its newest answer; None without an answer."""
    judge_confidence: float | None
    fingerprint: str | None
    annotators: tuple[str, ...]
    """Pseudonyms of all who annotated the task, in order of time."""
    annotation_count: int
    verdicts_agree: bool | None
    """Whether all annotations give the same verdict; None with fewer than two verdicts."""
    lead_time_s: float | None
    deciding: str = VERDICT
    """The control whose value is the verdict; see `deciding_control`."""
    saw_prediction: bool | None = None
    """Whether the person could see the judge's answer; None when no person decided."""
    audit: bool = False
    """Whether the task was drawn into the blind slice, or is looked at again after acceptance."""

    @property
    def human_verdict(self) -> str | None:
        """The person's verdict, or which text they prefer."""
        return verdict_of(self.human, self.deciding)

    @property
    def judge_verdict(self) -> str | None:
        """The judge's verdict, or which text it prefers."""
        return verdict_of(self.judge, self.deciding)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A task that is not in the dataset, and why."""

    task_id: int
    reason: Reason


def consolidate(task: AnnotatedTask, config: LabelConfig, policy: Policy) -> Record | LeftOut:
    """The task's row, or why it has none. Raises ExportError naming the task when a result cannot be read."""
    accepted = any(map(is_accepted, task.annotations))
    given = [
        item
        for item in task.annotations
        if not (item.was_cancelled or is_accepted(item) or is_mass_created(task, item, config))
    ]
    annotations = sorted((item for item in given if _says_something(task, item, config)), key=_written_at)
    if annotations:
        return _annotated(task, annotations, config, policy)
    if any(item.was_cancelled for item in task.annotations):
        return LeftOut(task.id, "skipped")
    if given:
        return LeftOut(task.id, "empty")
    prediction = newest_judgement(task.predictions)
    judge = decoded(task, prediction.result, config) if prediction else {}
    if prediction is None or not judge:
        return LeftOut(task.id, "unannotated")
    return _judged(task, prediction, judge, config, accepted=accepted)


def pseudonym(user_id: int, key: bytes) -> str:
    """A stable name for an annotator that does not tell who it is, such as `annotator-3f2a91c0`."""
    return f"annotator-{hmac.new(key, str(user_id).encode(), hashlib.sha256).hexdigest()[:8]}"


def _annotated(task: AnnotatedTask, annotations: Sequence[Annotation], config: LabelConfig, policy: Policy) -> Record:
    answers = [_answer(task, annotation, config) for annotation in annotations]
    deciding = deciding_control(config)
    verdicts = [verdict_of(_values(answer), deciding) for answer in answers]
    index = _choose(verdicts, policy.several)
    annotation, human = annotations[index], answers[index]
    prediction = _start(task, annotation) or newest_judgement(task.predictions)
    judge = decoded(task, prediction.result, config) if prediction else {}
    changed = _changed(task, annotation, judge, human)
    decided_by: DecidedBy = "human" if changed is None else "corrected" if changed else "confirmed"
    own_text = changed is None or CORRECTED_TEXT in changed
    text, source = _final_text(task, config, human, own_text=own_text)
    given = [verdict for verdict in verdicts if verdict is not None]
    return Record(
        task_id=task.id,
        images=_images(task, config),
        texts=_texts(task, config),
        final_text=text,
        final_text_source=source,
        decided_by=decided_by,
        corrected_controls=changed,
        human=_values(human),
        judge=_values(judge) if prediction else None,
        judge_confidence=prediction.score if prediction else None,
        fingerprint=prediction.model_version if prediction else None,
        annotators=_annotators(annotations, policy.annotator_key),
        annotation_count=len(annotations),
        verdicts_agree=len(set(given)) == 1 if len(given) > 1 else None,
        lead_time_s=annotation.lead_time_s,
        deciding=deciding,
        saw_prediction=saw_prediction(task, annotation),
        audit=is_audited(task),
    )


def _judged(
    task: AnnotatedTask,
    prediction: Prediction,
    judge: Mapping[str, ControlValue],
    config: LabelConfig,
    *,
    accepted: bool,
) -> Record:
    text, source = _judged_text(task, config, judge)
    return Record(
        task_id=task.id,
        images=_images(task, config),
        texts=_texts(task, config),
        final_text=text,
        final_text_source=source,
        decided_by="judge accepted" if accepted else "judge only",
        corrected_controls=None,
        human=None,
        judge=_values(judge),
        judge_confidence=prediction.score,
        fingerprint=prediction.model_version,
        annotators=(),
        annotation_count=0,
        verdicts_agree=None,
        lead_time_s=None,
        deciding=deciding_control(config),
        audit=is_audited(task),
    )


def _says_something(task: AnnotatedTask, annotation: Annotation, config: LabelConfig) -> bool:
    """False for one submitted empty that did not start from a judge's answer (there, emptying is an answer)."""
    parent = parent_of(task, annotation)
    if parent is not None and not was_shown(parent):
        return bool(_answer(task, annotation, config))
    return bool(annotation.result) or annotation.parent_prediction is not None


def _answer(task: AnnotatedTask, annotation: Annotation, config: LabelConfig) -> dict[str, ControlValue]:
    """What the annotation says, without a notice that the task is not judged which was left in the form."""
    said = decoded(task, annotation.result, config)
    parent = parent_of(task, annotation)
    if parent is None or parent.withheld or is_judgement(parent):
        return said
    own = changed_controls(decoded(task, parent.result, config), said)
    return {name: value for name, value in said.items() if name in own}


def _start(task: AnnotatedTask, annotation: Annotation) -> Prediction | None:
    """The judge's answer that the person started from."""
    parent = parent_of(task, annotation)
    return parent if parent is not None and was_shown(parent) else None


def _changed(
    task: AnnotatedTask,
    annotation: Annotation,
    judge: Mapping[str, ControlValue],
    human: Mapping[str, ControlValue],
) -> tuple[str, ...] | None:
    """What the person changed; None when they did not start from a judge's answer.

    When that answer has been deleted since, the regions' origins are all that is left to tell by.
    """
    parent = parent_of(task, annotation)
    if parent is not None:
        return changed_controls(judge, human) if was_shown(parent) else None
    if any(region.get("origin") in ("prediction", "prediction-changed") for region in annotation.result):
        return tuple(sorted(name for name, value in human.items() if value.origin != "prediction"))
    return None


def _choose(verdicts: Sequence[str | None], several: Several) -> int:
    if several == "first":
        return 0
    last = len(verdicts) - 1
    if several == "last":
        return last
    common = Counter(verdict for verdict in verdicts if verdict is not None).most_common(2)
    if not common or (len(common) == 2 and common[0][1] == common[1][1]):
        return last
    return max(index for index, verdict in enumerate(verdicts) if verdict == common[0][0])


def _final_text(
    task: AnnotatedTask, config: LabelConfig, decided: Mapping[str, ControlValue], *, own_text: bool
) -> tuple[str | None, TextSource]:
    """The text to train on, and whose it is; `own_text` is whether a person wrote the corrected text.

    A rejected pair has none, whatever stands in the form. A person's own correction wins over everything
    else. The judge's proposal counts where it was left in place and the verdict is not `accept`, which takes
    the text as it is. `fix` without a correction has no text yet: the original is known to be wrong, so it
    is not passed off as final. Where several texts compete, the preferred one is the original, if any is.
    """
    verdict, text = verdict_of(_values(decided)), _correction(decided)
    if verdict == "reject":
        return None, "rejected"
    if text is not None and (own_text or verdict != "accept"):
        return text, "human" if own_text else "judge"
    if verdict == "fix":
        return None, "missing"
    original = _original(task, config, decided)
    return original, "missing" if original is None else "original"


def _judged_text(
    task: AnnotatedTask, config: LabelConfig, judge: Mapping[str, ControlValue]
) -> tuple[str | None, TextSource]:
    """The same where no person decided: without a verdict nobody has said that any text will do."""
    if verdict_of(_values(judge), deciding_control(config)) is None:
        return None, "missing"
    return _final_text(task, config, judge, own_text=False)


def _correction(values: Mapping[str, ControlValue]) -> str | None:
    found = values.get(CORRECTED_TEXT)
    return found.value if found is not None and isinstance(found.value, str) else None


def _original(task: AnnotatedTask, config: LabelConfig, decided: Mapping[str, ControlValue]) -> str | None:
    """The task's text that was judged; where several compete, the preferred one, or None."""
    if compares(config):
        preferred = (chosen_text(value, config) for value in decided.values())
        candidates = [item for item in preferred if item is not None][:1]
    else:
        candidates = [item for item in config.texts if role_of(item.name) == "candidate"]
    texts = (_text(data_value(task.data, item.key)) for item in candidates)
    return next((text for text in texts if text is not None), None)


def _images(task: AnnotatedTask, config: LabelConfig) -> dict[str, tuple[str | None, ...]]:
    return {item.key: _addresses(data_value(task.data, item.key), item) for item in config.images}


def _addresses(value: object, image: ObjectTag) -> tuple[str | None, ...]:
    listed = value if image.several and isinstance(value, list) else [value]
    return tuple(_text(item) for item in listed) or (None,)


def _texts(task: AnnotatedTask, config: LabelConfig) -> dict[str, str | None]:
    return {item.key: _text(data_value(task.data, item.key)) for item in config.texts}


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _annotators(annotations: Sequence[Annotation], key: bytes) -> tuple[str, ...]:
    users = dict.fromkeys(item.completed_by for item in annotations if item.completed_by is not None)
    return tuple(pseudonym(user, key) for user in users)


def _values(values: Mapping[str, ControlValue]) -> dict[str, Value]:
    return {name: value.value for name, value in values.items()}


def _written_at(annotation: Annotation) -> tuple[datetime, int]:
    return annotation.updated_at or annotation.created_at or datetime.min.replace(tzinfo=UTC), annotation.id
