"""What the judge is asked to write into a form, each with the form of its reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.core.types import Writing
from backend.core.writing import CORNERS, object_schema, reply_schema

MOST_MARKED = 24
"""Stretches of a text, or boxes in an image, that one reply may mark."""
MOST_TOKENS = 1024
"""Of a reply that marks so many; one that is cut off is not a reply."""


def number_writing(name: str, request: str, minimum: float | None, maximum: float | None, *, whole: bool) -> Writing:
    """Ask for one number of a range, None being open: `{"number": ...}`."""
    number: dict[str, Any] = {"type": "integer" if whole else "number"}
    if minimum is not None:
        number["minimum"] = minimum
    if maximum is not None:
        number["maximum"] = maximum
    return Writing(name, request, reply_schema(number=number), max_tokens=32)


def spans_writing(name: str, request: str, labels: Sequence[str]) -> Writing:
    """Ask for stretches of a text: `{"items": [{"text": ..., "label": ...}, ...]}`."""
    item = object_schema(text={"type": "string"}, label={"enum": list(labels)})
    return Writing(name, request, reply_schema(items=_several(item)), MOST_TOKENS)


def boxes_writing(name: str, request: str, labels: Sequence[str]) -> Writing:
    """Ask for boxes: `{"items": [{"bbox_2d": [left, top, right, bottom], "label": ...}, ...]}`.

    They are measured in the frame of `Written.frames`. Without labels the items have none.
    """
    item = object_schema(bbox_2d=CORNERS, label={"enum": list(labels)}) if labels else object_schema(bbox_2d=CORNERS)
    return Writing(name, request, reply_schema(items=_several(item)), MOST_TOKENS)


def _several(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "maxItems": MOST_MARKED}
