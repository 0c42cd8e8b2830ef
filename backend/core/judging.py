"""How the samples of one project are judged: by which rubric, into which controls, under which fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from backend.core.audit import blind_prediction, number_of
from backend.core.case import Case, JudgeOptions
from backend.core.documents import MOST_DIFFERENCES, PAGE_TOKENS, judge_document
from backend.core.examples import Lesson, lessons_hash, make_lessons
from backend.core.explanation import MOST_BOXES, UNCERTAIN
from backend.core.flow import Flow
from backend.core.form import Form, make_form
from backend.core.injection import RULES_HASH
from backend.core.kinds import kind_of
from backend.core.label_config import LabelConfig
from backend.core.pairs import MARGIN, SMALLEST, judge_pair
from backend.core.pointwise import INDIFFERENT, MOST_WORDS, judge_text
from backend.core.predictions import bound_controls, prediction
from backend.core.prompts import PROMPT_VERSION
from backend.core.rubric import Rubric
from backend.core.sample import bind, candidate_object, check_config
from backend.core.scoring import MIN_LABEL_MASS
from backend.core.sides import compares, with_competing
from backend.core.types import Sample, Verdict
from backend.core.verdict import SUPPORTED
from backend.errors import LabelConfigError


@dataclass(frozen=True, slots=True)
class Judge:
    """What is known of the judging model before it is loaded."""

    name: str
    """The model's name without its owner: starts the fingerprint, and tells its family."""
    details: Mapping[str, str]
    """All that decides its answers."""


@dataclass(frozen=True, slots=True)
class Given:
    """What Label Studio gets for a task, and what is kept from it."""

    prediction: Mapping[str, Any]
    withheld: Mapping[str, Any] | None = None
    """The judge's answer to a task of the blind slice, which goes into the store and to nobody who annotates."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Everything that is the same for all samples of a project."""

    config: LabelConfig
    rubric: Rubric
    form: Form
    options: JudgeOptions
    fingerprint: str
    judge_model: str
    lessons: tuple[Lesson, ...] = ()
    """What is shown before every sample; empty without examples of this kind of project."""

    def bind(self, task: Mapping[str, Any]) -> Sample:
        """The sample in a task. Raises TaskError."""
        sample = bind(task, self.config, needs_text=self._asks_criteria)
        return with_competing(sample, self.config) if self.compares else sample

    @property
    def compares(self) -> bool:
        """Whether the project asks which of several texts is preferred."""
        return compares(self.config)

    def flow(self, sample: Sample) -> Flow[Verdict]:
        """The conversation that ends in the sample's verdict."""
        case = Case(
            sample, self.rubric, self.form, self.options, self.fingerprint, self.judge_model, self._asks_criteria
        )
        if self.compares:
            return judge_pair(case)
        is_document = self.rubric.transcription is not None and self._asks_criteria and sample.candidate is not None
        judged = judge_document(case) if is_document else judge_text(case)
        marked = candidate_object(self.config)
        if sample.candidate is None or (marked and marked.key == sample.candidate.name):
            return judged
        return _without_spans(judged)

    def prediction(self, verdict: Verdict) -> dict[str, Any]:
        """The verdict as Label Studio takes it; given to a project it goes by `given`."""
        return prediction(verdict, self.rubric, self.config)

    def given(self, task: Mapping[str, Any], verdict: Verdict) -> Given:
        """What a project is given for a task's verdict: its prediction, or nothing to see if the task is kept blind.

        Without the task's number nobody can tell whether it is, so that nothing is shown then either, nor kept.
        """
        made, plan, number = self.prediction(verdict), self.config.audit, number_of(task)
        if plan is None:
            return Given(made)
        if number is None:
            return Given(blind_prediction(0.0, self.fingerprint))
        if plan.drawn_with(number, task["data"]) is None:
            return Given(made)
        return Given(plan.blind(number, task["data"], self.fingerprint), withheld=made)

    @property
    def audit_key(self) -> str:
        """The key of the project's blind slice; empty where there is none."""
        return self.config.audit.key if self.config.audit else ""

    @property
    def unfilled(self) -> tuple[str, ...]:
        """Names of the controls that the judge never fills; `form.unfilled` has the reasons."""
        return tuple(entry.control for entry in self.form.unfilled)

    @property
    def _asks_criteria(self) -> bool:
        return bool(bound_controls(self.rubric, self.config))


def make_judging(config: LabelConfig, rubric: Rubric, options: JudgeOptions, judge: Judge) -> Judging:
    """How to judge under this label config. Raises LabelConfigError when the judge could fill nothing."""
    check_config(config)
    bound = bound_controls(rubric, config)
    form = make_form(config, frozenset(bound), only_wording=rubric.only_wording)
    if not bound and not form.controls:
        _refuse(rubric, form)
    taught = options.examples if options.examples and options.examples.kind == kind_of(config) else None
    lessons = make_lessons(taught, rubric) if taught else ()
    mark = fingerprint(judge, rubric, form, options, pairs=compares(config), criteria=bool(bound), lessons=lessons)
    return Judging(config, rubric, form, options, mark, judge.name, lessons)


def _without_spans(flow: Flow[Verdict]) -> Flow[Verdict]:
    """The verdict without marks, where a task leaves out the text that is marked and another is judged instead."""
    verdict = yield from flow
    return replace(verdict, evidence=replace(verdict.evidence, spans=()))


def _refuse(rubric: Rubric, form: Form) -> NoReturn:
    """Raise the LabelConfigError that says what could be filled, because here nothing can."""
    left = "; ".join(f"`{entry.control}`: {entry.reason}" for entry in form.unfilled) or "there are none"
    ratings = "".join(f"a Rating `{criterion.id}`, " for criterion in rubric.criteria)
    raise LabelConfigError(
        f"the judge can fill none of the label config's controls ({left}); it fills Choices, Rating, Number, Taxonomy, "
        "TextArea, Labels on a Text, RectangleLabels or Labels with a Rectangle on an Image, and by name what it finds "
        f"out by its rubric: {ratings}a Choices `verdict`, Labels `unsupported`, a TextArea `rationale`, a Pairwise or "
        "a Choices `preference` on two texts"
    )


def fingerprint(
    judge: Judge,
    rubric: Rubric,
    form: Form,
    options: JudgeOptions,
    *,
    pairs: bool,
    criteria: bool,
    lessons: Sequence[Lesson] = (),
) -> str:
    """Name and 12 hex digits of a SHA-256 over everything that decides a verdict; Label Studio's `model_version`."""
    parts: dict[str, object] = {
        "engine": dict(judge.details),
        "rubric": rubric.hash,
        "form": form.hash,
        "injection": RULES_HASH,
        "options": [options.explain, INDIFFERENT if options.reliance else False],
        "pairs": f"{SMALLEST}/{MARGIN:.6f}" if pairs else None,
        "reading": f"{PROMPT_VERSION}/{MIN_LABEL_MASS}/{SUPPORTED}/{MOST_WORDS}/{MOST_BOXES}/{UNCERTAIN}",
    }
    if not criteria:
        parts["criteria"] = False
    if rubric.transcription is not None:
        parts["documents"] = f"{PAGE_TOKENS}/{MOST_DIFFERENCES}"
    if lessons:
        parts["examples"] = lessons_hash(lessons)
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{judge.name}-{digest[:12]}"
