"""docs/reference/rubric.md, from the rubric's model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import BaseModel

from backend.core.rubric import Checks, Comparison, Criterion, Level, Requests, Rubric, Transcribing
from backend.interfaces import rubric_file, rubric_names, rubric_summary
from tests.docs_made.attributes import first_paragraph, meanings, unset_in_words
from tests.docs_made.markdown import code, fenced, listed, said, table, whole_page
from tests.docs_made.schema_words import Schema, default_words, value_words

PARTS: dict[type[BaseModel], tuple[str, str]] = {
    Rubric: ("The file", ""),
    Criterion: ("Criteria", "`criteria`, a list"),
    Level: ("Levels", "`levels` of a criterion, a list"),
    Checks: ("Checks", "`checks`"),
    Requests: ("Requests", "`requests`"),
    Comparison: ("Comparison", "`comparison`"),
    Transcribing: ("Transcription", "`transcription`"),
}
"""Every model, its heading, and where it stands in the file."""

_EXAMPLE = "image-text"
_LONG = 40
"""A default of more characters has no place in a table."""


def rubric_page() -> str:
    """The page."""
    return whole_page(
        "Rubrics",
        "A rubric is a YAML file that says what is asked, on which scale, and what an answer means for the decision. "
        "This page has every key of it. How to write one of your own: [Your own rubric](../how-to/own-rubric.md).",
        "The decision on a sample is the strictest that any criterion calls for, unless a criterion's `weight` gives "
        "it more say, less, or none. A key that is not on this page is an error, which names its line.",
        "This page is made from `backend/core/rubric.py` and the ready rubrics, and a test compares them.",
        "## Ready rubrics",
        "A project takes the one of its kind, which its label config tells. `vlm-judge rubric show NAME` prints one.",
        table(("Name", "For"), ([code(name), said(rubric_summary(name))] for name in rubric_names())),
        *(part for model in PARTS for part in _section(model)),
        "## A whole one",
        f"The ready rubric {code(_EXAMPLE)}, as `vlm-judge rubric show {_EXAMPLE}` prints it:",
        fenced(rubric_file(_EXAMPLE).read_text(encoding="utf-8"), "yaml"),
    )


def _section(model: type[BaseModel]) -> Iterator[str]:
    heading, place = PARTS[model]
    told = said(first_paragraph(unset_in_words(model.__doc__ or "")))
    yield f"## {heading}"
    yield f"In {place}. {told}" if place else told
    yield table(("Key", "Value", "Default", "Meaning"), _rows(model))


def _rows(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    said_of = meanings(model)
    for name, schema in model.model_json_schema()["properties"].items():
        yield code(name), _value(schema), _default(schema), said(first_paragraph(said_of[name]))


def _value(schema: Schema) -> str:
    """A text that must have places to be filled in names them."""
    places = re.findall(r"\\\{\w+\\\}", str(schema.get("pattern") or schema.get("anyOf", [{}])[0].get("pattern")))
    holding = listed([code(place.replace("\\", "")) for place in places], "and")
    return f"text that holds {holding}" if places else value_words(schema, _named)


def _default(schema: Schema) -> str:
    default = schema.get("default")
    return "a ready wording" if isinstance(default, str) and len(default) > _LONG else default_words(schema)


def _named(model: str) -> str:
    """A nested model as a link to its table."""
    heading = next(heading for known, (heading, _) in PARTS.items() if known.__name__ == model)
    return f"[{heading.lower()}](#{heading.lower()})"
