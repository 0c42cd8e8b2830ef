"""Every message of ours that the page about troubles quotes stands in the source, so that it can be found by it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
FOREIGN = "Label Studio: "
"""Stands before a message of Label Studio's."""
GAP = "…"
LEAST = 12
"""Letters by which a template is recognised: less than that stands in any text."""
STUDIO = {
    "URL resolves to a reserved network address": "core/utils/io.py",
    "health check failed. Make sure it is up and your firewall is properly configured.": "ml/serializers.py",
    "Able to connect to ML Server, but authentication parameters were either not provided or are incorrect.": (
        "ml/serializers.py"
    ),
    "but it doesn't look like a valid ML backend.": "ml/serializers.py",
    "Retrieved ": "data_manager/actions/basic.py",
}
"""Parts of the messages of Label Studio 1.23 that its server says, and where they are; the others are the browser's."""


def quoted(*, foreign: bool) -> list[str]:
    """The messages on the page, ours or Label Studio's: code in a quotation, one in each of its paragraphs."""
    found, depth = [], 0
    for token in MarkdownIt().parse(PAGE.read_text(encoding="utf-8")):
        depth += {"blockquote_open": 1, "blockquote_close": -1}.get(token.type, 0)
        if depth and token.type == "inline":
            found += [
                (each.content.strip(), token.content.startswith(FOREIGN))
                for each in token.children or ()
                if each.type == "code_inline"
            ]
    return [message for message, is_foreign in found if is_foreign == foreign]


def template(node: ast.AST) -> str | None:
    """The text of an expression, with a gap for what is only known when it runs; None for what is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(template(part) or GAP for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sides = template(left), template(right)
            return None if sides == (None, None) else "".join(side or GAP for side in sides)
    return None


@cache
def templates() -> tuple[tuple[str, ...], ...]:
    """The literal parts of every text in the source, docstrings aside."""
    found: dict[tuple[str, ...], None] = {}
    for folder in ("backend", "exporters"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if id(node) not in docs and (text := template(node)) and len(text) >= LEAST:
                    found[parts_of(text)] = None
    return tuple(found)


def parts_of(text: str) -> tuple[str, ...]:
    """What stands between the gaps, without blanks and quotation marks at its ends."""
    stripped = (part.strip(' \n:"“”`') for part in text.split(GAP))
    return tuple(part for part in stripped if part)


def covered(parts: tuple[str, ...], by: tuple[str, ...]) -> int:
    """How many of the first parts stand in a template in this order, each within one of its own parts."""
    at = 0
    for count, part in enumerate(parts):
        at = next((place for place in range(at, len(by)) if part in by[place]), -1)
        if at < 0:
            return count
        at += 1
    return len(parts)


def said_by(parts: tuple[str, ...]) -> Iterator[int]:
    """How many parts each template says of those in turn; a message may be put together from several."""
    while parts:
        most = max(covered(parts, each) for each in templates())
        is_told = sum(map(len, parts[:most])) >= LEAST
        yield most if is_told else 0
        if not is_told:
            return
        parts = parts[most:]


def named_in_passing() -> list[str]:
    """Messages that the how-to pages name: bold code of four words or more."""
    pages = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "how-to").glob("*.md")))
    found = (message for page in pages for message in re.findall(r"\*\*`([^`]+)`\*\*", page))
    return [message for message in found if message.count(" ") > 2]


@pytest.mark.parametrize("message", [*quoted(foreign=False), *named_in_passing()])
def test_a_message_of_ours_stands_in_the_source(message: str) -> None:
    parts = parts_of(message)
    said = list(said_by(parts))
    assert sum(said) == len(parts), f"not in the source: {parts[sum(said)]!r}"


def test_a_message_that_is_not_in_the_source_is_found_out() -> None:
    parts = parts_of("port … is gone; choose another with --port")
    assert list(said_by(parts)) == [0]


@pytest.mark.parametrize(("part", "file"), STUDIO.items())
def test_a_message_of_label_studio_stands_in_its_source(part: str, file: str) -> None:
    label_studio = pytest.importorskip("label_studio")
    tree = ast.parse((Path(label_studio.__file__).parent / file).read_text(encoding="utf-8"))
    assert any(part in (template(node) or "") for node in ast.walk(tree))
    assert any(part in message for message in quoted(foreign=True))


def test_there_are_no_two_headings_alike() -> None:
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert len(headings) >= 25
