"""Makes rows of everything said about a task, and says who decided them. Pure.

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
| several annotations | one row by the policy `last`, `first` or `majority`; by `all` one row for each |
| several annotations, some by the named annotator | the same, of theirs only |
| competing texts of which one is preferred | its text is the final one, the others are rejected |
| competing texts of which none is said to be preferred (undecided, equal) | a row without final text, a tie |

Beside each of several annotations stand their number and whether all their verdicts agree, whoever was named.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

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
from backend.core.deciding import deciding_control, verdict_of
from backend.core.label_config import LabelConfig, ObjectTag
from backend.core.regions import details
from backend.core.sample import data_value
from backend.core.types import ControlValue, Value
from exporters.records.final_text import CORRECTED_TEXT, settled, text_of
from exporters.records.provenance import provenance_of
from exporters.records.record import DecidedBy, JudgeDetail, LeftOut, Policy, Record, Several

__all__ = ["LeftOut", "Outcome", "Policy", "Record", "Several", "consolidate", "pseudonym"]

Outcome = tuple[Record, ...] | LeftOut
"""The task's rows, at least one; or why it has none."""


def consolidate(task: AnnotatedTask, config: LabelConfig, policy: Policy) -> Outcome:
    """The task's rows, or why it has none. Raises StudioError naming the task when a result cannot be read."""
    accepted = any(map(is_accepted, task.annotations))
    given = [
        item
        for item in task.annotations
        if not (item.was_cancelled or is_accepted(item) or is_mass_created(task, item, config))
    ]
    annotations = sorted((item for item in given if _says_something(task, item, config)), key=_written_at)
    if annotations:
        return tuple(_annotated(task, annotations, config, policy))
    if any(item.was_cancelled for item in task.annotations):
        return LeftOut(task.id, "skipped")
    if given:
        return LeftOut(task.id, "empty")
    prediction = newest_judgement(task.predictions)
    judge = decoded(task, prediction.result, config) if prediction else {}
    if prediction is None or not judge:
        return LeftOut(task.id, "unannotated")
    said = _Said(judge, prediction, judge, None)
    decided_by: DecidedBy = "judge accepted" if accepted else "judge only"
    return (_record(task, config, said, decided_by, annotation_count=0, annotators=(), verdicts_agree=None),)


def pseudonym(user_id: int, key: bytes) -> str:
    """A stable name for an annotator that does not tell who it is, such as `annotator-3f2a91c0`."""
    return f"annotator-{hmac.new(key, str(user_id).encode(), hashlib.sha256).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class _Said:
    """What decides, and what the judge had said."""

    decided: Mapping[str, ControlValue]
    prediction: Prediction | None
    judge: Mapping[str, ControlValue]
    annotation: Annotation | None
    """Whose answer decides; None for the judge's own."""


def _annotated(
    task: AnnotatedTask, annotations: Sequence[Annotation], config: LabelConfig, policy: Policy
) -> Iterator[Record]:
    answers = [_answer(task, annotation, config) for annotation in annotations]
    verdicts = [verdict_of(_values(answer), deciding_control(config)) for answer in answers]
    known = [verdict for verdict in verdicts if verdict is not None]
    for index in _chosen(annotations, verdicts, policy):
        annotation, human = annotations[index], answers[index]
        prediction = _start(task, annotation) or newest_judgement(task.predictions)
        judge = decoded(task, prediction.result, config) if prediction else {}
        changed = _changed(task, annotation, judge, human)
        yield _record(
            task,
            config,
            _Said(human, prediction, judge, annotation),
            "human" if changed is None else "corrected" if changed else "confirmed",
            corrected_controls=changed,
            annotators=_annotators(annotations, policy.annotator_key),
            annotator=next(iter(_annotators([annotation], policy.annotator_key)), None),
            annotation_count=len(annotations),
            verdicts_agree=len(set(known)) == 1 if len(known) > 1 else None,
        )


