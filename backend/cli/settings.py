"""`settings`: what is set, and by what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from backend.cli.command import Result, config_file, plain
from backend.cli.root import engine_options, main

if TYPE_CHECKING:
    from backend.settings import Given

_ADDRESSES = ("servers", "store", "label_studio_url")
"""Settings that may have a name and a password in them."""


@main.command()
@click.option("--given", "only_given", is_flag=True, help="Leave out those that have their defaults.")
@engine_options
def settings(only_given: bool, **options: Any) -> Result:
    """Show every setting with its value and where that comes from; secrets are masked.

    An option wins over the environment, that over the file of settings, and that over the default. The file is TOML,
    with a line like engine = "local" for each setting, by the names shown here. It is the one of --config-file, else of
    VLM_JUDGE_CONFIG, else vlm-judge.toml in the current folder.

    Example: vlm-judge settings --given

    Example: vlm-judge settings --engine local --json
    """
    from backend.settings import read_settings

    given = read_settings(config_file=config_file(), **options)
    shown = {name: one for name, one in _each(given).items() if not only_given or one["from"] != "default"}
    lines = tuple(_line(name, one) for name, one in shown.items())
    file = given.settings.config_file
    lines += (f"File of settings: {file or 'none'}",)
    return Result({"config_file": file, "settings": shown}, lines)


def _each(given: Given) -> dict[str, dict[str, Any]]:
    from backend.settings import Settings, variable_of

    return {
        name: {
            "value": _value(given, name),
            "from": given.sources.get(name, "default"),
            "variable": variable_of(name),
        }
        for name in Settings.model_fields
        if name != "config_file"
    }


def _value(given: Given, name: str) -> Any:
    """As JSON has it, without any secret."""
    from pydantic import SecretStr

    from backend.logs import MASKED, make_mask, without_login

    value = getattr(given.settings, name)
    if isinstance(value, SecretStr):
        return MASKED if value.get_secret_value() else ""
    mask = make_mask(given.settings)
    masked = (lambda text: mask(without_login(text))) if name in _ADDRESSES else mask
    shown = plain(value)
    if isinstance(shown, list):
        return [masked(each) for each in shown]
    return masked(shown) if isinstance(shown, str) else shown


def _line(name: str, one: dict[str, Any]) -> str:
    value = one["value"]
    shown = ", ".join(value) if isinstance(value, list) else "-" if value is None else str(value)
    source = {"environment": one["variable"], "option": f"--{name.replace('_', '-')}"}.get(one["from"], one["from"])
    return f"{name:22} {shown or '-':34} {source}"
