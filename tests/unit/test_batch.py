"""Judging a dataset in this process: what is written, what is gone on with, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from backend.batch.fields import HELD
from backend.batch.judgement import Judgement
from backend.batch.manifest import alone, read_manifest
from backend.batch.output import JudgedBatch
from backend.batch.run import BatchOptions, BatchRun, Told, judge_dataset
from backend.batch.shards import Journal, part_done, said_before, shard_path
from backend.errors import BatchError, VlmJudgeError
from backend.patience import Stop
from backend.settings import Settings
from tests.datasets_made import SCRIPTED, image, judged, own, png, prediction_of, rows, write_parquet

FINGERPRINT = prediction_of("A dog.", png(1))["model_version"]


def judge(source: Path, out: Path, **options: Any) -> BatchRun:
    return judge_dataset(SCRIPTED, BatchOptions(str(source), out, **{"part_rows": 4, **options}))


def counted(file: Path) -> int:
    return int(pyarrow.parquet.ParquetFile(file).metadata.num_rows)  # type: ignore[no-untyped-call]


def test_every_row_is_there_once_with_what_a_project_would_get(tmp_path: Path) -> None:
    found = rows(11)
    write_parquet(tmp_path / "in" / "a.parquet", found[:7])
    write_parquet(tmp_path / "in" / "b.parquet", found[7:])
    run = judge(tmp_path / "in", tmp_path / "out")
    assert dataclasses.asdict(run) == {
        "out": tmp_path / "out",
        "rows": 11,
        "judged": 11,
        "already": 0,
        "failed": 0,
        "away": 0,
        "fingerprint": FINGERPRINT,
        "interrupted": False,
    }
    written = judged(tmp_path / "out")
    assert own(written) == found
    assert [row["judge_row"] for row in written] == [
        *(f"a.parquet#{number}" for number in range(7)),
        *(f"b.parquet#{number}" for number in range(4)),
    ]
    expected = [prediction_of(row["caption"], row["image"]["bytes"], row["requested"]) for row in found]
    assert [json.loads(row["judge_prediction"]) for row in written] == expected
    assert [row["judge_confidence"] for row in written] == [item["score"] for item in expected]
    choices = [[r["value"]["choices"][0] for r in item["result"] if r["from_name"] == "verdict"] for item in expected]
    assert [[row["judge_decision"]] if row["judge_decision"] else [] for row in written] == choices
    assert {(row["judge_fingerprint"], row["judge_failure"]) for row in written} == {(FINGERPRINT, None)}


def test_parts_are_files_of_so_many_rows_that_never_span_two_files_of_the_data(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", rows(7))
    write_parquet(tmp_path / "in" / "b.parquet", rows(4, 7))
    judge(tmp_path / "in", tmp_path / "out", part_rows=3)
    files = sorted((tmp_path / "out" / "data").iterdir())
    assert [(path.name, counted(path)) for path in files] == [
        ("part-0000000.parquet", 3),
        ("part-0000001.parquet", 3),
        ("part-0000002.parquet", 1),
        ("part-0000003.parquet", 3),
        ("part-0000004.parquet", 1),
    ]
    assert list((tmp_path / "out" / ".journals").iterdir()) == []


def test_a_finished_output_is_left_as_it_is(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in.parquet", rows(6))
    judge(tmp_path / "in.parquet", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "data").iterdir()}
    run = judge(tmp_path / "in.parquet", tmp_path / "out", part_rows=None)
    assert (run.rows, run.judged, run.already) == (6, 0, 6)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "data").iterdir()} == before


def test_what_cannot_be_judged_says_why_and_the_others_are_judged(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = [
        {"image": image(1), "caption": "A dog."},
        {"image": {"bytes": b"no picture", "path": None}, "caption": "A dog."},
        {"image": {"bytes": None, "path": None}, "caption": "A dog."},
        {"image": image(2), "caption": None},
        {"image": {"bytes": None, "path": "../secret.png"}, "caption": "A dog."},
        {"image": {"bytes": None, "path": "beside.png"}, "caption": "A dog."},
    ]
    (tmp_path / "secret.png").write_bytes(png(3))
    write_parquet(tmp_path / "in" / "a.parquet", found)
    (tmp_path / "in" / "beside.png").write_bytes(png(4))
    run = judge(tmp_path / "in", tmp_path / "out")
    assert (run.rows, run.judged, run.failed, run.away) == (6, 2, 4, 0)
    written = judged(tmp_path / "out")
    assert [row["judge_failure"] for row in written] == [
        None,
        "`image`: the image in the row is not an image that can be read; use PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF",
        "has nothing in `image`, which the label config shows as an image",
        "has no text to judge in `caption`; give it one or delete the task",
        "`image`: ../secret.png is no file in the data's folder; put it there, or its bytes into the row",
        None,
    ]
    assert [row["judge_prediction"] is None for row in written] == [row["judge_failure"] is not None for row in written]
    assert json.loads(written[5]["judge_prediction"]) == prediction_of("A dog.", png(4))


def test_columns_are_renamed_lists_are_shown_and_all_else_travels_along(tmp_path: Path) -> None:
    found = [
        {"photo": image(n), "text": f"Dog {n}.", "wish": ["a dog", "snow"], "raw": b"\x00\xff", "deep": {"a": [n]}}
        for n in range(3)
    ]
    write_parquet(tmp_path / "in.parquet", found)
    judge(tmp_path / "in.parquet", tmp_path / "out", columns={"image": "photo", "caption": "text", "requested": "wish"})
    written = judged(tmp_path / "out")
    assert own(written) == found
    expected = [prediction_of(f"Dog {n}.", png(n), "a dog, snow") for n in range(3)]
    assert [json.loads(row["judge_prediction"]) for row in written] == expected
    [first, *_] = JudgedBatch(tmp_path / "out").rows()
    assert first.row.data == {
        "image": f"{HELD}image",
        "caption": "Dog 0.",
        "requested": "a dog, snow",
        "deep": {"a": [0]},
    }
    assert first.row.held == {f"{HELD}image": png(0)}


class StopsAfter(Stop):
    """Is asked to stop when so many rows are done."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def tell(self, done: int, total: int | None) -> None:
        self.asked = self.asked or done >= self.rows


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in.parquet", rows(200))
    stop = StopsAfter(70)
    options = BatchOptions(str(tmp_path / "in.parquet"), tmp_path / "out", part_rows=50)
    run = judge_dataset(SCRIPTED, options, Told(stop.tell), stop)
    assert run.interrupted
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert not manifest.complete
    with pytest.raises(BatchError, match="is not finished; give the `vlm-judge judge` command again"):
        JudgedBatch(tmp_path / "out")
    known = sum(len(said_before(tmp_path / "out", part)) for part in range(4))
    assert known >= 70
    again = judge_dataset(SCRIPTED, options)
    assert (again.rows, again.judged, again.already) == (200, 200 - known, known)
    assert own(judged(tmp_path / "out")) == rows(200)


