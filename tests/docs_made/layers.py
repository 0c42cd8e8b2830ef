"""docs/reference/layers.md, from the contracts that `lint-imports` checks."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.docs_made.markdown import code, said, table, whole_page

ROOT = Path(__file__).parents[2]


def layers_page() -> str:
    """The page."""
    return whole_page(
        "Layers of the code",
        "Which module may import which. What stands in a layer may use everything below it and nothing above it; "
        "modules of one layer do without each other. `lint-imports`, a part of `make check`, holds the code to it.",
        "This page is made from the contracts in `pyproject.toml` and the modules' own first sentences, and a test "
        "compares them.",
        *(part for contract in _contracts() for part in _section(contract)),
    )


def _contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def _section(contract: dict[str, Any]) -> Iterator[str]:
    name = contract["name"]
    yield f"## {name[0].upper()}{name[1:]}"
    if contract["type"] == "layers":
        yield "From the top, which uses all, to the bottom, which uses nothing of what is above it."
        yield table(("Layer", "Module", "What it is"), _layers(contract["layers"]))
    else:
        yield from _forbidden(contract)


def _layers(layers: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """A row for each module, numbered from the bottom."""
    for at, layer in enumerate(layers):
        for place, module in enumerate(part.strip() for part in layer.split("|")):
            number = str(len(layers) - at) if place == 0 else ""
            yield number, code(module), said(first_sentence(module))


def _forbidden(contract: dict[str, Any]) -> Iterator[str]:
    sources, targets = contract["source_modules"], contract["forbidden_modules"]
    if contract.get("allow_indirect_imports"):
        yield f"Nothing in {_codes(sources)} itself imports any of {_codes(targets)}."
    else:
        yield f"Nothing in {_codes(sources)} imports any of {_codes(targets)}, nor anything that does."
    if contract.get("ignore_imports"):
        yield f"But for {_codes(contract['ignore_imports'])}."


def _codes(names: Sequence[str]) -> str:
    return ", ".join(code(name) for name in names)


def first_sentence(module: str) -> str:
    """What a module or package says that it is, up to the first full stop or empty line."""
    place = ROOT / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    told = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return told.partition("\n\n")[0]
