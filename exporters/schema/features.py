"""What a column of the dataset is: its type on the Hub, its meaning, and how a row fills it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from exporters.records.record import Record

if TYPE_CHECKING:
    from datasets import Features

Kind = Literal[
    "image",
    "images",
    "text",
    "texts",
    "stars",
    "count",
    "id",
    "real",
    "flag",
    "spans",
    "boxes",
    "page boxes",
    "paths",
    "probs",
    "messages",
    "criteria",
]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as it goes into the dataset."""

    data: bytes
    name: str
    """File name made of the content's hash; it tells nothing of where the image lay."""
    sha256: str
    """Of `data`, in hex."""
    identity: str
    """SHA-256, in hex, of the bytes as they came, but for where the photograph was taken: it is the same whatever an
    export does to its images, so that splits are."""


Pictures = Mapping[str, tuple[Picture | None, ...]]
"""A record's images by their key in the task's data, one or all of a list; None for one that could not be had."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the dataset."""

    name: str
    kind: Kind
    meaning: str
    """One sentence for the dataset card."""
    read: Callable[[Record, Pictures], Any]
    needs_pictures: bool = False
    """Whether it is read from the images, and not from the record alone."""


def features_of(columns: tuple[Column, ...]) -> Features:
    """The explicit Hugging Face features of the columns."""
    from datasets import Features

    kinds = _kinds()
    return Features({column.name: kinds[column.kind] for column in columns})


def row_of(columns: tuple[Column, ...], record: Record, pictures: Pictures) -> dict[str, Any]:
    """The record as a row of plain values."""
    return {column.name: column.read(record, pictures) for column in columns}


def stored_image(picture: Picture | None) -> dict[str, Any] | None:
    """A picture as the Image feature stores it."""
    return None if picture is None else {"bytes": picture.data, "path": picture.name}


def _kinds() -> dict[Kind, Any]:
    from datasets import Image, List, Value

    text, real = Value("string"), Value("float64")
    box = {"x": real, "y": real, "width": real, "height": real, "label": text}
    probs = List({"value": text, "prob": real})
    return {
        "image": Image(),
        "images": List(Image()),
        "text": text,
        "texts": List(text),
        "stars": Value("int8"),
        "count": Value("int32"),
        "id": Value("int64"),
        "real": real,
        "flag": Value("bool"),
        "spans": List({"start": Value("int32"), "end": Value("int32"), "text": text, "label": text}),
        "boxes": List(box),
        "page boxes": List({**box, "page": Value("int32")}),
        "paths": List(List(text)),
        "probs": probs,
        "messages": List({"role": text, "content": List({"type": text, "text": text})}),
        "criteria": List(
            {
                "criterion": text,
                "question": text,
                "scale": List(text),
                "decides": Value("bool"),
                "human": List(text),
                "judge": List(text),
                "judge_probs": probs,
                "judge_expected": real,
                "judge_label_mass": real,
            }
        ),
    }
