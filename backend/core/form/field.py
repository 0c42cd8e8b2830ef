"""One control of the project's own in one task: what it is about, and how it is worded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from backend.core.label_config import REFERENCE, Choice, Control, LabelConfig, ObjectTag
from backend.core.prompts import neutralise, quote
from backend.core.sample import data_value
from backend.core.types import ControlValue, Filled, Sample, TextField, Unfilled, Value

MOST_NESTED = 20
"""Levels that are read of choices which a task brings along."""


@dataclass(frozen=True, slots=True)
class Field:
    """A control in a task."""

    control: Control
    config: LabelConfig
    sample: Sample

    @property
    def id(self) -> str:
        """What the ids of its questions and writings start with; a colon in the name is doubled, so that ids differ."""
        return "form:" + self.control.name.replace(":", "::")

    @property
    def targets(self) -> tuple[ObjectTag, ...]:
        """The objects it belongs to."""
        found = (self.config.object(name) for name in self.control.objects)
        return tuple(item for item in found if item is not None)

    @property
    def on_first_object(self) -> Field:
        """The same for the first of its objects alone: a region lies on one."""
        return replace(self, control=replace(self.control, to_name=self.control.objects[0]))

    @property
    def text(self) -> TextField | None:
        """The text it belongs to, or None when that is an image or the task leaves it out."""
        keys = [item.key for item in self.targets]
        return next((text for text in self.sample.texts if text.name in keys), None)

    @property
    def images(self) -> tuple[int, ...]:
        """The sample's images it belongs to, by index."""
        keys = {item.key for item in self.targets if item.tag == "Image"}
        return tuple(
            index for index, ref in enumerate(self.sample.images) if ref.name in keys or _listed_under(ref.name) in keys
        )

    @property
    def introduction(self) -> str:
        """The lines that every question and request about it starts with.

        The form's own words come from the project's owner and stand as they are; what comes from the task is quoted.
        """
        heading = self._with_data(self.control.heading)
        lines = (
            "Fill in one field of a form about what is shown.",
            f"Field: {neutralise(_words(self.control.name))}",
            f"About: {self._about}" if self._about else "",
            f"The form says: {heading}" if heading else "",
            f"Hint: {neutralise(self.control.hint)}" if self.control.hint else "",
        )
        return "\n".join(line for line in lines if line)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What can be chosen: as the form lists it, or as the task does; empty when the task does not.

        Of choices with the same value the first counts. The words of the task's own choices are quoted.
        """
        if not self.control.key:
            return _distinct(self.control.choices)
        return _distinct(_read_choices(data_value(self.sample.data, self.control.key)))

    @property
    def no_choices(self) -> Unfilled:
        """The entry for a task that brings no choices along."""
        return self.unfilled(f"the task has no choices in `{self.control.key}`")

    def filled(self, value: Value, prob: float | None) -> Filled:
        """The entry that fills it."""
        return Filled(ControlValue(self.control.name, self.control.tag, value), prob)

    def unfilled(self, reason: str) -> Unfilled:
        """The entry that leaves it empty."""
        return Unfilled(self.control.name, reason)

    @property
    def _about(self) -> str:
        """Which of the things shown it belongs to; empty where there is only one."""
        if len(self.sample.images) + len(self.sample.texts) < 2:
            return ""
        several = len(self.sample.images) > 1
        images = [
            f"image {index + 1} ({neutralise(self.sample.images[index].name)})" if several else "the image"
            for index in self.images
        ]
        keys = [item.key for item in self.targets]
        texts = [neutralise(text.name) for text in self.sample.texts if text.name in keys]
        return ", ".join(images + texts)

    def _with_data(self, heading: str) -> str:
        def value(match: re.Match[str]) -> str:
            found = data_value(self.sample.data, match.group(1))
            return quote(found) if isinstance(found, str) else match.group()

        return REFERENCE.sub(value, neutralise(heading))


def describe(choice: Choice) -> str:
    """A choice in a line: its words and, after a dash, its hint."""
    words = neutralise(choice.words)
    return f"{words} - {neutralise(choice.hint)}" if choice.hint else words


def name_label(label: Choice) -> str:
    """A label as a reply has to write it, with what the form says about it."""
    words = "" if label.words in (label.value, quote(label.value)) else f": {neutralise(label.words)}"
    hint = f" - {neutralise(label.hint)}" if label.hint else ""
    return f"{quote(label.value)}{words}{hint}"


def _words(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name)).strip() or name


def _listed_under(name: str) -> str:
    return re.sub(r"\[\d+\]$", "", name)


def _read_choices(listed: Any, depth: int = 0) -> tuple[Choice, ...]:
    """Choices as a task lists them: words, or objects with value, alias, hint, html and children."""
    if not isinstance(listed, list) or depth == MOST_NESTED:
        return ()
    choices = (_read_choice(item, depth) for item in listed)
    return tuple(choice for choice in choices if choice is not None)


def _read_choice(item: Any, depth: int) -> Choice | None:
    fields: Mapping[str, Any] = item if isinstance(item, Mapping) else {"value": item}
    words, alias, hint = (fields.get(name) for name in ("value", "alias", "hint"))
    if not isinstance(words, str) or not words.strip():
        return None
    stored = alias if isinstance(alias, str) and alias else words
    children = _read_choices(fields.get("children"), depth + 1)
    return Choice(stored, quote(words), quote(hint) if isinstance(hint, str) and hint else "", children)


def _distinct(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    kept: dict[str, Choice] = {}
    for choice in choices:
        kept.setdefault(choice.value, replace(choice, children=_distinct(choice.children)))
    return tuple(kept.values())
