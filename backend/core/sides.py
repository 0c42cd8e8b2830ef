"""Controls that say which of several texts is preferred: which texts compete, and which value names which of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from backend.core.label_config import Control, LabelConfig, ObjectTag
from backend.core.sample import role_of
from backend.core.types import ControlValue, Preference, Sample

PREFERENCE_CONTROL = "preference"

_LETTERS = tuple("abcdefghij")
_NUMBERS = tuple(str(number) for number in range(1, 11))
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_SIDES = ("left", "right")
_UNDECIDED = frozenset(
    {"undecided", "unsure", "not sure", "unclear", "cannot tell", "can t tell", "cannot decide", "can t decide"}
)
_EQUAL = re.compile(r"\b(tie|tied|draw|equal|equally|same|both|neither|none|either|no preference)\b")
"""Values that state something of all texts together; the judge never says so."""


def competing(config: LabelConfig) -> tuple[ObjectTag, ...]:
    """The texts that compete, in the config's order: those a preference control names, or all that are candidates."""
    candidates = tuple(text for text in config.texts if role_of(text.name) == "candidate")
    for control in config.controls:
        if control.tag == "Pairwise" or control.name == PREFERENCE_CONTROL:
            named = tuple(text for text in config.texts if text.name in control.objects)
            if len(named) > 1:
                return named
    return candidates


def with_competing(sample: Sample, config: LabelConfig) -> Sample:
    """The sample with the competing texts as its only candidates; other texts help to judge them."""
    keys = {text.key for text in competing(config)}
    texts = tuple(
        replace(text, role="candidate")
        if text.name in keys
        else replace(text, role="context" if text.role == "candidate" else text.role)
        for text in sample.texts
    )
    return replace(sample, texts=texts)


def says_preference(control: Control, config: LabelConfig) -> bool:
    """Whether a control can say which of the competing texts is preferred."""
    if control.scope != "task":
        return False
    if control.tag == "Pairwise":
        named = set(control.objects)
        return len(control.objects) == 2 and len({text.name for text in competing(config)} & named) == 2
    return control.tag == "Choices" and control.name == PREFERENCE_CONTROL and bool(_values(control, competing(config)))


def compares(config: LabelConfig) -> bool:
    """Whether the project asks which of several texts is preferred."""
    return any(says_preference(control, config) for control in config.controls)


def preference_value(control: Control, preference: Preference, config: LabelConfig) -> ControlValue | None:
    """What the control says of a preference; None leaves it empty, as where nothing in it means undecided."""
    texts = competing(config)
    winner = next((text for text in texts if text.key == preference.winner), None)
    if control.tag == "Pairwise":
        sides = dict(zip(control.objects, _SIDES, strict=False))
        side = sides.get(winner.name) if winner else None
        return ControlValue(control.name, control.tag, side) if side else None
    if winner is not None:
        label = _values(control, texts).get(winner.name)
    else:
        said = [(choice.value, word) for choice in control.choices for word in (choice.value, choice.words)]
        label = next((value for value, word in said if _plain(word) in _UNDECIDED), None)
    return ControlValue(control.name, control.tag, (label,)) if label else None


def chosen_text(value: ControlValue, config: LabelConfig) -> ObjectTag | None:
    """The text that a control's value prefers; None when it prefers none or is no preference."""
    control, texts = config.control(value.control), competing(config)
    if control is None or not says_preference(control, config):
        return None
    if control.tag == "Pairwise":
        names = dict(zip(_SIDES, control.objects, strict=False))
        return next((text for text in texts if text.name == names.get(str(value.value))), None)
    values = _values(control, texts)
    return next((text for text in texts if value.value == (values.get(text.name),)), None)


def _values(control: Control, texts: Sequence[ObjectTag]) -> Mapping[str, str]:
    """For each text's name the one choice that stands for it, as stored; empty when that cannot be told for all.

    Tried on the choices as they are stored and then as they are shown, in this order: the texts' names or their keys
    in the task's data; a letter (A, B), a number, an ordinal (first, second) or a side (left, right) among the words;
    the order of the texts.
    """
    if len(texts) < 2:
        return {}
    for said in ({choice.value: choice.value for choice in control.choices}, _shown(control)):
        left = {value: plain for value, words in said.items() if not _of_all(plain := _plain(words))}
        for way in _ways(texts, tuple(left.values())):
            found = [(at, value) for value, plain in left.items() if (at := way(plain)) is not None]
            if sorted(at for at, _ in found) == list(range(len(texts))):
                return {texts[at].name: value for at, value in found}
    return {}


def _shown(control: Control) -> dict[str, str]:
    return {choice.value: choice.words for choice in control.choices}


def _of_all(plain: str) -> bool:
    return plain in _UNDECIDED or _EQUAL.search(plain) is not None


def _ways(texts: Sequence[ObjectTag], left: Sequence[str]) -> Iterator[Callable[[str], int | None]]:
    """Ways from a choice's words to the place of a text."""
    named = {_plain(said): at for at, text in enumerate(texts) for said in (text.name, text.key)}
    yield named.get
    for marks in (_LETTERS, _NUMBERS, _ORDINALS, _SIDES):
        if len(texts) <= len(marks):
            yield _by_mark(marks[: len(texts)])
    if len(left) == len(texts):
        yield left.index


def _by_mark(marks: Sequence[str]) -> Callable[[str], int | None]:
    def place(plain: str) -> int | None:
        found = [at for at, mark in enumerate(marks) if mark in plain.split()]
        return found[0] if len(found) == 1 else None

    return place


def _plain(label: str) -> str:
    """Lower case, words apart, digits apart from letters: `Answer_A` and `answerA` give `answer a`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)", " ", label)
    return " ".join(re.findall(r"[^\W_]+", apart.lower()))
