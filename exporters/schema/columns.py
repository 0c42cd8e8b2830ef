"""The columns of the dataset, derived from the label config: names, types, meanings, and how a row fills them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from typing import Any, Literal

from backend.core.deciding import VERDICT, deciding_control
from backend.core.label_config import Control, LabelConfig
from backend.core.sides import compares, says_preference
from backend.core.types import Box, TextSpan, Value
from exporters.records.record import JudgeDetail, Record
from exporters.schema.features import Column, Kind, Picture, Pictures, features_of, row_of, stored_image

__all__ = [
    "Column",
    "Kind",
    "Picture",
    "Pictures",
    "columns_of",
    "features_of",
    "input_columns",
    "probs_of",
    "provenance_columns",
    "row_of",
]


def columns_of(config: LabelConfig) -> tuple[Column, ...]:
    """The columns of a project, in order: images, texts, the outcome, people's and the judge's values, provenance."""
    fixed = (*_outcome(), *(_pair() if compares(config) else ()), *provenance_columns())
    taken = {column.name for column in fixed}
    said = []
    for column in (column for control in config.controls for column in _said(control, config)):
        name = column.name
        while name in taken:
            name = f"{name}_"
        taken.add(name)
        said.append(replace(column, name=name))
    before = len(fixed) - len(provenance_columns())
    return (*input_columns(config, taken), *fixed[:before], *said, *fixed[before:])


def input_columns(config: LabelConfig, taken: Collection[str]) -> tuple[Column, ...]:
    """What was judged: the images and then the texts, under names that are not taken."""
    used = set(taken)
    listed = {item.key for item in config.images if item.several}
    inputs = [column for key in _keys(config, "Image") for column in _image(key, used, several=key in listed)]
    used |= {column.name for column in inputs}
    return (*inputs, *(_input_text(key, used) for key in _keys(config, "Text")))


def _keys(config: LabelConfig, tag: str) -> tuple[str, ...]:
    objects = config.images if tag == "Image" else config.texts
    return tuple(dict.fromkeys(item.key for item in objects if item.key))


def _free(name: str, taken: Collection[str]) -> str:
    """The name, or with `input_` before it when one of our own columns has it."""
    while name in taken:
        name = f"input_{name}"
    return name


def _image(key: str, taken: Collection[str], *, several: bool) -> tuple[Column, Column]:
    def images(record: Record, pictures: Pictures) -> Any:
        found = [stored_image(picture) for picture in pictures[key]]
        return found if several else found[0]

    def digests(record: Record, pictures: Pictures) -> Any:
        found = [picture and picture.sha256 for picture in pictures[key]]
        return found if several else found[0]

    name = _free(key, taken)
    digest_name, digest = _free(f"{name}_sha256", taken), f"SHA-256 of the bytes of `{name}`, in hex"
    if several:
        return (
            Column(name, "images", f"The task's `{key}` in their order.", images, needs_pictures=True),
            Column(digest_name, "texts", f"{digest}, in the same order.", digests, needs_pictures=True),
        )
    return (
        Column(name, "image", f"The task's `{key}`.", images, needs_pictures=True),
        Column(digest_name, "text", f"{digest}.", digests, needs_pictures=True),
    )


def _input_text(key: str, taken: Collection[str]) -> Column:
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
            "Whether the person could see the judge's answer; null when no person decided, or that is not known.",
            lambda record, _: record.saw_prediction,
        ),
        Column(
            "audit",
            "flag",
            "Whether the task was drawn at random to be labelled without the judge's answer; null when that is not "
            "known.",
            lambda record, _: record.audit,
        ),
        Column(
            "corrected_controls",
            "texts",
            "What the person changed in the judge's answer; null when they did not start from one.",
            lambda record, _: None if record.corrected_controls is None else list(record.corrected_controls),
        ),
    )


def _pair() -> tuple[Column, ...]:
    return (
        Column(
            "rejected",
            "texts",
            "The texts that the preferred one, which is `final_text`, was preferred to; empty when none was.",
            lambda record, _: list(record.rejected),
        ),
        Column(
            "tie",
            "flag",
            "Whether it was said that none of the texts is to be preferred; null when nobody said anything.",
            lambda record, _: record.tie,
        ),
    )


def provenance_columns() -> tuple[Column, ...]:
    """Who and what a row comes from, whatever else it holds."""
    return (*_of_the_judge(), *_of_people(), *_of_the_task())


def _of_the_judge() -> tuple[Column, ...]:
    return (
        Column(
            "judge_confidence",
            "real",
            "The judge's probability for its verdict, 0 to 1.",
            lambda record, _: record.judge_confidence,
        ),
        Column(
            "judge_flags",
            "texts",
            "What to know before trusting the verdict: `instructions` (something in it speaks to the judge), "
            "`image-independent` (the same without the image), `own-family` (the text is by a model of the judge's "
            "family); null when nothing is known beside the verdict.",
            lambda record, _: _of_decision(record, lambda detail: list(detail.flags)),
        ),
        Column(
            "judge_reliance",
            "real",
            "How much the image matters to the verdict, 0 to 1: total variation distance to that without it; null "
            "where it was not measured.",
            lambda record, _: _of_decision(record, lambda detail: detail.reliance),
        ),
        Column(
            "judge_features",
            "probs",
            "The judge's probability, 0 to 1, of every requested feature to be in the image; null where none was "
            "requested, or the judge was not asked.",
            lambda record, _: _of_decision(record, _features),
        ),
        Column(
            "fingerprint",
            "text",
            "Model, rubric and versions that the judge's values come from.",
            lambda record, _: record.fingerprint,
        ),
    )


def _of_people() -> tuple[Column, ...]:
    return (
        Column(
            "annotator",
            "text",
            "Stable pseudonym of who decided; null when no person did.",
            lambda record, _: record.annotator,
        ),
        Column("annotators", "texts", "Stable pseudonyms of all who annotated.", lambda r, _: list(r.annotators)),
        Column(
            "annotation_id",
            "id",
            "The id in Label Studio of the annotation that is the row; null when no person decided.",
            lambda record, _: record.annotation_id,
        ),
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
    )


def _of_the_task() -> tuple[Column, ...]:
    return (
        Column(
            "generator",
            "text",
            "The model that wrote the text, as the task's data say; null where they do not.",
            lambda record, _: record.provenance.generator,
        ),
        Column(
            "source",
            "text",
            "Where the image was taken from, as the task's data say; null where they do not.",
            lambda record, _: record.provenance.source,
        ),
        Column(
            "licence",
            "text",
            "The image's licence, as the task's data say; null where they do not.",
            lambda record, _: record.provenance.licence,
        ),
        Column(
            "task_id",
            "id",
            "The task's id in Label Studio; of a dataset that was judged outside it, the row's number from 1.",
            lambda record, _: record.task_id,
        ),
    )


def _of_decision(record: Record, part: Callable[[JudgeDetail], Any]) -> Any:
    detail = record.details.get(record.deciding)
    return None if detail is None else part(detail)


def _features(detail: JudgeDetail) -> list[dict[str, Any]] | None:
    return [{"value": text, "prob": prob} for text, prob in detail.features] or None


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


def _said(control: Control, config: LabelConfig) -> tuple[Column, ...]:
    kind = _kind(control, config)
    meaning = _MEANINGS[
        "RectangleLabels" if kind in ("boxes", "page boxes") and control.tag == "Labels" else control.tag
    ].format(name=control.name, labels=", ".join(control.labels) or "any", stars=control.max_rating)
    return (
        Column(f"human_{control.name}", kind, f"The person's {meaning}.", _reader(control, kind, "human")),
        Column(f"judge_{control.name}", kind, f"The judge's {meaning}.", _reader(control, kind, "judge")),
        *((_probs(control),) if control.tag == "Rating" or control.name == deciding_control(config) else ()),
    )


def _probs(control: Control) -> Column:
    meaning = (
        f"The judge's probability of every answer to `{control.name}`, over the rubric's levels, decisions or texts; "
        "null where it gave none."
    )
    return Column(f"judge_{control.name}_probs", "probs", meaning, lambda record, _: probs_of(record, control.name))


def probs_of(record: Record, control: str) -> list[dict[str, Any]] | None:
    """The judge's probabilities in a control; None where it gave none."""
    detail = record.details.get(control)
    return [{"value": value, "prob": prob} for value, prob in detail.probs] if detail and detail.probs else None


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
