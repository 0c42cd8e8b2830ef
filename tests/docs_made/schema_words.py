"""JSON schema, as pydantic writes it, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.docs_made.markdown import code, listed

Schema = Mapping[str, Any]
Named = Callable[[str], str]
"""How a schema of that name is called, such as by a link to it."""

_NULL = {"type": "null"}
_SIMPLE = {"boolean": "`true` or `false`", "object": "object"}
_FORMATS = {"path": "path of a file", "password": "secret text, which never shows in logs and answers"}


def value_words(schema: Schema, named: Named = code) -> str:
    """What values are allowed; that there may be none is not said here."""
    if "$ref" in schema:
        return named(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return listed([value_words(one, named) for one in schema["anyOf"] if one != _NULL])
    if "const" in schema or "enum" in schema:
        return listed([code(one) for one in schema.get("enum", [schema.get("const")])])
    kind = schema.get("type", "anything")
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _range(schema)
    if kind == "string":
        return _text(schema)
    if kind == "array":
        return _several(schema, named)
    return _SIMPLE.get(kind, str(kind))


def default_words(schema: Schema) -> str:
    """What holds where nothing is given."""
    if "default" not in schema:
        return "must be given"
    value = schema["default"]
    if value is None or value in ([], ()):
        return "none"
    if isinstance(value, dict):
        return "none of them"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return code(str(value).lower() if isinstance(value, bool) else value)


def may_be_null(schema: Schema) -> bool:
    """Whether null is a value of it."""
    return _NULL in schema.get("anyOf", ())


def _range(schema: Schema) -> str:
    low = f" from {schema['minimum']}" if "minimum" in schema else ""
    above = f" above {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else ""
    high = f" to {schema['maximum']}" if schema.get("maximum", 2**63) < 2**63 - 1 else ""
    return low + above + (high if low else high.replace(" to ", ", at most "))


def _text(schema: Schema) -> str:
    if "format" in schema:
        return _FORMATS[schema["format"]]
    if "pattern" in schema:
        return f"text that matches {code(schema['pattern'])}"
    if "maxLength" in schema:
        return f"text of at most {schema['maxLength']} characters"
    return "text"


def _several(schema: Schema, named: Named) -> str:
    if schema.get("maxItems") == 0:
        return "an empty list"
    low, high = schema.get("minItems"), schema.get("maxItems")
    count = f"{low} to {high} " if low and high else ""
    each = value_words(schema.get("items", {}), named)
    return f"list of {count}{'texts' if each == 'text' else each}"
