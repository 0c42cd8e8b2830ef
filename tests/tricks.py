"""The known tricks: requests that broke some server or other, ours included."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

from tests.hostile import CONFIG, CONTENT_TYPES, PICTURE, PROJECT, Body, Shot, count, encoded, form, task


def known_tricks() -> Iterator[tuple[str, Shot]]:
    """A name and a request for each."""
    config = json.dumps(CONFIG)
    for name, inner in _predict_texts():
        yield f"predict: {name}", _predict_shot(f'{{"label_config": {config}, {inner}}}')
    for name, xml in _label_configs():
        yield f"setup: {name}", Shot("/setup", encoded({"schema": xml, "project": "3.1"}, plain=False))
        yield f"predict: {name}", _predict_shot(json.dumps({"label_config": xml, "tasks": [task()]}))
    for name, given in _tasks():
        body = {"label_config": CONFIG, "project": "3.1795361354", "tasks": [task(7), given, task(8)]}
        yield f"task: {name}", _predict_shot(json.dumps(body))
    for name, told in _webhooks():
        yield f"webhook: {name}", Shot("/webhook", json.dumps({"project": PROJECT, **told}).encode())
    good = json.dumps({"label_config": CONFIG, "tasks": [task()]}).encode()
    for kind in (*CONTENT_TYPES, "application/json; charset=utf-16", "application/xml", "image/png", "\xff"):
        yield f"content type {kind}", Shot("/predict", good, (("Content-Type", kind),), tasks=1)
    for coding in ("gzip", "br", "identity", "x" * 5000):
        packed = gzip.compress(good) if coding == "gzip" else good
        yield f"coding {coding[:9]}", Shot("/predict", packed, (("Content-Encoding", coding),), tasks=1)
    for path in ("/predict//", "/webhook/%ff", "/webhook/..%2f..%2f", "/%00", "/nowhere", "/" + "a" * 4000):
        yield f"path {path[:20]}", Shot(path, good)
    for path in ("/status", "/metrics", "/health"):  # after all that was told of
        yield f"page {path}", Shot(path, method="GET")
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD", "PATCH", "BREW"):
        yield f"method {method}", Shot("/predict", good, method=method)


def _predict_shot(text: str) -> Shot:
    content = text.encode()
    return Shot("/predict", content, tasks=count("/predict", content))


def _predict_texts() -> Iterator[tuple[str, str]]:
    """Members of a prediction request's body, as they stand."""
    data = f'"image": "{PICTURE}", "caption": "A dog."'
    yield "100,000 levels", f'"tasks": [{"[" * 100_000}{"]" * 100_000}]'
    yield "100,000 levels unclosed", f'"tasks": {"[" * 100_000}'
    yield "180 levels", f'"tasks": [{{"data": {{{data}, "a": {"[" * 180}{"]" * 180}}}}}]'
    yield "objects in objects", f'"tasks": [{{"a":{"{" + chr(34) + "a" + chr(34) + ":"}' * 50_000
    yield "a number of 5,000 digits", f'"tasks": [{{"id": {"1" * 5000}, "data": {{{data}}}}}]'
    yield "a number of 4,000 digits", f'"tasks": [{{"id": {"1" * 4000}, "data": {{{data}, "a": {"1" * 4000}}}}}]'
    yield "1e999", f'"tasks": [{{"id": 1e999, "data": {{{data}, "a": -1e999}}}}]'
    yield "NaN", f'"tasks": [{{"id": NaN, "data": {{{data}, "a": [Infinity, -Infinity, NaN]}}}}]'
    yield "the same key twice", f'"tasks": 3, "tasks": [{{"data": 3, "data": {{{data}}}}}]'
    half = "\\ud800"
    yield "half a character", f'"tasks": [{{"data": {{{data}, "b": "{half}"}}}}]'
    yield "half a character as a key", f'"tasks": [{{"data": {{{data}, "{half}": 1}}}}]'
    yield (
        "half a character as an id",
        f'"tasks": [{{"id": "{half}", "data": {{}}}}, {{"id": "{half}", "data": {{{data}}}}}]',
    )
    yield "half a character as a project", f'"project": "{half}", "tasks": [{{"data": {{{data}}}}}]'
    yield (
        "half a character and 900 levels",
        f'"tasks": [{{"data": {{{data}, "a": "{half}", "b": {"[" * 900}{"]" * 900}}}}}]',
    )
    yield (
        "half a character and 190 levels",
        f'"tasks": [{{"data": {{{data}, "a": "{half}", "b": {"[" * 190}{"]" * 190}}}}}]',
    )
    yield (
        "half a character and a number of 4,400 digits",
        f'"tasks": [{{"id": {"1" * 4400}, "data": {{"a": "{half}"}}}}]',
    )
    yield "a comment", f'"tasks": [] /* {data} */'
    yield "a comma too many", '"tasks": [],'
    yield "2,000 tasks that are nothing", f'"tasks": [{",".join(["{}"] * 2_000)}]'
    yield "a project of 5,000 digits", f'"tasks": [], "project": {"1" * 5000}'


