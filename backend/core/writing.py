"""What the judge can be asked to write, each with the form of its reply."""

from __future__ import annotations

import json
from typing import Any

from backend.core.types import Writing

PIXEL: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 99_999}
CORNERS: dict[str, Any] = {"type": "array", "items": PIXEL, "minItems": 4, "maxItems": 4}
"""Left, top, right and bottom of a box."""

_TEXT: dict[str, Any] = {"type": "string"}


def text_writing(name: str, request: str, max_tokens: int = 512) -> Writing:
    """Ask for one text: `{"text": ...}`."""
    return Writing(name, request, reply_schema(text=_TEXT), max_tokens)


def vqa_writing(name: str, request: str, max_tokens: int = 256) -> Writing:
    """Ask for a question with its answer: `{"question": ..., "answer": ...}`."""
    return Writing(name, request, reply_schema(question=_TEXT, answer=_TEXT), max_tokens)


def claims_writing(name: str, request: str, most: int = 24) -> Writing:
    """Ask for single claims: `{"claims": [...]}`."""
    return Writing(
        name, request, reply_schema(claims={"type": "array", "items": _TEXT, "maxItems": most}), max_tokens=768
    )


def box_writing(name: str, request: str) -> Writing:
    """Ask for one box: `{"bbox_2d": [left, top, right, bottom]}`, in the frame of `Written.frames`."""
    return Writing(name, request, reply_schema(bbox_2d=CORNERS), max_tokens=64)


def object_schema(**properties: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of an object with exactly these properties."""
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def reply_schema(**properties: dict[str, Any]) -> str:
    """The same as canonical JSON, for a `Writing`."""
    return json.dumps(object_schema(**properties), separators=(",", ":"))
