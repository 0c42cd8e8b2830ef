"""What is written for a sample that is doubtful or found wanting: where it shows, and how the text should read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.core.areas import area_of
from backend.core.case import Case
from backend.core.claims import Piece
from backend.core.flow import Flow, Write, write
from backend.core.prompts import quote
from backend.core.reading import doubted, reread
from backend.core.types import Answer, ImageArea, Reply, Verdict, Written
from backend.core.writing import box_writing, text_writing

MOST_BOXES = 3
"""Doubted claims for which the image is searched."""

UNCERTAIN = 0.7
"""A decision less probable than this is doubtful."""

_ROOM_TOKENS = 64
"""For a corrected text, beside one token for every character of the old one, which is enough in any script."""


def add_explanation(
    case: Case, claims: Mapping[int, Piece], answers: Mapping[str, Answer], verdict: Verdict
) -> Flow[Verdict]:
    """The verdict with areas of the image and a corrected text, as far as the rubric words requests for them.

    A corrected text is kept only when the judge finds it likelier to be accepted than the text it corrects; none is
    written where that one's probability is not known.
    """
    if not case.asks_criteria or not _wanted(case, verdict):
        return verdict
    numbers = doubted(claims, answers)[:MOST_BOXES] if len(case.sample.images) == 1 else []
    boxes = _box_steps(case, [claims[number] for number in numbers])
    corrections = _correction_steps(case) if verdict.decision_probs else []
    replies = yield from write(*boxes, *corrections)
    areas = _areas(case, [claims[number] for number in numbers], replies[: len(boxes)])
    corrected = yield from _better(case, verdict, replies[len(boxes) :])
    return replace(verdict, evidence=replace(verdict.evidence, areas=areas, corrected=corrected))


def _wanted(case: Case, verdict: Verdict) -> bool:
    if case.options.explain == "flagged":
        return verdict.decision != "accept" or verdict.confidence < UNCERTAIN or bool(verdict.evidence.spans)
    return case.options.explain == "all"


def _box_steps(case: Case, claims: Sequence[Piece]) -> list[Write]:
    request = case.rubric.requests.box
    if request is None:
        return []
    return [
        Write(box_writing(f"box:{index}", request.replace("{claim}", quote(claim.text))), case.sample.texts)
        for index, claim in enumerate(claims)
    ]


def _correction_steps(case: Case) -> list[Write]:
    request, candidate = case.rubric.requests.correct, case.sample.candidate
    if request is None or candidate is None:
        return []
    return [Write(text_writing("correct", request, _ROOM_TOKENS + len(candidate.value)), case.sample.texts)]


def _areas(case: Case, claims: Sequence[Piece], replies: Sequence[Reply]) -> tuple[ImageArea, ...]:
    image = case.sample.images[0].name if case.sample.images else ""
    found = [area_of(reply, image, claim.text) for reply, claim in zip(replies, claims, strict=False)]
    return tuple(area for area in found if area is not None)


def _better(case: Case, verdict: Verdict, replies: Sequence[Reply]) -> Flow[str | None]:
    """The corrected text, unless it is none, changes nothing, or would be accepted no more likely than the old one."""
    for reply in replies:
        text = reply.value["text"].strip() if isinstance(reply, Written) else ""
        candidate = case.sample.candidate
        if not text or candidate is None or text == candidate.value.strip():
            continue
        again = yield from reread(case, text)
        if again.decision_probs.get("accept", 0.0) > verdict.decision_probs.get("accept", 0.0):
            return str(text)
    return None
