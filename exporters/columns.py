"""The columns of the dataset, derived from the label config: names, types, meanings, and how a row fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from backend.core.deciding import VERDICT
from backend.core.label_config import Control, LabelConfig
from backend.core.sides import says_preference
from backend.core.types import Box, TextSpan, Value
from exporters.consolidate import Record

if TYPE_CHECKING:
    from datasets import Features

Kind = Literal[
    "image", "images", "text", "texts", "stars", "count", "id", "real", "flag", "spans", "boxes", "page boxes", "paths"
]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as it goes into the dataset: the original bytes, unchanged."""

    data: bytes
    name: str
    """File name made of the content's hash; it tells nothing of where the image lay."""
    sha256: str


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


def columns_of(config: LabelConfig) -> tuple[Column, ...]:
    """The columns of a project, in order: images, texts, the outcome, people's and the judge's values, provenance."""
    own = (*_outcome(), *(column for control in config.controls for column in _said(control, config)), *_provenance())
    taken = {column.name for column in own}
    listed = {item.key for item in config.images if item.several}
    inputs = [column for key in _keys(config, "Image") for column in _image(key, taken, several=key in listed)]
    taken |= {column.name for column in inputs}
    inputs += [_input_text(key, taken) for key in _keys(config, "Text")]
    return (*inputs, *own)


def features_of(columns: tuple[Column, ...]) -> Features:
    """The explicit Hugging Face features of the columns."""
    from datasets import Features, Image, List, Value

    number = Value("float64")
    box = {"x": number, "y": number, "width": number, "height": number, "label": Value("string")}
    kinds: dict[Kind, Any] = {
        "image": Image(),
        "images": List(Image()),
        "text": Value("string"),
        "texts": List(Value("string")),
        "stars": Value("int8"),
        "count": Value("int32"),
        "id": Value("int64"),
        "real": Value("float64"),
        "flag": Value("bool"),
        "spans": List(
            {"start": Value("int32"), "end": Value("int32"), "text": Value("string"), "label": Value("string")}
        ),
        "boxes": List(box),
        "page boxes": List({**box, "page": Value("int32")}),
        "paths": List(List(Value("string"))),
    }
    return Features({column.name: kinds[column.kind] for column in columns})


def row_of(columns: tuple[Column, ...], record: Record, pictures: Pictures) -> dict[str, Any]:
    """The record as a row of plain values."""
    return {column.name: column.read(record, pictures) for column in columns}


def _keys(config: LabelConfig, tag: str) -> tuple[str, ...]:
    objects = config.images if tag == "Image" else config.texts
    return tuple(dict.fromkeys(item.key for item in objects if item.key))


def _free(name: str, taken: set[str]) -> str:
    """The name, or with `input_` before it when one of our own columns has it."""
    while name in taken:
        name = f"input_{name}"
    return name


def _image(key: str, taken: set[str], *, several: bool) -> tuple[Column, Column]:
    def images(record: Record, pictures: Pictures) -> Any:
        found = [picture and {"bytes": picture.data, "path": picture.name} for picture in pictures[key]]
        return found if several else found[0]

    def digests(record: Record, pictures: Pictures) -> Any:
        found = [picture and picture.sha256 for picture in pictures[key]]
        return found if several else found[0]

    name = _free(key, taken)
    digest_name, digest = _free(f"{name}_sha256", taken), f"SHA-256 of the bytes of `{name}`, in hex"
    if several:
        return (
            Column(name, "images", f"The task's `{key}` in their order, original bytes.", images),
            Column(digest_name, "texts", f"{digest}, in the same order.", digests),
        )
    return (
        Column(name, "image", f"The task's `{key}`, original bytes.", images),
        Column(digest_name, "text", f"{digest}.", digests),
    )


def _input_text(key: str, taken: set[str]) -> Column:
    return Column(_free(key, taken), "text", f"The task's `{key}`, as it was before the review.", _texts(key))


def _texts(key: str) -> Callable[[Record, Pictures], str | None]:
    return lambda record, pictures: record.texts.get(key)


