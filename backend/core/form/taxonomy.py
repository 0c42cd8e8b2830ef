"""Taxonomy: from the top of the tree downwards, a menu per level."""

from __future__ import annotations

from collections.abc import Mapping

from backend.core.flow import Flow
from backend.core.form.field import Field, describe
from backend.core.form.menus import Entry, Menu, pick
from backend.core.label_config import Choice
from backend.core.types import Answer, FormEntry, Question

_STOP = Entry("", "None of these in particular")
"""No choice has an empty value."""


def questions(field: Field) -> tuple[Question, ...]:
    """The menu of the top level."""
    return _menu(field, ()).first


def fill(field: Field, answers: Mapping[str, Answer]) -> Flow[tuple[FormEntry, ...]]:
    """One path, with the product of its levels' probabilities.

    It ends at a leaf, or where the judge finds none of the more specific choices fitting and the form allows that.
    """
    if not field.choices:
        return (field.no_choices,)
    path: tuple[Choice, ...] = ()
    prob = 1.0
    while not path or path[-1].children:
        picked = yield from pick(_menu(field, path), field.sample, answers)
        if isinstance(picked, str):
            return (field.unfilled(picked),)
        prob *= picked.prob
        below = _below(field, path)
        chosen = next((choice for choice in below if choice.value == picked.value), None)
        if chosen is None:
            break
        path = (*path, chosen)
    return (field.filled((tuple(choice.value for choice in path),), prob),)


def _below(field: Field, path: tuple[Choice, ...]) -> tuple[Choice, ...]:
    return path[-1].children if path else field.choices


def _menu(field: Field, path: tuple[Choice, ...]) -> Menu:
    entries = tuple(Entry(choice.value, describe(choice)) for choice in _below(field, path))
    if not path:
        return Menu(field.id, field.introduction, entries)
    if not field.control.leaves_only:
        entries = (*entries, _STOP)
    so_far = " > ".join(describe(choice) for choice in path)
    return Menu(f"{field.id}:{len(path)}", f"{field.introduction}\nChosen so far: {so_far}", entries)
