"""Which columns mean what: the product's own datasets, plain tables, and three published benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.core.sample import role_of
from backend.core.sides import PREFERENCE_CONTROL
from backend.core.types import TextField
from backend.errors import EvaluationError, RowError
from backend.evaluation.benchmarks import read_mmrb2, read_polaris, read_vl_rewardbench
from backend.evaluation.fields import (
    find,
    good_of,
    is_missing,
    number_of,
    pictures_of,
    preferred_of,
    rating_of,
    text_of,
)
from backend.evaluation.samples import (
    LABELLED_BLIND,
    OVERALL_RATING,
    Labelled,
    LabelledPair,
    LabelledSample,
    Picture,
)
from backend.evaluation.samples import Candidate as Side
from backend.evaluation.tables import Row, Table

IMAGE = ("image", "images", "img", "picture", "image_path", "image_url", "file_name", "url")
TEXT = ("caption", "text", "answer", "response", "candidate", "transcription")
VERDICT = ("verdict", "human_verdict", "label", "good", "is_good", "correct", "is_correct")
RATING = ("rating", "human_rating", "score", "human_score", "stars")
CONTEXT = ("question", "query", "prompt", "instruction")
REQUESTED = ("requested", "requested_features", "features")
KIND = ("kind", "task_kind", "task", "category")
NAME = ("id", "task_id", "pair_id", "name")
SIDES = (
    ("text_a", "text_b"),
    ("caption_a", "caption_b"),
    ("response_a", "response_b"),
    ("answer_a", "answer_b"),
    ("first", "second"),
    ("chosen", "rejected"),
)
PREFERRED = ("preferred", "preference", "winner", "better", "label")
HUMAN = "human_"
EXPORTED_PREFERENCE = f"{HUMAN}{PREFERENCE_CONTROL}"
EXPORTED = frozenset({"final_text", "final_text_source", "decided_by", "fingerprint"})

Reader = Callable[[Row, str, Path | None], Labelled]
"""From a row, its number as text and the folder of its images to a labelled sample or pair. Raises RowError."""


@dataclass(frozen=True, slots=True)
class Format:
    """A way of writing labelled data down."""

    name: str
    columns: str
    """The columns it is known by, for people."""
    fits: Callable[[frozenset[str]], bool]
    reader: Reader


def _was_blind(row: Row) -> bool:
    """Whether people could not see the judge's answer, on a task that was drawn for that.

    Datasets from before the blind slice say only who began from the judge's answer.
    """
    if "audit" not in row:
        return row.get("decided_by") == "human"
    return bool(row["audit"]) and row.get("saw_prediction") is False


def read_export(row: Row, number: str, folder: Path | None) -> Labelled:
    """A row of `vlm-judge export`: the task's own columns stand before `final_text`, people's begin with `human_`.

    A person who began from the judge's answer is anchored by it; such rows are grouped apart from blind ones.
    """
    inputs = list(row)[: list(row).index("final_text")]
    images = [name for name in inputs if f"{name}_sha256" in inputs]
    texts = [name for name in inputs if name not in images and name.removesuffix("_sha256") not in images]
    name = str(row.get("task_id") or number)
    kind = LABELLED_BLIND if _was_blind(row) else "labelled with the judge's answer in view"
    pictures = tuple(picture for image in images for picture in pictures_of(row[image], folder))
    if EXPORTED_PREFERENCE in row and any(set(sides) <= set(texts) for sides in SIDES):
        return _pair(row, (EXPORTED_PREFERENCE,), name, kind, pictures)
    verdict, ratings = row.get("human_verdict"), _criterion_ratings(row)
    if is_missing(verdict) and not ratings:
        raise RowError("no human label")
    return LabelledSample(
        name=name,
        kind=kind,
        pictures=pictures,
        texts=_exported_texts(row, texts),
        good=None if is_missing(verdict) else good_of("human_verdict", verdict),
        ratings=ratings,
        id=_id(row),
    )


def _exported_texts(row: Row, names: list[str]) -> tuple[TextField, ...]:
    """The texts that have a role by their name; of those that could be judged the first, as when it was reviewed."""
    fields = [TextField(name, row[name], role_of(name)) for name in names if not is_missing(row[name])]
    judged = next((field for field in fields if field.role == "candidate"), None)
    if judged is None:
        raise RowError("no text to judge")
    return tuple(field for field in fields if field is judged or field.role != "candidate")


def read_sample(row: Row, number: str, folder: Path | None) -> LabelledSample:
    """A row of a plain table: an image, a text, and a verdict, a rating or both."""
    verdict, rating, text = find(row, VERDICT), find(row, RATING), find(row, TEXT)
    ratings = _criterion_ratings(row)
    if rating:
        ratings[OVERALL_RATING] = rating_of(*rating)
    if verdict is None and not ratings:
        raise RowError("no human label")
    if text is None:
        raise RowError("no text to judge", f"it is looked for in {', '.join(TEXT)}")
    name = "caption" if text[0] in ("text", "response", "candidate") else text[0]
    fields = [TextField(name, text_of(row, text[0]))]
    for names, key in ((CONTEXT, "question"), (REQUESTED, "requested")):
        found = find(row, names)
        if found:
            value = ", ".join(map(str, found[1])) if isinstance(found[1], list) else text_of(row, found[0])
            fields.append(TextField(key, value, role_of(key)))
    return LabelledSample(
        name=_name(row, number),
        kind=_kind(row),
        pictures=_pictures(row, folder),
        texts=tuple(fields),
        good=good_of(*verdict) if verdict else None,
        ratings=ratings,
        id=_id(row),
    )


def read_pair(row: Row, number: str, folder: Path | None) -> LabelledPair:
    """A row of a plain table with two texts for one image and which of them people prefer."""
    return _pair(row, PREFERRED, _name(row, number), _kind(row), _pictures(row, folder))


def _pair(row: Row, labels: tuple[str, ...], name: str, kind: str, pictures: tuple[Picture, ...]) -> LabelledPair:
    """The row's two texts, and which of them is preferred by the first of these labels that is there."""
    first, second = _sides(frozenset(row))
    if first == "chosen":
        preferred = 1.0
    else:
        label = find(row, labels)
        if label is None:
            raise RowError("no human label")
        preferred = preferred_of(*label)
    context = find(row, CONTEXT)
    return LabelledPair(
        name=name,
        kind=kind,
        pictures=pictures,
        context=text_of(row, context[0]) if context else "",
        first=Side(text_of(row, first)),
        second=Side(text_of(row, second)),
        preferred=preferred,
        id=_id(row),
    )


