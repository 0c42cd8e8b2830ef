"""The site builds strictly and whole, and every link, setting, command and option in what is written exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

from backend.cli import main
from backend.settings import PREFIX, Settings, variable_of
from tests.docs_made.command_line import commands
from tests.docs_made.links_to_sources import names_for_sources
from tests.docs_made.written import ROOT, Written, calls, documents, written

DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in documents()]
HISTORY = frozenset({"CHANGELOG.md"})
"""Names commands and settings as they were."""
NEARBY = frozenset({"localhost", "127.0.0.1"})
HELP = frozenset({"--help", "--version"})
FOREIGN = frozenset({"--build-arg", "--max-model-len"})
"""Options of other tools that stand in a code span without the tool's name."""


def build(folder: Path, config: Path = ROOT / "mkdocs.yml") -> tuple[int, list[str]]:
    """The exit code of a strict build, and the lines that warn of something."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", str(folder)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = (line.removeprefix("WARNING -").strip() for line in done.stderr.splitlines())
    return done.returncode, [line for line in lines if line and not line.startswith("INFO")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    folder = tmp_path_factory.mktemp("site")
    assert build(folder) == (0, [])
    return folder


def test_a_strict_build_refuses_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n\n[no page](no.md) and [no heading](#no)\n")
    (tmp_path / "docs" / "hidden.md").write_text("# In no menu\n")
    config = tmp_path / "mkdocs.yml"
    hook = ROOT / "tests" / "docs_made" / "links_to_sources.py"
    config.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\nhooks: [{hook}]\nnav: [{{Home: index.md}}, {{Gone: gone.md}}]\n"
        "theme: {favicon: null}\nextra_css: []\n"
    )
    assert build(tmp_path / "site", config) == (
        1,
        [
            'The following pages exist in the docs directory, but are not included in the "nav" configuration:',
            "- hidden.md",
            "A reference to 'gone.md' is included in the 'nav' configuration, which is not found in the documentation "
            "files.",
            "Doc file 'index.md' contains a link 'no.md', but the target is not found among documentation files.",
            "Doc file 'index.md' contains a link '#no', but there is no such anchor on this page.",
        ],
    )


def test_the_site_builds_strictly_with_a_page_for_every_file(site: Path) -> None:
    """Strictly: pages that are missing or stand in no menu, and links and anchors that lead nowhere, are errors."""
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {path.relative_to(site) for path in site.rglob("*.html")} == pages | {Path("404.html")}


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)="?((?:https?:)?//[^"\s>]+)""")
    for page in site.rglob("*.html"):
        assert loads.findall(page.read_text(encoding="utf-8")) == [], page.name
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")) == [], (
            style.name
        )


def test_headings_have_the_anchors_in_the_site_that_they_have_on_github(site: Path) -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        page = (site / path.relative_to(ROOT / "docs")).with_suffix(".html").read_text(encoding="utf-8")
        assert written(path).anchors - set(re.findall(r'\bid="([^"]+)"', page)) == set(), path.name


def test_a_link_to_the_source_is_its_name_in_the_site_and_a_link_to_a_page_stays(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "bench").mkdir(parents=True)
    (docs / "other.md").touch()
    (docs / "picture.png").touch()
    (tmp_path / "code.py").touch()
    page = "[in full](../code.py#L3), [../code.py](../code.py), [bench/](bench/), [other](other.md#a), [no](../none.py)"
    shown = "in full (`code.py`), `code.py`, `docs/bench`, [other](other.md#a), [no](../none.py)"
    assert names_for_sources(page, docs, docs) == shown
    assert names_for_sources("![x](picture.png)", docs, docs) == "![x](picture.png)"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    assert list(dead_links(written(ROOT / name))) == []


def dead_links(document: Written) -> Iterator[str]:
    """What is wrong with links; whether a page elsewhere is still there is not asked."""
    for link in document.links:
        parts = urlsplit(link)
        if parts.scheme == "mailto":
            continue
        if parts.scheme or parts.netloc:
            host = parts.hostname or ""
            if not ((parts.scheme == "https" and "." in host) or (parts.scheme == "http" and host in NEARBY)):
                yield f"{link} is no address of https"
            continue
        target = (document.folder / unquote(parts.path)).resolve() if parts.path else ROOT / document.name
        if not target.exists() or not target.is_relative_to(ROOT):
            yield f"{link} leads to nothing"
        elif parts.fragment and target.suffix == ".md" and unquote(parts.fragment) not in written(target).anchors:
            yield f"{link} has no such heading"


@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - HISTORY))
def test_settings_that_are_named_exist(name: str) -> None:
    known = {variable_of(field) for field in Settings.model_fields}
    assert set(re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]", written(ROOT / name).text)) <= known


@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - HISTORY))
def test_commands_and_options_that_are_named_exist(name: str) -> None:
    document = written(ROOT / name)
    wrong = [fault for code in document.code for words in calls(code) for fault in faults(words)]
    known = {option for command in commands().values() for option in options(command)} | FOREIGN
    alone = [code for code in document.code if re.match(r"--[a-z]", code) and re.split(r"[ =]", code)[0] not in known]
    assert (wrong, alone) == ([], [])


def faults(words: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with a call: a command that there is not, or an option that it does not have."""
    command: click.Command = main
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name.isupper() or name in ("...", "…"):  # stands for any command
            return
        if name not in command.commands:
            yield f"there is no command {name} in {' '.join(words)}"
            return
        command = command.commands[name]
    given = (word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word))
    yield from (f"{name} in {' '.join(words)}" for name in given if name not in options(command))


def options(command: click.Command) -> frozenset[str]:
    return HELP.union(*((*one.opts, *one.secondary_opts) for one in command.params if isinstance(one, click.Option)))


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("vlm-judge export --project 1 --out dataset", []),
        (".venv/bin/vlm-judge certify --max-error=0.05 | tee x --not-ours", []),
        ("docker compose exec backend vlm-judge project create --title 'A b' && ls --all", []),
        ("vlm-judge COMMAND --anything", []),
        ("vlm-judge exprot", ["there is no command exprot in exprot"]),
        ("vlm-judge rubric lst", ["there is no command lst in rubric lst"]),
        (
            "vlm-judge export --outt x; vlm-judge judge --filtre y",
            ["--outt in export --outt x", "--filtre in judge --filtre y"],
        ),
    ],
)
def test_a_call_that_cannot_be_is_found(code: str, wrong: list[str]) -> None:
    assert [fault for words in calls(code) for fault in faults(words)] == wrong


def test_a_link_that_leads_nowhere_is_found() -> None:
    links = (
        "none.md",
        "#no-heading",
        "README.md#two-commands",
        "http://example.org/a",
        "https://nowhere",
        "//example.org",
    )
    document = Written("README.md", links, frozenset(), (), "")
    assert list(dead_links(document)) == [
        "none.md leads to nothing",
        "#no-heading has no such heading",
        "http://example.org/a is no address of https",
        "https://nowhere is no address of https",
        "//example.org is no address of https",
    ]
