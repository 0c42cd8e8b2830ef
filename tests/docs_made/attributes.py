"""What the docstrings under a class's attributes say."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping


def meanings(owner: type) -> Mapping[str, str]:
    """By attribute, in the order of the class; empty for one without a docstring."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(node, ast.ClassDef)
    found: dict[str, str] = {}
    last = None
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            last = statement.target.id
            found[last] = ""
        elif last and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            found[last] = unset_in_words(str(statement.value.value))
        else:
            last = None
    return found


def unset_in_words(text: str) -> str:
    """What is said of None, for those who do not write Python."""
    return re.sub(r"(?<![.] )\bNone\b", "no value", text).replace(". None ", ". No value ")


def first_paragraph(text: str) -> str:
    """What stands before the first empty line."""
    return text.partition("\n\n")[0]