def _outcome() -> tuple[Column, ...]:
    return (
        Column(
            "final_text",
            "text",
            "The text to use; null when the pair was rejected, when nobody has written the fix, when the judge alone "
            "saw it and gave no verdict, or when the task has no text. Where several texts compete, the preferred one; "
            "null when none is.",
            lambda record, _: record.final_text,
        ),
        Column(
            "final_text_source",
            "text",
            "Whose text it is: `human`, `judge` (its proposal was kept), `original`, or why there is none: "
            "`missing`, `rejected`.",
            lambda record, _: record.final_text_source,
        ),
        Column(
            "decided_by",
            "text",
            "`confirmed` (a person kept the judge's whole answer), `corrected` (a person changed it), `human` (a "
            "person answered without starting from the judge's answer), `judge accepted` (taken without a person, by a "
            "certificate), `judge only` (no person decided).",
            lambda record, _: record.decided_by,
        ),
        Column(
            "saw_prediction",
            "flag",
            "Whether the person could see the judge's answer; null when no person decided.",
            lambda record, _: record.saw_prediction,
        ),
        Column(
            "audit",
            "flag",
            "Whether the task was drawn at random to be labelled without the judge's answer.",
            lambda record, _: record.audit,
        ),
        Column(
            "corrected_controls",
            "texts",
            "What the person changed in the judge's answer; null when they did not start from one.",
            lambda record, _: None if record.corrected_controls is None else list(record.corrected_controls),
        ),
    )


def _provenance() -> tuple[Column, ...]:
    return (
        Column(
            "judge_confidence",
            "real",
            "The judge's probability for its verdict, 0 to 1.",
            lambda record, _: record.judge_confidence,
        ),
        Column(
            "fingerprint",
            "text",
            "Model, rubric and versions that the judge's values come from.",
            lambda record, _: record.fingerprint,
        ),
        Column("annotators", "texts", "Stable pseudonyms of all who annotated.", lambda r, _: list(r.annotators)),
        Column("annotation_count", "count", "How many annotations people gave.", lambda r, _: r.annotation_count),
        Column(
            "verdicts_agree",
            "flag",
            "Whether all annotations give the same verdict; null with fewer than two.",
            lambda record, _: record.verdicts_agree,
        ),
        Column(
            "lead_time_s",
            "real",
            "Seconds that the annotator had the task open.",
            lambda record, _: record.lead_time_s,
        ),
        Column(
            "task_id",
            "id",
            "The task's id in Label Studio; of a dataset that was judged outside it, the row's number from 1.",
            lambda record, _: record.task_id,
        ),
    )


_MEANINGS = {
    "Rating": "stars from 1 to {stars} for `{name}`",
    "Number": "number for `{name}`",
    "Taxonomy": "choices for `{name}`, each a path from the top of its tree",
    "Choices": "choice for `{name}`: {labels}",
    "TextArea": "text in `{name}`",
    "Labels": "words marked in `{name}` ({labels}); offsets in characters, end excluded",
    "RectangleLabels": "boxes drawn in `{name}` ({labels}); in percent of the image from its top left corner",
    "Rectangle": "boxes drawn in `{name}`; in percent of the image from its top left corner",
    "Pairwise": "preference in `{name}`: left or right",
}


def _said(control: Control, config: LabelConfig) -> tuple[Column, Column]:
    kind = _kind(control, config)
    meaning = _MEANINGS[
        "RectangleLabels" if kind in ("boxes", "page boxes") and control.tag == "Labels" else control.tag
    ].format(name=control.name, labels=", ".join(control.labels) or "any", stars=control.max_rating)
    return (
        Column(f"human_{control.name}", kind, f"The person's {meaning}.", _reader(control, kind, "human")),
        Column(f"judge_{control.name}", kind, f"The judge's {meaning}.", _reader(control, kind, "judge")),
    )


_KINDS: dict[str, Kind] = {
    "Rating": "stars",
    "Number": "real",
    "Taxonomy": "paths",
    "TextArea": "text",
    "Labels": "spans",
    "RectangleLabels": "boxes",
    "Rectangle": "boxes",
    "Pairwise": "text",
}


def _kind(control: Control, config: LabelConfig) -> Kind:
    if control.tag == "Choices":
        return "text" if control.name == VERDICT or says_preference(control, config) else "texts"
    on = config.object(control.objects[0])
    if on is None or on.tag != "Image" or control.tag not in ("Labels", "RectangleLabels", "Rectangle"):
        return _KINDS[control.tag]
    return "page boxes" if on.several else "boxes"


def _reader(control: Control, kind: Kind, side: Literal["human", "judge"]) -> Callable[[Record, Pictures], Any]:
    def read(record: Record, pictures: Pictures) -> Any:
        values = record.human if side == "human" else record.judge
        if values is None:
            return None
        value = values.get(control.name)
        if value is None:
            return [] if kind in ("spans", "boxes", "page boxes", "texts", "paths") else None
        return _plain(value, kind)

    return read


def _plain(value: Value, kind: Kind) -> Any:
    if not isinstance(value, tuple):
        return value
    items = [_plain_item(item, kind) for item in value]
    return items[0] if kind == "text" else items


def _plain_item(item: str | tuple[str, ...] | TextSpan | Box, kind: Kind) -> Any:
    if isinstance(item, TextSpan | Box):
        return {name: value for name, value in asdict(item).items() if name != "page" or kind == "page boxes"}
    return list(item) if isinstance(item, tuple) else item
