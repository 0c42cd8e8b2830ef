"""The other ways out of an export say what its Parquet files say, and are read by those who know these formats."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.errors import ExportError
from exporters.exits.webdataset import write_webdataset
from exporters.exits.writing import exported_splits, write_exits
from tests.datasets_made import image, png

SPAN = {"start": 2, "end": 5, "text": "dog", "label": "Unsupported"}


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, 0, 7)).save(buffer, "JPEG")
    return buffer.getvalue()


def row(number: int) -> dict[str, Any]:
    return {
        "image": image(number) if number else None,
        "caption": f"Dog {number}.\u2028Next",
        "stars": number if number else None,
        "sure": number / 4,
        "audit": number % 2 == 1,
        "unsupported": [SPAN] * number,
        "flaws": None if number == 1 else ["noise"] * number,
        "kind": [["animal", "dog"]],
    }


SFT_ROWS = [
    {
        "images": [image(1), {"bytes": jpeg(9), "path": "9.jpg"}],
        "messages": [{"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "Say."}]}],
    }
]
CARD = """---
pretty_name: Dots_1 & *more*
license: cc0-1.0
---

# Dots\\_1 \\& \\*more\\*

Image-text pairs that a model judged
and people reviewed.

## More
"""


def write(folder: Path, config: str, split: str, shards: Sequence[Sequence[Mapping[str, Any]]], features: Any) -> None:
    """As `exporters.files.build` writes and names the files."""
    from datasets import Dataset

    (folder / "data" / config).mkdir(parents=True, exist_ok=True)
    for number, found in enumerate(shards):
        name = f"{split}-{number:05d}-of-{len(shards):05d}-0123abcd.parquet"
        Dataset.from_list(list(found), features=features).to_parquet(folder / "data" / config / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small export: `all` with two splits, of which one has two files, and `sft`."""
    from datasets import Features, List, Value
    from datasets import Image as ImageFeature

    text, real = Value("string"), Value("float64")
    span = {"start": Value("int32"), "end": Value("int32"), "text": text, "label": text}
    every = Features(
        {
            "image": ImageFeature(),
            "caption": text,
            "stars": Value("int8"),
            "sure": real,
            "audit": Value("bool"),
            "unsupported": List(span),
            "flaws": List(text),
            "kind": List(List(text)),
        }
    )
    sft = Features(
        {
            "images": List(ImageFeature()),
            "messages": List({"role": text, "content": List({"type": text, "text": text})}),
        }
    )
    out = tmp_path / "export"
    write(out, "all", "train", [[row(1), row(2)], [row(3)]], every)
    write(out, "all", "test", [[row(0), row(1)]], every)
    write(out, "sft", "train", [SFT_ROWS], sft)
    (out / "README.md").write_text(CARD, encoding="utf-8")
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".parquet"
    }


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def place(content: bytes, ending: str = "png") -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"images/{digest[:2]}/{digest}.{ending}"


def test_lines_name_their_images(folder: Path) -> None:
    write_exits(folder, ["jsonl"])
    out = folder / "jsonl"
    assert lines(out / "all" / "train.jsonl") == [{**row(n), "image": place(png(n))} for n in (1, 2, 3)]
    assert lines(out / "all" / "test.jsonl") == [row(0), {**row(1), "image": place(png(1))}]
    [only] = lines(out / "sft" / "train.jsonl")
    assert only == {**SFT_ROWS[0], "images": [place(png(1)), place(jpeg(9), "jpeg")]}
    assert {path.relative_to(out).as_posix(): path.read_bytes() for path in (out / "images").glob("*/*")} == {
        place(content, ending): content
        for content, ending in ((png(1), "png"), (png(2), "png"), (png(3), "png"), (jpeg(9), "jpeg"))
    }


