"""Binds a task to what is judged: which of its data are images, which text is the candidate, which is context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.core.label_config import LabelConfig, ObjectTag
from backend.core.types import ImageRef, Sample, TextField, TextRole
from backend.errors import LabelConfigError, TaskError

_REQUESTED = frozenset({"requested", "requested_features", "features"})
_CONTEXT = frozenset({"question", "prompt", "instruction", "context", "title"})


def role_of(name: str) -> TextRole:
    """The role a text plays, by the name of its object: requested features, context, or the candidate."""
    lowered = name.lower()
    return "requested" if lowered in _REQUESTED else "context" if lowered in _CONTEXT else "candidate"


def check_config(config: LabelConfig) -> None:
    """Raise LabelConfigError when no sample can be made of any task under this config."""
    if not config.images:
        raise LabelConfigError('the label config shows no image; add <Image name="image" value="$image"/>')
    if candidate_object(config) is None:
        raise LabelConfigError('the label config shows no text to judge; add <Text name="caption" value="$caption"/>')


def candidate_object(config: LabelConfig) -> ObjectTag | None:
    """The object that shows the text being judged: the first of that role."""
    return next((text for text in config.texts if role_of(text.name) == "candidate"), None)


def bind(task: Mapping[str, Any], config: LabelConfig) -> Sample:
    """The sample in a task. Raises TaskError naming the task and the field that is missing or of the wrong kind."""
    name = str(task.get("id", "without id"))
    data = task.get("data")
    if not isinstance(data, Mapping):
        raise TaskError(f"task {name} has no `data` object")
    images = tuple(ImageRef(image.key, _text(name, data, image.key)) for image in config.images)
    texts = tuple(
        TextField(item.key, value, role_of(item.name))
        for item in config.texts
        if (value := _optional(name, data, item.key)) is not None
    )
    if not any(text.role == "candidate" for text in texts):
        keys = ", ".join(f"`{item.key}`" for item in config.texts if role_of(item.name) == "candidate")
        raise TaskError(f"task {name} has no text to judge in {keys}; give it one or delete the task")
    return Sample(name, images, texts)


def _text(task: str, data: Mapping[str, Any], key: str) -> str:
    value = _optional(task, data, key)
    if value is None:
        raise TaskError(f"task {task} has nothing in `{key}`, which the label config shows as an image")
    return value


def _optional(task: str, data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise TaskError(f"task {task}: `{key}` must be text, not {type(value).__name__}")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise TaskError(f"task {task}: `{key}` holds half a character (a lone surrogate); write it as valid UTF-8")
    return value if value.strip() else None
