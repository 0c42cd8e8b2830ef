"""Verdict to Label Studio result and back: one codec per control tag, used by the backend and the exporter alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.core.label_config import Control, LabelConfig
from backend.core.types import Box, ControlValue, Origin, TextSpan, Value

Region = dict[str, Any]
_SILENT = "judge_silent"
"""Key beside `judge` in the unseen part of a region: what travels with it of controls that say nothing."""
_ORIGINS: tuple[Origin, ...] = ("prediction", "prediction-changed", "manual")


@dataclass(frozen=True, slots=True)
class _Part:
    """One region's own value."""

    body: Region
    page: int | None = None
    shape: str | None = None
    """What its id follows from where regions of two controls on an object are one thing."""


def encode(values: Sequence[ControlValue], config: LabelConfig, meta: Mapping[str, Any] | None = None) -> list[Region]:
    """Label Studio regions for the values; a value without a control of its name and tag is left out.

    `meta` maps control names to what travels with their regions unseen; of a control that has no region it travels with
    the first of the others, and is lost where there is none. Region ids follow from the content, so that the same
    values give the same regions.
    """
    regions: list[Region] = []
    silent = dict(meta or {})
    for value in values:
        control = config.control(value.control)
        if control is None or control.tag != value.tag:
            continue
        for part in _ENCODERS[value.tag](value.value):
            region: Region = {
                "id": _region_id(part, control),
                "from_name": control.name,
                "to_name": control.objects[0],
                "type": value.tag.lower(),
                "value": part.body,
            }
            if part.page is not None:
                region["item_index"] = part.page
            if meta and value.control in meta:
                region["meta"] = {"judge": meta[value.control]}
                silent.pop(value.control, None)
            regions.append(region)
    if silent and regions:
        regions[0]["meta"] = {**regions[0].get("meta", {}), _SILENT: silent}
    return regions


def details(result: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """What travels unseen in a result, by control, as `encode` was given it; what has another form is passed over."""
    found: dict[str, Mapping[str, Any]] = {}
    for region in result:
        meta = region.get("meta")
        if not isinstance(meta, Mapping):
            continue
        silent = meta.get(_SILENT)
        told = {**(silent if isinstance(silent, Mapping) else {}), str(region.get("from_name")): meta.get("judge")}
        found |= {str(name): each for name, each in told.items() if isinstance(each, Mapping)}
    return found


def decode(result: Sequence[Mapping[str, Any]], config: LabelConfig) -> dict[str, ControlValue]:
    """What each control of the config says in an annotation's or prediction's result; silent controls are absent."""
    by_control: dict[str, list[Mapping[str, Any]]] = {}
    for region in result:
        by_control.setdefault(str(region.get("from_name")), []).append(region)
    decoded: dict[str, ControlValue] = {}
    for control in config.controls:
        regions = by_control.get(control.name, [])
        value = _DECODERS[control.tag](regions) if regions else None
        if value is not None:
            decoded[control.name] = ControlValue(control.name, control.tag, value, _origin(regions))
    return decoded


def rating(control: Control, level: float, levels: int) -> ControlValue:
    """A rating scaled from 1..levels to the control's stars and rounded to a whole star, at least 1."""
    stars = 1 + (level - 1) * (control.max_rating - 1) / (levels - 1)
    return ControlValue(control.name, "Rating", max(1, min(control.max_rating, int(stars + 0.5))))


def _region_id(part: _Part, control: Control) -> str:
    if part.shape is not None:
        content = f"{control.objects[0]}|{part.shape}|{part.page}"
    else:
        page = "" if part.page is None else f"|{part.page}"
        content = f"{control.name}|{sorted(part.body.items())}{page}"
    return hashlib.sha256(content.encode()).hexdigest()[:10]


def _origin(regions: Sequence[Mapping[str, Any]]) -> Origin:
    seen = [region.get("origin", "prediction") for region in regions]
    return next((origin for origin in reversed(_ORIGINS) if origin in seen), "manual")


def _encode_labels(value: Any) -> list[_Part]:
    """Spans of a text; or boxes, whose labels Label Studio keeps beside the rectangle of the same id."""
    return [_labelled(item) if isinstance(item, Box) else _Part(_span(item)) for item in value]


def _span(span: TextSpan) -> Region:
    return {"start": span.start, "end": span.end, "text": span.text, "labels": [span.label]}


def _labelled(box: Box) -> _Part:
    return _Part(_rectangle(box) | {"labels": [box.label]}, box.page, str(_rectangle(box)))


def _encode_rectangles(value: Any) -> list[_Part]:
    return [_Part(_rectangle(box), box.page, str(_rectangle(box))) for box in value]


def _encode_boxes(value: Any) -> list[_Part]:
    return [_Part(_rectangle(box) | {"rectanglelabels": [box.label]}, box.page) for box in value]


def _rectangle(box: Box) -> Region:
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "rotation": 0}


