"""Filters of the Data Manager, from what a person writes: `data.source = web`, `annotations = 0`, `id > 100`."""

from __future__ import annotations

import re
from typing import Any

from backend.errors import SettingsError
from backend.studio_types import Json

_NUMBERS = {"id": "id", "annotations": "total_annotations", "predictions": "total_predictions"}
_OPERATORS = {
    "=": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_or_equal",
    ">": "greater",
    ">=": "greater_or_equal",
    "~": "contains",
    "!~": "not_contains",
}
_ON_TEXT = ("=", "!=", "~", "!~")
_WRITTEN = re.compile(
    r"\s*(?P<column>[^\s=!<>~](?:[^=!<>~]*[^\s=!<>~])?)\s*(?P<operator><=|>=|!=|!~|=|<|>|~)\s*(?P<value>.*?)\s*",
    re.DOTALL,
)
_UNFILTERABLE = re.compile(r"['`\"\[\];#\s\x00-\x1f\x7f-\x9f]|--|/\*|\*/|__|data\.")
"""In a key; Label Studio answers with an internal error, or looks elsewhere."""


def parse_filter(written: str) -> Json:
    """One filter. Raises SettingsError that says what can be written."""
    match = _WRITTEN.fullmatch(written)
    if match is None:
        raise _wrong(written, "there is no column, operator and value in it")
    column, operator, value = match["column"], match["operator"], match["value"]
    if column in _NUMBERS:
        if operator in ("~", "!~") or not re.fullmatch(r"-?\d+", value):
            raise _wrong(written, f"`{column}` is compared with a whole number")
        return _item(_NUMBERS[column], operator, "Number", int(value))
    if not column.startswith("data.") or column == "data.":
        raise _wrong(written, f"`{column}` is not known")
    if found := _UNFILTERABLE.search(column.removeprefix("data.")):
        raise _wrong(written, f"Label Studio cannot filter by a key with `{found[0]}` in it")
    if operator not in _ON_TEXT:
        raise _wrong(written, f"`{operator}` compares numbers, and what tasks hold is compared as text")
    if not value and operator in ("~", "!~"):
        raise _wrong(written, f"every text contains the empty one, so `{operator}` needs something to look for")
    return _item(column, operator, "String", value)


def _item(column: str, operator: str, kind: str, value: Any) -> Json:
    return {"filter": f"filter:tasks:{column}", "operator": _OPERATORS[operator], "type": kind, "value": value}


def _wrong(written: str, why: str) -> SettingsError:
    return SettingsError(
        f"--filter {written!r}: {why}; write `id`, `annotations` or `predictions` with = != < <= > >= and a number, or "
        "`data.KEY` with = != ~ (contains) !~ and a text"
    )
