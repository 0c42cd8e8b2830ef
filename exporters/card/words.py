"""Text from a project as Markdown that says the same and can do nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"([\\`*_\[\]|#~$&>])")
"""Any ASCII punctuation may stand behind a backslash in Markdown, and then is itself."""
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of text around, and what UTF-8 cannot carry."""


def one_line(text: str) -> str:
    """The text on one line, without characters that are not seen."""
    return " ".join(_INVISIBLE.sub("", text.replace("\x0b", " ").replace("\x0c", " ")).split())


def prose(text: str) -> str:
    """The text as it is read in a sentence, a heading or a table."""
    return _MARKUP.sub(r"\\\1", one_line(text)).replace("<", "&lt;")


def code(text: str) -> str:
    """The text as a code span, also in a table; a backtick becomes an apostrophe."""
    inner = one_line(text).replace("`", "'").replace("|", "\\|").replace("<!--", "< !--")
    return f"`{inner}`" if inner else "–"


def spoken(text: str) -> str:
    """A sentence in which what stands between backticks is code."""
    pieces = re.split("`([^`]*)`", one_line(text))
    return "".join(code(piece) if at % 2 else _with_spaces(piece) for at, piece in enumerate(pieces))


def _with_spaces(piece: str) -> str:
    before, after = " " * piece.startswith(" "), " " * (len(piece) > 1 and piece.endswith(" "))
    return f"{before}{prose(piece)}{after}"


def shortened(text: str, most: int) -> str:
    """The text, or its beginning with an ellipsis."""
    line = one_line(text)
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; columns whose title begins with # are set to the right."""
    heads = " | ".join(title.removeprefix("#") for title in titles)
    rules = "|".join("---:" if title.startswith("#") else "---" for title in titles)
    return "\n".join((f"| {heads} |", f"|{rules}|", *(f"| {' | '.join(row)} |" for row in rows)))


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)
