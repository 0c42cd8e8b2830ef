"""What datasets are read from: Parquet files, folders of images with texts, saved datasets; row by row as stored."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from backend.batch.parquet import ParquetReader, parquet_source
from backend.batch.parts import Part, Source
from backend.batch.sources import SourceOptions, open_source
from backend.errors import BatchError
from tests.datasets_made import image, png, rows, write_parquet


def opened(location: Path, **options: Any) -> Source:
    return open_source(str(location), SourceOptions(text_column="caption", **options))


def read(source: Source, size: int) -> list[tuple[str, dict[str, Any]]]:
    """All rows with their ids, read as another machine would: by a reader that was pickled."""
    reader = pickle.loads(pickle.dumps(source.reader))
    chunks = [chunk for part in source.parts(size) for chunk in reader.chunks(part)]
    assert all(chunk.table.schema.equals(source.reader.schema) for chunk in chunks)
    return [pair for chunk in chunks for pair in zip(chunk.ids, chunk.table.to_pylist(), strict=True)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("group", [1, 3, 100])
def test_rows_of_parquet_are_the_same_however_they_are_parted(tmp_path: Path, size: int, group: int) -> None:
    found = rows(11)
    write_parquet(tmp_path / "deep" / "a.parquet", found[:7], group)
    write_parquet(tmp_path / "b.parquet", found[7:], group)
    write_parquet(tmp_path / ".hidden" / "c.parquet", found, group)
    source = opened(tmp_path)
    assert source.rows == 11
    assert read(source, size) == [
        *((f"b.parquet#{number}", row) for number, row in enumerate(found[7:])),
        *((f"deep/a.parquet#{number}", row) for number, row in enumerate(found[:7])),
    ]
    assert [part.number for part in source.parts(size)] == list(range(-(-7 // size) + -(-4 // size)))


def test_columns_that_a_file_lacks_are_null_there(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"caption": "A dog.", "weight": 1}])
    write_parquet(tmp_path / "b.parquet", [{"caption": None, "colour": "red"}])
    assert read(opened(tmp_path), 10) == [
        ("a.parquet#0", {"caption": "A dog.", "weight": 1, "colour": None}),
        ("b.parquet#0", {"caption": None, "weight": None, "colour": "red"}),
    ]
    write_parquet(tmp_path / "c.parquet", [{"caption": 5}])
    with pytest.raises(BatchError, match=r"have columns of the same name and different types: .*caption"):
        opened(tmp_path)


def test_what_datasets_knows_of_the_columns_is_kept(tmp_path: Path) -> None:
    from datasets import Dataset, Features, Image, Value

    features = Features({"image": Image(), "caption": Value("string")})
    Dataset.from_dict({"image": [image(1)], "caption": ["A dog."]}, features=features).to_parquet(
        tmp_path / "a.parquet"
    )
    source = opened(tmp_path / "a.parquet")
    kept = json.loads(source.reader.schema.metadata[b"huggingface"])
    assert kept["info"]["features"]["image"] == {"_type": "Image"}
    assert read(source, 1) == [("a.parquet#0", {"image": image(1), "caption": "A dog."})]


def test_the_mark_changes_with_the_data_and_not_with_their_place(tmp_path: Path) -> None:
    for name, count in (("one", 3), ("two", 3), ("three", 4)):
        write_parquet(tmp_path / name / "a.parquet", rows(count))
    one, two, three = (opened(tmp_path / name).mark for name in ("one", "two", "three"))
    assert one == two != three


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(BatchError, match=r"cannot read .*a\.parquet: "):
        opened(tmp_path)


def test_a_hub_that_is_away_ends_the_reading_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    place = f"hf://datasets/me/photos@{'0' * 40}/"
    path = f"{place}a.parquet"
    with pytest.raises(BatchError, match=rf"cannot read {path}: .*refused"):
        parquet_source("me/photos", (path,), place, place)
    reader = ParquetReader(pyarrow.schema([]), place)
    with pytest.raises(BatchError, match=rf"cannot read {path}: .*refused; give the command again, and it goes on"):
        list(reader.chunks(Part(0, (path,), 0, 1)))


def test_images_of_a_folder_have_their_texts_from_beside_them(tmp_path: Path) -> None:
    for number, name in enumerate(("b.png", "deep/a.PNG", "plain.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(number))
    (tmp_path / "b.txt").write_text("\ufeffLöwe.\n", encoding="utf-8")
    (tmp_path / "deep" / "a.txt").write_text("A dog.", encoding="utf-8")
    source = opened(tmp_path)
    assert source.rows == 3
    assert read(source, 2) == [
        ("b.png", {"image": {"bytes": png(0), "path": "b.png"}, "caption": "Löwe."}),
        ("deep/a.PNG", {"image": {"bytes": png(1), "path": "deep/a.PNG"}, "caption": "A dog."}),
        ("plain.png", {"image": {"bytes": png(2), "path": "plain.png"}, "caption": None}),
    ]
    assert json.loads(source.reader.schema.metadata[b"huggingface"]) == {
        "info": {"features": {"image": {"_type": "Image"}}}
    }


def test_the_mark_of_a_folder_changes_with_its_images_and_texts(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(0))
    marks = [opened(tmp_path).mark, opened(tmp_path).mark]
    (tmp_path / "a.txt").write_text("A dog.")
    marks.append(opened(tmp_path).mark)
    (tmp_path / "a.png").write_bytes(png(0) + b"more")
    marks.append(opened(tmp_path).mark)
    assert (marks[0] == marks[1], len(set(marks))) == (True, 3)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "metadata.jsonl",
            '{"file_name": "b.png", "caption": "A cat.", "requested": "cat"}\n\n{"file_name": "a.png"}\n',
        ),
        ("metadata.csv", "file_name,caption,requested\nb.png,A cat.,cat\na.png,,\n"),
    ],
)
def test_images_of_a_folder_have_their_texts_from_its_table(tmp_path: Path, name: str, text: str) -> None:
    for number, file in enumerate(("a.png", "b.png")):
        (tmp_path / file).write_bytes(png(number))
    (tmp_path / name).write_text(text)
    empty = "" if name.endswith("csv") else None
    assert read(opened(tmp_path), 10) == [
        ("a.png", {"image": {"bytes": png(0), "path": "a.png"}, "caption": empty, "requested": empty}),
        ("b.png", {"image": {"bytes": png(1), "path": "b.png"}, "caption": "A cat.", "requested": "cat"}),
    ]


def test_a_column_that_the_first_line_of_the_table_lacks_is_read(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(1))
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png"}\n{"file_name": "b.png", "caption": "A dog."}\n')
    found = [(name, row["caption"]) for name, row in read(opened(tmp_path), 10)]
    assert found == [("a.png", None), ("b.png", "A dog.")]


def test_a_line_of_the_table_with_more_fields_than_columns_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.png,A dog, brown.\n")
    with pytest.raises(BatchError, match=r"metadata.csv, row 1 has more fields than columns; put .* quotes"):
        opened(tmp_path)


def test_a_table_that_names_an_image_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "A.png"}\n')
    with pytest.raises(BatchError, match=r"metadata.jsonl, row 1: `file_name` is 'A.png', which is no image in"):
        opened(tmp_path)
    (tmp_path / "metadata.jsonl").write_text("[1]\n")
    with pytest.raises(BatchError, match=r"metadata.jsonl, line 1: expected an object, found '\[1\]'"):
        opened(tmp_path)


def test_a_file_beyond_the_limit_is_not_read_into_memory(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(0))
    assert read(opened(tmp_path, max_image_bytes=10), 1) == [("a.png", {"image": {"bytes": None, "path": "a.png"}})]


def test_a_saved_dataset_is_read_by_its_numbers(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    found = {"caption": [f"Dog {number}." for number in range(5)]}
    Dataset.from_dict(found).save_to_disk(tmp_path / "plain")
    DatasetDict({"test": Dataset.from_dict(found)}).save_to_disk(str(tmp_path / "parted"))
    expected = [(f"train#{number}", {"caption": f"Dog {number}."}) for number in range(5)]
    assert read(opened(tmp_path / "plain"), 2) == expected
    renamed = [(name.replace("train", "test"), row) for name, row in expected]
    assert read(opened(tmp_path / "parted", split="test"), 2) == renamed
    with pytest.raises(BatchError, match="has no split train, only test; choose with --split"):
        opened(tmp_path / "parted")


@pytest.mark.parametrize("location", ["nowhere/at/all", "tasks.json", ".hidden"])
def test_what_is_no_dataset_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "tasks.json").write_text("[]")
    with pytest.raises(BatchError, match="is not there, or no data that can be judged; give a Parquet file"):
        opened(tmp_path / location)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="holds no images and no Parquet files"):
        opened(tmp_path)


def test_large_rows_are_read_few_at_a_time(tmp_path: Path) -> None:
    table = pyarrow.table({"blob": [bytes([number]) * 2**20 for number in range(96)]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", use_dictionary=False)  # type: ignore[no-untyped-call]
    source = opened(tmp_path / "a.parquet")
    sizes = [len(chunk.ids) for part in source.parts(1000) for chunk in source.reader.chunks(part)]
    assert sum(sizes) == 96
    assert max(sizes) <= 32
