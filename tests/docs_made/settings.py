"""docs/reference/settings.md, from `backend.settings`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from backend.settings import Settings, variable_of
from backend.settings_file import USUAL_FILE
from tests.docs_made.attributes import meanings
from tests.docs_made.markdown import code, fenced, linked, said, table, whole_page
from tests.docs_made.schema_words import Schema, default_words, value_words

GROUPS = {
    "config_file": "The file of settings",
    "engine": "The judge",
    "servers": "Model servers",
    "host": "The backend",
    "store": "The store",
    "label_studio_url": "Label Studio and the Hub",
    "image_hosts": "Images",
}
"""Headings, each by the first setting below it."""

_UNITS = {"_bytes": ", in bytes", "_s": ", in seconds", "_pixels": ", in pixels"}


SAMPLE_FILE = """
engine = "remote"
model = "Qwen/Qwen2.5-VL-3B-Instruct"
servers = ["http://10.0.0.5:8000", "http://10.0.0.6:8000"]
max_pixels = 501760
"""


def settings_page() -> str:
    """The page."""
    return whole_page(
        "Settings",
        "Everything that can be set, and what holds where it is not. A setting is a variable of the environment, or a "
        f"line of the file {code(USUAL_FILE)} in the current folder. Options of [the command line](cli.md) win over "
        "the environment, that over the file, and that over the defaults. A name that is not on this page is an "
        "error, so that a misspelt one does not go unnoticed. `vlm-judge settings` shows what holds, and where from.",
        "This page is made from `backend/settings.py`, and a test compares the two.",
        "A file looks like this:",
        fenced(SAMPLE_FILE, "toml"),
        table(("Setting", "Default"), ([linked(variable_of(name)), _default(name)] for name in _schemas())),
        *_sections(),
    )


def _sections() -> Iterator[str]:
    said_of = meanings(Settings)
    for name, schema in _schemas().items():
        if name in GROUPS:
            yield f"## {GROUPS[name]}"
        yield f"### {variable_of(name)}"
        yield said(said_of[name])
        yield " ".join((_value(name, schema), _unset(name), _key(name))).strip()


@cache
def _schemas() -> dict[str, Schema]:
    """By field, in the order of the class."""
    properties = Settings.model_json_schema()["properties"]
    return {name: properties[str(field.validation_alias or name)] for name, field in Settings.model_fields.items()}


def _value(name: str, schema: Schema) -> str:
    words = "texts, separated by commas" if schema.get("type") == "array" else value_words(schema)
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
    return f"Value: {words}{unit}."


def _unset(name: str) -> str:
    words = _default(name)
    return "Not set by default." if words == "none" else f"Default: {words}."


def _default(name: str) -> str:
    words = default_words(_schemas()[name])
    default = Settings.model_fields[name].default
    if name.endswith("_bytes") and default % 2**20 == 0:
        return f"{words} ({default // 2**20} MiB)"
    return words


def _key(name: str) -> str:
    return "" if name == "config_file" else f"In the file: {code(name)}."
