"""TextArea and Labels on a text: what is written into the form, and which words of the text are marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from backend.core.flow import Flow, Write, write
from backend.core.form.field import Field, name_label
from backend.core.form.writings import spans_writing
from backend.core.prompts import neutralise
from backend.core.types import FormEntry, TextSpan, Written
from backend.core.writing import text_writing


def write_text(field: Field) -> Flow[tuple[FormEntry, ...]]:
    """The text that the judge writes."""
    request = f"{field.introduction}\nWrite the text that belongs there, and nothing else."
    (reply,) = yield from write(Write(text_writing(field.id, request), field.sample.texts))
    if not isinstance(reply, Written):
        return (field.unfilled(reply.reason),)
    text = reply.value["text"].strip()
    return (field.filled(text, None) if text else field.unfilled("the judge wrote nothing"),)


def mark_words(field: Field) -> Flow[tuple[FormEntry, ...]]:
    """The stretches of the text that the judge finds, each with its label; those not in the text are dropped."""
    field = field.on_first_object
    text, labels = field.text, field.choices
    if text is None:
        return (field.unfilled("the task leaves its text out"),)
    if not labels:
        return (field.no_choices,)
    (reply,) = yield from write(
        Write(
            spans_writing(field.id, _request(field, text.name), [label.value for label in labels]), field.sample.texts
        )
    )
    if not isinstance(reply, Written):
        return (field.unfilled(reply.reason),)
    spans = tuple(locate(text.value, reply.value["items"]))
    return (field.filled(spans, None) if spans else field.unfilled("the judge found nothing to mark in the text"),)


def locate(text: str, items: Sequence[dict[str, Any]]) -> Iterator[TextSpan]:
    """Where the items stand in the text, in its order.

    Each is looked for behind the one before it, then from the start; the same stretch gets a label once.
    """
    found: set[TextSpan] = set()
    behind = 0
    for item in items:
        piece, label = item["text"].strip(), item["label"]
        start = text.find(piece, behind)
        start = text.find(piece) if start < 0 else start
        if piece and start >= 0:
            behind = start + len(piece)
            found.add(TextSpan(start, behind, piece, label))
    yield from sorted(found, key=lambda span: (span.start, span.end, span.label))


def _request(field: Field, name: str) -> str:
    labels = "\n".join(f"- {name_label(label)}" for label in field.choices)
    return (
        f"{field.introduction}\nLabels:\n{labels}\n"
        f"List the words of {neutralise(name)} that belong to a label, copied exactly and in the order of the text."
    )
