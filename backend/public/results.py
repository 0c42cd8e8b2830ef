"""What the judge says of one sample, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from backend.core import types
from backend.core.rubric import Rubric
from backend.core.types import Decision, Feature, Filled, Flag, ImageArea, Scored, Span, Transcription


@dataclass(frozen=True, slots=True)
class Score:
    """One criterion of the rubric."""

    criterion: str
    title: str
    level: int | None
    """The most probable level; None where it was not scored."""
    expected: float | None
    """Sum of level times probability."""
    levels: tuple[int, ...]
    """The scale, from worst to best."""
    probs: tuple[float, ...]
    """One per level, summing to 1; empty where it was not scored."""
    label_mass: float | None
    """Share of the model's probability that fell on the scale at all, in [0, 1]."""
    reason: str | None = None
    """Why it was not scored; None where it was."""


@dataclass(frozen=True, slots=True)
class DecisionProbs:
    """Probability per decision, summing to 1."""

    accept: float
    fix: float
    reject: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of one sample."""

    id: str
    """The sample's own, or its place among the samples, from 0."""
    decision: Decision | None
    """None where too much could not be scored, where the sample speaks to the judge, or between candidates."""
    confidence: float
    """Probability of what was decided, in [0, 1]; 0 where nothing was."""
    probs: DecisionProbs | None
    """None where there is no decision."""
    scores: tuple[Score, ...]
    """One per criterion, in the rubric's order; empty between candidates."""
    unsupported: tuple[Span, ...]
    """Words of the text that the image does not support; offsets in code points."""
    features: tuple[Feature, ...]
    """The requested features, each with the probability that it is there."""
    boxes: tuple[ImageArea, ...]
    """Where in the image it is decided; in percent of its width and height."""
    correction: str | None
    """The text as the judge would have it; None when it has nothing better."""
    rationale: str
    flags: tuple[Flag, ...]
    """What a person should know before trusting this."""
    fingerprint: str
    """Stands for model, precision, image size, rubric and prompts: verdicts with the same one are comparable."""
    preferred: int | None = None
    """Which candidate is better, from 0; None where the judge cannot tell, or there was nothing to choose from."""
    preference: tuple[float, ...] = ()
    """Probability per candidate that it is the best, summing to 1."""
    transcription: Transcription | None = None
    """Of documents: what the judge read without seeing the text."""
    controls: tuple[Filled, ...] = ()
    """With a label config of your own: the controls that the rubric says nothing about, filled."""
    reliance: float | None = None
    """How much the image matters, in [0, 1]; None unless `reliance=True`."""

    def score(self, criterion: str) -> Score:
        """The score of one criterion, by its id. Raises KeyError naming those there are."""
        found = {score.criterion: score for score in self.scores}
        if criterion not in found:
            raise KeyError(f"there is no criterion {criterion}; there are {', '.join(found) or 'none'}")
        return found[criterion]

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as JSON can say it; scores by criterion, probabilities by level."""
        plain: dict[str, Any] = _plain(asdict(self))
        plain["scores"] = {score.criterion: _score_dict(score) for score in self.scores}
        return plain

    def __str__(self) -> str:
        head: str = self.decision or "no decision"
        if self.preference:
            head = "undecided" if self.preferred is None else f"candidate {self.preferred} is better"
        return f"{head} ({self.confidence:.2f}): {self.rationale.partition(chr(10))[0]}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that could not be judged, and why."""

    id: str
    """As in `Verdict`."""
    reason: str
    transient: bool = False
    """Whether it may be judged when asked again: a server was away."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON can say it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"not judged: {self.reason}"


Result = Verdict | Failure


def public_verdict(name: str, verdict: types.Verdict, rubric: Rubric) -> Verdict:
    """The core's verdict on the sample of that name."""
    evidence, probs, preference = verdict.evidence, verdict.decision_probs, verdict.preference
    return Verdict(
        id=name,
        decision=verdict.decision,
        confidence=verdict.confidence,
        probs=DecisionProbs(probs["accept"], probs["fix"], probs["reject"]) if probs else None,
        scores=() if preference else _scores(verdict, rubric),
        unsupported=evidence.spans,
        features=evidence.features,
        boxes=evidence.areas,
        correction=evidence.corrected,
        rationale=evidence.rationale,
        flags=verdict.flags,
        fingerprint=verdict.fingerprint,
        preferred=preference.names.index(preference.winner) if preference and preference.winner else None,
        preference=preference.probs if preference else (),
        transcription=evidence.transcription,
        controls=tuple(entry for entry in verdict.form if isinstance(entry, Filled)),
        reliance=verdict.reliance,
    )


def _scores(verdict: types.Verdict, rubric: Rubric) -> tuple[Score, ...]:
    titles = {criterion.id: criterion.title for criterion in rubric.criteria}
    return tuple(_score(answer, titles[answer.question.id]) for answer in verdict.answers)


def _score(answer: types.Answer, title: str) -> Score:
    name = answer.question.id
    levels = tuple(int(option.value) for option in answer.question.options)
    if isinstance(answer, Scored):
        return Score(name, title, int(answer.best), answer.expected, levels, answer.probs, answer.label_mass)
    return Score(name, title, None, None, levels, (), None, answer.reason)


def _score_dict(score: Score) -> dict[str, Any]:
    probs = {str(level): prob for level, prob in zip(score.levels, score.probs, strict=False)}
    return {
        "title": score.title,
        "level": score.level,
        "expected": score.expected,
        "probs": probs,
        "label_mass": score.label_mass,
        "reason": score.reason,
    }


def _plain(value: Any) -> Any:
    """With lists for tuples, all the way down."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
