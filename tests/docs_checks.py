"""Checks the blocks of a documentation page that cannot be run: what they name exists, and arguments parse."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import click

from backend.cli import main
from backend.settings import PREFIX, Settings, variable_of
from tests.compose import DOCKER, ROOT, read_env, tool
from tests.docs_blocks import Block, PageError

_BETWEEN = {"|", "||", "&&", ";", "&", "(", ")"}
"""Words that end a command."""
_KEYWORDS = ("env", "time", "export", "do", "then", "else", "if", "while", "!")
"""Words before a program's name."""
_HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)(\w+)\1.*?\n\2$", re.DOTALL | re.MULTILINE)
_STREAM = re.compile(r"(?<=\s)[12](?=>)")
_TARGET = re.compile(r"^([a-z0-9.-]+):", re.MULTILINE)
_EXTRAS = re.compile(r"(?:\.|vlm[-_]judge[-_]label[-_]studio[^\[]*)\[([\w,-]+)\]")
_SETTING = re.compile(rf"\b({PREFIX}\w+)=")
UNTESTABLE = ("docker", "docker-compose", "make", "pip", "git", "apt-get", "sudo", "label-studio", "ray", "vllm")
"""Programs that a page may name in a checked block only."""


def check_block(block: Block, page: Path) -> None:
    """Raise PageError where a block names what is not there."""
    try:
        if block.language == "python":
            ast.parse(block.text)
        else:
            _check_settings(block.text)
            for words in commands_of(block.text):
                _check_command(words)
    except (ValueError, SyntaxError, click.ClickException) as exc:
        reason = exc.format_message() if isinstance(exc, click.ClickException) else str(exc)
        raise PageError(f"{page}, line {block.line}: {reason}\n{block.text}") from exc


def check_runnable(block: Block, page: Path) -> None:
    """Raise PageError for a block that would change the test machine, or wants what it has not."""
    if block.language == "python":
        return
    for words in commands_of(block.text):
        if words[0] in UNTESTABLE or words[1:3] == ["-m", "pip"]:
            raise PageError(
                f"{page}, line {block.line}: a test cannot run {words[0]!r}; put the line <!-- check --> before the "
                "block"
            )


def commands_of(text: str) -> Iterator[list[str]]:
    """The commands of shell lines, each as its words without variables set before it and redirections after it.

    Raises ValueError for an open quotation.
    """
    plain = _HERE_DOCUMENT.sub("", _STREAM.sub("", text.replace("\\\n", " "))).replace("\n", "\n;\n")
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in (*lexer, ";"):
        if word not in _BETWEEN and not set(word) <= {";", "&", "|"}:
            words.append(word)
            continue
        if found := _without_redirections(_program(words)):
            yield found
        words = []


def _program(words: list[str]) -> list[str]:
    """The words from the program's name on."""
    at = 0
    while at < len(words) and (words[at] in _KEYWORDS or re.match(r"\w+=|\$", words[at])):
        at += 1
    found = words[at:]
    return [found[0].rpartition(".venv/bin/")[2], *found[1:]] if found else []


def _without_redirections(words: list[str]) -> list[str]:
    return words[: next((at for at, word in enumerate(words) if set(word) <= {"<", ">", "&"}), len(words))]


def _check_settings(text: str) -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    if unknown := sorted(set(_SETTING.findall(text)) - known):
        raise ValueError(f"there is no setting {', '.join(unknown)}")


def _check_command(words: list[str]) -> None:
    checks: Mapping[str, Callable[[list[str]], None]] = {
        "vlm-judge": accept_arguments,
        "make": _check_targets,
        "docker": _check_docker,
        "docker-compose": _check_compose,
        "pip": _check_pip,
        "python": _check_module,
    }
    if words[:3] == ["docker", "compose", "exec"] and "vlm-judge" in words:  # in a container
        accept_arguments(words[words.index("vlm-judge") + 1 :])
    if words[0] in checks:
        checks[words[0]](words[1:])


def accept_arguments(words: list[str]) -> None:
    """Raise ClickException where `vlm-judge` would not take these; files they name need not be there."""
    command: click.Command = main
    if words[:1] == ["--version"]:
        return
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            raise click.UsageError(f"there is no command {words[0]!r}")
        command, words = command.commands[words[0]], words[1:]
    if "--help" in words:
        return
    paths = [option.type for option in command.params if isinstance(option.type, click.Path)]
    needed = [path.exists for path in paths]
    try:
        for path in paths:
            path.exists = False
        command.make_context("vlm-judge", list(words))
    finally:
        for path, exists in zip(paths, needed, strict=True):
            path.exists = exists


def _check_targets(words: list[str]) -> None:
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    if missing := [word for word in words if "=" not in word and not word.startswith("-") and word not in targets]:
        raise ValueError(f"the Makefile has no target {', '.join(missing)}")


def _check_docker(words: list[str]) -> None:
    if words[:1] == ["compose"]:
        _check_compose(words[1:])
    for option, name in pairwise(words):
        if words[0] == "build" and option in ("--file", "-f") and not (ROOT / name).exists():
            raise ValueError(f"there is no {name}")


def _check_compose(words: list[str]) -> None:
    """Read the files named by `-f` with the real Docker Compose, with every variable that must be set."""
    files = [name for option, name in pairwise(words) if option in ("-f", "--file")]
    if not files:
        return
    found = [next((base / name for base in (ROOT, DOCKER) if (base / name).exists()), None) for name in files]
    if None in found:
        raise ValueError(f"there is no {files[found.index(None)]}")
    example = read_env(DOCKER / "example.env")
    variables = {name: value or f"{name.lower()}-0123456789" for name, value in example.items()} | {"COMPOSE_FILE": ""}
    command = [str(tool("docker-compose")), *(part for file in found for part in ("--file", str(file))), "config"]
    done = subprocess.run(
        [*command, "--quiet"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise ValueError(done.stderr.strip())


def _check_pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {extra for word in words for found in _EXTRAS.findall(word) for extra in found.split(",")}
    if missing := sorted(named - set(project["optional-dependencies"])):
        raise ValueError(f"there is no extra {', '.join(missing)}")


def _check_module(words: list[str]) -> None:
    if words[:1] == ["-m"] and words[1] != "venv" and find_spec(words[1]) is None:
        raise ValueError(f"there is no module {words[1]}")
    if words and re.fullmatch(r"[\w./-]+/\w+\.py", words[0]) and not (ROOT / words[0]).exists():
        raise ValueError(f"there is no {words[0]}")
