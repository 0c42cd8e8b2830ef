"""A verdict as a Label Studio prediction: which control of a config says what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backend.core.label_config import Control, LabelConfig
from backend.core.regions import ControlValue, TextSpan, encode, rating
from backend.core.rubric import Rubric
from backend.core.sample import candidate_object, check_config
from backend.core.types import DECISIONS, Scored, Verdict
from backend.errors import LabelConfigError

FAILED, PENDING = "-failed", "-pending"
NOT_JUDGED_SUFFIXES = (FAILED, PENDING)
"""End the model version of a prediction that is no judgement: the task could not be judged, or not yet."""

VERDICT_CONTROL = "verdict"
SPANS_CONTROL = "unsupported"
RATIONALE_CONTROL = "rationale"


def prediction(verdict: Verdict, rubric: Rubric, config: LabelConfig) -> dict[str, Any]:
    """The prediction for one task.

    What `bound_controls` has no control for is left out; what the judge has no answer for stays
    empty. `score` is the verdict's confidence, so that uncertainty sampling shows the doubtful
    tasks first.
    """
    meta = {
        answer.question.id: {
            "expected": round(answer.expected, 4),
            "probs": {o.value: round(p, 5) for o, p in zip(answer.question.options, answer.probs, strict=True)},
            "label_mass": round(answer.label_mass, 5),
        }
        for answer in verdict.answers
        if isinstance(answer, Scored)
    }
    return {
        "result": encode(tuple(_values(verdict, rubric, config)), config, meta),
        "score": round(verdict.confidence, 6),
        "model_version": verdict.fingerprint,
    }


def bound_controls(rubric: Rubric, config: LabelConfig) -> dict[str, Control]:
    """The controls that the judge can fill under this config, by name.

    A Rating named like a criterion; a Choices named `verdict` with at least one decision among its
    choices; Labels named `unsupported` on the text being judged; a TextArea named `rationale`.
    """
    candidate = candidate_object(config)
    criteria = {criterion.id for criterion in rubric.criteria}

    def fits(control: Control) -> bool:
        if control.tag == "Rating":
            return control.name in criteria
        if control.tag == "Choices":
            return control.name == VERDICT_CONTROL and bool(set(control.labels) & set(DECISIONS))
        if control.tag == "Labels":
            on_candidate = candidate is not None and control.to_name == candidate.name
            return control.name == SPANS_CONTROL and bool(control.labels) and on_candidate
        return control.tag == "TextArea" and control.name == RATIONALE_CONTROL

    return {control.name: control for control in config.controls if fits(control)}


def unfilled(rubric: Rubric, config: LabelConfig) -> tuple[str, ...]:
    """Names of the controls that the judge never fills under this config."""
    bound = bound_controls(rubric, config)
    return (*(control.name for control in config.controls if control.name not in bound), *config.unknown)


def check_fillable(rubric: Rubric, config: LabelConfig) -> None:
    """Raise LabelConfigError when the judge could fill nothing under this config."""
    check_config(config)
    if not bound_controls(rubric, config):
        ratings = ", ".join(f"`{criterion.id}`" for criterion in rubric.criteria)
        empty = ", ".join(f"`{name}`" for name in unfilled(rubric, config)) or "none"
        raise LabelConfigError(
            f"the judge can fill none of the label config's controls ({empty}); it fills Rating controls named "
            f"{ratings}, a Choices named `verdict` with accept, fix and reject, Labels named `unsupported` on the text "
            "being judged, and a TextArea named `rationale`"
        )


def _values(verdict: Verdict, rubric: Rubric, config: LabelConfig) -> Iterator[ControlValue]:
    bound = bound_controls(rubric, config)
    scales = {criterion.id: criterion.levels for criterion in rubric.criteria}
    for answer in verdict.answers:
        control = bound.get(answer.question.id)
        if isinstance(answer, Scored) and control:
            scale = scales[answer.question.id]
            step = [str(level.value) for level in scale].index(answer.best) + 1
            yield rating(control, step, len(scale))
    choices = bound.get(VERDICT_CONTROL)
    if choices and verdict.decision in choices.labels:
        yield ControlValue(choices.name, "Choices", (str(verdict.decision),))
    labels = bound.get(SPANS_CONTROL)
    if labels and verdict.evidence.spans:
        spans = tuple(TextSpan(s.start, s.end, s.text, labels.labels[0]) for s in verdict.evidence.spans)
        yield ControlValue(labels.name, "Labels", spans)
    if RATIONALE_CONTROL in bound and verdict.evidence.rationale:
        yield ControlValue(RATIONALE_CONTROL, "TextArea", verdict.evidence.rationale)
