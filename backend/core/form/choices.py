"""Choices: one menu for a single choice, a yes or no per choice where several may be taken."""

from __future__ import annotations

from collections.abc import Mapping

from backend.core.flow import Flow
from backend.core.form.field import Field, describe
from backend.core.form.menus import Entry, Menu, known_or_asked, pick, reason
from backend.core.label_config import Choice
from backend.core.prompts import YES_NO
from backend.core.types import Answer, FormEntry, Question, Scored

MOST_CHECKED = 100
"""Choices that are asked about one by one."""


def questions(field: Field) -> tuple[Question, ...]:
    """What is asked in the first reading."""
    choices = field.choices
    if not _one_by_one(field):
        return _menu(field).first
    if len(choices) > MOST_CHECKED:
        return ()
    return tuple(_check(field, number, choice) for number, choice in enumerate(choices))


def fill(field: Field, answers: Mapping[str, Answer]) -> Flow[tuple[FormEntry, ...]]:
    """The most probable choice; or all that are likelier than not, which may be none."""
    if not field.choices:
        return (field.no_choices,)
    if _one_by_one(field):
        return (yield from _several(field, answers))
    picked = yield from pick(_menu(field), field.sample, answers)
    return (field.unfilled(picked) if isinstance(picked, str) else field.filled((picked.value,), picked.prob),)


def _one_by_one(field: Field) -> bool:
    """A single choice out of one is a yes or no as well."""
    return field.control.multiple or len(field.choices) == 1


def _menu(field: Field) -> Menu:
    entries = tuple(Entry(choice.value, describe(choice)) for choice in field.choices)
    return Menu(field.id, field.introduction, entries)


def _check(field: Field, number: int, choice: Choice) -> Question:
    text = f"{field.introduction}\nChoice: {describe(choice)}\nDoes this choice apply? Answer Yes or No."
    return Question(f"{field.id}:{number}", text, YES_NO)


def _several(field: Field, answers: Mapping[str, Answer]) -> Flow[tuple[FormEntry, ...]]:
    if len(field.choices) > MOST_CHECKED:
        return (field.unfilled(f"it has {len(field.choices)} choices, and the judge checks {MOST_CHECKED} at most"),)
    replies = yield from known_or_asked(questions(field), field.sample, answers)
    probs = [reply.prob("yes") for reply in replies if isinstance(reply, Scored)]
    if len(probs) < len(replies):
        return (field.unfilled(reason(replies)),)
    taken = [prob >= 0.5 for prob in probs]
    if field.control.required and not any(taken):
        taken[probs.index(max(probs))] = True
    if not any(taken):
        return (field.unfilled("none of its choices is likelier than not"),)
    value = tuple(choice.value for choice, chosen in zip(field.choices, taken, strict=True) if chosen)
    sure = min(prob if chosen else 1 - prob for prob, chosen in zip(probs, taken, strict=True))
    return (field.filled(value, sure),)