def _label_configs() -> Iterator[tuple[str, str]]:
    entities = "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 12))
    yield "billion laughs", f'<!DOCTYPE v [<!ENTITY a0 "ha">{entities}]><View>&a11;</View>'
    yield "an outer entity", '<!DOCTYPE v [<!ENTITY x SYSTEM "file:///etc/passwd">]><View>&x;</View>'
    yield "an outer document type", '<!DOCTYPE v SYSTEM "http://127.0.0.1:1/x.dtd"><View/>'
    yield "an unknown entity", "<View>&nothing;</View>"
    yield "half a character", "<View>&#xD800;</View>"
    yield "another encoding", f'<?xml version="1.0" encoding="utf-16"?>{form("")}'
    yield "5 MB of text", form("x" * 5_000_000)
    yield "5 MB in an attribute", form(f'<Header value="{"x " * 2_500_000}"/>')
    yield "90 levels", form("<View>" * 90 + "</View>" * 90)
    yield "200,000 levels", "<a>" * 200_000 + "</a>" * 200_000
    yield "200,000 levels unclosed", "<a>" * 200_000
    yield "20,000 choices", form(f'<Choices name="c" toName="image">{_numbered("Choice", "value", 20_000)}</Choices>')
    yield "20,000 controls", form("".join(f'<Rating name="c{number}" toName="image"/>' for number in range(20_000)))
    yield (
        "a hint of opened tags",
        form(f'<Choices name="c" toName="image"><Choice value="a" html="{"&lt;" * 200_000}"/></Choices>'),
    )
    yield "20,000 headings", form('<Header value="x"/>' * 20_000)
    yield (
        "100,000 conditions",
        form(
            '<Choices name="c" toName="image"><Choice value="a"/></Choices><Rating name="r" toName="image" '
            f'visibleWhen="choice-selected" whenTagName="c" whenChoiceValue="{"a," * 100_000}"/>'
        ),
    )
    when = 'visibleWhen="choice-selected" whenTagName="c"'
    yield "a condition on itself", form(f'<Choices name="c" toName="image" {when}><Choice value="a"/></Choices>')
    yield "names in other scripts", form('<Rating name="قطة 猫 \U0001f408 e\u0301" toName="image"/>')
    yield "no names", form('<Rating name=" " toName=" , ,"/><Choices name="verdict" toName="nothing"/>')
    yield (
        "limits of numbers",
        form(
            "".join(
                f'<Number name="n{index}" toName="image" min="{low}" max="{high}" step="{step}"/>'
                for index, (low, high, step) in enumerate(
                    [("-1e308", "1e308", "1"), ("0", "1e300", "1e-300"), ("-inf", "inf", "nan"), ("5", "1", "0")]
                )
            )
        ),
    )
    yield "half a character as a name", form('<Rating name="\ud800" toName="image"/>')
    yield "only blanks", " \n "


def _numbered(tag: str, attribute: str, count: int) -> str:
    return "".join(f'<{tag} {attribute}="v{number}"/>' for number in range(count))


