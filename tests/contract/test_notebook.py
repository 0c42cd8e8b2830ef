"""The notebook runs from its first cell to its last; `UPDATE_DOCS=1` keeps what it shows then."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).parents[2] / "examples" / "judge.ipynb"
MOST_BYTES = 300_000


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def executed(folder: Path) -> Any:
    """The notebook with what it shows on this machine. Raises CellExecutionError."""
    notebook = read()
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}})
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell ran
    notebook.metadata.language_info = {"name": "python"}  # without this machine's version
    return notebook


def outputs(notebook: Any) -> Iterator[tuple[str, Any]]:
    """The id of a cell with each of its outputs."""
    for cell in notebook.cells:
        yield from ((cell.id, output) for output in cell.get("outputs", ()))


def texts(notebook: Any) -> list[tuple[str, str]]:
    """What cells print or answer, pictures aside."""
    return [
        (name, output.get("text") or output["data"]["text/plain"])
        for name, output in outputs(notebook)
        if "image/png" not in output.get("data", {})
    ]


def figures(notebook: Any) -> list[tuple[str, tuple[int, int]]]:
    """The sizes of the pictures that cells show."""
    found = [
        (name, output["data"]["image/png"])
        for name, output in outputs(notebook)
        if "data" in output and "image/png" in output["data"]
    ]
    return [(name, Image.open(io.BytesIO(base64.b64decode(content))).size) for name, content in found]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # two threads wait for each other longer than one computes
        notebook = executed(tmp_path_factory.mktemp("notebook"))
    if os.environ.get("UPDATE_DOCS"):
        nbformat.write(notebook, NOTEBOOK)  # type: ignore[no-untyped-call]
    return notebook


def test_the_notebook_shows_what_is_kept_in_it(ran: Any) -> None:
    """The digits of probabilities may differ between processors, so texts are compared by their words."""
    kept = read()
    nbformat.validate(kept)

    def words(notebook: Any) -> list[tuple[str, list[str]]]:
        return [
            (name, [word for word in text.split() if not any(map(str.isdigit, word))]) for name, text in texts(notebook)
        ]

    assert words(kept) == words(ran), "run UPDATE_DOCS=1 make test"
    assert figures(kept) == figures(ran)
    assert len(figures(kept)) == 2


def test_nothing_went_wrong_in_it_and_nothing_was_warned_of(ran: Any) -> None:
    kept = read()
    for notebook in (kept, ran):
        assert {output.output_type for _, output in outputs(notebook)} == {"stream", "display_data", "execute_result"}
        assert {output.name for _, output in outputs(notebook) if output.output_type == "stream"} == {"stdout"}


def test_what_is_kept_is_small_and_names_no_machine() -> None:
    content = NOTEBOOK.read_text(encoding="utf-8")
    assert len(content) < MOST_BYTES
    assert str(Path.home()) not in content
    assert str(NOTEBOOK.parents[1]) not in content
