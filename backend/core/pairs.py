"""Judging which of several texts is the best for a sample.

Only the better one is asked for: of two bad texts, the less bad one is preferred. Whether a text is good enough is a
question for the criteria, in a project of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import exp, fsum, log

from backend.core.case import Case
from backend.core.claims import split_claims
from backend.core.flow import Ask, Flow, ask, by_id
from backend.core.form import fill_form
from backend.core.pointwise import INDIFFERENT
from backend.core.reading import conclude, flagged, painted_flags, painted_question, questions, text_flags
from backend.core.types import (
    Answer,
    Evidence,
    Flag,
    Option,
    Preference,
    Question,
    Sample,
    Scored,
    TextField,
    Unscored,
    Verdict,
)
from backend.core.verdict import shown_prob

SIDES = (Option("A", "A"), Option("B", "B"))

SMALLEST = 1e-6
"""Probabilities are taken for no smaller before their logarithm, so that none decides alone."""

MARGIN = log(1.5)
"""Texts judged one by one are told apart when their odds of being accepted differ at least by this factor (its log).

Of two texts the better one then has a probability of at least 0.6.
"""

_SHOWN_AS = "caption"
"""The name of a text that is judged by itself: the same for all, so that no name sways the judge."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found out about a sample's candidates."""

    preference: Preference | None
    """None when nothing can be said of them."""
    reason: str
    """One sentence."""
    answers: tuple[Answer, ...] = ()
    notes: tuple[str, ...] = ()
    """What speaks against single candidates, a line each."""
    flags: tuple[Flag, ...] = ()
    """What is suspicious about the images."""


def judge_pair(case: Case) -> Flow[Verdict]:
    """The verdict on a sample with several candidate texts: which is preferred, or that it cannot be told.

    With a comparison in the rubric, every two texts are shown in both orders; without, each text is judged by the
    criteria on its own. `confidence` is the winner's probability of being the best; 0 without a winner.
    """
    (filled,) = yield from ask(Ask(case.form.questions(case.sample), case.sample.texts))
    compare = _compare if case.rubric.comparison else _compare_apart
    found = yield from compare(case, False)
    verdict = _verdict(case, found)
    if case.options.reliance and verdict.preference is not None:
        blind = yield from compare(case, True)
        verdict = _with_reliance(verdict, verdict.preference, blind.preference)
    form = yield from fill_form(case.form, case.sample, by_id(filled))
    return replace(verdict, form=form)


def order_question(case: Case, first: int, second: int) -> Ask:
    """One candidate shown as A and another as B, after the texts that help to judge them."""
    candidates = case.sample.candidates
    shown = [TextField(side.value, candidates[at].value) for side, at in zip(SIDES, (first, second), strict=True)]
    wording = case.rubric.comparison.question if case.rubric.comparison else ""
    question = Question(f"better:{first}:{second}", wording, SIDES)
    return Ask((question,), (*_others(case.sample), *shown))


def compare_orders(names: Sequence[str], answers: Mapping[tuple[int, int], Scored]) -> Preference:
    """The preference that follows from every two candidates shown in both orders.

    `answers[i, j]` is the choice between A and B with candidate i shown as A and j as B. With
    l(i, j) = log P(A) - log P(B), the log-odds that i is better than j are averaged over the orders,
    d(i, j) = (l(i, j) - l(j, i)) / 2, so that a liking for A or B cancels out. The strength of a candidate is
    s(i) = sum over j of d(i, j) / n, the least-squares solution of d(i, j) = s(i) - s(j) (Jiang et al., Statistical
    ranking and combinatorial Hodge theory, 2011), and P(i is best) = exp s(i) / sum of exp s(j), as Bradley and Terry
    have it; for two candidates that is sigmoid(d). The winner is the likeliest, if it was also chosen over every
    other one in both orders.
    """
    count = len(names)
    odds = {pair: _log(answer.prob("A")) - _log(answer.prob("B")) for pair, answer in answers.items()}
    strengths = [fsum((odds[i, j] - odds[j, i]) / 2 for j in range(count) if j != i) / count for i in range(count)]
    probs = _softmax(strengths)
    wins = [all(odds[i, j] > 0 > odds[j, i] for j in range(count) if j != i) for i in range(count)]
    best = wins.index(True) if any(wins) else None
    winner = names[best] if best is not None and probs[best] == max(probs) else None
    return Preference(tuple(names), probs, winner)


def compare_odds(names: Sequence[str], accept_probs: Sequence[float]) -> Preference:
    """The preference that follows from each candidate's own probability of being accepted.

    P(i is best) = odds(i) / sum of odds(j), with odds = P(accept) / (1 - P(accept)): Bradley and Terry with the logit
    as strength. No candidate is shown beside another, so there is no order to depend on. The winner's odds exceed
    those of every other candidate by the factor of `MARGIN` at least.
    """
    logits = [_log(prob) - _log(1 - prob) for prob in accept_probs]
    ahead, behind = sorted(logits, reverse=True)[:2]
    winner = names[logits.index(ahead)] if ahead - behind >= MARGIN else None
    return Preference(tuple(names), _softmax(logits), winner)


