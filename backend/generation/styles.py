"""Styles: named texts that are put before the request, so that candidates of one image differ in kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from backend.errors import SettingsError
from backend.projects import read_text

PLAIN = "plain"
STYLES: Mapping[str, str] = {
    PLAIN: "",
    "short": "Be as brief as you can: one short sentence at most.",
    "detailed": "Be thorough: mention everything that can be seen, its colours, its number and where it is.",
    "simple": "Use plain words and short sentences, as for a child.",
    "formal": "Use the neutral tone of an encyclopedia.",
}
"""The styles that come along; `plain` is the request as the rubric words it."""


def chosen_styles(names: Sequence[str], file: Path | None) -> dict[str, str]:
    """Text by name of the styles asked for; without names those of the file, without a file `plain`.

    Raises SettingsError for a name that neither the file nor we have.
    """
    own = read_styles(file) if file else {}
    known = {**STYLES, **own}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingsError(f"--style {unknown[0]} is not known; known are {', '.join(known)}")
    return {name: known[name] for name in (names or own or (PLAIN,))}


def read_styles(file: Path) -> dict[str, str]:
    """Named texts from a YAML file, `name: text` each. Raises SettingsError."""
    try:
        found = yaml.safe_load(read_text(file))
    except yaml.YAMLError as exc:
        raise SettingsError(f"{file} is not valid YAML: {exc}") from exc
    if not isinstance(found, dict) or not found:
        raise SettingsError(f"{file} must hold styles, one `name: text` each")
    wrong = [name for name, text in found.items() if not isinstance(name, str) or not isinstance(text, str)]
    if wrong:
        raise SettingsError(f"{file}: the style {wrong[0]!r} must be a text; write it as `name: text`")
    return {name: text.strip() for name, text in found.items()}


def styled(style: str, request: str) -> str:
    """The request with the style's text before it."""
    return f"{style}\n{request}" if style else request