def _decode_rating(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    stars = regions[-1]["value"].get("rating")
    return int(stars) if stars else None


def _decode_number(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    number = regions[-1]["value"].get("number")
    return number if isinstance(number, int | float) else None


def _decode_choices(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    chosen = [choice for region in regions for choice in region["value"].get("choices", ())]
    return tuple(dict.fromkeys(choice if isinstance(choice, str) else " / ".join(choice) for choice in chosen)) or None


def _decode_taxonomy(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    paths = [tuple(path) for region in regions for path in region["value"].get("taxonomy", ())]
    return tuple(dict.fromkeys(paths)) or None


def _decode_pairwise(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    side = regions[-1]["value"].get("selected")
    return side if side in ("left", "right") else None


def _decode_text(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    parts = [part for region in regions for part in _as_list(region["value"].get("text", ()))]
    return "\n".join(parts) if any(part.strip() for part in parts) else None


def _as_list(text: Any) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def _decode_labels(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    if any("width" in region["value"] for region in regions):
        return _decode_boxes(regions)
    spans = [
        TextSpan(*offsets, str(region["value"].get("text", "")), label)
        for region in regions
        if (offsets := _offsets(region["value"])) is not None
        for label in region["value"].get("labels", ())
    ]
    return tuple(sorted(spans, key=lambda span: (span.start, span.end))) or None


def _offsets(value: Mapping[str, Any]) -> tuple[int, int] | None:
    """Where a span starts and ends in its text; None where that is not counted in characters."""
    offsets = value.get("globalOffsets") or value
    start, end = offsets.get("start"), offsets.get("end")
    return (start, end) if isinstance(start, int) and isinstance(end, int) else None


def _decode_boxes(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    boxes = [
        Box(*_extent(value), label, region.get("item_index"))
        for region in regions
        if "width" in (value := region["value"])
        for label in value.get("rectanglelabels") or value.get("labels") or ("",)
    ]
    return tuple(boxes) or None


def _extent(value: Mapping[str, Any]) -> tuple[float, float, float, float]:
    return float(value["x"]), float(value["y"]), float(value["width"]), float(value["height"])


_ENCODERS: dict[str, Callable[[Any], list[_Part]]] = {
    "Rating": lambda value: [_Part({"rating": value})],
    "Number": lambda value: [_Part({"number": value})],
    "Choices": lambda value: [_Part({"choices": list(value)})],
    "Taxonomy": lambda value: [_Part({"taxonomy": [list(path) for path in value]})],
    "TextArea": lambda value: [_Part({"text": [value]})] if value else [],
    "Labels": _encode_labels,
    "RectangleLabels": _encode_boxes,
    "Rectangle": _encode_rectangles,
    "Pairwise": lambda value: [_Part({"selected": value})],
}
_DECODERS: dict[str, Callable[[Sequence[Mapping[str, Any]]], Value | None]] = {
    "Rating": _decode_rating,
    "Number": _decode_number,
    "Choices": _decode_choices,
    "Taxonomy": _decode_taxonomy,
    "TextArea": _decode_text,
    "Labels": _decode_labels,
    "RectangleLabels": _decode_boxes,
    "Rectangle": _decode_boxes,
    "Pairwise": _decode_pairwise,
}
