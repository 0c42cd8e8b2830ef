"""Labelled data by file kind and by column names."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from backend.core.types import TextField
from backend.errors import EvaluationError, RowError
from backend.evaluation.fields import good_of, pictures_of, preferred_of, rating_of
from backend.evaluation.formats import choose_format
from backend.evaluation.samples import Candidate, Labelled, LabelledPair, LabelledSample, Picture
from backend.evaluation.tables import Source, Table, open_table


def png(colour: tuple[int, int, int] = (10, 20, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def table(*rows: Mapping[str, Any], folder: Path | None = None) -> Table:
    columns = frozenset(name for row in rows for name in row)

    def each() -> Iterator[Mapping[str, Any] | RowError]:
        return iter(rows)

    return Table("rows", folder, columns, len(rows), each)


def read(row: Mapping[str, Any], folder: Path | None = Path("data")) -> tuple[str, Labelled]:
    """The name of the format that its columns tell, and the row as it reads it."""
    form = choose_format(table(row, folder=folder), None)
    return form.name, form.reader(row, "1", folder)


def test_a_plain_row() -> None:
    row = {
        "id": 7,
        "image": "a.png",
        "text": "a cat",
        "question": "what?",
        "features": ["one", "two"],
        "label": "good",
        "rating": "4",
        "task": "vqa",
    }
    assert read(row) == (
        "samples",
        LabelledSample(
            name="7",
            kind="vqa",
            pictures=(Picture(path=Path("data/a.png")),),
            texts=(
                TextField("caption", "a cat"),
                TextField("question", "what?", "context"),
                TextField("requested", "one, two", "requested"),
            ),
            good=True,
            ratings={"rating": 4.0},
            id="7",
        ),
    )


@pytest.mark.parametrize(
    ("sides", "preferred"),
    [
        ({"text_a": "x", "text_b": "y", "preferred": "A"}, 1.0),
        ({"caption_a": "x", "caption_b": "y", "winner": 2}, 0.0),
        ({"first": "x", "second": "y", "better": "tie"}, 0.5),
        ({"chosen": "x", "rejected": "y"}, 1.0),
    ],
)
def test_plain_pairs(sides: dict[str, Any], preferred: float) -> None:
    address = "https://example.org/a.png"
    assert read({"image": address, "prompt": "describe", **sides}) == (
        "pairs",
        LabelledPair(
            "1", "", (Picture(address=address),), "describe", Candidate("x"), Candidate("y"), preferred=preferred
        ),
    )


def test_the_products_own_export() -> None:
    row: dict[str, Any] = {
        "image": {"bytes": png(), "path": "x.png"},
        "image_sha256": "0" * 64,
        "caption": "a cat",
        "requested": None,
        "final_text": "a dog",
        "final_text_source": "human",
        "decided_by": "human",
        "corrected_controls": None,
        "human_consistency": 2,
        "judge_consistency": 5,
        "human_verdict": "fix",
        "judge_verdict": "accept",
        "human_unsupported": [],
        "fingerprint": "demo-1",
        "task_id": 12,
    }
    assert read(row) == (
        "export",
        LabelledSample(
            name="12",
            kind="labelled blind",
            pictures=(Picture(content=png()),),
            texts=(TextField("caption", "a cat"),),
            good=False,
            ratings={"consistency": 2.0},
            id="12",
        ),
    )
    assert read({**row, "decided_by": "confirmed"})[1].kind == "labelled with the judge's answer in view"
    for audit, saw, kind in (
        (True, False, "labelled blind"),
        (True, True, "labelled with the judge's answer in view"),
        (False, False, "labelled with the judge's answer in view"),
    ):
        assert read({**row, "audit": audit, "saw_prediction": saw})[1].kind == kind
    with pytest.raises(RowError, match="no human label"):
        read({**row, "human_verdict": None, "human_consistency": None, "decided_by": "judge only"})


def test_exported_preferences() -> None:
    row = {
        "image": {"bytes": png(), "path": "0123.png"},
        "image_sha256": "0" * 64,
        "question": "What is it?",
        "text_a": "a cat",
        "text_b": "a dog",
        "final_text": "a dog",
        "final_text_source": "original",
        "decided_by": "human",
        "human_preference": "B",
        "judge_preference": "A",
        "fingerprint": "demo-1",
        "task_id": 12,
    }
    pair = LabelledPair(
        name="12",
        kind="labelled blind",
        pictures=(Picture(content=png()),),
        context="What is it?",
        first=Candidate("a cat"),
        second=Candidate("a dog"),
        preferred=0.0,
        id="12",
    )
    assert read(row) == ("export", pair)
    assert read({**row, "human_preference": "undecided", "question": ""})[1] == replace(pair, preferred=0.5, context="")
    with pytest.raises(RowError, match="no human label"):
        read({**row, "human_preference": None, "decided_by": "judge only"})


def test_vl_rewardbench() -> None:
    row = {
        "id": "RLHF-V-3",
        "query": "<image>\nWhat is it?",
        "response": ["good one", "bad one"],
        "image": {"bytes": png(), "path": None},
        "human_ranking": [0, 1],
        "models": ["", ""],
        "query_source": "RLHF-V",
    }
    expected = LabelledPair(
        "RLHF-V-3",
        "hallucination",
        (Picture(content=png()),),
        "What is it?",
        Candidate("good one"),
        Candidate("bad one"),
        preferred=1.0,
    )
    assert read(row) == ("vl-rewardbench", expected)
    second = read({**row, "human_ranking": [1, 0]})[1]
    assert isinstance(second, LabelledPair)
    assert second.preferred == 0.0
    with pytest.raises(RowError, match="human_ranking"):
        read({**row, "human_ranking": [1]})
    with pytest.raises(RowError, match="human_ranking"):
        read({**row, "human_ranking": ["first", None]})


def test_multimodal_rewardbench_2_from_the_hub() -> None:
    row = {
        "pair_id": "p1",
        "prompt_source": "blink",
        "prompt_text": "Look: <image_1> Which?",
        "prompt_images": [{"bytes": png(), "path": None}],
        "response_a_text": "Left.",
        "response_a_images": [],
        "response_b_text": "Right <image_1>",
        "response_b_images": [{"bytes": png((1, 1, 1)), "path": None}],
        "chosen": "B",
    }
    assert read(row) == (
        "mmrb2",
        LabelledPair(
            "p1",
            "blink",
            (Picture(content=png()),),
            "Look: [image] Which?",
            Candidate("Left."),
            Candidate("Right [image]", (Picture(content=png((1, 1, 1))),)),
            preferred=0.0,
        ),
    )


def test_multimodal_rewardbench_2_from_its_repository(tmp_path: Path) -> None:
    pair = {
        "pair_id": "p2",
        "prompt_source": "wise",
        "prompt_content": [["text", "Draw a cat"]],
        "response_a": {"model": "m", "response_content": [["image", "images/a.jpg"]]},
        "response_b": {"model": "n", "response_content": [["image", "images/b.jpg"]]},
        "chosen": "A",
    }
    (tmp_path / "t2i.json").write_text(json.dumps({"pairs": [pair]}))
    opened = open_table(Source(str(tmp_path / "t2i.json")))
    [row] = opened.rows()
    assert not isinstance(row, RowError)
    form = choose_format(opened, None)
    assert (form.name, form.reader(row, "1", opened.folder)) == (
        "mmrb2",
        LabelledPair(
            "p2",
            "wise",
            (),
            "Draw a cat",
            Candidate("[image]", (Picture(path=tmp_path / "images/a.jpg"),)),
            Candidate("[image]", (Picture(path=tmp_path / "images/b.jpg"),)),
            preferred=1.0,
        ),
    )


def test_polaris() -> None:
    row = {"img": {"bytes": png(), "path": None}, "cand": "a cat", "refs": ["x"], "human_score": 0.75}
    assert read(row) == (
        "polaris",
        LabelledSample(
            "1", "", (Picture(content=png()),), (TextField("caption", "a cat"),), good=None, ratings={"rating": 4.0}
        ),
    )
    with pytest.raises(RowError, match="human_score"):
        read({**row, "human_score": 4.0})
    with pytest.raises(RowError, match="human_score"):
        read({**row, "human_score": "good"})


def test_labels_are_read_or_refused() -> None:
    assert [good_of("v", value) for value in ("Accept", True, 1, 1.0, ["good"])] == [True] * 5
    assert [good_of("v", value) for value in ("fix", "reject", False, 0)] == [False] * 4
    assert [preferred_of("p", value) for value in ("a", "Second", 1, "both")] == [1.0, 0.0, 1.0, 0.5]
    assert rating_of("r", "3.5") == 3.5
    for reader, value in ((good_of, "maybe"), (preferred_of, 0), (rating_of, 6), (rating_of, "good")):
        with pytest.raises(RowError):
            reader("x", value)


def test_pictures_are_found_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "here.png").write_bytes(png())
    uri = "data:image/png;base64," + base64.b64encode(png()).decode()
    assert pictures_of([uri, "here.png", str(tmp_path / "here.png"), "/data/upload/1/a.png"], tmp_path) == (
        Picture(address=uri),
        Picture(path=tmp_path / "here.png"),
        Picture(path=tmp_path / "here.png"),
        Picture(address="/data/upload/1/a.png"),
    )
    with pytest.raises(RowError, match="not on this machine"):
        pictures_of("here.png", None)
    with pytest.raises(RowError, match="no image"):
        pictures_of({"bytes": None, "path": None}, tmp_path)


ROWS = [
    {"image": "a.png", "caption": "one\nline", "verdict": "accept"},
    {"image": "b.png", "caption": "two\u2028ends", "verdict": "reject"},
]


def write_jsonl(path: Path) -> None:
    path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")


def write_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS))


def write_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)


def write_parquet(path: Path) -> None:
    write: Any = pyarrow.parquet.write_table
    write(pyarrow.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [("d.jsonl", write_jsonl), ("d.json", write_json), ("d.csv", write_csv), ("d.parquet", write_parquet)],
)
def test_files_of_every_kind_give_the_same_rows(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name)
    opened = open_table(Source(str(tmp_path / name)))
    assert (opened.folder, opened.columns, opened.count) == (tmp_path, frozenset(ROWS[0]), 2)
    assert list(opened.rows()) == ROWS


def test_lines_that_cannot_be_read_are_rows_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"image": "a"}\n{broken\n[1]\n')
    first, second, third = open_table(Source(str(path))).rows()
    assert first == {"image": "a"}
    assert isinstance(second, RowError)
    assert second.reason == "not valid JSON"
    assert isinstance(third, RowError)
    assert third.reason == "not a JSON object"


def test_a_folder_that_datasets_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images by their stored bytes, class labels by their names, the test split before the others."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "caption": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["bad", "good"]),
        }
    )
    for split, label in (("train", 0), ("test", 1)):
        row = {"image": {"bytes": png(), "path": "a.png"}, "caption": "x", "label": label}
        data = datasets.Dataset.from_list([row], features=features)
        (tmp_path / "set" / "data").mkdir(parents=True, exist_ok=True)
        data.to_parquet(tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet")
    opened = open_table(Source(str(tmp_path / "set")))
    assert opened.name == f"{tmp_path / 'set'} (default, test)"
    assert list(opened.rows()) == [{"image": {"bytes": png(), "path": "a.png"}, "caption": "x", "label": "good"}]
    [other] = open_table(Source(str(tmp_path / "set"), split="train")).rows()
    assert not isinstance(other, RowError)
    assert other["label"] == "bad"
    with pytest.raises(EvaluationError, match="cannot open the dataset"):
        open_table(Source(str(tmp_path / "set"), split="nowhere"))


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="is not there; give a file, a folder"):
        open_table(Source(str(tmp_path / "none.jsonl")))
    (tmp_path / "d.txt").write_text("x")
    with pytest.raises(EvaluationError, match=r"known are \.jsonl"):
        open_table(Source(str(tmp_path / "d.txt")))
    with pytest.raises(EvaluationError, match=r"no columns that are known.*it has a, b"):
        choose_format(table({"a": 1, "b": 2}), None)
    with pytest.raises(EvaluationError, match="not in the format polaris"):
        choose_format(table({"image": 1, "caption": 2, "verdict": 3}), "polaris")
