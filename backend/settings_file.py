"""Reads `vlm-judge.toml`: which file it is, and the settings in it by their names."""

from __future__ import annotations

import logging
import os
import shlex
import stat
import tomllib
from collections.abc import Collection
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from backend.errors import SettingsError

USUAL_FILE = Path("vlm-judge.toml")
"""In the current folder; taken when no other file is named."""

log = logging.getLogger(__name__)


def file_of(named: Path | str | None) -> Path | None:
    """The file of settings: the one that is named, else the usual one where there is one."""
    if named:
        return Path(named)
    return USUAL_FILE if USUAL_FILE.is_file() else None


def read_file(file: Path, known: Collection[str], secret: Collection[str]) -> dict[str, Any]:
    """The settings in the file, by name. Raises SettingsError naming the file, and the key that is none of `known`.

    Says so once, in the log, when it holds one of the `secret` settings and other people may read it.
    """
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8-sig"))  # some editors begin with a mark
    except OSError as exc:
        raise SettingsError(
            f"cannot read the settings in {file}: {exc.strerror}; name a file with --config-file or VLM_JUDGE_CONFIG"
        ) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f'{file} is not valid TOML: {exc}; write a line like engine = "demo" for each') from exc
    for key in found:
        if key not in known or key == "config_file":
            raise SettingsError(f"{file}: {_unknown(key, known)}")
    held = tuple(sorted(found.keys() & set(secret)))
    if held and os.name == "posix" and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH) and file.is_file():
        _warn_of_readers(file, held)
    return found


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that is spelled most like this one; None when none is much like it."""
    return next(iter(get_close_matches(name, sorted(known), 1, 0.75)), None)


def _unknown(key: str, known: Collection[str]) -> str:
    names = set(known) - {"config_file"}
    as_key = key.lower().replace("-", "_").removeprefix("vlm_judge_")
    meant = nearest(as_key, names)
    if meant is None:
        return f"unknown key {key!r}; known are {', '.join(sorted(names))}"
    return f"unknown key {key!r}; did you mean {meant!r}?"


@cache
def _warn_of_readers(file: Path, held: tuple[str, ...]) -> None:
    log.warning(
        "%s holds %s and other people may read it; run: chmod 600 %s", file, ", ".join(held), shlex.quote(str(file))
    )
