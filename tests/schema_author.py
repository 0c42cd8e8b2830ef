"""For the scripted engine an author that writes what fits the schema, and the package's own check of predictions."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from label_studio_sdk.label_interface.interface import LabelInterface

from backend.core.types import Reply, Written
from backend.engines.base import WriteRequest

FRAME = (200, 100)
"""Width and height that coordinates are measured in."""


def author(request: WriteRequest) -> Reply:
    """A reply made from the schema alone; texts are words of what is shown."""
    seed = hashlib.sha256(f"{request.fields}|{request.writing.text}".encode()).digest()
    words = [word.strip('".,?') for word in request.fields.split() if word.isalpha()] or ["nothing"]
    reply = _made(json.loads(request.writing.schema), list(seed), words)
    return Written(request.writing, json.dumps(reply), tuple(FRAME for _ in request.images))


def _made(schema: dict[str, Any], dice: list[int], words: list[str]) -> Any:
    dice.append(dice.pop(0))
    if "enum" in schema:
        return schema["enum"][dice[0] % len(schema["enum"])]
    if schema["type"] == "object":
        return {name: _made(part, dice, words) for name, part in schema["properties"].items()}
    if schema["type"] == "array":
        count = schema.get("minItems", 3)
        return [_made(schema["items"], dice, words) for _ in range(count)]
    if schema["type"] == "string":
        return words[dice[0] % len(words)]
    low = schema.get("minimum", 0)
    return min(low + dice[0] % 90, schema.get("maximum", 90))


def errors(xml: str, prediction: dict[str, Any]) -> list[str]:
    """What the package itself has against a prediction."""
    interface: Any = LabelInterface(xml)
    found: list[str] = interface.validate_prediction(prediction, return_errors=True)
    return found
