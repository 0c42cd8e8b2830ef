"""How each kind of control is filled."""

from __future__ import annotations

from collections.abc import Mapping

from backend.core.flow import Flow
from backend.core.form import choices, numbers, taxonomy
from backend.core.form.boxes import draw_boxes
from backend.core.form.field import Field
from backend.core.form.texts import mark_words, write_text
from backend.core.label_config import Control
from backend.core.types import Answer, FormEntry, Question


def is_chosen(control: Control) -> bool:
    """Whether it is filled from menus; what is not is written."""
    return control.tag in ("Choices", "Taxonomy") or (
        control.tag in ("Rating", "Number") and numbers.is_listed(control)
    )


def questions(field: Field) -> tuple[Question, ...]:
    """What is asked about it in the first reading; nothing for what is written."""
    if not is_chosen(field.control):
        return ()
    if field.control.tag == "Choices":
        return choices.questions(field)
    return taxonomy.questions(field) if field.control.tag == "Taxonomy" else numbers.questions(field)


def choose(field: Field, answers: Mapping[str, Answer]) -> Flow[tuple[FormEntry, ...]]:
    """The entry of a control that is filled from menus."""
    if field.control.tag == "Choices":
        return choices.fill(field, answers)
    return taxonomy.fill(field, answers) if field.control.tag == "Taxonomy" else numbers.fill(field, answers)


def compose(field: Field) -> Flow[tuple[FormEntry, ...]]:
    """The entry of a control that is written, and of the Rectangle that it labels."""
    tag = field.control.tag
    if tag == "TextArea":
        return write_text(field)
    if tag in ("Rating", "Number"):
        return numbers.write_number(field)
    return mark_words(field) if tag == "Labels" and not field.on_first_object.images else draw_boxes(field)
