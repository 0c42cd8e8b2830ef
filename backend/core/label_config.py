"""Reads a Label Studio label config into the few facts the judge and the exporter need."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import lru_cache

from backend.errors import LabelConfigError

OBJECT_TAGS = frozenset(
    {"Image", "Text", "HyperText", "Paragraphs", "Audio", "Video", "TimeSeries", "List", "Table", "PDF"}
)
CONTROL_TAGS = frozenset({"Rating", "Choices", "TextArea", "Labels", "RectangleLabels"})
"""Controls whose values can be written and read; others in a config are left alone and named."""

_LABEL_CHILDREN = {"Choices": "Choice", "Labels": "Label", "RectangleLabels": "Label"}


@dataclass(frozen=True, slots=True)
class ObjectTag:
    """Something shown to the annotator: an image or a text."""

    name: str
    tag: str
    key: str
    """The key in the task's data, e.g. `image` for `value="$image"`."""


@dataclass(frozen=True, slots=True)
class Control:
    """Something the annotator fills in."""

    name: str
    tag: str
    to_name: str
    """Name of the object it belongs to."""
    labels: tuple[str, ...] = ()
    """Values a person can choose from: choices or labels, in order."""
    max_rating: int = 5


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """The objects and controls of a label config, in document order."""

    objects: tuple[ObjectTag, ...]
    controls: tuple[Control, ...]
    unknown: tuple[str, ...] = ()
    """Names of controls of a kind that is not handled here."""

    def control(self, name: str) -> Control | None:
        """The control of that name, or None."""
        return next((control for control in self.controls if control.name == name), None)

    def object(self, name: str) -> ObjectTag | None:
        """The object of that name, or None."""
        return next((item for item in self.objects if item.name == name), None)

    @property
    def images(self) -> tuple[ObjectTag, ...]:
        """The objects that are images."""
        return tuple(item for item in self.objects if item.tag == "Image")

    @property
    def texts(self) -> tuple[ObjectTag, ...]:
        """The objects that are texts."""
        return tuple(item for item in self.objects if item.tag in ("Text", "HyperText"))


@lru_cache(maxsize=64)
def parse_label_config(xml: str) -> LabelConfig:
    """Read a label config. Raises LabelConfigError when it is not XML or declares entities."""
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise LabelConfigError("the label config declares a document type; remove it")
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - without a document type there is nothing to expand
    except ElementTree.ParseError as exc:
        raise LabelConfigError(f"the label config is not valid XML: {exc}") from exc
    objects, controls, unknown = [], [], []
    for element in root.iter():
        name, to_name = element.get("name"), element.get("toName")
        if not name:
            continue
        if to_name is None and element.tag in OBJECT_TAGS:
            objects.append(ObjectTag(name, element.tag, (element.get("value") or "").removeprefix("$")))
        elif to_name and element.tag in CONTROL_TAGS:
            controls.append(_control(element, name, to_name.split(",")[0]))
        elif to_name:
            unknown.append(name)
    return LabelConfig(tuple(objects), tuple(controls), tuple(unknown))


def _control(element: ElementTree.Element, name: str, to_name: str) -> Control:
    child = _LABEL_CHILDREN.get(element.tag)
    labels = tuple(item.get("alias") or item.get("value") or "" for item in element.iter(child)) if child else ()
    rating = element.get("maxRating") or "5"
    return Control(name, element.tag, to_name, labels, int(rating) if rating.isdigit() else 5)
