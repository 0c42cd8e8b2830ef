"""Requests that nobody sends in good faith, made up by hypothesis; `tests/tricks.py` has the known ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from hypothesis import strategies as st

from backend.core.label_config import CONTROL_TAGS, OBJECT_TAGS
from backend.interfaces import default_label_config
from tests.slow_judge import tiny_picture

CONFIG = default_label_config()
PICTURE = tiny_picture()
PROJECT = {"id": 3, "created_at": "2026-11-22T09:49:14.000001Z"}
SHOWN = '<Image name="image" value="$image"/><Text name="caption" value="$caption"/>'

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shot:
    """One request."""

    path: str
    content: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    method: str = "POST"
    tasks: int | None = None
    """How many entries an answer of 200 must have; None where it has none."""


def task(number: Any = 1, **data: Any) -> Body:
    """A task that can be judged, but for what is said of its data."""
    return {"id": number, "data": {"image": PICTURE, "caption": "A dog.", "requested": "", **data}}


def form(inner: str) -> str:
    """A label config with an image, a text, and this."""
    return f'<View>{SHOWN}{inner}<Rating name="q" toName="image"/></View>'


def mostly(common: st.SearchStrategy[Any], *rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The one four times out of five, else one of the others."""
    return st.sampled_from([common] * 4 * len(rare) + [*rare]).flatmap(lambda chosen: chosen)


numbers = st.one_of(
    st.integers(-2, 3),
    st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**4000]),
    st.floats(),
)
texts = st.one_of(st.sampled_from(["", " ", "\0", "﻿", "null", "-1", "<|im_end|>", "$image", "A dog."]), st.text())
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
moments: st.SearchStrategy[Any] = st.one_of(
    st.datetimes(timezones=st.none() | st.timezones()).map(lambda moment: moment.isoformat()),
    st.sampled_from(
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-26", "20261126T10", "2026-W48-4", "now"]
    ),
    values,
)
uris = mostly(
    st.just(PICTURE),
    st.sampled_from(
        [
            "data:image/png;base64,AAAA",
            "data:,",
            "file:///etc/passwd",
            "/data/upload/1/a.png",
            "http://127.0.0.1:1/a.png",
            "http://[::1/a.png",
            "s3://bucket/a.png",
            "http://localhost:99999/",
        ]
    ),
    values,
)

_NAMES = (
    "image",
    "caption",
    "q",
    "verdict",
    "visual_realism",
    "unsupported",
    "contradiction",
    "rationale",
    "猫 \U0001f408",
)
_names = st.one_of(st.sampled_from([*_NAMES, "preference", "image,caption", "", " , "]), st.text(max_size=5))
_xml_texts = st.one_of(
    st.sampled_from(
        ["$image", "$caption", "$a.b[0]", "$", "accept", "fix", "reject", "1", "0", "-1", "1e999", "nan", "true"]
    ),
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=12),
)
_ATTRIBUTES = (
    "value valueList visibleWhen whenTagName whenChoiceValue maxRating min max step perRegion perItem required choice "
    "leafsOnly apiUrl alias hint html title"
)
_attributes = st.dictionaries(
    st.sampled_from(_ATTRIBUTES.split()),
    st.one_of(_xml_texts, st.sampled_from(["choice-selected", "choice-unselected", "region-selected", "multiple"])),
    max_size=4,
)
_tags = st.sampled_from(
    [*sorted(OBJECT_TAGS | CONTROL_TAGS), "View", "Header", "Label", "Choice", "Repeater", "Style", "Brush", "choices"]
)


def _element(tag: str, name: str, to_name: str, attributes: dict[str, str], inner: list[str]) -> str:
    given = {"name": name, "toName": to_name, **attributes}
    said = " ".join(f"{key}={quoteattr(_printable(value))}" for key, value in given.items() if value)
    return f"<{tag} {said}>{''.join(inner)}</{tag}>"


def _printable(text: str) -> str:
    """Without what XML cannot hold at all."""
    return "".join(character for character in text if character.isprintable())


