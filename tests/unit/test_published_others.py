"""Published datasets are opened by config and split, and anybody's rows become tasks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from backend.batch.arriving import Arrival
from backend.batch.parts import Chunk, Source
from backend.core.label_config import parse_label_config
from backend.errors import BatchError
from backend.published.opening import Wanted, open_published
from backend.published.others import OtherRows
from tests.datasets_made import CONFIG, image, png, write_parquet

TWO = parse_label_config(
    """<View><Image name="image" value="$shot"/><Text name="question" value="$question"/>
  <Text name="answer" value="$answer"/>
  <Choices name="verdict" toName="answer"><Choice value="accept"/></Choices></View>"""
)


def chunks(source: Source) -> list[Chunk]:
    return [chunk for part in source.parts(2) for chunk in source.reader.chunks(part)]


def captions(folder: Path, **wanted: Any) -> dict[str, Any]:
    """By row, its caption."""
    published = open_published(Wanted(str(folder), **wanted))
    return {
        name: row["caption"]
        for source in published.sources
        for chunk in chunks(source)
        for name, row in zip(chunk.ids, chunk.table.to_pylist(), strict=True)
    }


def arrivals(folder: Path, config: Any = CONFIG, columns: dict[str, str] | None = None, **wanted: Any) -> list[Arrival]:
    published = open_published(Wanted(str(folder), **wanted))
    rows = OtherRows(config, published.schema, "their data", columns or {})
    return [arrival for source in published.sources for arrival in rows.arrivals(chunks(source))]


def configured(folder: Path, *configs: str, text: str = "caption", **more: Any) -> Path:
    """A dataset with these configs, two splits each, as a card describes them."""
    card = "---\nconfigs:\n"
    for config in configs:
        card += f"- config_name: {config}\n  data_files:\n"
        for split, count in (("train", 2), ("test", 1)):
            found = [{"image": image(n), text: f"{config} {split} {n}", **more} for n in range(count)]
            write_parquet(folder / "data" / config / f"{split}-00000-of-00001.parquet", found)
            card += f"  - split: {split}\n    path: data/{config}/{split}-*.parquet\n"
    (folder / "README.md").write_text(f"{card}---\n# Theirs\n", encoding="utf-8")
    return folder


def test_all_splits_are_read_unless_one_is_named(tmp_path: Path) -> None:
    configured(tmp_path, "default", "other")
    train = {f"data/default/train-00000-of-00001.parquet#{n}": f"default train {n}" for n in range(2)}
    test = {"data/default/test-00000-of-00001.parquet#0": "default test 0"}
    assert captions(tmp_path) == {**train, **test}
    assert captions(tmp_path, split="test") == test
    assert set(captions(tmp_path, config="other").values()) == {"other train 0", "other train 1", "other test 0"}
    assert open_published(Wanted(str(tmp_path))).rows == 3
    with pytest.raises(BatchError, match=rf"^{tmp_path} has no split dev, only train, test; choose with --split$"):
        captions(tmp_path, split="dev")
    with pytest.raises(
        BatchError, match=rf"^{tmp_path} has no config none, only default, other; choose one with --config-name$"
    ):
        captions(tmp_path, config="none")


def test_which_of_several_configs_is_meant_must_be_said(tmp_path: Path) -> None:
    configured(tmp_path, "one", "two")
    with pytest.raises(BatchError, match=rf"^{tmp_path} has several configs, one, two; choose one with --config-name$"):
        captions(tmp_path)


def test_everything_is_taken_of_ours_and_the_default_of_others(tmp_path: Path) -> None:
    marks: Any = {"task_id": 1, "decided_by": "human", "saw_prediction": True, "audit": False, "fingerprint": "judge-1"}
    ours = open_published(
        Wanted(str(configured(tmp_path / "ours", "default", "all", corrected_controls=["verdict"], **marks)))
    )
    assert (ours.config, ours.is_ours) == ("all", True)
    theirs = open_published(Wanted(str(configured(tmp_path / "theirs", "default", "all"))))
    assert (theirs.config, theirs.is_ours) == ("default", False)
    alone = open_published(Wanted(str(configured(tmp_path / "alone", "all", "more"))))
    assert (alone.config, alone.is_ours) == ("all", False)


def test_saved_datasets_and_folders_of_images_are_opened_too(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    parts = {split: Dataset.from_dict({"caption": [f"{split} dog."]}) for split in ("train", "test")}
    DatasetDict(parts).save_to_disk(tmp_path / "saved")
    assert captions(tmp_path / "saved") == {"train#0": "train dog.", "test#0": "test dog."}
    assert captions(tmp_path / "saved", split="test") == {"test#0": "test dog."}
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png(1))
    (tmp_path / "images" / "a.txt").write_text("A dog.")
    [arrival] = arrivals(tmp_path / "images", text_column="caption")
    assert arrival.row.data == {"image": "held:image", "caption": "A dog."}
    assert arrival.row.held == {"held:image": png(1)}
    with pytest.raises(BatchError, match="has no configs; leave --config-name out"):
        captions(tmp_path / "images", config="all")
    with pytest.raises(BatchError, match="has no splits; leave --split out"):
        captions(tmp_path / "images", split="train")


def test_columns_are_known_by_type_and_name_and_single_values_ride_along(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Image, List, Value

    features = Features(
        {
            "shot": Image(),
            "text": Value("string"),
            "style": ClassLabel(names=["plain", "poem"]),
            "score": Value("float32"),
            "seen": Value("bool"),
            "tags": List(Value("string")),
            "mask": Value("binary"),
        }
    )
    rows = {
        "shot": [image(1), image(2)],
        "text": ["A dog.", None],
        "style": [1, None],
        "score": [0.5, float("nan")],
        "seen": [True, None],
        "tags": [["a"], []],
        "mask": [b"0", b"1"],
    }
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    first, second = arrivals(tmp_path)
    assert first == Arrival(first.row)
    assert (first.row.id, second.row.id) == ("train.parquet#0", "train.parquet#1")
    assert first.row.data == {
        "image": "held:image",
        "caption": "A dog.",
        "style": "poem",
        "score": 0.5,
        "seen": True,
    }
    assert second.row.data == {"image": "held:image", "caption": None, "style": None, "score": None, "seen": None}


def test_columns_can_be_named(tmp_path: Path) -> None:
    found = [{"left": image(1), "right": image(2), "q": "What?", "answer": "A dog.", "text": "Other."}]
    write_parquet(tmp_path / "train.parquet", found)
    [arrival] = arrivals(tmp_path, TWO, {"shot": "right", "question": "q"})
    assert arrival.row.data == {"shot": "held:shot", "question": "What?", "answer": "A dog.", "text": "Other."}
    assert arrival.row.held == {"held:shot": png(2)}


@pytest.mark.parametrize(
    ("columns", "config", "message"),
    [
        ({"image": "photo"}, CONFIG, "their data has no column photo, only picture, words, number"),
        (
            {},
            CONFIG,
            "the label config shows caption, and their data has no column that is known for it, only picture, words, "
            "number; name it with --text-column, or give another label config by --config",
        ),
        ({"answer": "words"}, TWO, "has no column that is known for it, only picture, words, number; name it with "
         "--column question=COLUMN, or give another label config by --config"),
        ({"caption": "number"}, CONFIG, "the column number of their data holds no texts but int64; choose another"),
    ],
)  # fmt: skip
def test_what_is_not_found_is_named_with_what_there_is(
    tmp_path: Path, columns: dict[str, str], config: Any, message: str
) -> None:
    write_parquet(tmp_path / "train.parquet", [{"picture": image(1), "words": "A dog.", "number": 5}])
    with pytest.raises(BatchError, match=re.escape(message)):
        arrivals(tmp_path, config, columns)


def test_an_image_that_is_not_found_is_asked_for(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [{"file": "https://example.org/1.png", "text": "A dog."}])
    with pytest.raises(
        BatchError, match=r"the label config shows image, .* only file, text; name it with --image-column"
    ):
        arrivals(tmp_path)
    [arrival] = arrivals(tmp_path, columns={"image": "file"})
    assert arrival.row.data == {"image": "https://example.org/1.png", "caption": "A dog."}


def test_splits_must_be_alike(tmp_path: Path) -> None:
    configured(tmp_path, "default")
    write_parquet(tmp_path / "data" / "default" / "test-00000-of-00001.parquet", [{"words": "A dog."}])
    with pytest.raises(BatchError, match=r"the splits of .* have different columns; choose one with --split"):
        open_published(Wanted(str(tmp_path)))