def test_a_journal_is_believed_and_a_line_cut_short_is_not(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in.parquet", rows(4))
    stop = Stop()
    stop.asked = True
    options = BatchOptions(str(tmp_path / "in.parquet"), tmp_path / "out", part_rows=4)
    assert judge_dataset(SCRIPTED, options, stop=stop).rows == 0
    told = Judgement("in.parquet#2", "reject", 0.25, '{"result": [], "score": 0.25, "model_version": "x"}')
    with Journal(tmp_path / "out", 0) as journal:
        journal.add(told)
    path = tmp_path / "out" / ".journals" / "part-0000000.jsonl"
    with path.open("a") as file:
        file.write('["in.parquet#3", "acc')
    assert said_before(tmp_path / "out", 0) == {"in.parquet#2": told}
    with Journal(tmp_path / "out", 0) as journal:
        journal.add(dataclasses.replace(told, row="in.parquet#1"))
    assert sorted(said_before(tmp_path / "out", 0)) == ["in.parquet#1", "in.parquet#2"]
    run = judge_dataset(SCRIPTED, options)
    assert (run.rows, run.judged, run.already) == (4, 2, 2)
    assert [row["judge_decision"] for row in judged(tmp_path / "out")][1:3] == ["reject", "reject"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"caption": "requested"}}, "another --column: it was {} and is {'caption': 'requested'} now"),
        ({"part_rows": 5}, "another --part-rows: it was 4 and is 5 now"),
        ({"label_config": "two"}, "another label config; keep it as it was"),
        ({"engine": "demo"}, f"another judge: it was '{FINGERPRINT}' and is 'demo-"),
        ({"data": 5}, "another state of the data, which have changed since; keep"),
    ],
)
def test_an_output_is_not_gone_on_with_in_another_way(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    source = write_parquet(tmp_path / "in.parquet", [{**row, "requested": "a dog"} for row in rows(4)])
    judge(source, tmp_path / "out")
    settings = Settings(engine=change.pop("engine", "scripted"))
    if count := change.pop("data", None):
        write_parquet(source, rows(count))
    if change.get("label_config"):
        from backend.interfaces import default_label_config

        change["label_config"] = default_label_config() + "\n"
    options = BatchOptions(str(source), tmp_path / "out", **{"part_rows": 4, **change})
    with pytest.raises(BatchError) as raised:
        judge_dataset(settings, options)
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path / 'out'} was begun with another ")


