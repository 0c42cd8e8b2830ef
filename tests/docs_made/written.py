"""What stands in the Markdown files of this repository: headings, links, commands, options and settings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs_made.markdown import anchor

ROOT = Path(__file__).parents[2]
_FOLDERS = ("docs", "docker", "examples", "backend", "exporters", ".github")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_IN_HTML = re.compile(r"""<(?:a|img)\b[^>]*?\b(?:href|src)="([^"]+)\"""")
_ANCHOR_IN_HTML = re.compile(r"""\b(?:id|name)="([^"]+)\"""")
_SHELL = frozenset({"sh", "bash", "console", "shell"})
_ENDS = frozenset({"|", "||", "&&", ";", ">", ">>", "2>", "<", "&", "\\"})


@dataclass(frozen=True, slots=True)
class Written:
    """One file."""

    name: str
    """Its path below the root."""
    links: tuple[str, ...]
    anchors: frozenset[str]
    code: tuple[str, ...]
    """Code spans, and the lines of blocks for a shell, without comments."""
    text: str
    """All of it but blocks that show what a command answered."""

    @property
    def folder(self) -> Path:
        """Where its relative links start."""
        return (ROOT / self.name).parent


def documents() -> tuple[Path, ...]:
    """Every Markdown file that people read."""
    below = (path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.md"))
    return tuple(sorted((*ROOT.glob("*.md"), *below)))


@cache
def written(path: Path) -> Written:
    """What stands in a file."""
    tokens = MarkdownIt("commonmark").enable("table").parse(_FRONT_MATTER.sub("", path.read_text(encoding="utf-8")))
    inline = [child for token in tokens for child in token.children or ()]
    html = "\n".join(token.content for token in (*tokens, *inline) if token.type.startswith("html"))
    blocks = [token for token in tokens if token.type == "fence"]
    spans = [token.content for token in inline if token.type == "code_inline"]
    return Written(
        path.relative_to(ROOT).as_posix(),
        tuple(str(link) for token in inline if (link := token.attrs.get("href") or token.attrs.get("src")))
        + tuple(_IN_HTML.findall(html)),
        frozenset((*_headings(tokens), *_ANCHOR_IN_HTML.findall(html))),
        (*spans, *(line for block in blocks if block.info.split(" ")[0] in _SHELL for line in _lines(block.content))),
        "\n".join(
            (*(t.content for t in tokens if t.type == "inline"), *(b.content for b in blocks if b.info != "text"))
        ),
    )


def _headings(tokens: list[Token]) -> Iterator[str]:
    """The anchors of the headings; of those that are alike, the second ends in -1."""
    seen: dict[str, int] = {}
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            name = anchor("".join(child.content for child in token.children or ()))
            yield f"{name}-{seen[name]}" if name in seen else name
            seen[name] = seen.get(name, 0) + 1


def _lines(block: str) -> Iterator[str]:
    for line in re.sub(r"\\\n\s*", "", block).splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def calls(code: str) -> Iterator[tuple[str, ...]]:
    """The words of every call of `vlm-judge` in a piece of code, up to where the next command or a comment begins."""
    for part in re.split(r"(?:^|(?<=[\s/$(`]))(?<!-t )(?<!--tag )vlm-judge(?=\s|$)", code)[1:]:
        yield tuple(_words(part))


def _words(text: str) -> Iterator[str]:
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # a quotation mark without its other half, in an abbreviated example
        words = text.split()
    for word in words:
        if word in _ENDS:
            return
        yield word.rstrip(";)")
        if word.endswith((";", ")")):
            return
