"""Says which controls a person changed, by comparing what the judge had filled in with what was submitted."""

from __future__ import annotations

from collections.abc import Mapping

from backend.core.types import Box, ControlValue, TextSpan, Value

BOX_TOLERANCE_PERCENT = 0.1
"""Label Studio's editor turns percent into pixels and back; smaller moves than this are not a person's."""


def changed_controls(judge: Mapping[str, ControlValue], human: Mapping[str, ControlValue]) -> tuple[str, ...]:
    """Names of controls that were changed, filled in, or emptied, in alphabetical order."""
    names = sorted({*judge, *human})
    return tuple(name for name in names if not same_value(_value(judge, name), _value(human, name)))


def _value(values: Mapping[str, ControlValue], name: str) -> Value | None:
    found = values.get(name)
    return None if found is None else found.value


def same_value(one: Value | None, other: Value | None) -> bool:
    """Whether two values of a control say the same: spaces around a text and the order of regions do not count."""
    if isinstance(one, str) and isinstance(other, str):
        return _plain(one) == _plain(other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return _same_items(one, other)
    return one == other


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _same_items(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Whether each item has its counterpart, in any order: the editor does not keep the order of regions."""
    left = list(other)
    for item in one:
        match = next((candidate for candidate in left if _same_item(item, candidate)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _same_item(one: object, other: object) -> bool:
    if isinstance(one, TextSpan) and isinstance(other, TextSpan):
        return (one.start, one.end, one.label) == (other.start, other.end, other.label)
    if isinstance(one, Box) and isinstance(other, Box):
        pairs = ((one.x, other.x), (one.y, other.y), (one.width, other.width), (one.height, other.height))
        return one.label == other.label and all(abs(a - b) <= BOX_TOLERANCE_PERCENT for a, b in pairs)
    return one == other
