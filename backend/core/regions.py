"""Verdict to Label Studio result and back: one codec per control tag, used by the backend and the exporter alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backend.core.label_config import Control, LabelConfig

Origin = Literal["prediction", "prediction-changed", "manual"]
"""Who made a region, as Label Studio says: the judge's untouched, the judge's edited, a person's."""


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A marked stretch of a text; offsets in code points, the end excluded."""

    start: int
    end: int
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Box:
    """A marked rectangle; all four in percent of the image, from its top left corner."""

    x: float
    y: float
    width: float
    height: float
    label: str


Value = int | str | tuple[str, ...] | tuple[TextSpan, ...] | tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class ControlValue:
    """What one control says: Rating int, Choices tuple of str, TextArea str, Labels and RectangleLabels tuples."""

    control: str
    tag: str
    value: Value
    origin: Origin = "prediction"
    """Of several regions the most human one: `manual` before `prediction-changed` before `prediction`."""


Region = dict[str, Any]
_ORIGINS: tuple[Origin, ...] = ("prediction", "prediction-changed", "manual")


def encode(values: Sequence[ControlValue], config: LabelConfig, meta: Mapping[str, Any] | None = None) -> list[Region]:
    """Label Studio regions for the values; a value without a control of its name and tag is left out.

    `meta` maps control names to what travels with their regions unseen. Region ids follow from the
    content, so that the same values give the same regions.
    """
    regions: list[Region] = []
    for value in values:
        control = config.control(value.control)
        if control is None or control.tag != value.tag:
            continue
        for body in _ENCODERS[value.tag](value.value):
            region: Region = {
                "id": _region_id(value.control, body),
                "from_name": control.name,
                "to_name": control.to_name,
                "type": value.tag.lower(),
                "value": body,
            }
            if meta and value.control in meta:
                region["meta"] = {"judge": meta[value.control]}
            regions.append(region)
    return regions


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


def _region_id(control: str, body: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{control}|{sorted(body.items())}".encode()).hexdigest()[:10]


def _origin(regions: Sequence[Mapping[str, Any]]) -> Origin:
    seen = [region.get("origin", "prediction") for region in regions]
    return next((origin for origin in reversed(_ORIGINS) if origin in seen), "manual")


def _encode_labels(value: Any) -> list[Region]:
    return [{"start": s.start, "end": s.end, "text": s.text, "labels": [s.label]} for s in value]


def _encode_boxes(value: Any) -> list[Region]:
    return [
        {"x": b.x, "y": b.y, "width": b.width, "height": b.height, "rotation": 0, "rectanglelabels": [b.label]}
        for b in value
    ]


def _decode_rating(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    stars = regions[-1]["value"].get("rating")
    return int(stars) if stars else None


def _decode_choices(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    return tuple(dict.fromkeys(choice for region in regions for choice in region["value"].get("choices", ()))) or None


def _decode_text(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    parts = [part for region in regions for part in _as_list(region["value"].get("text", ()))]
    return "\n".join(parts) if any(part.strip() for part in parts) else None


def _as_list(text: Any) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def _decode_labels(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    values = [region["value"] for region in regions]
    spans = [
        TextSpan(int(v["start"]), int(v["end"]), str(v.get("text", "")), label)
        for v in values
        for label in v.get("labels", ())
    ]
    return tuple(sorted(spans, key=lambda span: (span.start, span.end))) or None


def _decode_boxes(regions: Sequence[Mapping[str, Any]]) -> Value | None:
    values = [region["value"] for region in regions]
    return (
        tuple(
            Box(float(v["x"]), float(v["y"]), float(v["width"]), float(v["height"]), label)
            for v in values
            for label in v.get("rectanglelabels", ())
        )
        or None
    )


_ENCODERS: dict[str, Callable[[Any], list[Region]]] = {
    "Rating": lambda value: [{"rating": value}],
    "Choices": lambda value: [{"choices": list(value)}],
    "TextArea": lambda value: [{"text": [value]}] if value else [],
    "Labels": _encode_labels,
    "RectangleLabels": _encode_boxes,
}
_DECODERS: dict[str, Callable[[Sequence[Mapping[str, Any]]], Value | None]] = {
    "Rating": _decode_rating,
    "Choices": _decode_choices,
    "TextArea": _decode_text,
    "Labels": _decode_labels,
    "RectangleLabels": _decode_boxes,
}
