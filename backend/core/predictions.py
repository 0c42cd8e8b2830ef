"""A verdict as a Label Studio prediction: which control of a config says what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backend.core.deciding import deciding_control
from backend.core.label_config import Control, LabelConfig
from backend.core.regions import encode, rating
from backend.core.rubric import Rubric
from backend.core.sample import candidate_object, page_of
from backend.core.sides import compares, preference_value, says_preference
from backend.core.types import DECISIONS, Box, ControlValue, Filled, Scored, TextSpan, Verdict

VERDICT_CONTROL = "verdict"
SPANS_CONTROL = "unsupported"
AREAS_CONTROL = "contradiction"
CORRECTED_CONTROL = "corrected_text"
RATIONALE_CONTROL = "rationale"
TRANSCRIPTION_CONTROL = "blind_transcription"
TEXT_CONTROLS = frozenset({CORRECTED_CONTROL, RATIONALE_CONTROL, TRANSCRIPTION_CONTROL})


def prediction(verdict: Verdict, rubric: Rubric, config: LabelConfig) -> dict[str, Any]:
    """The prediction for one task.

    What `bound_controls` has no control for is left out; what the judge has no answer for stays
    empty. `score` is the verdict's confidence, so that uncertainty sampling shows the doubtful
    tasks first.
    """
    bound = bound_controls(rubric, config)
    rated = {criterion.id for criterion in rubric.criteria if criterion.id in bound}
    meta: dict[str, Any] = {
        answer.question.id: {
            "expected": round(answer.expected, 4),
            "probs": {o.value: round(p, 5) for o, p in zip(answer.question.options, answer.probs, strict=True)},
            "label_mass": round(answer.label_mass, 5),
        }
        for answer in verdict.answers
        if isinstance(answer, Scored) and answer.question.id in rated
    }
    if verdict.preference is not None:
        probs = dict(zip(verdict.preference.names, verdict.preference.probs, strict=True))
        of_preference = {**_of_verdict(verdict), "probs": {name: round(prob, 5) for name, prob in probs.items()}}
        meta |= {name: of_preference for name, control in bound.items() if says_preference(control, config)}
    if of_verdict := _of_verdict(verdict):
        name = deciding_control(config)
        meta[name] = {**of_verdict, **meta.get(name, {})}  # a criterion may be called so, and its probabilities stay
    return {
        "result": encode(tuple(_values(verdict, rubric, config, bound)), config, meta),
        "score": round(verdict.confidence, 6),
        "model_version": verdict.fingerprint,
    }


def _of_verdict(verdict: Verdict) -> dict[str, Any]:
    """What travels unseen with the decision, as far as there is any; also where nothing was decided."""
    found: dict[str, Any] = {}
    if verdict.decision_probs:
        found["probs"] = {name: round(prob, 5) for name, prob in verdict.decision_probs.items()}
    if verdict.flags:
        found["flags"] = [flag.kind for flag in verdict.flags]
    if verdict.reliance is not None:
        found["reliance"] = round(verdict.reliance, 5)
    if verdict.evidence.features:
        found["features"] = [
            {"text": feature.text, "prob": round(feature.support_prob, 5)} for feature in verdict.evidence.features
        ]
    return found


def bound_controls(rubric: Rubric, config: LabelConfig) -> dict[str, Control]:
    """The controls that the rubric's findings go into, by name.

    A Rating named like a criterion; a Choices named `verdict` with at least one decision among its choices; Labels
    named `unsupported` on the text being judged; RectangleLabels named `contradiction`; TextAreas named
    `corrected_text`, `rationale` and `blind_transcription`. Where texts compete, only these: a Pairwise on two of
    them, a Choices named `preference` whose values name them, and the `rationale`.
    """
    candidate = candidate_object(config)
    criteria = {criterion.id for criterion in rubric.criteria}
    pairs = compares(config)

    def fits(control: Control) -> bool:
        if pairs:
            reason = control.tag == "TextArea" and control.name == RATIONALE_CONTROL
            return reason or says_preference(control, config)
        if control.tag == "Rating":
            return control.name in criteria and bool(control.max_rating)
        if control.tag == "Choices":
            return control.name == VERDICT_CONTROL and bool(set(control.labels) & set(DECISIONS))
        if control.tag == "Labels":
            on_candidate = candidate is not None and control.to_name == candidate.name
            return control.name == SPANS_CONTROL and bool(control.labels) and on_candidate
        if control.tag == "RectangleLabels":
            return control.name == AREAS_CONTROL and bool(control.labels)
        return control.tag == "TextArea" and control.name in TEXT_CONTROLS

    return {control.name: control for control in config.controls if fits(control)}


def _values(
    verdict: Verdict, rubric: Rubric, config: LabelConfig, bound: Mapping[str, Control]
) -> Iterator[ControlValue]:
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
    if verdict.preference is not None:
        preferring = [control for control in bound.values() if says_preference(control, config)]
        said = [preference_value(control, verdict.preference, config) for control in preferring]
        yield from (value for value in said if value is not None)
    labels = bound.get(SPANS_CONTROL)
    if labels and verdict.evidence.spans:
        spans = tuple(TextSpan(s.start, s.end, s.text, labels.labels[0]) for s in verdict.evidence.spans)
        yield ControlValue(labels.name, "Labels", spans)
    boxes = bound.get(AREAS_CONTROL)
    if boxes and verdict.evidence.areas:
        areas = tuple(
            Box(a.x, a.y, a.width, a.height, boxes.labels[0], page_of(a.image, config)) for a in verdict.evidence.areas
        )
        yield ControlValue(boxes.name, "RectangleLabels", areas)
    yield from _texts(verdict, bound)
    yield from (entry.value for entry in verdict.form if isinstance(entry, Filled))


def _texts(verdict: Verdict, bound: Mapping[str, Control]) -> Iterator[ControlValue]:
    read = verdict.evidence.transcription
    texts = {
        CORRECTED_CONTROL: verdict.evidence.corrected,
        RATIONALE_CONTROL: verdict.evidence.rationale,
        TRANSCRIPTION_CONTROL: read.text if read else None,
    }
    for name, text in texts.items():
        if name in bound and text:
            yield ControlValue(name, "TextArea", text)
