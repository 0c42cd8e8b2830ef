"""Rating and Number: a menu where the numbers can be listed, else a number written in its range."""

from __future__ import annotations

from collections.abc import Mapping

from backend.core.flow import Flow, Write, write
from backend.core.form.field import Field
from backend.core.form.menus import MOST_LETTERED, Entry, Menu, known_or_asked, pick
from backend.core.form.writings import number_writing
from backend.core.label_config import Control
from backend.core.types import Answer, FormEntry, Option, Question, Scored, Written


def is_listed(control: Control) -> bool:
    """Whether its numbers are so few that they are put on a menu."""
    return bool(_numbers(control))


def questions(field: Field) -> tuple[Question, ...]:
    """The menu: digits where every number is one, else letters; nothing for a number that is written."""
    numbers = _numbers(field.control)
    if not _are_digits(numbers):
        return _menu(field, numbers).first
    what = f"Give a number from {numbers[0]} to {numbers[-1]}."
    if field.control.tag == "Rating":
        what = f"Rate it from {numbers[0]}, the lowest, to {numbers[-1]}, the highest."
    text = f"{field.introduction}\n{what}\nAnswer with one digit only."
    return (Question(field.id, text, tuple(Option(str(number), str(number)) for number in numbers)),)


def fill(field: Field, answers: Mapping[str, Answer]) -> Flow[tuple[FormEntry, ...]]:
    """The most probable number of the menu."""
    numbers = _numbers(field.control)
    if _are_digits(numbers):
        (reply,) = yield from known_or_asked(questions(field), field.sample, answers)
        if not isinstance(reply, Scored):
            return (field.unfilled(reply.reason),)
        return (field.filled(int(reply.best), reply.prob(reply.best)),)
    picked = yield from pick(_menu(field, numbers), field.sample, answers)
    return (field.unfilled(picked) if isinstance(picked, str) else field.filled(int(picked.value), picked.prob),)


def write_number(field: Field) -> Flow[tuple[FormEntry, ...]]:
    """The number that the judge writes."""
    control = field.control
    lowest, highest = (1, control.max_rating) if control.tag == "Rating" else (control.minimum, control.maximum)
    if lowest is not None and highest is not None and lowest > highest:
        return (field.unfilled(f"its smallest number, {lowest:g}, is above its largest, {highest:g}"),)
    whole = control.tag == "Rating" or (control.step is not None and control.step.is_integer())
    request = f"{field.introduction}\nWrite the number that belongs there."
    (reply,) = yield from write(
        Write(number_writing(field.id, request, lowest, highest, whole=whole), field.sample.texts)
    )
    if not isinstance(reply, Written):
        return (field.unfilled(reply.reason),)
    return (field.filled(reply.value["number"], None),)


def _numbers(control: Control) -> range:
    """The whole numbers that can be given; empty when there are too many, or some between them."""
    if control.tag == "Rating":
        numbers = range(1, control.max_rating + 1)
    else:
        bounds = (control.minimum, control.maximum, control.step or 1.0)
        if any(bound is None or not bound.is_integer() for bound in bounds) or bounds[2] < 1:
            return range(0)
        low, high, step = (int(bound) for bound in bounds if bound is not None)
        numbers = range(low, high + 1, step)
    return range(0) if numbers[MOST_LETTERED:] else numbers


def _are_digits(numbers: range) -> bool:
    return len(numbers) > 1 and numbers[0] >= 0 and numbers[-1] <= 9


def _menu(field: Field, numbers: range) -> Menu:
    return Menu(field.id, field.introduction, tuple(Entry(str(number), str(number)) for number in numbers))
