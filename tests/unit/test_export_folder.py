"""The folder of an export keeps what people wrote in its card, and takes nothing else away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from backend.cli import main
from backend.errors import ExportError
from backend.settings import Settings
from exporters.export import export_project, with_key
from exporters.files.card_parts import BEGIN, END
from exporters.files.folder import CARD, MARKER, fresh_folder
from exporters.records.record import Policy


def export(out: Path, rows: int, *more: str) -> str:
    """What an export leaves in its folder; returns the card."""
    with fresh_folder(out) as draft:
        (draft / CARD).write_text(f"---\npretty_name: Dots\n---\n# Dots\n\n{rows} rows.\n", encoding="utf-8")
        for name in ("data/all/train.parquet", *more):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(b"PAR1")
    return (out / CARD).read_text(encoding="utf-8")


def test_the_marker_lists_what_was_written(tmp_path: Path) -> None:
    export(tmp_path / "out", 3, "plots/who.png")
    marker = json.loads((tmp_path / "out" / MARKER).read_text(encoding="utf-8"))
    assert marker == {"tool": "vlm-judge", "files": ["README.md", "data/all/train.parquet", "plots/who.png"]}


def test_a_card_that_people_wrote_in_is_carried_over(tmp_path: Path) -> None:
    card = export(tmp_path / "out", 3)
    edited = (
        card.replace("pretty_name", "license: mit\npretty_name").replace(BEGIN, f"Mine.\n\n{BEGIN}") + "\nThanks.\n"
    )
    (tmp_path / "out" / CARD).write_text(edited, encoding="utf-8")
    again = export(tmp_path / "out", 4)
    assert again.startswith(f"---\nlicense: mit\npretty_name: Dots\n---\nMine.\n\n{BEGIN}")
    assert again.endswith(f"# Dots\n\n4 rows.\n{END}\n\nThanks.\n")
    assert export(tmp_path / "out", 4) == again


def test_a_card_edited_in_our_part_is_left_alone(tmp_path: Path) -> None:
    edited = export(tmp_path / "out", 3).replace("3 rows", "three rows")
    (tmp_path / "out" / CARD).write_text(edited, encoding="utf-8")
    with pytest.raises(
        ExportError,
        match=r"README\.md was edited since it was exported: it was edited between .* move the file elsewhere",
    ):
        export(tmp_path / "out", 4)
    assert (tmp_path / "out" / CARD).read_text(encoding="utf-8") == edited


def test_a_card_that_was_removed_is_written_anew(tmp_path: Path) -> None:
    card = export(tmp_path / "out", 3)
    (tmp_path / "out" / CARD).unlink()
    assert export(tmp_path / "out", 3) == card


def test_a_card_that_cannot_be_read_stays(tmp_path: Path) -> None:
    export(tmp_path / "out", 3)
    (tmp_path / "out" / CARD).write_bytes(b"\xff\xfe")
    with pytest.raises(ExportError, match=r"README\.md cannot be read .* move it elsewhere"):
        export(tmp_path / "out", 3)
    assert (tmp_path / "out" / CARD).read_bytes() == b"\xff\xfe"


def test_a_wrong_folder_is_said_before_anything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens on port 9; the folder is in the home that `~` stands for."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "notes.md").write_text("mine")
    settings = Settings(label_studio_url="http://127.0.0.1:9", label_studio_api_key=SecretStr("k"))
    measured: list[bool] = []
    with pytest.raises(ExportError, match=rf"^{tmp_path}/dataset is not empty and not an earlier export"):
        export_project(settings, 1, Path("~/dataset"), trust=lambda: measured.append(True))
    assert measured == []


def test_pseudonyms_are_made_with_the_key_that_was_set_or_else_the_token() -> None:
    token = SecretStr("token")
    own = Settings(annotator_key=SecretStr("own"), label_studio_api_key=token)
    assert with_key(Policy("all"), own) == Policy("all", b"own")
    assert with_key(Policy("all"), Settings(label_studio_api_key=token)) == Policy("all", b"token")
    assert with_key(Policy("all", b"given"), own) == Policy("all", b"given")
    assert Settings(annotator_key="").annotator_key is None, "an empty variable is one that is not set"


@pytest.mark.parametrize("option", ["--several=last", "--annotator=3"])
def test_a_batch_has_no_annotations_to_choose_among(tmp_path: Path, option: str) -> None:
    done = CliRunner().invoke(main, ["export", "--from-batch", str(tmp_path), "--out", str(tmp_path / "out"), option])
    name = option.partition("=")[0]
    assert done.exit_code == 2
    assert f"Error: {name} chooses among people's annotations, and --from-batch has none; leave it out" in done.output
