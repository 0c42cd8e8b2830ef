"""A judged dataset exported straight away: the dataset of a project that no person has seen."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from datasets import load_dataset
from PIL import Image

from backend.batch.run import BatchOptions, judge_dataset
from backend.cli import main
from backend.errors import BatchError, ExportError, ImageError
from backend.settings import Settings
from exporters.batch import BatchSource
from exporters.export import export_batch
from exporters.options import ExportOptions
from exporters.records.splits import parse_shares
from tests.datasets_made import SCRIPTED, image, png, prediction_of, write_parquet

CONFIG = """<View>
  <Image name="image" value="$image"/><Image name="more" valueList="$more"/><Text name="caption" value="$caption"/>
  <Rating name="consistency" toName="caption"/>
  <Choices name="verdict" toName="caption">
    <Choice value="accept"/><Choice value="fix"/><Choice value="reject"/>
  </Choices>
</View>"""


def rows_of(folder: Path, cache: Path) -> list[dict[str, Any]]:
    loaded = load_dataset(str(folder), "all", split="train", cache_dir=str(cache)).with_format("arrow")
    found: list[dict[str, Any]] = loaded[:].to_pylist()
    return found


def test_the_judge_decided_and_no_person_saw_it(tmp_path: Path) -> None:
    found = [{"image": image(n), "caption": f"Dog {n}.", "requested": None} for n in range(3)]
    found.append({"image": {"bytes": b"no picture", "path": None}, "caption": "A dog.", "requested": None})
    write_parquet(tmp_path / "in.parquet", found)
    judge_dataset(SCRIPTED, BatchOptions(str(tmp_path / "in.parquet"), tmp_path / "judged"))
    summary = export_batch(Settings(), tmp_path / "judged", tmp_path / "dataset", allow_missing=True)
    assert summary.lines()[:2] == ("4 tasks = 3 rows + 1 left out (unannotated)", "decided by: 3 judge only")
    written = rows_of(tmp_path / "dataset", tmp_path / "cache")
    assert [row["task_id"] for row in written] == [1, 2, 3]
    for number, row in enumerate(written):
        expected = prediction_of(f"Dog {number}.", png(number))
        values = {region["from_name"]: region["value"] for region in expected["result"]}
        assert row["image"]["bytes"] == png(number)
        assert row["image_sha256"] == hashlib.sha256(png(number)).hexdigest()
        assert (row["decided_by"], row["annotators"], row["human_verdict"]) == ("judge only", [], None)
        assert row["judge_confidence"] == expected["score"]
        assert row["fingerprint"] == expected["model_version"]
        assert row["judge_consistency"] == values["consistency"]["rating"]
        assert row["judge_verdict"] == values.get("verdict", {"choices": [None]})["choices"][0]
    card = (tmp_path / "dataset" / "README.md").read_text()
    assert "| `judge only` | no person decided | 3 |" in card
    assert ("pretty_name: in\n" in card, str(tmp_path) in card) == (True, False)


def test_lists_of_images_and_a_label_config_of_ones_own_come_through(tmp_path: Path) -> None:
    found = [{"image": image(1), "more": [image(2), image(3)], "caption": "A dog."}]
    write_parquet(tmp_path / "in.parquet", found)
    run = judge_dataset(SCRIPTED, BatchOptions(str(tmp_path / "in.parquet"), tmp_path / "judged", CONFIG))
    assert (run.judged, run.failed) == (1, 0)
    export_batch(Settings(), tmp_path / "judged", tmp_path / "dataset")
    [row] = rows_of(tmp_path / "dataset", tmp_path / "cache")
    assert [item["bytes"] for item in row["more"]] == [png(2), png(3)]
    assert Image.open(io.BytesIO(row["image"]["bytes"])).size == (8, 6)


def test_images_of_rows_are_there_while_they_are_read_ahead_in_two_passes_and_gone_afterwards(tmp_path: Path) -> None:
    found = [{"image": image(n), "more": [image(n + 1)], "caption": f"Dog {n}."} for n in range(80)]
    write_parquet(tmp_path / "in.parquet", found)
    judge_dataset(SCRIPTED, BatchOptions(str(tmp_path / "in.parquet"), tmp_path / "judged", CONFIG))
    source = BatchSource(Settings(), tmp_path / "judged")
    options = ExportOptions(("all",), parse_shares("train=0.5,test=0.5"))
    summary = export_batch(Settings(), tmp_path / "judged", tmp_path / "dataset", options=options)
    assert summary.rows_out == 80
    assert [one.rows for one in summary.configs[0].splits] == [80], "each image hangs together with the next one"
    for task, _ in zip(source.annotated_tasks(0), range(3), strict=False):
        assert source.images.read("held:image", str(task[0]["id"]))
        source.release(task[0]["id"])
        with pytest.raises(ImageError):
            source.images.read("held:image", str(task[0]["id"]))


def test_the_command_takes_what_is_wished_for(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in.parquet", [{"image": image(n), "caption": f"Dog {n}."} for n in range(12)])
    judge_dataset(SCRIPTED, BatchOptions(str(tmp_path / "in.parquet"), tmp_path / "judged"))
    words = ["export", "--from-batch", str(tmp_path / "judged"), "--out", str(tmp_path / "dataset")]
    words += ["--configs", "all,default", "--splits", "train=0.5,test=0.5", "--image-format", "webp"]
    words += ["--image-quality", "80", "--max-pixels", "12", "--cache", str(tmp_path / "kept")]
    done = CliRunner().invoke(main, words, prog_name="vlm-judge")
    assert done.exit_code == 0, done.output
    assert "12 of 12 images were encoded anew" in done.output.splitlines()
    loaded = load_dataset(str(tmp_path / "dataset"), "all", cache_dir=str(tmp_path / "cache"))
    assert sum(part.num_rows for part in loaded.values()) == 12
    first = next(iter(loaded.values()))[0]["image"]
    assert (first.format, first.width * first.height <= 12) == ("WEBP", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--splits", "train=0.5"], "Error: the shares of --splits train=0.5 sum to 0.5; they must sum to 1\n"),
        (["--configs", "sfd"], "Error: 'sfd' is no config; choose among default, all, sft, preference, judgements\n"),
        (["--image-quality", "50"], "Error: --image-quality is for images that are encoded anew: add --image-format "),
    ],
)
def test_wishes_that_cannot_be_are_refused_before_anything_is_read(words: list[str], said: str) -> None:
    given = ["export", "--project", "1", "--out", "never", *words]
    done = CliRunner().invoke(main, given, prog_name="vlm-judge")
    assert (done.exit_code, done.stderr.startswith(said)) == (1, True), done.stderr


def test_an_output_in_which_nothing_was_judged_is_no_dataset(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in.parquet", [{"image": {"bytes": b"no picture", "path": None}, "caption": "A dog."}])
    judge_dataset(SCRIPTED, BatchOptions(str(tmp_path / "in.parquet"), tmp_path / "judged"))
    with pytest.raises(ExportError, match="could be judged; the column judge_failure of its files says why"):
        export_batch(Settings(), tmp_path / "judged", tmp_path / "dataset")
    with pytest.raises(BatchError, match="is no output of `vlm-judge judge --source`"):
        export_batch(Settings(), tmp_path, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["judge"], "say what to judge: --project NUMBER, or --source DATA with --out DIR"),
        (["judge", "--project", "1", "--source", "x"], "say what to judge: --project NUMBER"),
        (["judge", "--source", "x"], "say with --out DIR where the verdicts go"),
        (["judge", "--source", "x", "--out", "y", "--limit", "3"], "--limit: only with --project"),
        (
            ["judge", "--source", "x", "--out", "y", "--watch", "--filter", "id > 3"],
            "--filter, --watch: only with --pr",
        ),
        (["judge", "--project", "1", "--column", "a=b", "--ray"], "--column, --ray: only with --source"),
        (["judge", "--source", "x", "--out", "y", "--actors", "2"], "--actors: only with --ray"),
        (["judge", "--source", "x", "--out", "y", "--column", "caption"], "write it as KEY=COLUMN, like caption=text"),
        (["export", "--out", "y"], "say what to export: --project NUMBER, --from-file FILE, or --from-batch DIR"),
        (
            ["project", "create", "--title", "T", "--from-batch", ".", "--tasks", "pyproject.toml"],
            "--tasks and --from-batch bring the same thing; leave all but one out",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, words, prog_name="vlm-judge")
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_ray_that_is_not_installed_is_named_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    words = ["judge", "--engine", "scripted", "--source", ".", "--out", str(tmp_path / "out"), "--ray"]
    done = CliRunner().invoke(main, words, prog_name="vlm-judge")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: Ray is not installed; install it with: pip install 'vlm-judge-label-studio[ray]', or do without "
        "--ray\n",
    )
    assert not (tmp_path / "out").exists()
