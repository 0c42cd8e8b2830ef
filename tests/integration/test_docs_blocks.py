"""Every shell and Python block of every page runs or is checked; `UPDATE_DOCS=1` writes what they print."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from backend.errors import StudioError
from backend.label_studio_server import LabelStudioProcess
from backend.studio import Studio
from tests.compose import ROOT
from tests.contract import hub_emulator
from tests.docs_blocks import UPDATE, Place, Reader, read_blocks
from tests.docs_checks import check_block, check_runnable

LABEL_CONFIG = '<View><Image name="i" value="$i"/><Rating name="r" toName="i"/></View>'
GENERATED = ROOT / "docs" / "reference"
PAGES = [
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if not page.is_relative_to(GENERATED)),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docker/README.md") if (ROOT / name).exists()),
]
WITH_BLOCKS = [page for page in PAGES if re.search(r"^\s*```(?:sh|python)\s*$", page.read_text("utf-8"), re.MULTILINE)]
CHECKED = ("README.md", "CONTRIBUTING.md", "docker/README.md")
"""Pages about a checkout of this repository, which is no place for a test to work in: their blocks are only checked."""


@pytest.fixture(scope="module")
def hub() -> Iterator[hub_emulator.Hub]:
    with hub_emulator.running_hub(owners=("you", "user", "me")) as hub:
        yield hub


def next_number(studio: Studio) -> int:
    """The number that Label Studio gives to a project now; nothing is left behind, and no number is given twice."""
    made = studio.create_project("To see its number", LABEL_CONFIG)
    studio.delete_project(made.id)
    return made.id


@contextmanager
def open_place(name: str, label_studio: LabelStudioProcess, hub: hub_emulator.Hub, home: Path) -> Iterator[Place]:
    """A folder that Label Studio serves, with what a reader exports and the commands on the path.

    Projects made there are deleted at the end: they are found by their titles, which another page may use too.
    """
    folder = label_studio.document_root / name.removeprefix("docs/").replace("/", "-").removesuffix(".md")
    folder.mkdir()
    environment = {
        **hub_emulator.environment(hub.address, hub.token, home / "hub"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(home / "config"),
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.token,
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(label_studio.document_root),
        "OMP_NUM_THREADS": "1",  # two threads wait for each other longer than one computes
        "REPOSITORY": str(ROOT),
    }
    studio = Studio(label_studio.url, label_studio.token)
    last = next_number(studio)
    try:
        yield Place(folder, environment, last)
    finally:
        for number in range(last + 1, next_number(studio)):
            with suppress(StudioError):  # deleted already
                studio.delete_project(number)


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_works(
    page: Path, label_studio: LabelStudioProcess, hub: hub_emulator.Hub, tmp_path: Path
) -> None:
    name, blocks = str(page.relative_to(ROOT)), read_blocks(page)
    run = [block for block in blocks if block.is_run and name not in CHECKED]
    for block in blocks:
        check_block(block, page)
    for block in run:
        check_runnable(block, page)
    if not run:
        return
    with open_place(name, label_studio, hub, tmp_path) as place, Reader(page, place) as reader:
        for block in run:
            reader.run(block)
    if os.environ.get(UPDATE):
        reader.update(blocks)
