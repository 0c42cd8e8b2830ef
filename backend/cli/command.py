"""What every command does alike: examples, `--json`, `--quiet`, `--config-file`, errors, exit codes.

A command returns a Result, and nothing else of it writes to standard output unless `wants_json()` is False; progress,
notes and errors go to standard error. With `--json` standard output is one JSON object: the result, or, when the
command ends with an error, {"error": {"type": ..., "message": ...}}, where the type is the error's name in
`backend.errors`, or UsageError, OSError or Interrupted. The sentence for people is on standard error in either case.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import click

from backend.errors import VlmJudgeError
from backend.progress import quietly

DONE, FAILED, USAGE, NOT_CERTIFIED, INTERRUPTED = 0, 1, 2, 3, 130
EXIT_CODES: Mapping[int, str] = {
    DONE: "It is done. So it is when Ctrl-C ends `judge --watch`, which has no other end.",
    FAILED: "It failed, or a part of it did; standard error says why.",
    USAGE: "The command is not written as it must be.",
    NOT_CERTIFIED: "`certify` has looked, and nothing can be certified.",
    INTERRUPTED: "It was stopped by Ctrl-C.",
}
_AS_JSON, _QUIET, _CONFIG_FILE = "vlm-judge.as-json", "vlm-judge.quiet", "vlm-judge.config-file"
_EXAMPLE = "Example: "
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command: a dataclass or mapping for programs, the same in lines for people, and the exit code."""

    data: Any
    lines: tuple[str, ...] = ()
    exit_code: int = DONE


def wants_json() -> bool:
    """Whether the command that runs was asked for JSON, so that nothing else may go to standard output."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(_AS_JSON))


def config_file() -> Path | None:
    """The file of settings that was named, if one was."""
    context = click.get_current_context(silent=True)
    return context.meta.get(_CONFIG_FILE) if context else None


def plain(value: Any) -> Any:
    """The value as JSON has it: dataclasses and mappings as objects, paths and dates as text, no number as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Command(click.Command):
    """A command with the options that all have. One that shows a page of its own accord has `result=False`."""

    def __init__(self, *args: Any, result: bool = True, settings: bool = True, **more: Any) -> None:
        super().__init__(*args, **more)
        self.context_settings.setdefault("max_content_width", _WIDTH)
        if settings:
            self.params.append(_settings_option())
        if result:
            self.params += [_quiet_option(), _json_option()]

    @property
    def examples(self) -> tuple[str, ...]:
        """The lines to type that its docstring gives."""
        return examples_of(self.help)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Everything of the docstring but the examples."""
        _write_text(self, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        _write_examples(self.examples, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, and show what came of it."""
        with quietly(bool(ctx.meta.get(_QUIET))):
            result = super().invoke(ctx)
        if isinstance(result, Result):
            _show(result)
            ctx.exit(result.exit_code)
        return result


