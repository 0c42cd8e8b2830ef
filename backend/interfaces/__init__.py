"""Label configs, rubrics and sample tasks that come with the product."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from backend.core.kinds import Kind
from backend.errors import RubricError

KINDS: tuple[Kind, ...] = get_args(Kind)
"""There is a label config, a rubric and a set of sample tasks for each."""
DEFAULT_KIND: Kind = "image-text"

_HERE = Path(__file__).parent
LABEL_CONFIG = _HERE / "image_text.xml"
_RUBRICS = _HERE / "rubrics"
_SAMPLES = _HERE / "samples"


def default_label_config() -> str:
    """The labeling interface of an image-text project."""
    return label_config_of(DEFAULT_KIND)


def label_config_of(kind: Kind) -> str:
    """The labeling interface for a kind of samples."""
    return (_HERE / f"{kind.replace('-', '_')}.xml").read_text(encoding="utf-8")


def interface_summary(kind: Kind) -> str:
    """What a labeling interface shows: the first sentence of the comment at its top."""
    comment = label_config_of(kind).removeprefix("<!--").partition("-->")[0]
    sentence, end, _ = " ".join(comment.split()).partition(". ")
    return sentence + end.strip()


def sample_tasks(kind: Kind) -> tuple[Mapping[str, Any], ...]:
    """A few tasks of a kind, `{"data": {...}}` each, with their pictures in them as data URIs."""
    tasks = json.loads((_SAMPLES / f"{kind}.json").read_text(encoding="utf-8"))
    return tuple({"data": {key: _with_picture(value) for key, value in task["data"].items()}} for task in tasks)


def _with_picture(value: str | list[str]) -> str | list[str]:
    """A name of a picture, or a list of them, as data URIs; other texts as they are."""
    if isinstance(value, list):
        return [str(_with_picture(item)) for item in value]
    if not value.endswith(".png"):
        return value
    return "data:image/png;base64," + b64encode((_SAMPLES / "pictures" / value).read_bytes()).decode()


def rubric_names() -> tuple[str, ...]:
    """The names of the ready rubrics, such as `image-text` or `image-text.de`, in alphabetical order."""
    return tuple(sorted(path.name.removesuffix(".yaml") for path in _RUBRICS.glob("*.yaml")))


def rubric_file(name: str) -> Path:
    """The file of a ready rubric. Raises RubricError naming those that exist."""
    if name not in rubric_names():
        raise RubricError(f"there is no ready rubric {name}; there are {', '.join(rubric_names())}")
    return _RUBRICS / f"{name}.yaml"


def rubric_summary(name: str) -> str:
    """What a ready rubric is for: the comment in its first line."""
    return rubric_file(name).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
