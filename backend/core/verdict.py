"""From answers to a verdict: the decision and its probability, the evidence, and the reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from backend.core.claims import Piece, split_words
from backend.core.rubric import Criterion, Rubric
from backend.core.types import (
    DECISIONS,
    Answer,
    Decision,
    Evidence,
    Feature,
    Scored,
    Span,
    Unscored,
    Verdict,
)

NAMED = 4
"""So many pieces of evidence are named in a line of the rationale; the others are only marked."""

NOTHING_AGAINST = "The judge found nothing against it."
"""The whole rationale where there is nothing else to say."""

SUPPORTED = 0.5
"""A claim, word or feature with a lower probability of yes counts as not supported."""


def decision_probs(
    rubric: Rubric, answers: Sequence[Scored], claim_probs: Sequence[float] = (), feature_probs: Sequence[float] = ()
) -> dict[Decision, float]:
    """Probability of each decision when the strictest criterion decides.

    With criteria taken as independent given the sample: P(accept) = product over criteria of the
    probability of a level that calls for accept; P(reject) = 1 - product of the probability of a
    level that does not call for reject; P(fix) is the rest. A criterion's weight is the exponent on
    its factor: 2 counts it twice, 0 leaves it out. `claim_probs` and `feature_probs` are
    the probabilities that the claims are supported and the features there: where the rubric gives
    them a say, no sample is likelier to pass than its weakest claim or feature.
    """
    by_id = {criterion.id: criterion for criterion in rubric.criteria}
    accept = prod(_factor(by_id[a.question.id], a, ("accept",)) for a in answers)
    passable = prod(_factor(by_id[a.question.id], a, ("accept", "fix")) for a in answers)
    for probs, called in ((claim_probs, rubric.checks.claim_decision), (feature_probs, rubric.checks.feature_decision)):
        weakest = min(probs, default=1.0)
        if called is not None:
            accept = min(accept, weakest)
        if called == "reject":
            passable = min(passable, weakest)
    accept = min(accept, passable)
    return {"accept": accept, "fix": passable - accept, "reject": 1.0 - passable}


def _factor(criterion: Criterion, answer: Scored, decisions: tuple[Decision, ...]) -> float:
    share: float = _share(criterion, answer, decisions) ** criterion.weight
    return share


def _share(criterion: Criterion, answer: Scored, decisions: tuple[Decision, ...]) -> float:
    return min(1.0, sum(answer.prob(str(level.value)) for level in criterion.levels if level.decision in decisions))


def _likeliest(probs: Mapping[Decision, float]) -> Decision | None:
    if not probs:
        return None
    return max(DECISIONS, key=lambda name: probs[name])


def unsupported_spans(claims: Mapping[int, Piece], answers: Mapping[str, Answer]) -> tuple[Span, ...]:
    """The stretches of text that the image does not support.

    A claim with P(yes) below 0.5 counts; where its words were asked about too and some are not
    supported, those words are marked instead of the whole claim.
    """
    spans: list[Span] = []
    for number, claim in claims.items():
        answer = answers.get(f"claim:{number}")
        if not isinstance(answer, Scored) or answer.prob("yes") >= SUPPORTED:
            continue
        words = [
            Span(word.start, word.end, word.text, reply.prob("yes"))
            for index, word in enumerate(split_words(claim))
            if isinstance(reply := answers.get(f"word:{number}:{index}"), Scored) and reply.prob("yes") < SUPPORTED
        ]
        spans += words or [Span(claim.start, claim.end, claim.text, answer.prob("yes"))]
    return tuple(spans)


def make_verdict(
    rubric: Rubric,
    answers: Sequence[Answer],
    spans: Sequence[Span],
    features: Sequence[Feature],
    fingerprint: str,
    claim_probs: Sequence[float] = (),
) -> Verdict:
    """Join the criteria's answers and the evidence; any unscored criterion of weight leaves the decision to a person.

    `claim_probs` holds P(yes) of every claim that was scored, those of `spans` and the others.
    """
    weights = {criterion.id: criterion.weight for criterion in rubric.criteria}
    deciding = [answer for answer in answers if weights[answer.question.id]]
    scored = [answer for answer in deciding if isinstance(answer, Scored)]
    complete = bool(scored) and len(scored) == len(deciding)
    feature_probs = [feature.support_prob for feature in features]
    probs = decision_probs(rubric, scored, claim_probs, feature_probs) if complete else {}
    decision = _likeliest(probs)
    rationale = explain(rubric, answers, decision, spans, features)
    return Verdict(
        answers=tuple(answers),
        decision=decision,
        decision_probs=probs,
        confidence=probs[decision] if decision is not None else 0.0,
        evidence=Evidence(tuple(spans), tuple(features), rationale),
        fingerprint=fingerprint,
    )


def with_error_rate(verdict: Verdict, accept: float, passable: float) -> Verdict:
    """The verdict when an error rate has a say beside the criteria, as one more criterion would.

    `accept` and `passable` are the probabilities that the rate calls for nothing, and for no more than fix. Taken as
    independent of the rest given the sample: P(accept) and P(accept or fix) are multiplied by them. A verdict without
    a decision stays without one.
    """
    if not verdict.decision_probs:
        return verdict
    passes = (1.0 - verdict.decision_probs["reject"]) * passable
    accepts = min(passes, verdict.decision_probs["accept"] * accept)
    probs: dict[Decision, float] = {"accept": accepts, "fix": passes - accepts, "reject": 1.0 - passes}
    decision = _likeliest(probs) if verdict.decision is not None else None
    confidence = probs[decision] if decision is not None else verdict.confidence
    return replace(verdict, decision=decision, decision_probs=probs, confidence=confidence)


def explain(
    rubric: Rubric,
    answers: Sequence[Answer],
    decision: Decision | None,
    spans: Sequence[Span],
    features: Sequence[Feature],
) -> str:
    """Why, in a line per criterion that calls for more than accept; built from the answers, not generated."""
    by_id = {answer.question.id: answer for answer in answers}
    lines = {
        criterion.id: line
        for criterion in rubric.criteria
        if (answer := by_id.get(criterion.id)) is not None
        and (line := _line(criterion, answer, spans, features)) is not None
    }
    said = list(lines.values())
    missing = [(feature.text, feature.support_prob) for feature in features if feature.support_prob < SUPPORTED]
    if spans and "consistency" not in lines:
        said.append("Doubtful: " + _named([(span.text, span.support_prob) for span in spans], "not supported"))
    if missing and not any(criterion.needs == "requested" and criterion.id in lines for criterion in rubric.criteria):
        said.append("Doubtful: " + _named(missing, "not found"))
    if decision is None:
        said.append("The judge gives no verdict; please decide yourself.")
    elif decision != "accept" and not said:
        said.append(_weakest(rubric, [answer for answer in answers if isinstance(answer, Scored)]))
    return "\n".join(said) or NOTHING_AGAINST


def _weakest(rubric: Rubric, answers: Sequence[Scored]) -> str:
    """Names the criterion that is likeliest not to call for accept, when no single one says so outright."""
    by_id = {criterion.id: criterion for criterion in rubric.criteria}
    asked = [(by_id[answer.question.id], answer) for answer in answers]
    prob, title = max((1 - _share(line, answer, ("accept",)), line.title) for line, answer in asked if line.weight)
    return f"No single criterion fails, together they are too doubtful; most of all: {title} ({shown_prob(prob)})."


def _line(criterion: Criterion, answer: Answer, spans: Sequence[Span], features: Sequence[Feature]) -> str | None:
    if isinstance(answer, Unscored):
        return f"{criterion.title}: not scored, {answer.reason}."
    level = next(level for level in criterion.levels if str(level.value) == answer.best)
    if level.decision == "accept":
        return None
    head = f"{criterion.title} {level.value} of {criterion.levels[-1].value}: "
    missing = [feature for feature in features if feature.support_prob < SUPPORTED]
    if criterion.needs == "requested" and missing:
        return head + _named([(f.text, f.support_prob) for f in missing], "not found")
    if criterion.id == "consistency" and spans:
        return head + _named([(s.text, s.support_prob) for s in spans], "not supported")
    return head + level.means


def shown_prob(prob: float) -> str:
    """A probability as the rationale gives it, e.g. `p = 0.03`; one that would round to 0 or 1 is a bound."""
    if prob < 0.005:
        return "p < 0.01"
    return "p > 0.99" if prob >= 0.995 else f"p = {prob:.2f}"


def _named(items: Sequence[tuple[str, float]], what: str) -> str:
    more = f", and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(f"“{text}” is {what} ({shown_prob(prob)})" for text, prob in items[:NAMED]) + more + "."
