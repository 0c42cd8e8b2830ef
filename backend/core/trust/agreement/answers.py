"""How what a control says is compared: as one of several answers, as a step on a scale, as a number or as a set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from backend.core.label_config import Control
from backend.core.trust.agreement.raters import Category
from backend.core.trust.truth import UNDECIDED
from backend.core.types import Value

Measured = Literal["answers", "steps", "numbers", "sets"]
"""Answers are the same or not; steps have an order, and a near miss is part of an agreement; numbers have distances;
sets are of any of the control's choices."""
Item = Category | frozenset[str]

_SIDES = ("left", "right", UNDECIDED)


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A control whose values are not compared by a coefficient, and why."""

    control: str
    reason: str


def measured_as(control: Control) -> Measured | NotMeasured:
    """How a control's values are compared."""
    if control.scope != "task":
        return NotMeasured(control.name, "it is filled in anew for every region or image, not once per task")
    if control.tag in ("Choices", "Taxonomy"):
        return "sets" if control.multiple or control.tag == "Taxonomy" else "answers"
    if control.tag == "Rating":
        return "steps"
    if control.tag == "Number":
        return "numbers"
    if control.tag == "Pairwise":
        return "answers"
    what = "free text" if control.tag == "TextArea" else "marked regions"
    return NotMeasured(control.name, f"it holds {what}, which has no fixed set of answers")


def item_of(value: Value, measured: Measured) -> Item:
    """A control's value as it is compared."""
    if measured == "sets":
        return frozenset(_word(one) for one in value) if isinstance(value, tuple) else frozenset((str(value),))
    if isinstance(value, tuple):
        return " / ".join(_word(one) for one in value)
    return value


def scale_of(control: Control, used: Iterable[Category]) -> tuple[Category, ...]:
    """All answers that a control offers, in its order, and after them what was answered all the same.

    The steps of a Rating rise; choices that come from the task's data are those that were taken, in alphabetical order.
    """
    seen = set(used)
    if control.tag == "Rating":
        return tuple(sorted(seen | set(range(1, control.max_rating + 1)), key=float))
    offered: tuple[Category, ...] = _SIDES if control.tag == "Pairwise" else control.labels
    return (*offered, *sorted(seen - set(offered), key=str))


def _word(one: object) -> str:
    return " / ".join(map(str, one)) if isinstance(one, tuple) else str(one)