def test_a_folder_that_is_not_ours_is_not_written_to(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in.parquet", rows(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("dear to somebody")
    with pytest.raises(BatchError, match="out is not empty and no output of this command"):
        judge(source, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "dear to somebody"


def test_an_output_inside_the_data_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", rows(1))
    with pytest.raises(BatchError, match="lies in the data that are to be judged; choose an --out outside of them"):
        judge(tmp_path / "in", tmp_path / "in" / "out")


def test_two_processes_do_not_judge_into_one_folder(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in.parquet", rows(1))
    with alone(tmp_path / "out"), pytest.raises(BatchError, match="another process is judging into"):
        judge(source, tmp_path / "out")
    assert judge(source, tmp_path / "out").rows == 1


def test_columns_that_are_lacking_are_named(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in.parquet", [{"image": image(1), "text": "A dog."}])
    with pytest.raises(BatchError) as raised:
        judge(source, tmp_path / "out")
    assert str(raised.value) == (
        "the label config shows caption, and the data have only image, text; say which column it is with --column "
        "caption=COLUMN, or give another --label-config"
    )
    with pytest.raises(BatchError, match="the data have no column words, only image, text; mend --column"):
        judge(source, tmp_path / "out", columns={"caption": "words"})


def test_an_output_is_not_judged_again_as_if_it_were_data(tmp_path: Path) -> None:
    judge(write_parquet(tmp_path / "in.parquet", rows(1)), tmp_path / "out")
    with pytest.raises(BatchError, match=r"the data have columns judge_confidence, judge_decision, .* as if judged"):
        judge(tmp_path / "out" / "data", tmp_path / "again")


def test_what_a_killed_run_was_writing_is_cleared_away(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in.parquet", rows(4))
    judge(source, tmp_path / "out")
    draft = tmp_path / "out" / "data" / ".part-0000000-abc.writing"
    draft.write_bytes(b"PAR1 half")
    os.remove(shard_path(tmp_path / "out", 0))
    judge(source, tmp_path / "out")
    assert not draft.exists()
    assert part_done(shard_path(tmp_path / "out", 0)) is not None


def test_a_journal_whose_part_was_done_is_cleared_away(tmp_path: Path) -> None:
    """As a run leaves it that is killed between the two."""
    source = write_parquet(tmp_path / "in.parquet", rows(4))
    judge(source, tmp_path / "out")
    with Journal(tmp_path / "out", 0) as journal:
        journal.add(Judgement("in.parquet#0", "reject"))
    run = judge(source, tmp_path / "out")
    assert (run.rows, run.judged, run.already) == (4, 0, 4)
    assert list((tmp_path / "out" / ".journals").iterdir()) == []


def test_a_file_that_is_not_ours_among_the_verdicts_is_named(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in.parquet", rows(8))
    judge(source, tmp_path / "out")
    write_parquet(shard_path(tmp_path / "out", 1), rows(2))
    with pytest.raises(BatchError, match=r"part-0000001.parquet is no file of this command .* move it away"):
        judge(source, tmp_path / "out")


def test_load_dataset_opens_the_output_with_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png(1))
    (tmp_path / "in" / "a.txt").write_text("A dog.\n")
    judge(tmp_path / "in", tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["image"].size for row in loaded] == [(8, 6)]
    assert loaded["judge_row"][:] == ["a.png"]


def test_the_errors_are_told_as_sentences() -> None:
    assert issubclass(BatchError, VlmJudgeError)
