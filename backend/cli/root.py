"""`vlm-judge` itself and what its commands share; only here does an error become a sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

import click

from backend.core.choices import EngineName
from backend.errors import VlmJudgeError

if TYPE_CHECKING:
    from backend.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

ENGINES = click.Choice(get_args(EngineName))


def load_settings(**overrides: Any) -> Settings:
    """The settings, as `backend.settings` reads them; what that needs is not imported for a command's help.

    Raises SettingsError naming what is wrong.
    """
    from backend.settings import load_settings as load

    return load(**overrides)


def told_plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn our own errors into a sentence on standard error and exit code 1; defects keep their traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except VlmJudgeError as exc:
            click.echo(f"Error: {exc}", err=True)
            sys.exit(1)

    return run


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose the judge."""
    command = click.option("--engine", type=ENGINES, help="Which judge answers.  [default: demo]")(command)
    command = click.option("--model", help="Model id, or folder for --engine local.")(command)
    command = click.option("--rubric", help="A rubric of your own, or a name from `rubric list`.")(command)
    return click.option("--batch-size", type=int, help="Samples judged at once.  [default: what takes about 2 s]")(
        command
    )


def project_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The project's number."""
    return click.option("--project", "project_id", type=int, required=True, help="The project's number.")(command)


@click.group()
@click.version_option(package_name="vlm-judge-label-studio", prog_name="vlm-judge")
def main() -> None:
    """Qwen2.5-VL as a judge inside Label Studio, and from there to a Hugging Face dataset.

    Label Studio is found by LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.
    """
