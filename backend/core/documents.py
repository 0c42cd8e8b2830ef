"""Judging the text of a document: its pages are read blind, and where text and reading differ, the judge looks again.

A blind reading can be wrong too. So a difference is an error of the text only when the judge, shown both versions,
prefers the reading's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backend.core.case import Case
from backend.core.flow import Ask, Flow, Write, ask, by_id, together, write
from backend.core.injection import suspicious
from backend.core.pairs import SIDES, compare_orders
from backend.core.pointwise import judge_text
from backend.core.prompts import quote
from backend.core.reading import flagged
from backend.core.rubric import Transcribing
from backend.core.transcript import Comparison, Disagreement, compare, correct, error_rate
from backend.core.types import (
    Answer,
    Difference,
    Flag,
    Question,
    Scored,
    Span,
    Transcription,
    Unwritten,
    Verdict,
    Written,
)
from backend.core.verdict import NAMED, NOTHING_AGAINST, SUPPORTED, shown_prob, with_error_rate
from backend.core.writing import text_writing

PAGE_TOKENS = 4096
"""Room for the transcription of one page: about 12,000 letters of English or 3,000 Chinese characters, several times a
dense page. What needs more, or repeats itself without end, counts as not read."""

MOST_DIFFERENCES = 32
"""Differences that are asked about, those with the most edits first; the others count as they were read."""

_MOST_SHOWN = 400
"""Characters of a version of a passage that are shown when it is asked about."""

_MOST_NAMED = 40
"""Characters of a difference that are named in the rationale."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the blind reading says about the text."""

    sentence: str
    """For the rationale: how far the text is from the reading, or why that cannot be said."""
    transcription: Transcription | None = None
    spans: tuple[Span, ...] = ()
    corrected: str | None = None
    accept_prob: float = 1.0
    """Probability that the error rate calls for nothing."""
    passable_prob: float = 1.0
    """Probability that it calls for no more than mending."""
    flags: tuple[Flag, ...] = ()


def judge_document(case: Case) -> Flow[Verdict]:
    """The verdict on a text that transcribes its images; the rubric must have `transcription`, the sample a candidate.

    The pages are read in the same round in which the text is judged, and what differs is asked in the round after it.
    """
    flows: list[Flow[Any]] = [judge_text(_without_correction(case)), _read_blind(case)]
    judged = yield from together(flows)
    verdict: Verdict = judged[0]
    findings: Findings = judged[1]
    verdict = with_error_rate(verdict, findings.accept_prob, findings.passable_prob)
    evidence, said = verdict.evidence, verdict.evidence.rationale
    if said == NOTHING_AGAINST and verdict.decision != "accept":
        said = ""
    joined = replace(
        evidence,
        spans=_merged(evidence.spans, findings.spans),
        rationale="\n".join(line for line in (said, findings.sentence) if line),
        corrected=findings.corrected,
        transcription=findings.transcription,
    )
    known = {flag.kind for flag in verdict.flags}
    return flagged(replace(verdict, evidence=joined), [flag for flag in findings.flags if flag.kind not in known])


def _without_correction(case: Case) -> Case:
    """The case without the request for a corrected text, which follows from the reading and need not be written."""
    requests = case.rubric.requests.model_copy(update={"correct": None})
    return replace(case, rubric=case.rubric.model_copy(update={"requests": requests}))


def prob_within(differences: Sequence[Difference], characters: int, most: float) -> float:
    """The probability that the character error rate is at most `most`.

    Each difference is an error with probability 1 - support_prob, independent of the others, and for certain where
    it was not settled. The distribution of the sum of their edits is computed exactly, difference by difference.
    """
    limit = int(most * characters + 1e-9)
    sums = {0: 1.0}
    for difference in differences:
        right = difference.support_prob or 0.0
        after: dict[int, float] = {}
        for edits, prob in sums.items():
            after[edits] = after.get(edits, 0.0) + prob * right
            if edits + difference.edits <= limit:
                after[edits + difference.edits] = after.get(edits + difference.edits, 0.0) + prob * (1.0 - right)
        sums = after
    return min(1.0, sum(sums.values()))


def _read_blind(case: Case) -> Flow[Findings]:
    rule, candidate = case.rubric.transcription, case.sample.candidate
    if rule is None or candidate is None:
        raise ValueError("a document needs a text to judge, and a rubric with `transcription`")
    request = case.rubric.requests.ocr or ""
    replies = yield from write(
        *(
            Write(text_writing(f"page:{index}", request, PAGE_TOKENS), (), (index,))
            for index in range(len(case.sample.images))
        )
    )
    for number, reply in enumerate(replies, start=1):
        if isinstance(reply, Unwritten):
            return _not_compared(f"page {number} could not be read ({reply.reason.rstrip('.')})")
    pages = [str(reply.value["text"]) for reply in replies if isinstance(reply, Written)]
    comparison = compare(candidate.value, pages)
    if not comparison.characters:
        return _not_compared("no text was found in the image")
    probs = yield from _check(rule, comparison.disagreements)
    return _findings(rule, candidate.value, "\n".join(pages), comparison, probs)


def _not_compared(reason: str) -> Findings:
    return Findings(f"Transcription: {reason}, so the text was not compared with it.")


