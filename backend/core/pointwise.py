"""Judging one text against its image: criteria, claims and features in one reading, then what is doubtful in detail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

from backend.core.case import Case
from backend.core.claims import Piece, locate_claims, split_claims, split_words
from backend.core.explanation import add_explanation
from backend.core.flow import Ask, Flow, Write, ask, by_id, write
from backend.core.form import confidence, fill_form
from backend.core.prompts import word_question
from backend.core.reading import conclude, doubted, flagged, questions
from backend.core.types import Answer, Flag, Verdict, Written
from backend.core.writing import claims_writing

MOST_WORDS = 64
"""Words of doubted claims that are asked about one by one; claims beyond that are marked whole."""

INDIFFERENT = 0.1
"""A verdict that moves less than this (total variation distance) without the image does not depend on it."""


def judge_text(case: Case) -> Flow[Verdict]:
    """The verdict on a sample with one candidate text, or on its image alone where it has none."""
    claims = yield from _claims(case)
    asked = questions(case, claims)
    steps = [Ask((*asked, *case.form.questions(case.sample)), case.sample.texts)]
    if case.options.reliance and case.asks_criteria:
        steps.append(Ask(asked, case.sample.texts, blank=True))
    replies = yield from ask(*steps)
    answers = by_id(replies[0])
    answers |= yield from _doubted_words(case, claims, answers)
    verdict = conclude(case, claims, answers)
    for blind in replies[1:]:
        verdict = _with_reliance(verdict, conclude(case, claims, by_id(blind)))
    verdict = yield from add_explanation(case, claims, answers, verdict)
    form = yield from fill_form(case.form, case.sample, answers)
    sure = verdict.confidence if case.asks_criteria else confidence(form)
    return replace(verdict, form=form, confidence=sure)


def _claims(case: Case) -> Flow[dict[int, Piece]]:
    """The candidate's claims: as the model cuts them where the rubric asks for that, else cut at punctuation."""
    candidate, request = case.sample.candidate, case.rubric.requests.claims
    if candidate is None or not case.asks_criteria:
        return {}
    if request:
        (reply,) = yield from write(Write(claims_writing("claims", request), case.sample.texts))
        if isinstance(reply, Written) and (located := locate_claims(candidate.value, reply.value["claims"])):
            return dict(enumerate(located))
    return dict(enumerate(split_claims(candidate.value)))


def _doubted_words(case: Case, claims: Mapping[int, Piece], answers: Mapping[str, Answer]) -> Flow[dict[str, Answer]]:
    words = (
        (number, index, word.text)
        for number in doubted(claims, answers)
        for index, word in enumerate(split_words(claims[number]))
        if word.text.lower() not in case.rubric.checks.skip_words
    )
    asked = tuple(
        word_question(number, index, case.rubric.checks.word, word, claims[number].text)
        for number, index, word in islice(words, MOST_WORDS)
    )
    if not asked:
        return {}
    (replies,) = yield from ask(Ask(asked, case.sample.texts))
    return by_id(replies)


def _with_reliance(verdict: Verdict, blind: Verdict) -> Verdict:
    if not verdict.decision_probs or not blind.decision_probs:
        return verdict
    distance = sum(abs(p - blind.decision_probs[name]) for name, p in verdict.decision_probs.items()) / 2
    verdict = replace(verdict, reliance=round(distance, 5))
    if distance < INDIFFERENT and verdict.decision == blind.decision:
        return flagged(verdict, [Flag("image-independent", "The verdict would be the same without the image.")])
    return verdict
