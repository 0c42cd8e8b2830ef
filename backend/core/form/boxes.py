"""RectangleLabels, Labels with a Rectangle, and Rectangle alone: boxes that the judge writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from backend.core.areas import area_of
from backend.core.flow import Flow, Write, write
from backend.core.form.field import Field, name_label
from backend.core.form.writings import boxes_writing
from backend.core.label_config import Control, LabelConfig
from backend.core.sample import page_of
from backend.core.types import Box, FormEntry, Writing, Written

MOST_PAGES = 20
"""Images of a list that are searched."""


def rectangle_beside(control: Control, config: LabelConfig) -> Control | None:
    """The Rectangle on the same image, which draws what a Labels control names; None when there is none."""
    return next((other for other in config.controls if other.tag == "Rectangle" and _share(other, control)), None)


def labels_beside(control: Control, config: LabelConfig) -> Control | None:
    """The Labels control that names what a Rectangle draws; None when there is none."""
    return next((other for other in config.controls if other.tag == "Labels" and _share(other, control)), None)


def draw_boxes(field: Field) -> Flow[tuple[FormEntry, ...]]:
    """The boxes that the judge finds, on every image of a list; a Labels control's go into its Rectangle as well."""
    field = field.on_first_object
    if field.control.tag != "Rectangle" and not field.choices:
        return (field.no_choices,)
    if len(field.images) > MOST_PAGES:
        return (field.unfilled(f"the task has {len(field.images)} images, and the judge searches {MOST_PAGES}"),)
    writings = [_writing(field, index) for index in field.images]
    replies = yield from write(
        *(Write(writing, field.sample.texts, (index,)) for writing, index in zip(writings, field.images, strict=True))
    )
    written = [reply for reply in replies if isinstance(reply, Written)]
    unwritten = [reply for reply in replies if not isinstance(reply, Written)]
    if unwritten:
        return (field.unfilled(unwritten[0].reason),)
    found = (box for index, reply in zip(field.images, written, strict=True) for box in _boxes(field, index, reply))
    boxes = tuple({(box.page, box.x, box.y, box.width, box.height): box for box in found}.values())
    if not boxes:
        return (field.unfilled("the judge found nothing to mark in the image"),)
    return _entries(field, boxes)


def _entries(field: Field, boxes: tuple[Box, ...]) -> tuple[FormEntry, ...]:
    filled = field.filled(boxes, None)
    rectangle = rectangle_beside(field.control, field.config) if field.control.tag == "Labels" else None
    if rectangle is None:
        return (filled,)
    bare = tuple(replace(box, label="") for box in boxes)
    return (filled, replace(field, control=rectangle).filled(bare, None))


def _boxes(field: Field, index: int, reply: Written) -> Iterator[Box]:
    page = page_of(field.sample.images[index].name, field.config)
    for item in reply.value["items"]:
        area = area_of(replace(reply, json=json.dumps(item)), field.sample.images[index].name, "")
        if area is not None:
            yield Box(area.x, area.y, area.width, area.height, item.get("label", ""), page)


def _writing(field: Field, index: int) -> Writing:
    """The request about one image, which is the only one shown with it."""
    alone = replace(field, sample=replace(field.sample, images=(field.sample.images[index],)))
    if field.control.tag == "Rectangle":
        request = f"{alone.introduction}\nList the boxes of everything in the image that is to be marked."
        return boxes_writing(f"{field.id}:{index}", request, ())
    labels = "\n".join(f"- {name_label(label)}" for label in field.choices)
    request = (
        f"{alone.introduction}\nLabels:\n{labels}\nList the boxes of everything in the image that belongs to a label."
    )
    return boxes_writing(f"{field.id}:{index}", request, [label.value for label in field.choices])


def _share(one: Control, other: Control) -> bool:
    return one.objects[0] == other.objects[0]
