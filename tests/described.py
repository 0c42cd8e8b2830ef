"""Holds answers against an OpenAPI description."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from jsonschema import Draft202012Validator

Json = dict[str, Any]


def strict_json(content: bytes) -> Any:
    """What a body says; NaN and Infinity are no JSON. Raises ValueError."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"it holds {name}")

    return json.loads(content, parse_constant=refuse)


class Described:
    """The description."""

    def __init__(self, document: Json) -> None:
        self.document = document

    @property
    def operations(self) -> dict[tuple[str, str], Json]:
        """By method, in capitals, and path."""
        return {
            (method.upper(), path): operation
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
            if isinstance(operation, dict) and "responses" in operation
        }

    def validator(self, schema: Json) -> Draft202012Validator:
        """Checks a value against a schema of the description."""
        return Draft202012Validator({**schema, "components": self.document["components"]})

    def faults(self, method: str, path: str, status: int, headers: Mapping[str, str], content: bytes) -> Iterator[str]:
        """What in an answer is not as described; header names are in lower case."""
        response = self.operations[method, path]["responses"].get(str(status))
        if response is None:
            yield f"status {status} is not described"
            return
        for name, header in response["headers"].items():
            yield from self._faults_of_header(name, header, headers.get(name.lower()))
        kind = headers.get("content-type", "").partition(";")[0]
        if kind not in response["content"]:
            yield f"content type {kind!r} is not described"
        elif kind == "application/json":
            try:
                said = strict_json(content)
            except ValueError as exc:
                yield f"the body is no JSON: {exc}"
                return
            for error in self.validator(response["content"][kind]["schema"]).iter_errors(said):
                yield f"{error.json_path}: {error.message:.200}"

    def _faults_of_header(self, name: str, header: Json, value: str | None) -> Iterator[str]:
        if "$ref" in header:
            header = self.document["components"]["headers"][header["$ref"].rpartition("/")[2]]
        if value is None:
            if header["required"]:
                yield f"{name} is missing"
            return
        given = int(value) if header["schema"]["type"] == "integer" and value.isdecimal() else value
        yield from (f"{name}: {error.message}" for error in self.validator(header["schema"]).iter_errors(given))