class Group(click.Group):
    """Commands by what they are for; here an error becomes a sentence and an exit code."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.context_settings.setdefault("max_content_width", _WIDTH)
        self.sections = sections or {}

    @property
    def examples(self) -> tuple[str, ...]:
        """The lines to type that its docstring gives."""
        return examples_of(self.help)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the sections."""
        named = [name for names in self.sections.values() for name in names]
        return [*(name for name in named if name in self.commands), *sorted(self.commands.keys() - set(named))]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Everything of the docstring but the examples."""
        _write_text(self, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section, each with its first sentence."""
        for title, names in (self.sections or {"Commands": self.list_commands(ctx)}).items():
            with formatter.section(title):
                formatter.write_dl([(name, first_sentence(self.commands[name])) for name in names], col_max=12)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, and below those of the whole tool what the exit codes mean."""
        _write_examples(self.examples, formatter)
        if ctx.parent is None:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])

    def main(  # type: ignore[override]  # click's has two overloads by `standalone_mode`
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **more: Any
    ) -> Any:
        """Run the tool, and end the process with an exit code of the table."""
        if not more.pop("standalone_mode", True):
            return super().main(args, prog_name, standalone_mode=False, **more)
        words = list(sys.argv[1:] if args is None else args)
        if os.environ.get("NO_COLOR"):
            more.setdefault("color", False)
        try:
            code = super().main(words, prog_name, standalone_mode=False, **more)
        except VlmJudgeError as exc:
            _fail(words, type(exc).__name__, str(exc), FAILED, more.get("color"))
        except click.exceptions.NoArgsIsHelpError as exc:
            exc.show()
            sys.exit(USAGE)
        except click.UsageError as exc:
            if exc.ctx is not None:
                click.echo(f"{exc.ctx.get_usage()}\nTry '{exc.ctx.command_path} --help' for help.\n", err=True)
            _fail(words, "UsageError", exc.format_message(), USAGE, more.get("color"))
        except click.ClickException as exc:
            _fail(words, type(exc).__name__, exc.format_message(), FAILED, more.get("color"))
        except click.Abort:
            _fail(words, "Interrupted", "stopped by Ctrl-C", INTERRUPTED, more.get("color"))
        except OSError as exc:  # a reader that went away is click's
            if exc.strerror is None:  # not the system's word, but some library's
                raise
            told = exc.strerror if exc.filename is None else f"{exc.filename}: {exc.strerror}"
            _fail(words, "OSError", told, FAILED, more.get("color"))
        sys.exit(code if isinstance(code, int) else DONE)


def examples_of(text: str | None) -> tuple[str, ...]:
    """The examples in a docstring: paragraphs that begin with `Example: `."""
    paragraphs = _paragraphs(text)
    return tuple(" ".join(one.removeprefix(_EXAMPLE).split()) for one in paragraphs if one.startswith(_EXAMPLE))


def first_sentence(command: click.Command) -> str:
    """What a command does, by its help."""
    return re.split(r"(?<=\.)\s", " ".join(_paragraphs(command.help)[0].split()))[0]


def _paragraphs(text: str | None) -> list[str]:
    return re.split(r"\n\s*\n", inspect.cleandoc(text or ""))


def _write_text(command: click.Command, formatter: click.HelpFormatter) -> None:
    kept = [one for one in _paragraphs(command.help) if not one.startswith(_EXAMPLE)]
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text("\n\n".join(kept))


def _write_examples(examples: tuple[str, ...], formatter: click.HelpFormatter) -> None:
    """One a line, however long: it is there to be copied."""
    if examples:
        with formatter.section("Examples" if len(examples) > 1 else "Example"):
            for example in examples:
                formatter.write(f"  {example}\n")


def _settings_option() -> click.Option:
    return click.Option(
        ["--config-file", "settings_file"],  # commands have a `config_file` of their own, a label config
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        expose_value=False,
        callback=lambda ctx, _, value: ctx.meta.__setitem__(_CONFIG_FILE, value),
        help="A file of settings.  [default: VLM_JUDGE_CONFIG, else vlm-judge.toml where there is one]",
    )


def _quiet_option() -> click.Option:
    return _flag("--quiet", _QUIET, "Nothing but errors and the result: no progress, no notes.")


def _json_option() -> click.Option:
    return _flag("--json", _AS_JSON, "Print the result as one JSON object; all else goes to standard error.")


def _flag(name: str, key: str, text: str) -> click.Option:
    callback = lambda ctx, _, value: ctx.meta.__setitem__(key, value)  # noqa: E731
    return click.Option([name], is_flag=True, expose_value=False, callback=callback, help=text)


def _show(result: Result) -> None:
    if wants_json():
        click.echo(json.dumps(plain(result.data), indent=2, ensure_ascii=False))
        return
    for line in result.lines:
        click.echo(line)


def _fail(words: Sequence[str], kind: str, message: str, code: int, color: bool | None) -> NoReturn:
    """Say what went wrong to people, and to a program that asked for JSON, and end."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {message}", err=True, color=color)
    if "--json" in words:
        click.echo(json.dumps({"error": {"type": kind, "message": message}}, ensure_ascii=False))
    sys.exit(code)
