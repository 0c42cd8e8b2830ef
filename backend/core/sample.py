"""Binds a task to what is judged: which of its data are images, which text is the candidate, which is context."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from backend.core.label_config import LabelConfig, ObjectTag
from backend.core.types import ImageRef, Sample, TextField, TextRole
from backend.errors import LabelConfigError, TaskError

_REQUESTED = frozenset({"requested", "requested_features", "features"})
_CONTEXT = frozenset({"question", "prompt", "instruction", "context", "title"})
MOST_TEXT_CHARS = 200_000
"""Of a text that is judged or helps to judge; more than models read, and enough to keep a server busy for minutes."""
MOST_REQUESTED = 200
"""Features of a task; each is a question of its own."""
_HALF = "half a character (a lone surrogate)"


def role_of(name: str) -> TextRole:
    """The role a text plays, by the name of its object: requested features, context, or the candidate."""
    lowered = name.lower()
    return "requested" if lowered in _REQUESTED else "context" if lowered in _CONTEXT else "candidate"


def check_config(config: LabelConfig) -> None:
    """Raise LabelConfigError when no sample can be made of any task under this config."""
    if not config.images:
        shown = ", ".join(f"`{item.name}` ({item.tag})" for item in config.objects) or "nothing at all"
        raise LabelConfigError(
            f"the label config shows no image from the task's data, only {shown}; the judge looks at images: add "
            '<Image name="image" value="$image"/>, outside any Repeater'
        )


def candidate_object(config: LabelConfig) -> ObjectTag | None:
    """The object that shows the text being judged: the first of that role."""
    return next((text for text in config.texts if role_of(text.name) == "candidate"), None)


def bind(task: Mapping[str, Any], config: LabelConfig, *, needs_text: bool = True) -> Sample:
    """The sample in a task. Raises TaskError naming the task and the field that is missing or of the wrong kind.

    `needs_text` refuses a task without a text to judge under a config that shows one.
    """
    name = str(task.get("id", "without id"))
    data = task.get("data")
    if not isinstance(data, Mapping):
        raise TaskError(f"task {name} has no `data` object")
    images = tuple(ref for image in config.images for ref in _images(name, data, image))
    texts = tuple(
        TextField(item.key, _short_enough(name, item.key, value), role_of(item.name))
        for item in config.texts
        if (value := _optional(name, data, item.key)) is not None
    )
    expected = [item.key for item in config.texts if role_of(item.name) == "candidate"]
    if needs_text and expected and not any(text.role == "candidate" for text in texts):
        keys = ", ".join(f"`{key}`" for key in expected)
        raise TaskError(f"task {name} has no text to judge in {keys}; give it one or delete the task")
    _check_characters(name, data)
    generator = data.get("generator")
    sample = Sample(name, images, texts, generator if isinstance(generator, str) else "", data)
    if len(sample.requested) > MOST_REQUESTED:
        raise TaskError(f"task {name} requests {len(sample.requested):,} features; ask for at most {MOST_REQUESTED}")
    return sample


def page_of(image: str, config: LabelConfig) -> int | None:
    """Which image of a list one is, from 0, by its name in the sample; None where its object shows a single image."""
    listed = re.fullmatch(r"(.+)\[(\d+)\]", image, re.DOTALL)
    return int(listed[2]) if listed and any(item.key == listed[1] for item in config.images) else None


def data_value(data: Mapping[str, Any], key: str) -> Any:
    """What the task's data hold under a key, which may reach into them as `photo.url` or `pages[0]`; None if none."""
    if key in data:
        return data[key]
    value: Any = data
    for part in re.findall(r"[^.\[\]]+", key):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and len(part) < 6 and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _check_characters(task: str, data: Mapping[str, Any]) -> None:
    """Raise TaskError when a text anywhere in the data cannot be written as UTF-8: a form may show any of them."""
    try:
        json.dumps(dict(data), ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as exc:
        raise TaskError(f"task {task}: its data hold {_HALF}; write them as valid UTF-8") from exc


def _images(task: str, data: Mapping[str, Any], image: ObjectTag) -> list[ImageRef]:
    listed = data_value(data, image.key)
    if not isinstance(listed, list):
        return [ImageRef(image.key, _text(task, data, image.key))]
    if not listed:
        raise TaskError(f"task {task} has an empty list in `{image.key}`, which the label config shows as images")
    return [
        ImageRef(f"{image.key}[{index}]", _text(task, {image.key: uri}, image.key)) for index, uri in enumerate(listed)
    ]


def _text(task: str, data: Mapping[str, Any], key: str) -> str:
    value = _optional(task, data, key)
    if value is None:
        raise TaskError(f"task {task} has nothing in `{key}`, which the label config shows as an image")
    return value


def _short_enough(task: str, key: str, text: str) -> str:
    if len(text) > MOST_TEXT_CHARS:
        raise TaskError(
            f"task {task}: `{key}` has {len(text):,} characters, the judge reads at most {MOST_TEXT_CHARS:,}; "
            "shorten it"
        )
    return text


def _optional(task: str, data: Mapping[str, Any], key: str) -> str | None:
    value = data_value(data, key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise TaskError(f"task {task}: `{key}` must be text, not {type(value).__name__}")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise TaskError(f"task {task}: `{key}` holds {_HALF}; write it as valid UTF-8")
    return value if value.strip() else None
