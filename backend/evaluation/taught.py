"""Rows that the judge must not be measured on, because it was shown examples made of them or of their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.core.examples import Examples, Lesson, make_lessons
from backend.core.rubric import Comparison, Rubric
from backend.errors import EvaluationError, RowError
from backend.evaluation.judging import BY_IMAGE, image_hash
from backend.evaluation.samples import Labelled, LabelledSample
from backend.example_files import example_images

if TYPE_CHECKING:
    from PIL import Image

AMONG_EXAMPLES = "the judge was shown it, or its image, as an example"


@dataclass(frozen=True, slots=True)
class Taught:
    """What the judge knows from examples."""

    tasks: frozenset[str]
    images: frozenset[str]
    """By hash of their pixels, one at a time."""
    texts: frozenset[tuple[str, ...]]
    """Of examples without an image, which cannot be told apart otherwise."""

    def refuse(self, row: Labelled, images: Sequence[Image.Image]) -> RowError | None:
        """Why a row is left out; None where nothing of it is among the examples."""
        if row.id and row.id in self.tasks:
            return RowError(AMONG_EXAMPLES, f"task {row.id}")
        if any(image_hash([image]) in self.images for image in images):
            return RowError(AMONG_EXAMPLES, "its image")
        if _texts(row) in self.texts:
            return RowError(AMONG_EXAMPLES, "its texts")
        return None


def taught_by(examples: Examples | None) -> Taught:
    """What these examples teach; nothing without any."""
    entries = examples.entries if examples else ()
    return Taught(
        frozenset(str(task) for task in examples.tasks) if examples else frozenset(),
        frozenset(image_hash([image]) for image in example_images(examples)) if examples else frozenset(),
        frozenset(tuple(sorted(text.value for text in entry.texts)) for entry in entries if not entry.images),
    )


def pair_lessons(examples: Examples | None, rubric: Rubric) -> tuple[Lesson, ...]:
    """The lessons for pairs as they are asked about here; nothing without examples of pairs."""
    if examples is None or examples.kind != "preference-pair":
        return ()
    return make_lessons(examples, rubric.model_copy(update={"comparison": Comparison(question=BY_IMAGE)}))


def no_row_taught(examples: Examples, source: str) -> EvaluationError:
    """The error that says that no row is of the kind of the examples."""
    return EvaluationError(
        f"no row of {source} is judged with the examples: they are for projects of the kind {examples.kind}, and the "
        "rows are of another; take examples of their kind"
    )


def _texts(row: Labelled) -> tuple[str, ...]:
    if isinstance(row, LabelledSample):
        return tuple(sorted(text.value for text in row.texts))
    return tuple(sorted(text for text in (row.context, row.first.text, row.second.text) if text))
