"""`vlm-judge` itself, and the options that several of its commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

import click

from backend.cli.command import Group, config_file
from backend.core.choices import EngineName

if TYPE_CHECKING:
    from backend.settings import Settings

ENGINES = click.Choice(get_args(EngineName))


def load_settings(**overrides: Any) -> Settings:
    """The settings, as `backend.settings` reads them; what that needs is not imported for a command's help.

    Raises SettingsError naming what is wrong.
    """
    from backend.settings import load_settings as load

    return load(config_file=config_file(), **overrides)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose the judge."""
    command = click.option("--engine", type=ENGINES, help="Which judge answers.  [default: demo]")(command)
    command = click.option("--model", help="Model id, or folder for --engine local.")(command)
    command = click.option("--rubric", help="A rubric of your own, or a name from `rubric list`.")(command)
    size = click.IntRange(1, 256)
    return click.option("--batch-size", type=size, help="Samples judged at once.  [default: what takes about 2 s]")(
        command
    )


def project_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The project's number."""
    return click.option("--project", "project_id", type=int, required=True, help="The project's number.")(command)


SECTIONS = {
    "Start": ("demo", "doctor", "settings", "completion"),
    "Judge": ("project", "judge", "serve", "interface", "rubric", "bench"),
    "Trust": ("evaluate", "sweep", "calibrate", "certify", "accept", "report", "examples"),
    "Dataset": ("generate", "export"),
}


@click.group(cls=Group, sections=SECTIONS)
@click.version_option(package_name="vlm-judge-label-studio", prog_name="vlm-judge")
def main() -> None:
    """Qwen2.5-VL as a judge inside Label Studio, and from there to a Hugging Face dataset.

    Label Studio is found by LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY. What is set by an option wins over the
    environment, that over the file vlm-judge.toml, and that over the defaults; `vlm-judge settings` shows all.

    With --json a command prints one JSON object, its result or {"error": {"type", "message"}}, and nothing else on
    standard output.

    Example: vlm-judge demo

    Example: vlm-judge doctor --project 1

    Example: vlm-judge judge --project 1 --engine demo
    """