def _is_plain(columns: frozenset[str]) -> bool:
    labels = {*VERDICT, *RATING}
    rated = any(name.startswith(HUMAN) for name in columns)
    return bool(columns & set(IMAGE) and columns & set(TEXT) and (columns & labels or rated))


def _is_pair(columns: frozenset[str]) -> bool:
    sides = next((pair for pair in SIDES if set(pair) <= columns), None)
    return sides is not None and bool(sides[0] == "chosen" or columns & set(PREFERRED))


FORMATS = (
    Format("export", ", ".join(sorted(EXPORTED)), lambda columns: columns >= EXPORTED, read_export),
    Format(
        "vl-rewardbench",
        "image, query, response, human_ranking",
        lambda columns: columns >= {"image", "query", "response", "human_ranking"},
        read_vl_rewardbench,
    ),
    Format(
        "mmrb2",
        "response_a_text, response_b_text, chosen (or prompt_content, response_a, response_b, chosen)",
        lambda columns: (
            columns >= {"response_a_text", "response_b_text", "chosen"}
            or columns >= {"prompt_content", "response_a", "response_b", "chosen"}
        ),
        read_mmrb2,
    ),
    Format(
        "polaris", "img, cand, human_score", lambda columns: columns >= {"img", "cand", "human_score"}, read_polaris
    ),
    Format("pairs", "image, text_a, text_b, preferred (or image, chosen, rejected)", _is_pair, read_pair),
    Format("samples", "image, caption, and verdict or rating", _is_plain, read_sample),
)
"""From the most to the least particular; the first that fits is taken."""


def choose_format(table: Table, name: str | None) -> Format:
    """The format of that name, or the one that the columns tell. Raises EvaluationError naming what is missing."""
    known = "; ".join(f"{item.name}: {item.columns}" for item in FORMATS)
    has = ", ".join(sorted(table.columns)) or "none"
    if name is not None:
        chosen = next(item for item in FORMATS if item.name == name)
        if not chosen.fits(table.columns):
            raise EvaluationError(f"{table.name} is not in the format {name}: it has the columns {has}; {known}")
        return chosen
    found = next((item for item in FORMATS if item.fits(table.columns)), None)
    if found is None:
        raise EvaluationError(f"{table.name} has no columns that are known as labelled data: it has {has}; {known}")
    return found


def _criterion_ratings(row: Row) -> dict[str, float]:
    """People's ratings of single criteria: numbers in columns that begin with `human_`, on any scale."""
    return {
        name.removeprefix(HUMAN): number
        for name, value in row.items()
        if name.startswith(HUMAN) and name not in (*VERDICT, *RATING) and (number := number_of(value)) is not None
    }


def _sides(columns: frozenset[str]) -> tuple[str, str]:
    return next(pair for pair in SIDES if set(pair) <= columns)


def _pictures(row: Row, folder: Path | None) -> tuple[Picture, ...]:
    found = find(row, IMAGE)
    if found is None:
        raise RowError("no image", f"it is looked for in {', '.join(IMAGE)}")
    return pictures_of(found[1], folder)


def _name(row: Row, number: str) -> str:
    return _id(row) or number


def _id(row: Row) -> str:
    found = find(row, ("task_id", *NAME))
    return str(found[1]) if found else ""


def _kind(row: Row) -> str:
    found = find(row, KIND)
    return str(found[1]) if found else ""
