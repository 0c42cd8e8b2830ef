"""Markdown that reads the same on GitHub and in the site, from text that is not Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_OPTION = r"(?<![\w-])--[a-z][a-z-]*(?: (?:local|remote)\b)?"
_CODE = re.compile(rf"(`[^`]+`|{_OPTION}|\b(?:VLM_JUDGE|LABEL_STUDIO|HF)_[A-Z_]*[A-Z])")
"""What is code even in a sentence: what stands between backticks, options, and names of settings."""
_MARKUP = re.compile(r"([\\*_\[\]])")
_ENTITIES = str.maketrans({"<": "&lt;", "|": "&#124;", "{": "&#123;"})
"""Of these, `{...}` at the end of a cell would be attributes of it in the site."""


def said(text: str) -> str:
    """A sentence, with options and settings as code; nothing else in it is markup."""
    pieces = _CODE.split(" ".join(text.split()))
    return "".join(code(piece.strip("`")) if at % 2 else _plain(piece) for at, piece in enumerate(pieces))


def _plain(piece: str) -> str:
    return _MARKUP.sub(r"\\\1", piece).translate(_ENTITIES)


def code(text: object) -> str:
    """A code span, which is written with more backticks where the text holds one."""
    inner = str(text)
    return f"`` {inner} ``" if "`" in inner else f"`{inner}`"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; a line break in a cell is `<br>`."""
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for row in rows:
        assert len(row) == len(titles), row
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def fenced(text: str, language: str = "text") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip()}\n```"


def linked(heading: str, page: str = "") -> str:
    """A heading's text as a link to it, by the anchor that GitHub and the site make."""
    return f"[{heading}]({page}#{anchor(heading)})"


def anchor(heading: str) -> str:
    """The anchor of a heading: its letters in lower case, with `-` for spaces and without other signs."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def whole_page(title: str, *parts: str) -> str:
    """A page of blocks under its title."""
    return "\n\n".join((f"# {title}", *(part.strip("\n") for part in parts if part))) + "\n"


def listed(words: Sequence[str], last: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    return f" {last} ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)
