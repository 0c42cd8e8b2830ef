"""docs/reference/http-api.md, from the description that the backend serves of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from backend.openapi import description
from tests.docs_made.markdown import code, fenced, linked, said, table, whole_page
from tests.docs_made.schema_words import default_words, may_be_null, value_words

Json = dict[str, Any]

_METHODS = ("get", "post")


def http_api_page() -> str:
    """The page."""
    about = description()
    return whole_page(
        "HTTP API",
        said(about["info"]["description"]),
        "A running backend describes itself in OpenAPI 3.1 at `/openapi.json`, below the address that Label Studio is "
        "given: `http://127.0.0.1:9090/openapi.json` where nothing else is set. This page is made from that "
        "description, and a test compares the two.",
        table(("Call", "What it does"), ([linked(_title(m, p)), said(op["summary"])] for m, p, op in operations())),
        "## Who is let in",
        table(("Who", "By", "Set by"), _schemes()),
        "## Calls",
        *(part for method, path, operation in operations() for part in _section(method, path, operation)),
        "## Errors",
        "Every answer but 200 is an object with one sentence.",
        table(("Status", "When"), _refusals()),
        "## Objects",
        *(part for name in about["components"]["schemas"] for part in _object(name)),
    )


def _schemes() -> Iterator[tuple[str, str, str]]:
    for name, one in description()["components"]["securitySchemes"].items():
        by = f"header {code(one['name'])}" if one["type"] == "apiKey" else f"HTTP {one['scheme']} authorization"
        yield code(name), by, said(one["description"])


def operations() -> Iterator[tuple[str, str, Json]]:
    """Method in capitals, path and description of every call."""
    for path, item in description()["paths"].items():
        yield from ((method.upper(), path, item[method]) for method in _METHODS if method in item)


def _title(method: str, path: str) -> str:
    return f"{method} {path}" if path != "/" else f"{method} / (the root)"


def _section(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"### {_title(method, path)}"
    yield said(". ".join(filter(None, (operation["summary"], operation.get("description", "")))).rstrip(".") + ".")
    for parameter in description()["paths"][path].get("parameters", ()):
        words = f"{said(parameter['description'])} {value_words(parameter['schema']).capitalize()}."
        yield f"{code(parameter['name'])} in the path: {words}"
    if "requestBody" in operation:
        yield f"Body: {_kind(operation['requestBody']['content'])}."
    yield f"Answer: {_kind(operation['responses']['200']['content'])}."
    others = sorted(status for status in operation["responses"] if status != "200")
    yield f"Other answers: {', '.join(f'[{status}](#errors)' for status in others)}."


def _kind(content: Json) -> str:
    [(kind, about)] = content.items()
    return _link(_name(about["schema"])) if "$ref" in about["schema"] else code(kind)


def _name(schema: Json) -> str:
    return str(schema["$ref"].rpartition("/")[2])


def _examples() -> dict[str, Json]:
    """By the name of the object."""
    found: dict[str, Json] = {}
    for _, _, operation in operations():
        for part in (operation.get("requestBody", {"content": {}}), *operation["responses"].values()):
            for about in part["content"].values():
                found |= {_name(about["schema"]): about["examples"]} if "examples" in about else {}
    return found


def _json(value: Any) -> str:
    """Indented, but for what fits on a line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) <= 96 or not isinstance(value, dict | list):
        return flat
    pairs = value.items() if isinstance(value, dict) else [(None, one) for one in value]
    inner = [(f"{json.dumps(key)}: " if key is not None else "") + _json(one) for key, one in pairs]
    lines = ",\n".join(inner).replace("\n", "\n  ")
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n  {lines}\n{right}"


def _refusals() -> Iterator[tuple[str, str]]:
    told: dict[str, str] = {}
    for _, _, operation in operations():
        told |= {status: one["description"] for status, one in operation["responses"].items() if status != "200"}
    return ((code(status), said(told[status])) for status in sorted(told))


def _object(name: str) -> Iterator[str]:
    schema = description()["components"]["schemas"][name]
    yield f"### {name}"
    yield said(schema.get("description", ""))
    yield table(("Field", "Value", "Meaning"), _fields(schema))
    for what, example in _examples().get(name, {}).items():
        yield f"Example, {what}:"
        yield fenced(_json(example["value"]), "json")


def _fields(schema: Json) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        words = value_words(field, _link) + (", or null" if may_be_null(field) else "")
        told = (said(field.get("description", "")), "" if name in required else _left_out(field))
        yield code(name), words, " ".join(filter(None, told))


def _left_out(field: Json) -> str:
    default = default_words(field)
    return "May be left out." if default in ("none", "must be given") else f"{default} where it is left out."


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"