def test_lines_are_loaded_by_datasets(folder: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    write_exits(folder, ["jsonl"])
    path = str(folder / "jsonl" / "all" / "train.jsonl")
    loaded = load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["unsupported"][:] == [[SPAN] * n for n in (1, 2, 3)]
    assert loaded["caption"][:] == [f"Dog {n}.\u2028Next" for n in (1, 2, 3)]


def members(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        opened = [(entry.name, archive.extractfile(entry)) for entry in archive.getmembers()]
        return [(name, file.read()) for name, file in opened if file is not None]


def test_archives_hold_rows_with_their_images(folder: Path) -> None:
    write_exits(folder, ["webdataset"])
    out = folder / "webdataset"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.tar")) == [
        "all/test-00000.tar",
        "all/train-00000.tar",
        "sft/train-00000.tar",
    ]
    found = members(out / "all" / "test-00000.tar")
    assert [name for name, _ in found] == ["000000000.json", "000000001.json", "000000001.png"]
    assert json.loads(found[0][1]) == row(0)
    assert json.loads(found[1][1]) == {**row(1), "image": "000000001.png"}
    assert found[2][1] == png(1)
    [(_, line), *images] = members(out / "sft" / "train-00000.tar")
    assert images == [("000000000.0.png", png(1)), ("000000000.1.jpeg", jpeg(9))]
    assert json.loads(line)["images"] == ["000000000.0.png", "000000000.1.jpeg"]


def test_archives_are_closed_when_they_are_full(folder: Path) -> None:
    """A row takes 512 bytes of head and 512 or 1,024 of content for each of its files: at least 2,048 together."""
    write_webdataset(folder, exported_splits(folder), max_shard_bytes=2_048)
    out = folder / "webdataset" / "all"
    names = [[name for name, _ in members(out / f"train-{shard:05d}.tar")] for shard in range(3)]
    assert names == [[f"00000000{n}.json", f"00000000{n}.png"] for n in range(3)]
    assert not (out / "train-00003.tar").exists()


def test_archives_are_loaded_by_datasets(folder: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    write_exits(folder, ["webdataset"])
    path = str(folder / "webdataset" / "all" / "train-00000.tar")
    loaded = load_dataset("webdataset", data_files={"train": path}, split="train", cache_dir=str(tmp_path / "cache"))
    assert [found["json"]["caption"] for found in loaded] == [f"Dog {n}.\u2028Next" for n in (1, 2, 3)]
    assert [found["png"].tobytes() for found in loaded] == [
        Image.open(io.BytesIO(png(n))).convert("RGB").tobytes() for n in (1, 2, 3)
    ]


def test_croissant_is_valid_and_reads_the_rows(folder: Path) -> None:
    import mlcroissant

    write_exits(folder, ["croissant"])
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert dataset.metadata.ctx.issues.errors == set()
    told = dataset.metadata
    assert (told.name, told.license) == ("Dots_1 & *more*", ["cc0-1.0"])
    assert told.description == "Image-text pairs that a model judged and people reviewed."
    assert {one.id: [field.id.removeprefix(f"{one.id}/") for field in one.fields] for one in told.record_sets} == {
        "all": ["split", "image", "caption", "stars", "sure", "audit", "unsupported", "flaws", "kind"],
        "sft": ["split", "images", "messages"],
    }
    records = {
        (found["all/split"], found["all/caption"].decode()): found for found in dataset.records(record_set="all")
    }
    assert set(records) == {
        (split, f"Dog {n}.\u2028Next")
        for split, n in ((b"train", 1), (b"train", 2), (b"train", 3), (b"test", 0), (b"test", 1))
    }
    second = records[b"train", "Dog 2.\u2028Next"]
    assert second["all/image"].tobytes() == Image.open(io.BytesIO(png(2))).tobytes()
    assert (second["all/stars"], second["all/sure"], second["all/audit"]) == (2, 0.5, False)
    assert second["all/unsupported"] == [
        {
            "all/unsupported/start": 2,
            "all/unsupported/end": 5,
            "all/unsupported/text": b"dog",
            "all/unsupported/label": b"Unsupported",
        }
    ] * 2  # fmt: skip
    assert second["all/flaws"] == [b"noise", b"noise"]
    assert records[b"test", "Dog 0.\u2028Next"]["all/image"] is None
    [sft] = dataset.records(record_set="sft")
    assert [found.tobytes() for found in sft["sft/images"]] == [
        Image.open(io.BytesIO(content)).tobytes() for content in (png(1), jpeg(9))
    ]


def test_the_same_rows_give_the_same_bytes(folder: Path) -> None:
    write_exits(folder, ["jsonl", "webdataset", "croissant"])
    first = files(folder)
    write_exits(folder, ["croissant", "webdataset", "jsonl", "jsonl"])
    assert files(folder) == first
    assert {name.split("/")[0] for name in first} == {"README.md", "jsonl", "webdataset", "croissant.json"}


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=re.escape(f"{tmp_path} holds no Parquet files of an export")):
        write_exits(tmp_path, ["jsonl"])
    (tmp_path / "data" / "all").mkdir(parents=True)
    (tmp_path / "data" / "all" / "train-00000-of-00001.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ExportError, match=r"^cannot read .*train-00000-of-00001.parquet: "):
        write_exits(tmp_path, ["jsonl"])


def test_files_right_in_data_are_of_the_default_config(folder: Path) -> None:
    for path in (folder / "data" / "sft").iterdir():
        path.rename(folder / "data" / path.name)
    assert [(split.config, split.name, len(split.files)) for split in exported_splits(folder)] == [
        ("all", "test", 1),
        ("all", "train", 2),
        ("default", "train", 1),
    ]
