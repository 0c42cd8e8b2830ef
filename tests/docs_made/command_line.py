"""docs/reference/cli.md, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping

import click

from backend.cli import main
from backend.cli.command import EXIT_CODES
from tests.docs_made.markdown import code, fenced, linked, listed, said, table, whole_page

_OWN_DEFAULT = re.compile(r"(.*?)(?:\s*\[(default: [^]]*)\])?", re.DOTALL)
"""An option's help that tells of its default itself."""

_EXAMPLE = "Example: "
_RANGE = re.compile(r"([\d.]+<=?)?x([<>]=?[\d.]+)?")
_ALONE = {">=": "from ", ">": "above ", "<=": "at most ", "<": "below "}

Path = tuple[str, ...]


def commands() -> dict[Path, click.Command]:
    """Every command of the tool by its words, in the order of `--help`; the tool itself has none."""
    return dict(_walk((), main))


def _walk(path: Path, command: click.Command) -> Iterator[tuple[Path, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from _walk((*path, name), command.commands[name])


def command_line_page() -> str:
    """The page."""
    named = {path: command for path, command in commands().items() if path}
    return whole_page(
        "The command line",
        "Every command of `vlm-judge` with its arguments and options. `vlm-judge COMMAND --help` says the same in the "
        "terminal; this page is made from it, and a test compares the two. What else can be set is in "
        "[Settings](settings.md).",
        *(said(paragraph) for paragraph in _paragraphs(main) if not paragraph.startswith(_EXAMPLE)),
        table(("For", "Command", "What it does"), _overview(named)),
        "## Exit codes",
        table(("Code", "Meaning"), ((code(number), said(meaning)) for number, meaning in EXIT_CODES.items())),
        *(part for path, command in named.items() for part in _section(path, command)),
    )


def _overview(named: Mapping[Path, click.Command]) -> Iterator[tuple[str, str, str]]:
    sections = {names[0]: title for title, names in main.sections.items()}
    for path, command in named.items():
        yield sections.get(path[0], "") if len(path) == 1 else "", linked(_title(path)), said(_paragraphs(command)[0])


def _title(path: Path) -> str:
    return " ".join(("vlm-judge", *path))


def _context(path: Path, command: click.Command) -> click.Context:
    return click.Context(command, info_name=_title(path))


def _paragraphs(command: click.Command) -> list[str]:
    return re.split(r"\n\s*\n", inspect.cleandoc(command.help or ""))


def _section(path: Path, command: click.Command) -> Iterator[str]:
    yield f"{'#' * (len(path) + 1)} {_title(path)}"
    yield from _told(command)
    if isinstance(command, click.Group):
        return
    usage = command.collect_usage_pieces(_context(path, command))
    if usage != ["[OPTIONS]"]:
        yield fenced(" ".join((_title(path), *usage)))
    rows = list(_rows(command))
    if rows:
        yield table(("Option", "Meaning"), rows)


def _told(command: click.Command) -> Iterator[str]:
    """The help's paragraphs, and below them its examples as one block."""
    paragraphs = _paragraphs(command)
    for paragraph in paragraphs:
        if paragraph.startswith("\b"):
            yield fenced(inspect.cleandoc(paragraph.removeprefix("\b\n")))
        elif not paragraph.startswith(_EXAMPLE):
            yield said(paragraph)
    examples = [" ".join(one.removeprefix(_EXAMPLE).split()) for one in paragraphs if one.startswith(_EXAMPLE)]
    if examples:
        yield f"<!-- check -->\n{fenced(chr(10).join(examples), 'sh')}"


def _rows(command: click.Command) -> Iterator[tuple[str, str]]:
    """Every option but `--help`; arguments are told of by the text above."""
    context = click.Context(command)
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            names = " / ".join((*option.opts, *option.secondary_opts))
            value = "" if option.is_flag or option.count or isinstance(option.type, click.Choice) else _value(option)
            meaning, default = _groups(_OWN_DEFAULT, option.help or "")
            facts = "; ".join((*_facts(option, context), *((said(default),) if default else ())))
            yield code(f"{names}{value}"), said(meaning) + (f" ({facts})" if facts else "")


def _value(option: click.Option) -> str:
    return f" {(option.metavar or option.type.name).upper().removesuffix(' RANGE')}"


def _facts(option: click.Option, context: click.Context) -> Iterator[str]:
    """What stands in brackets at the end of the option's line in `--help`."""
    extra = option.get_help_extra(context)
    if isinstance(option.type, click.Choice):
        yield listed([code(choice) for choice in option.type.choices])
    if "range" in extra:
        yield _range(extra["range"])
    if "default" in extra:
        yield f"default: {code(extra['default'])}"
    if "required" in extra:
        yield "must be given"


def _groups(pattern: re.Pattern[str], text: str) -> tuple[str, str]:
    found = pattern.fullmatch(text)
    assert found is not None, text
    return found[1] or "", found[2] or ""


def _range(said_by_click: str) -> str:
    """`1<=x<=5` in words."""
    low, high = _groups(_RANGE, said_by_click)
    parts = [f"from {low[:-2]}" if low.endswith("=") else f"above {low[:-1]}"] if low else []
    words = {">=": "from ", ">": "above ", "<=": "to ", "<": "and below "} if parts else _ALONE
    if high:
        sign = high[: 2 if high[1] == "=" else 1]
        parts.append(words[sign] + high[len(sign) :])
    return " ".join(parts)
