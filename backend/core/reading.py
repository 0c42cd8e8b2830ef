"""What one reading of a sample asks, and what follows from the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.core.case import Case
from backend.core.claims import Piece, split_claims
from backend.core.families import same_family
from backend.core.flow import Ask, Flow, ask, by_id
from backend.core.injection import suspicious
from backend.core.prompts import PAINTED, YES_NO, claim_question
from backend.core.types import Answer, Feature, Flag, Question, Sample, Scored, Span, TextField, Verdict
from backend.core.verdict import SUPPORTED, make_verdict, shown_prob, unsupported_spans

_QUOTED = 80
"""Characters of a suspicious passage that the annotator is shown."""


def questions(case: Case, claims: Mapping[int, Piece]) -> tuple[Question, ...]:
    """The rubric's criteria, every claim and every requested feature; none where no control would take the answers."""
    if not case.asks_criteria:
        return ()
    roles = {text.role for text in case.sample.texts if text.role != "requested" or case.sample.requested}
    criteria = [
        case.rubric.question(criterion)
        for criterion in case.rubric.criteria
        if criterion.needs is None or criterion.needs in roles
    ]
    template = case.rubric.checks.claim
    stated = [claim_question(number, template, piece.text) for number, piece in claims.items()]
    features = [case.rubric.feature_question(number, text) for number, text in enumerate(case.sample.requested)]
    return (*criteria, *stated, *features, *painted_question(case))


def painted_question(case: Case) -> tuple[Question, ...]:
    """Whether writing in the image speaks to the judge, where the rubric words that."""
    wording = case.rubric.checks.painted
    return (Question(PAINTED, wording, YES_NO),) if wording else ()


def conclude(case: Case, claims: Mapping[int, Piece], answers: Mapping[str, Answer]) -> Verdict:
    """The verdict that follows from the answers, with what a person should know about the texts."""
    features = [
        Feature(text, reply.prob("yes"))
        for number, text in enumerate(case.sample.requested)
        if isinstance(reply := answers.get(f"feature:{number}"), Scored)
    ]
    criteria = [answers[criterion.id] for criterion in case.rubric.criteria if criterion.id in answers]
    spans = unsupported_spans(claims, answers)
    stated = tuple(
        Span(claim.start, claim.end, claim.text, reply.prob("yes"))
        for number, claim in claims.items()
        if isinstance(reply := answers.get(f"claim:{number}"), Scored)
    )
    probs = [claim.support_prob for claim in stated]
    verdict = make_verdict(case.rubric, criteria, spans, features, case.fingerprint, probs)
    verdict = replace(verdict, evidence=replace(verdict.evidence, claims=stated))
    return flagged(verdict, (*painted_flags(answers), *text_flags(case)))


def reread(case: Case, text: str) -> Flow[Verdict]:
    """The verdict that another text would get in the candidate's place, by criteria, claims and features alone."""
    sample = with_candidate(case.sample, text)
    other = replace(case, sample=sample)
    claims = dict(enumerate(split_claims(text)))
    (answers,) = yield from ask(Ask(questions(other, claims), sample.texts))
    return conclude(other, claims, by_id(answers))


def doubted(claims: Mapping[int, Piece], answers: Mapping[str, Answer]) -> list[int]:
    """Numbers of the claims that the image does not support, in the text's order."""
    return [
        number
        for number in claims
        if isinstance(answer := answers.get(f"claim:{number}"), Scored) and answer.prob("yes") < SUPPORTED
    ]


def text_flags(case: Case) -> tuple[Flag, ...]:
    """What is suspicious about the texts themselves: that they address the judge, or that its own family wrote them."""
    found = [finding for text in case.sample.texts for finding in suspicious(text.value)]
    flags = [Flag("instructions", f"Careful: “{_short(found[0].text)}”. {found[0].reason}")] if found else []
    if case.sample.generator and same_family(case.sample.generator, case.judge_model):
        flags.append(
            Flag("own-family", f"The text was written by {case.sample.generator}, a model of the judge's own family.")
        )
    return tuple(flags)


def painted_flags(answers: Mapping[str, Answer]) -> tuple[Flag, ...]:
    """What is suspicious about the images themselves, by the answer to `painted_question`."""
    answer = answers.get(PAINTED)
    if not isinstance(answer, Scored) or answer.prob("yes") < SUPPORTED:
        return ()
    said = shown_prob(answer.prob("yes"))
    return (Flag("instructions", f"Careful: writing in the image seems to give the judge instructions ({said})."),)


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def flagged(verdict: Verdict, flags: Sequence[Flag]) -> Verdict:
    """The verdict with more flags, said first in its rationale; a text that addresses the judge gets no decision."""
    if not flags:
        return verdict
    rationale = "\n".join((*(flag.sentence for flag in flags), verdict.evidence.rationale))
    verdict = replace(verdict, flags=(*verdict.flags, *flags), evidence=replace(verdict.evidence, rationale=rationale))
    if any(flag.kind == "instructions" for flag in flags):
        return replace(verdict, decision=None, confidence=0.0)
    return verdict


def with_candidate(sample: Sample, text: str) -> Sample:
    """The sample with another text in the candidate's place."""
    texts: Sequence[TextField] = [
        replace(field, value=text) if field is sample.candidate else field for field in sample.texts
    ]
    return replace(sample, texts=tuple(texts))
