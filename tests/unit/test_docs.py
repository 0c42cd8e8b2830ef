"""README, docs, Makefile and commands agree; `UPDATE_DOCS=1 make test` writes the pages of the reference anew."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from backend.cli import main
from backend.projects import read_tasks
from backend.settings import Settings, variable_of
from tests.docs_made.markdown import said
from tests.docs_made.pages import PAGES
from tests.docs_made.schema_words import Schema, value_words
from tests.docs_made.settings import GROUPS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = ROOT / "docs" / "reference"


def shell_lines(text: str) -> list[str]:
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.DOTALL)
    lines = [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_reference_is_what_the_code_says(name: str) -> None:
    if os.environ.get("UPDATE_DOCS"):
        (REFERENCE / name).write_text(PAGES[name](), encoding="utf-8")
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name](), "run UPDATE_DOCS=1 make test"


def test_every_page_of_the_reference_is_made() -> None:
    assert {path.name for path in REFERENCE.iterdir()} == set(PAGES)


@pytest.mark.parametrize("name", ["cli.md", "settings.md", "rubric.md", "dataset-columns.md", "layers.md"])
def test_nothing_in_the_reference_is_without_a_meaning(name: str) -> None:
    lines = PAGES[name]().splitlines()
    assert [line for line in lines if line.startswith("|") and line.endswith("|  |")] == []
    assert [
        above for above, below in pairwise(line for line in lines if line) if above[:4] == below[:4] == "### "
    ] == []


def test_every_setting_has_its_section_below_a_heading_of_its_group() -> None:
    lines = PAGES["settings.md"]().splitlines()
    sections = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
    assert sections == [variable_of(name) for name in Settings.model_fields]
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == list(GROUPS.values())


def test_a_sentence_keeps_its_signs_and_shows_options_and_settings_as_code() -> None:
    told = "At most *one* of [a|b], with --engine local or --json; VLM_JUDGE_PORT, `--x_y` and <this> {too}."
    shown = MarkdownIt("commonmark").renderInline(said(told))
    assert shown == (
        "At most *one* of [a|b], with <code>--engine local</code> or <code>--json</code>; <code>VLM_JUDGE_PORT</code>, "
        "<code>--x_y</code> and &lt;this&gt; {too}."
    )


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 256}, "whole number from 1 to 256"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 95}, "number above 0, at most 95"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "`true` or `false`"),
        ({"type": "string", "enum": ["a", "b", "c"]}, "`a`, `b` or `c`"),
        (
            {"type": "array", "items": {"$ref": "#/$defs/Level"}, "minItems": 2, "maxItems": 10},
            "list of 2 to 10 `Level`",
        ),
        ({"type": "array", "items": {"type": "string"}}, "list of texts"),
        ({"type": "string", "format": "password"}, "secret text, which never shows in logs and answers"),
    ],
)
def test_a_schema_is_told_in_words(schema: Schema, words: str) -> None:
    assert value_words(schema) == words


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for line in shell_lines(README) if line.startswith("make ")}
    assert named == {"demo", "test"} & named
    assert {"demo", "test"} <= named
    assert named <= targets


@pytest.mark.parametrize("line", [line for line in shell_lines(README) if "vlm-judge" in line])
def test_every_command_in_the_readme_is_accepted(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments parse; `tests/integration` runs such commands for real."""
    words = shlex.split(line.split("vlm-judge ", 1)[1])
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    for option in command.params:
        if isinstance(option.type, click.Path):
            monkeypatch.setattr(option.type, "exists", False)
    context = command.make_context("vlm-judge", words)
    assert context.args == []


def test_every_module_in_the_readmes_map_exists_and_none_is_left_out() -> None:
    named = set(re.findall(r"^([a-z_/]+(?:\.py|/))\s", README.split("## The house")[1], re.MULTILINE))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
    modules = {f"backend/{path.name}" for path in (ROOT / "backend").glob("*.py") if path.name != "__init__.py"}
    assert modules <= named


def test_links_and_pictures_in_the_readme_are_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert [target for target in targets if not target.startswith("http") and not (ROOT / target).exists()] == []


def make_browser(**variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("CHROMIUM", "MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", "-s", "browser"],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_browser_named_by_chromium_must_be_there(tmp_path: Path) -> None:
    done = make_browser(CHROMIUM=str(tmp_path / "none"))
    assert done.returncode != 0
    assert done.stdout == f"CHROMIUM is {tmp_path / 'none'}, which is not there or cannot be run\n"
    assert make_browser(CHROMIUM="/bin/sh").returncode == 0


@pytest.mark.parametrize("name", [None, "chromium", "chromium-browser", "google-chrome"])
def test_the_browser_is_looked_for_under_its_names(tmp_path: Path, name: str | None) -> None:
    """The path has nothing else: no apt-get either, so that nothing is installed."""
    for tool in ("make", "bash", "id"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    if name:
        (tmp_path / name).symlink_to("/bin/sh")
    done = make_browser(PATH=str(tmp_path))
    wanted = "" if name else "The browser tests need Chromium: install it, or set CHROMIUM to where it is\n"
    assert (done.stdout, done.returncode == 0) == (wanted, name is not None)


@pytest.mark.parametrize("option", ["--tasks", "--config"])
def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLM_JUDGE_STORE", str(tmp_path / "s.sqlite"))
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    file = tmp_path / "latin.json"
    file.write_bytes('[{"caption": "Löwe"}]'.encode("latin-1"))
    done = CliRunner().invoke(
        main, ["project", "create", "--title", "T", "--engine", "scripted", option, str(file)], prog_name="vlm-judge"
    )
    assert (done.exit_code, done.stderr) == (1, f"Error: {file} is not in UTF-8 (byte 16); save it as UTF-8\n")


def test_tasks_are_read_as_a_list_or_by_line_with_a_byte_order_mark(tmp_path: Path) -> None:
    tasks = ({"data": {"caption": "A line\u2028and another"}}, {"data": {"caption": "Löwe"}})
    lines = "\r\n".join(json.dumps(task["data"], ensure_ascii=False) for task in tasks)
    for name, text in (("list.json", json.dumps(tasks)), ("lines.jsonl", f"{lines}\r\n\r\n")):
        (tmp_path / name).write_text(text, encoding="utf-8-sig", newline="")
        assert read_tasks(tmp_path / name) == tasks


def test_the_table_of_extras_has_every_extra_but_that_of_developers() -> None:
    page = (ROOT / "docs" / "how-to" / "connect.md").read_text(encoding="utf-8")
    section = page.partition("## What to install for what")[2].partition("\n## ")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE)
    assert sorted(rows) == sorted(set(project["optional-dependencies"]) - {"dev"})
