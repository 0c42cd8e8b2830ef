"""A verdict as a Label Studio prediction: which control of a config says what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backend.core.label_config import Control, LabelConfig
from backend.core.regions import ControlValue, TextSpan, encode, rating
from backend.core.rubric import Rubric
from backend.core.types import Scored, Verdict

VERDICT_CONTROL = "verdict"
SPANS_CONTROL = "unsupported"
RATIONALE_CONTROL = "rationale"


def prediction(verdict: Verdict, rubric: Rubric, config: LabelConfig) -> dict[str, Any]:
    """The prediction for one task.

    Controls are found by name: a Rating named like a criterion, a Choices named `verdict` with the
    decisions among its choices, Labels named `unsupported`, a TextArea named `rationale`. What the
    config has no control for is left out; what the judge has no answer for stays empty. `score` is
    the verdict's confidence, so that uncertainty sampling shows the doubtful tasks first.
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


def unfilled(rubric: Rubric, config: LabelConfig) -> tuple[str, ...]:
    """Names of the controls that the judge never fills under this config."""
    filled = {criterion.id for criterion in rubric.criteria} | {VERDICT_CONTROL, SPANS_CONTROL, RATIONALE_CONTROL}
    return (*(control.name for control in config.controls if control.name not in filled), *config.unknown)


def _values(verdict: Verdict, rubric: Rubric, config: LabelConfig) -> Iterator[ControlValue]:
    levels = {criterion.id: criterion.levels for criterion in rubric.criteria}
    for answer in verdict.answers:
        control = config.control(answer.question.id)
        if isinstance(answer, Scored) and control and control.tag == "Rating":
            scale = levels[answer.question.id]
            step = [str(level.value) for level in scale].index(answer.best) + 1
            yield rating(control, step, len(scale))
    choices = _tagged(config, VERDICT_CONTROL, "Choices")
    if choices and verdict.decision in choices.labels:
        yield ControlValue(choices.name, "Choices", (str(verdict.decision),))
    labels = _tagged(config, SPANS_CONTROL, "Labels")
    if labels and labels.labels and verdict.evidence.spans:
        spans = tuple(TextSpan(s.start, s.end, s.text, labels.labels[0]) for s in verdict.evidence.spans)
        yield ControlValue(labels.name, "Labels", spans)
    rationale = _tagged(config, RATIONALE_CONTROL, "TextArea")
    if rationale and verdict.evidence.rationale:
        yield ControlValue(rationale.name, "TextArea", verdict.evidence.rationale)


def _tagged(config: LabelConfig, name: str, tag: str) -> Control | None:
    control = config.control(name)
    return control if control and control.tag == tag else None