def _record(
    task: AnnotatedTask,
    config: LabelConfig,
    said: _Said,
    decided_by: DecidedBy,
    *,
    annotators: tuple[str, ...],
    annotation_count: int,
    verdicts_agree: bool | None,
    corrected_controls: tuple[str, ...] | None = None,
    annotator: str | None = None,
) -> Record:
    prediction, annotation = said.prediction, said.annotation
    own_text = annotation is not None and (corrected_controls is None or CORRECTED_TEXT in corrected_controls)
    text = settled(task, config, said.decided, own_text=own_text, by_person=annotation is not None)
    return Record(
        task_id=task.id,
        images={item.key: _addresses(data_value(task.data, item.key), item) for item in config.images},
        texts={item.key: text_of(data_value(task.data, item.key)) for item in config.texts},
        final_text=text.final,
        final_text_source=text.source,
        decided_by=decided_by,
        corrected_controls=corrected_controls,
        human=_values(said.decided) if annotation else None,
        judge=_values(said.judge) if prediction else None,
        judge_confidence=prediction.score if prediction else None,
        fingerprint=prediction.model_version if prediction else None,
        annotators=annotators,
        annotation_count=annotation_count,
        verdicts_agree=verdicts_agree,
        lead_time_s=annotation.lead_time_s if annotation else None,
        deciding=deciding_control(config),
        saw_prediction=_saw(task, annotation) if annotation else None,
        audit=is_audited(task) or (None if task.unread else False),
        annotation_id=annotation.id if annotation else None,
        annotator=annotator,
        details={name: _detail(told) for name, told in details(prediction.result).items()} if prediction else {},
        original=text.original,
        rejected=text.rejected,
        tie=text.tie,
        provenance=provenance_of(task.data),
    )


def _saw(task: AnnotatedTask, annotation: Annotation) -> bool | None:
    """Whether the person could see a judge's answer; None where that hangs on answers of which nothing is known."""
    is_unknown = annotation.parent_prediction in task.unread
    known = replace(annotation, parent_prediction=None) if is_unknown else annotation
    return saw_prediction(task, known) or (None if task.unread else False)


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


def _chosen(annotations: Sequence[Annotation], verdicts: Sequence[str | None], policy: Policy) -> tuple[int, ...]:
    """Which annotations become rows, in order of time."""
    everybody = range(len(annotations))
    named = [index for index in everybody if annotations[index].completed_by == policy.annotator]
    among = named if named and policy.annotator is not None else list(everybody)
    if policy.several == "all":
        return tuple(among)
    return (among[_choose([verdicts[index] for index in among], policy.several)],)


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


def _detail(told: Mapping[str, Any]) -> JudgeDetail:
    """What is not in the form in which we write it is passed over."""
    probs, flags, features = told.get("probs"), told.get("flags"), told.get("features")
    named = probs.items() if isinstance(probs, Mapping) else ()
    asked = [one for one in features if isinstance(one, Mapping)] if isinstance(features, list) else []
    return JudgeDetail(
        probs=tuple((str(value), float(prob)) for value, prob in named if _number(prob) is not None),
        expected=_number(told.get("expected")),
        label_mass=_number(told.get("label_mass")),
        flags=tuple(map(str, flags)) if isinstance(flags, list) else (),
        reliance=_number(told.get("reliance")),
        features=tuple(
            (str(one["text"]), prob)
            for one in asked
            if "text" in one and (prob := _number(one.get("prob"))) is not None
        ),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _addresses(value: object, image: ObjectTag) -> tuple[str | None, ...]:
    listed = value if image.several and isinstance(value, list) else [value]
    return tuple(text_of(item) for item in listed) or (None,)


def _annotators(annotations: Sequence[Annotation], key: bytes) -> tuple[str, ...]:
    users = dict.fromkeys(item.completed_by for item in annotations if item.completed_by is not None)
    return tuple(pseudonym(user, key) for user in users)


def _values(values: Mapping[str, ControlValue]) -> dict[str, Value]:
    return {name: value.value for name, value in values.items()}


def _written_at(annotation: Annotation) -> tuple[datetime, int]:
    return annotation.updated_at or annotation.created_at or datetime.min.replace(tzinfo=UTC), annotation.id
