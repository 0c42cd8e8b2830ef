"""Every word that the ready rubrics say to a model, for one sample; `UPDATE_GOLDEN=1` writes the files anew."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.core.case import Case, JudgeOptions
from backend.core.claims import split_claims
from backend.core.form import make_form
from backend.core.label_config import parse_label_config
from backend.core.pairs import order_question
from backend.core.prompts import quote, render_fields, word_question
from backend.core.reading import questions
from backend.core.rubric import Rubric, load_rubric
from backend.core.types import ImageRef, Question, Sample, TextField
from backend.interfaces import rubric_file, rubric_names

GOLDEN = Path(__file__).parent / "golden"
CAPTION = 'A red kite over the "Kapp" beach, with two boats.'
QUESTION = TextField("question", "What flies over the beach?", "context")
REQUESTED = TextField("requested", "a kite, two boats", "requested")
TEXTS: dict[str, tuple[TextField, ...]] = {
    "question-answer": (QUESTION, TextField("answer", "A red kite."), REQUESTED),
    "chart": (QUESTION, TextField("answer", "A red kite."), REQUESTED),
    "document": (TextField("transcription", "KAPP\nBoats for hire: 12.50"),),
    "checklist": (REQUESTED,),
    "preference-pair": (QUESTION, TextField("text_a", "A red kite."), TextField("text_b", "A blue kite.")),
}
CAPTIONED = (TextField("caption", CAPTION), REQUESTED)


def prompts(name: str, rubric: Rubric) -> str:
    sample = Sample("1", (ImageRef("image", "picture"),), TEXTS.get(name, CAPTIONED))
    form = make_form(parse_label_config("<View/>"), frozenset())
    case = Case(sample, rubric, form, JudgeOptions(), "judge-0", "judge")
    return "".join(f"=== {title}\n{text}\n" for title, text in (("instructions", rubric.instructions), *_said(case)))


def _said(case: Case) -> Iterator[tuple[str, str]]:
    if case.rubric.comparison is not None:
        for order in ((0, 1), (1, 0)):
            shown = order_question(case, *order)
            yield "texts", render_fields(shown.texts)
            yield from (_asked(question) for question in shown.questions)
        return
    yield "texts", render_fields(case.sample.texts)
    candidate = case.sample.candidate
    claims = dict(enumerate(split_claims(candidate.value))) if candidate else {}
    yield from (_asked(question) for question in questions(case, claims))
    if claims:
        yield _asked(word_question(0, 0, case.rubric.checks.word, "red", claims[0].text))
    for request, wording in case.rubric.requests.model_dump().items():
        if wording is not None:
            yield f"write {request}", wording.replace("{claim}", quote("A red kite"))


def _asked(question: Question) -> tuple[str, str]:
    menu = " ".join(option.token for option in question.options)
    return f"ask {question.id} [{menu}]", question.text


@pytest.mark.parametrize("name", rubric_names())
def test_the_prompts_are_what_they_were(name: str) -> None:
    said = prompts(name, load_rubric(rubric_file(name)))
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(said, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == said, "run UPDATE_GOLDEN=1 pytest on this file and read the difference"
