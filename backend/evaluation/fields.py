"""Reads single fields of a labelled row: pictures, texts, labels. What is wrong with one is a RowError."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.core.measures import TIE
from backend.errors import RowError
from backend.evaluation.samples import Picture

GOOD_WORDS = frozenset(
    {"accept", "accepted", "good", "correct", "right", "yes", "true", "1", "pass", "ok", "supported"}
)
BAD_WORDS = frozenset(
    {"fix", "reject", "rejected", "bad", "incorrect", "wrong", "no", "false", "0", "fail", "unsupported"}
)
FIRST_WORDS = frozenset({"a", "first", "1", "left", "text_a", "caption_a", "response_a", "answer_a"})
SECOND_WORDS = frozenset({"b", "second", "2", "right", "text_b", "caption_b", "response_b", "answer_b"})
TIE_WORDS = frozenset({"tie", "both", "neither", "equal", "same", "draw", "undecided"})


def find(row: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, Any] | None:
    """The first of these columns that holds something, with its value."""
    return next(((name, row[name]) for name in names if not is_missing(row.get(name))), None)


def is_missing(value: Any) -> bool:
    """Whether there is nothing in a field."""
    return value is None or value == "" or value == [] or (isinstance(value, float) and math.isnan(value))


def text_of(row: Mapping[str, Any], name: str) -> str:
    """The text in a column. Raises RowError where there is none."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"no text in `{name}`")
    return value


def pictures_of(value: Any, folder: Path | None) -> tuple[Picture, ...]:
    """The picture or pictures of a field. Raises RowError."""
    if is_missing(value):
        return ()
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(_picture(item, folder) for item in values)


def _picture(value: Any, folder: Path | None) -> Picture:
    if isinstance(value, bytes):
        return Picture(content=value)
    if isinstance(value, Mapping):  # as `datasets` stores images
        content, path = value.get("bytes"), value.get("path")
        if content:
            return Picture(content=content)
        value = path
    if not isinstance(value, str) or not value.strip():
        raise RowError("no image")
    if value.startswith(("data:", "http://", "https://", "s3://", "gs://", "azure-blob://")):
        return Picture(address=value)
    if folder is None:
        raise RowError("an image is named by a path that is not on this machine", value[:200])
    path = folder / value
    if value.startswith("/") and not path.exists():
        return Picture(address=value)
    return Picture(path=path)


def good_of(name: str, value: Any) -> bool:
    """Whether a verdict says good. Raises RowError for words that are not known."""
    word = _word(value)
    if word in GOOD_WORDS or word in BAD_WORDS:
        return word in GOOD_WORDS
    raise RowError(f"`{name}` is no verdict that is known", f"{word[:60]!r}; known are accept, fix, reject, good, bad")


def rating_of(name: str, value: Any) -> float:
    """A rating from 1 to 5. Raises RowError for anything else."""
    try:
        rating = float(value)
    except (TypeError, ValueError) as exc:
        raise RowError(f"`{name}` is not a number", repr(value)[:60]) from exc
    if not 1 <= rating <= 5:
        raise RowError(f"`{name}` is not a rating from 1 to 5", repr(value)[:60])
    return rating


def number_of(value: Any) -> float | None:
    """The finite number in a field, also when it stands there as text; None when there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def preferred_of(name: str, value: Any) -> float:
    """1 for the first, 0 for the second, 0.5 for a tie. Raises RowError for words that are not known."""
    word = _word(value)
    for words, meaning in ((FIRST_WORDS, 1.0), (SECOND_WORDS, 0.0), (TIE_WORDS, TIE)):
        if word in words:
            return meaning
    raise RowError(f"`{name}` names no side that is known", f"{word[:60]!r}; known are a, b, first, second, 1, 2, tie")


def _word(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return str(value).strip().lower()