def _compare(case: Case, blank: bool) -> Flow[Compared]:
    names = [text.name for text in case.sample.candidates]
    if len(names) < 2:
        return _too_few(names)
    orders = list(permutations(range(len(names)), 2))
    first, *others = (replace(order_question(case, *order), blank=blank) for order in orders)
    first = replace(first, questions=(*first.questions, *painted_question(case)))
    replies = yield from ask(first, *others)
    answers, flags = tuple(reply[0] for reply in replies), painted_flags(by_id(replies[0]))
    scored = {order: answer for order, answer in zip(orders, answers, strict=True) if isinstance(answer, Scored)}
    if len(scored) < len(orders):
        return Compared(None, _unscored(answers), answers, flags=flags)
    preference = compare_orders(names, scored)
    return Compared(preference, _said(preference) or _disagreement(names, scored), answers, flags=flags)


def _compare_apart(case: Case, blank: bool) -> Flow[Compared]:
    names = [text.name for text in case.sample.candidates]
    if len(names) < 2:
        return _too_few(names)
    alone = [replace(case, sample=_alone(case.sample, text)) for text in case.sample.candidates]
    claims = [dict(enumerate(split_claims(text.value))) for text in case.sample.candidates]
    asked = [Ask(questions(one, some), one.sample.texts, blank=blank) for one, some in zip(alone, claims, strict=True)]
    replies = yield from ask(*asked)
    verdicts = [conclude(one, some, by_id(reply)) for one, some, reply in zip(alone, claims, replies, strict=True)]
    answers = tuple(
        _named(answer, name) for name, verdict in zip(names, verdicts, strict=True) for answer in verdict.answers
    )
    if any(not verdict.decision_probs for verdict in verdicts):
        return Compared(None, _unscored(answers), answers)
    preference = compare_odds(names, [verdict.decision_probs["accept"] for verdict in verdicts])
    reason = _said(preference) or "No preference: judged one by one, the best texts are too close to each other."
    notes = tuple(
        f"{name}: {line}"
        for name, verdict in zip(names, verdicts, strict=True)
        if verdict.decision != "accept"
        for line in verdict.evidence.rationale.split("\n")
    )
    return Compared(preference, reason, answers, notes, painted_flags(by_id(replies[0])))


def _verdict(case: Case, found: Compared) -> Verdict:
    preference, flags = found.preference, (*found.flags, *text_flags(case))
    if preference is not None and any(flag.kind == "instructions" for flag in flags):
        preference = None
        found = replace(found, reason="No preference: something addresses the judge; please decide yourself.")
    winner = preference.winner if preference else None
    confidence = preference.probs[preference.names.index(winner)] if preference and winner is not None else 0.0
    rationale = "\n".join((found.reason, *found.notes))
    verdict = Verdict(found.answers, None, {}, confidence, Evidence(rationale=rationale), case.fingerprint, preference)
    return flagged(verdict, flags)


def _with_reliance(verdict: Verdict, seen: Preference, blind: Preference | None) -> Verdict:
    if blind is None:
        return verdict
    distance = fsum(abs(p - q) for p, q in zip(seen.probs, blind.probs, strict=True)) / 2
    verdict = replace(verdict, reliance=round(distance, 5))
    if distance < INDIFFERENT and seen.winner == blind.winner:
        return flagged(verdict, [Flag("image-independent", "The preference would be the same without the image.")])
    return verdict


def _too_few(names: Sequence[str]) -> Compared:
    there = f"only one, {names[0]}" if names else "none"
    return Compared(None, f"Not compared: two texts are needed to choose from, and there is {there}.")


def _unscored(answers: Sequence[Answer]) -> str:
    reasons = dict.fromkeys(answer.reason for answer in answers if isinstance(answer, Unscored))
    return f"Not compared: {'; '.join(reasons) or 'no question was answered'}."


def _said(preference: Preference) -> str | None:
    """Who is preferred, in words; None without a winner."""
    if preference.winner is None:
        return None
    others = " and ".join(name for name in preference.names if name != preference.winner)
    prob = preference.probs[preference.names.index(preference.winner)]
    return f"{preference.winner} is preferred to {others} ({shown_prob(prob)})."


def _disagreement(names: Sequence[str], answers: Mapping[tuple[int, int], Scored]) -> str:
    """Why there is no winner, in words."""
    firsts = [answer.prob("A") > answer.prob("B") for answer in answers.values()]
    lasts = [answer.prob("A") < answer.prob("B") for answer in answers.values()]
    if all(firsts) or all(lasts):
        place = "first" if all(firsts) else "last"
        return f"No preference: the judge chose whichever text was shown {place}."
    if len(names) > 2:
        return "No preference: no text was chosen over every other one in both orders."
    return "No preference: the judge chose differently when the texts changed places."


def _others(sample: Sample) -> tuple[TextField, ...]:
    return tuple(text for text in sample.texts if text.role != "candidate")


def _alone(sample: Sample, candidate: TextField) -> Sample:
    """The sample with this one candidate, in the place and under the name that all get; who wrote it is told once."""
    place = [text.role for text in sample.texts].index("candidate")
    others = _others(sample)
    texts = (*others[:place], replace(candidate, name=_SHOWN_AS), *others[place:])
    return replace(sample, texts=texts, generator="")


def _named(answer: Answer, name: str) -> Answer:
    return replace(answer, question=replace(answer.question, id=f"{name}:{answer.question.id}"))


def _log(prob: float) -> float:
    return log(max(prob, SMALLEST))


def _softmax(strengths: Sequence[float]) -> tuple[float, ...]:
    raised = [exp(strength - max(strengths)) for strength in strengths]
    return tuple(part / fsum(raised) for part in raised)