def _tasks() -> Iterator[tuple[str, Any]]:
    for name, number in (
        ("the same id", 7), ("a negative id", -1), ("an id beyond 64 bits", 2**64), ("an id of 0", 0),
        ("an id that is true", True), ("a broken id", 1.5), ("an id of letters", "seven"),
        ("an id of 1 MB", "x" * 10**6),
        ("an id that is a list", [[1]]), ("an id that is nothing", None),
    ):  # fmt: skip
        yield name, task(number)
    yield "without id", {"data": {"image": PICTURE, "caption": "A dog."}}
    yield "without data", {"id": 5}
    yield "without anything", {}
    for name, data in (
        ("a list", []), ("a text", "x"), ("a number", 3), ("nothing", None), ("empty", {}), ("true", True)
    ):  # fmt: skip
        yield f"data that are {name}", {"id": 5, "data": data}
    for key in ("image", "caption", "requested"):
        for name, value in (
            ("a list", [["x"], 3]), ("a number", 3), ("nothing", None), ("an object", {"a": 1}), ("true", True),
            ("a NUL", "\0"),
        ):  # fmt: skip
            yield f"`{key}` is {name}", task(5, **{key: value})
    for key in ("image", "caption", "requested"):
        yield f"`{key}` is 10 MB", task(5, **{key: "a" * 10_000_000})
    for name, unit in (("blanks", " "), ("line breaks", "\n"), ("semicolons", ";"), ("accents", "e\u0301")):
        yield f"100,000 {name}", task(5, caption=f"x{unit * 100_000}x")
    yield "100,000 features", task(5, requested="1," * 100_000)
    yield "100 pictures", task(5, image=[PICTURE] * 100)


def _webhooks() -> Iterator[tuple[str, Body]]:
    good = {"id": 9, "task": 4, "updated_at": "2026-11-26T10:00:00.5Z", "result": []}
    created = "ANNOTATION_CREATED"
    for name, part in (
        ("an id beyond 64 bits", {"id": 2**63}), ("a negative id", {"id": -(2**63)}),
        ("an id that is true", {"id": True}), ("a task beyond 64 bits", {"task": 2**70}),
        ("a task of letters", {"task": "four"}),
        ("before the calendar", {"updated_at": "0001-01-01T00:00:00+14:00"}),
        ("after the calendar", {"updated_at": "9999-12-31T23:59:59-14:00"}),
        ("a moment that is a number", {"updated_at": 1795361354}),
        ("a moment without a zone", {"updated_at": "2026-11-26T10"}),
        ("no moment", {"updated_at": None}), ("a payload of 5 MB", {"result": ["x" * 5_000_000]}),
        ("a payload of 90 levels", {"result": json.loads("[" * 90 + "]" * 90)}), ("NaN", {"lead_time": float("nan")}),
        ("a NUL", {"result": ["\0"]}), ("half a character", {"result": ["\ud800"], "\udfff": 1}),
        ("half a character and 900 levels", {"result": ["\ud800", json.loads("[" * 900 + "]" * 900)]}),
        ("half a character as its id", {"id": "\ud800"}), ("half a character as its moment", {"updated_at": "\ud800"}),
    ):  # fmt: skip
        yield name, {"action": created, "annotation": {**good, **part}}
    yield "1,000 annotations", {"action": created, "annotation": [{**good, "id": number} for number in range(1000)]}
    yield "the same annotation twice", {"action": created, "annotation": [good, good]}
    yield (
        "deletions of anything",
        {
            "action": "ANNOTATIONS_DELETED",
            "annotations": [{"id": number} for number in (9, 9, 2**63 - 1, -(2**63), 2**64, None, "x", True, 1.0)],
        },
    )
    for name, project in (
        ("a project beyond 64 bits", {"id": 2**80, "created_at": PROJECT["created_at"]}),
        ("a project before the calendar", {"id": 3, "created_at": "0001-01-01T00:00:00+14:00"}),
        ("a project that is a number", 3), ("no project", None), ("a project of half a character", {"id": "\ud800"}),
    ):  # fmt: skip
        yield name, {"action": created, "project": project, "annotation": good}
    yield "an action of 1 MB", {"action": "A" * 10**6}
    yield "half a character as an action", {"action": "\ud800"}
    yield "an action with line breaks", {"action": "A\r\nINFO all is well"}