def _check(rule: Transcribing, disagreements: Sequence[Disagreement]) -> Flow[dict[int, float]]:
    """Per disagreement that was settled, by index, the probability that the text has it right."""
    asked = sorted(range(len(disagreements)), key=lambda index: -disagreements[index].edits)[:MOST_DIFFERENCES]
    by_pages: dict[tuple[int, ...], list[int]] = {}
    for index in sorted(asked):
        by_pages.setdefault(disagreements[index].pages, []).append(index)
    replies = yield from ask(
        *(
            Ask(
                tuple(question for index in indices for question in _questions(rule, index, disagreements[index])),
                (),
                pages,
            )
            for pages, indices in by_pages.items()
        )
    )
    answers = by_id([answer for reply in replies for answer in reply])
    return {index: prob for index in asked if (prob := _text_prob(index, answers)) is not None}


def _questions(rule: Transcribing, index: int, disagreement: Disagreement) -> tuple[Question, Question]:
    """Which version stands in the image, with either of them first."""
    text, reading = disagreement.versions
    return (
        Question(f"difference:{index}:0", _worded(rule.question, text, reading), SIDES),
        Question(f"difference:{index}:1", _worded(rule.question, reading, text), SIDES),
    )


def _worded(template: str, a: str, b: str) -> str:
    shown = {"{a}": quote(_clipped(a, _MOST_SHOWN)), "{b}": quote(_clipped(b, _MOST_SHOWN))}
    return re.sub(r"\{[ab]\}", lambda match: shown[match.group()], template)


def _text_prob(index: int, answers: Mapping[str, Answer]) -> float | None:
    """P(the text's version), the log-odds averaged over both orders; None unless both were answered."""
    first, second = answers.get(f"difference:{index}:0"), answers.get(f"difference:{index}:1")
    if not isinstance(first, Scored) or not isinstance(second, Scored):
        return None
    return compare_orders(("text", "reading"), {(0, 1): first, (1, 0): second}).probs[0]


def _findings(
    rule: Transcribing, text: str, reading: str, comparison: Comparison, probs: Mapping[int, float]
) -> Findings:
    found = comparison.disagreements
    differences = tuple(
        Difference(d.start, d.end, text[d.start : d.end], d.reading, d.edits, d.pages, probs.get(index))
        for index, d in enumerate(found)
    )
    counted = sum(d.edits for d in differences if d.support_prob is None or d.support_prob < SUPPORTED)
    checked = error_rate(counted, comparison.characters)
    confirmed = [index for index in range(len(found)) if probs.get(index, 1.0) < SUPPORTED]
    accept = prob_within(differences, comparison.characters, rule.fix_above)
    return Findings(
        sentence=_sentence(text, checked, comparison, probs, accept),
        transcription=Transcription(
            reading, comparison.character_error_rate, comparison.word_error_rate, checked, differences
        ),
        spans=tuple(
            Span(*mark, text[slice(*mark)], probs[index])
            for index in confirmed
            if (mark := found[index].mark) is not None
        ),
        corrected=correct(text, [found[index] for index in confirmed]) if confirmed else None,
        accept_prob=accept,
        passable_prob=prob_within(differences, comparison.characters, rule.reject_above),
        flags=tuple(Flag("instructions", f"In the image: {found.reason}") for found in suspicious(reading)[:1]),
    )


def _sentence(text: str, rate: float, comparison: Comparison, probs: Mapping[int, float], accept_prob: float) -> str:
    """How far the text is from the reading, and the confirmed differences by name."""
    found = comparison.disagreements
    head = f"Transcription: character error rate {rate:.1%}".replace("%", " %")
    if not found:
        return f"{head}, no differences."
    confirmed = [index for index in range(len(found)) if probs.get(index, 1.0) < SUPPORTED]
    differences = "difference" if len(found) == 1 else "differences"
    open_ones = f", {len(found) - len(probs)} not settled" if len(probs) < len(found) else ""
    head = f"{head} ({len(confirmed)} of {len(found)} {differences} confirmed{open_ones})"
    if confirmed:
        named = ", ".join(_named(text, found[index], 1 - probs[index]) for index in confirmed[:NAMED])
        more = f", and {len(confirmed) - NAMED} more" if len(confirmed) > NAMED else ""
        return f"{head}: {named}{more}."
    return f"{head}, too doubtful to accept." if accept_prob < SUPPORTED else f"{head}."


def _named(text: str, difference: Disagreement, prob: float) -> str:
    ours = _clipped(text[difference.start : difference.end], _MOST_NAMED)
    theirs = _clipped(difference.reading, _MOST_NAMED)
    if ours and theirs:
        said = f"“{ours}” should read “{theirs}”"
    elif ours:
        said = f"“{ours}” is not there"
    elif difference.mark is None:
        said = f"“{theirs}” is missing"
    else:
        side = "after" if difference.mark[1] <= difference.start else "before"
        said = f"“{theirs}” is missing {side} “{text[slice(*difference.mark)]}”"
    return f"{said} ({shown_prob(prob)})"


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _merged(claims: Sequence[Span], errors: Sequence[Span]) -> tuple[Span, ...]:
    """Both in the text's order; where a claim and an error overlap, the error is marked, being the more exact."""
    places: dict[tuple[int, int], Span] = {}
    for error in sorted(errors, key=lambda span: -span.support_prob):
        places[error.start, error.end] = error
    apart = [c for c in claims if not any(c.start < error.end and error.start < c.end for error in errors)]
    return tuple(sorted((*apart, *places.values()), key=lambda span: (span.start, span.end)))