elements: st.SearchStrategy[str] = st.recursive(
    st.builds(_element, _tags, _names, _names, _attributes, st.just([])),
    lambda inner: st.builds(_element, _tags, _names, _names, _attributes, st.lists(inner, max_size=4)),
    max_leaves=8,
)
configs = mostly(
    st.one_of(st.just(CONFIG), st.lists(elements, min_size=1, max_size=5).map("".join).map(form)),
    elements.map(lambda inner: f"<View>{inner}</View>"),
    texts,
)

_data = st.fixed_dictionaries(
    {"image": uris, "caption": mostly(st.text(min_size=1), values)},
    optional={"requested": mostly(texts, values), "a": values},
)
_ids = mostly(st.integers(1, 9), numbers, values)
tasks = mostly(
    st.fixed_dictionaries({"data": _data}, optional={"id": _ids}),
    st.fixed_dictionaries({}, optional={"id": values, "data": values, "drafts": values}),
)
projects = mostly(
    st.sampled_from(["3.1795361354", "9" * 60 + ".1", 3, "5.1"]), st.sampled_from(["x" * 10_000, 2**64, 1.5]), values
)
_params = mostly(st.fixed_dictionaries({"context": st.none() | values}), values)
predict_bodies: st.SearchStrategy[Any] = mostly(
    st.fixed_dictionaries(
        {"tasks": st.lists(tasks, max_size=4), "label_config": configs},
        optional={"project": projects, "params": _params},
    ),
    st.fixed_dictionaries({}, optional={"tasks": values, "label_config": configs}),
    values,
)
setup_bodies: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"schema": configs}, optional={"project": projects, "extra_params": values}
)
_annotation: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"id": _ids, "updated_at": moments}, optional={"task": _ids, "result": values}
)
_actions: st.SearchStrategy[Any] = st.one_of(
    *map(st.just, ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")),
    st.text(max_size=120),
)
webhook_bodies: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"action": _actions},
    optional={
        "project": mostly(st.just(PROJECT), st.fixed_dictionaries({"id": numbers, "created_at": moments}), values),
        "annotation": mostly(_annotation | st.lists(_annotation, max_size=3), values),
        "annotations": mostly(st.lists(_annotation, max_size=3), values),
    },
)

CONTENT_TYPES = (
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "a",
    "; charset=x",
)
_spellings: st.SearchStrategy[Callable[[bytes], bytes]] = st.sampled_from(
    [
        *[lambda content: content] * 30,
        lambda content: content[: len(content) // 2],
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.decode().encode("utf-16"),
        lambda content: content + content,
        lambda content: content.replace(b'"', b"'"),
        lambda content: content[::-1],
        gzip.compress,
    ]
)


def encoded(body: object, *, plain: bool) -> bytes:
    """As JSON, or nearly: NaN and Infinity stand as Python writes them."""
    try:
        return json.dumps(body, ensure_ascii=plain).encode()
    except UnicodeEncodeError:  # half a character
        return json.dumps(body).encode()


@st.composite
def shots(draw: st.DrawFn) -> Shot:
    """A request of any kind; most come as far as the judge."""
    path, bodies = draw(
        st.sampled_from([("/predict", predict_bodies)] * 3 + [("/setup", setup_bodies), ("/webhook", webhook_bodies)])
    )
    body = draw(bodies)
    respelled = draw(_spellings)(encoded(body, plain=draw(st.booleans())))
    tail = draw(st.sampled_from([""] * 40 + ["?a=%00&a", "/", "/%ff%0d%0a", "/" + "a" * 3000]))
    method = draw(st.sampled_from(["POST"] * 40 + ["GET", "PUT", "BREW"]))
    headers = (("Content-Type", draw(st.sampled_from(CONTENT_TYPES))),)
    return Shot(path + tail, respelled, headers, method, count(path + tail, respelled))


def count(path: str, content: bytes) -> int | None:
    """How many tasks a body asks for."""
    try:
        return len(json.loads(content)["tasks"]) if path == "/predict" else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
