"""From annotated tasks to a folder that `load_dataset` opens, compared whole."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.core.label_config import parse_label_config
from backend.core.regions import encode
from backend.core.types import Box, ControlValue, TextSpan
from backend.errors import ExportError
from backend.images import ImageLoader
from backend.settings import Settings
from backend.studio import Project
from exporters.export import ExportSummary, Progress, write_export
from exporters.files.build import SplitWriter
from exporters.files.folder import MARKER, fresh_folder
from exporters.images.pictures import PictureReader
from exporters.records.consolidate import Policy, Record, pseudonym
from exporters.schema.columns import columns_of, features_of
from tests.datasets_made import picture_of, unseen

XML = """<View>
  <Image name="image" value="$image"/><Text name="caption" value="$caption"/><Text name="requested" value="$wish"/>
  <Rating name="consistency" toName="caption" maxRating="5"/>
  <Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="fix"/></Choices>
  <Choices name="flaws" toName="image" choice="multiple"><Choice value="noise"/><Choice value="blur"/></Choices>
  <Labels name="unsupported" toName="caption"><Label value="Unsupported"/></Labels>
  <RectangleLabels name="contradiction" toName="image"><Label value="Contradiction"/></RectangleLabels>
  <TextArea name="corrected_text" toName="caption"/>
</View>"""
CONFIG = parse_label_config(XML)
COLUMNS = columns_of(CONFIG)


def png(shade: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (4, 3), shade).save(buffer, "PNG")
    return buffer.getvalue()


def uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


JUDGE = encode(
    (
        ControlValue("consistency", "Rating", 2),
        ControlValue("verdict", "Choices", ("fix",)),
        ControlValue("unsupported", "Labels", (TextSpan(2, 7, "green", "Unsupported"),)),
        ControlValue("contradiction", "RectangleLabels", (Box(12.5, 25.0, 50.0, 62.5, "Contradiction"),)),
        ControlValue("corrected_text", "TextArea", "a red dot"),
    ),
    CONFIG,
    {
        "consistency": {"expected": 2.25, "probs": {"2": 0.75, "3": 0.25}, "label_mass": 0.875},
        "verdict": {"probs": {"accept": 0.25, "fix": 0.75}, "flags": ["own-family"], "reliance": 0.5},
    },
)
OWN = encode(
    (
        ControlValue("consistency", "Rating", 5),
        ControlValue("verdict", "Choices", ("accept",)),
        ControlValue("flaws", "Choices", ("noise", "blur")),
    ),
    CONFIG,
)


def submitted(result: list[dict[str, Any]], start: int | None, **fields: Any) -> dict[str, Any]:
    origin = "prediction" if start else "manual"
    return {
        "id": 1,
        "result": [{**region, "origin": origin} for region in result],
        "completed_by": 7,
        "updated_by": 7,
        "lead_time": 12.5,
        "created_at": "2026-01-01T09:00:00Z",
        "parent_prediction": start,
        **fields,
    }


def task(number: int, annotations: list[dict[str, Any]], *, judged: bool = True, image: str | None = None) -> Any:
    prediction = {"id": 1, "result": JUDGE, "score": 0.75, "model_version": "judge-1"}
    data = {"image": image or uri(png(number)), "caption": "a green dot", "wish": "green"}
    if number == 2:
        data["generator"] = "painter"
    return {"id": number, "data": data, "annotations": annotations, "predictions": [prediction] if judged else []}


TASKS = (
    task(1, [submitted(JUDGE, 1)]),
    task(2, [submitted(OWN, 1)]),
    task(3, [submitted(OWN, None), submitted(OWN, None, id=2, completed_by=8)], judged=False),
    task(4, []),
    task(5, [submitted([], 1, was_cancelled=True)]),
    task(6, [submitted([JUDGE[0], *JUDGE[1:4]], 1)]),
    task(7, [], judged=False),
)


class Pages:
    """A source that gives what it was made with, two tasks a page."""

    def __init__(self, *tasks: Any) -> None:
        self._tasks = tasks

    def annotated_tasks(self, project_id: int) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(self._tasks), 2):
            yield self._tasks[start : start + 2]


def export(
    out: Path, *tasks: Any, allow_missing: bool = False, title: str = "Dots", progress: Progress | None = None
) -> ExportSummary:
    project = Project(1, title, XML, "", len(tasks))
    reader = PictureReader(ImageLoader(Settings()), allow_missing=allow_missing)
    return write_export(project, Pages(*tasks), reader, out, policy=Policy(annotator_key=b"key"), progress=progress)


def load(folder: Path, cache: Path, config: str = "all") -> Any:
    from datasets import load_dataset

    return load_dataset(str(folder), config, split="train", cache_dir=str(cache))


JUDGE_COLUMNS = {
    "judge_consistency": 2,
    "judge_consistency_probs": [{"value": "2", "prob": 0.75}, {"value": "3", "prob": 0.25}],
    "judge_verdict": "fix",
    "judge_verdict_probs": [{"value": "accept", "prob": 0.25}, {"value": "fix", "prob": 0.75}],
    "judge_flaws": [],
    "judge_unsupported": [{"start": 2, "end": 7, "text": "green", "label": "Unsupported"}],
    "judge_contradiction": [{"x": 12.5, "y": 25.0, "width": 50.0, "height": 62.5, "label": "Contradiction"}],
    "judge_corrected_text": "a red dot",
    "judge_confidence": 0.75,
    "judge_flags": ["own-family"],
    "judge_reliance": 0.5,
    "judge_features": None,
    "fingerprint": "judge-1",
}
NO_HUMAN = dict.fromkeys(("consistency", "verdict", "flaws", "unsupported", "contradiction", "corrected_text"))
OWN_COLUMNS = {
    "human_consistency": 5,
    "human_verdict": "accept",
    "human_flaws": ["noise", "blur"],
    "human_unsupported": [],
    "human_contradiction": [],
    "human_corrected_text": None,
}
ANNOTATED = {
    "annotator": pseudonym(7, b"key"),
    "annotators": [pseudonym(7, b"key")],
    "annotation_id": 1,
    "annotation_count": 1,
    "verdicts_agree": None,
    "lead_time_s": 12.5,
}


def inputs(number: int) -> dict[str, Any]:
    digest = hashlib.sha256(png(number)).hexdigest()
    return {
        "image": {"bytes": png(number), "path": f"{digest[:16]}.png"},
        "image_sha256": digest,
        "caption": "a green dot",
        "wish": "green",
        "generator": "painter" if number == 2 else None,
        "source": None,
        "licence": None,
        "task_id": number,
    }


ROWS = [
    {
        **inputs(1),
        "final_text": "a red dot",
        "final_text_source": "judge",
        "decided_by": "confirmed",
        "saw_prediction": True,
        "audit": False,
        "corrected_controls": [],
        **JUDGE_COLUMNS,
        **{f"human_{name}": JUDGE_COLUMNS[f"judge_{name}"] for name in NO_HUMAN},
        **ANNOTATED,
    },
    {
        **inputs(2),
        "final_text": "a green dot",
        "final_text_source": "original",
        "decided_by": "corrected",
        "saw_prediction": True,
        "audit": False,
        "corrected_controls": ["consistency", "contradiction", "corrected_text", "flaws", "unsupported", "verdict"],
        **JUDGE_COLUMNS,
        **OWN_COLUMNS,
        **ANNOTATED,
    },
    {
        **inputs(3),
        "final_text": "a green dot",
        "final_text_source": "original",
        "decided_by": "human",
        "saw_prediction": False,
        "audit": False,
        "corrected_controls": None,
        **dict.fromkeys(JUDGE_COLUMNS),
        **OWN_COLUMNS,
        **ANNOTATED,
        "annotator": pseudonym(8, b"key"),
        "annotators": [pseudonym(7, b"key"), pseudonym(8, b"key")],
        "annotation_id": 2,
        "annotation_count": 2,
        "verdicts_agree": True,
    },
    {
        **inputs(4),
        "final_text": "a red dot",
        "final_text_source": "judge",
        "decided_by": "judge only",
        "saw_prediction": None,
        "audit": False,
        "corrected_controls": None,
        **JUDGE_COLUMNS,
        **{f"human_{name}": None for name in NO_HUMAN},
        "annotator": None,
        "annotators": [],
        "annotation_id": None,
        "annotation_count": 0,
        "verdicts_agree": None,
        "lead_time_s": None,
    },
    {
        **inputs(6),
        "final_text": None,
        "final_text_source": "missing",
        "decided_by": "corrected",
        "saw_prediction": True,
        "audit": False,
        "corrected_controls": ["corrected_text"],
        **JUDGE_COLUMNS,
        **{f"human_{name}": JUDGE_COLUMNS[f"judge_{name}"] for name in NO_HUMAN},
        "human_corrected_text": None,
        **ANNOTATED,
    },
]


def test_the_folder_loads_row_for_row(tmp_path: Path) -> None:
    from datasets import Image

    summary = export(tmp_path / "out", *TASKS)
    rows = load(tmp_path / "out", tmp_path / "cache")
    assert rows.features == features_of(COLUMNS)
    assert [image.getpixel((0, 0)) for image in rows["image"]] == [1, 2, 3, 4, 6]
    assert list(rows.cast_column("image", Image(decode=False))) == ROWS
    assert sorted(path.name for path in (tmp_path / "out" / "data").iterdir()) == [
        *("all", "default", "judgements", "preference", "sft")
    ]
    [shard] = (tmp_path / "out" / "data" / "all").iterdir()
    assert re.fullmatch(r"train-00000-of-00001-[0-9a-f]{8}\.parquet", shard.name)
    assert (summary.counts.tasks_in, summary.rows_out) == (7, 5)
    assert summary.lines() == (
        "7 tasks = 5 rows + 1 left out (skipped) + 1 left out (unannotated)",
        "decided by: 1 confirmed, 2 corrected, 1 human, 1 judge only",
        "left out, every annotator skipped it: task 5",
        "left out, nobody annotated it and no judge has answered: task 7",
        "several annotations: 1 rows, 0 with different verdicts",
        "no final text, the fix, the verdict, a preferred text or the text itself is missing: task 6",
        "config default: 5 rows = 4 train + 1 left out (no final text)",
        "config all: 5 rows = 5 train",
        "config sft: 5 rows = 4 train + 1 left out (no final text)",
        "config preference: 5 rows = 2 train + 3 left out (nothing preferred or corrected)",
        "config judgements: 5 rows = 4 train + 1 left out (no person's answer)",
        f"written to {tmp_path / 'out'}",
        "",
        "from datasets import load_dataset",
        f'rows = load_dataset("{tmp_path / "out"}", split="train")',
        "print(rows[0])",
    )


def test_a_folder_that_is_exported_anew_is_not_loaded_from_the_cache_as_it_was(tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    export(out, task(1, [submitted(JUDGE, 1)]))
    before = load(out, cache)[0]["human_verdict"]
    export(out, task(1, [submitted(OWN, 1)]))
    assert (before, load(out, cache)[0]["human_verdict"]) == ("fix", "accept")
    marked = sorted(path.name for path in (out / "data").rglob("*"))
    export(out, task(1, [submitted(OWN, 1)]))
    assert sorted(path.name for path in (out / "data").rglob("*")) == marked, "the same rows, the same files"


def test_the_column_types() -> None:
    from datasets import Image, List, Value

    features = features_of(COLUMNS)
    assert list(features) == [
        *("image", "image_sha256", "caption", "wish"),
        *("final_text", "final_text_source", "decided_by", "saw_prediction", "audit", "corrected_controls"),
        *("human_consistency", "judge_consistency", "judge_consistency_probs"),
        *("human_verdict", "judge_verdict", "judge_verdict_probs", "human_flaws", "judge_flaws"),
        *("human_unsupported", "judge_unsupported", "human_contradiction", "judge_contradiction"),
        *("human_corrected_text", "judge_corrected_text"),
        *("judge_confidence", "judge_flags", "judge_reliance", "judge_features", "fingerprint"),
        *("annotator", "annotators", "annotation_id", "annotation_count", "verdicts_agree", "lead_time_s"),
        *("generator", "source", "licence", "task_id"),
    ]
    assert features["image"] == Image()
    assert features["human_consistency"] == Value("int8")
    assert features["human_verdict"] == Value("string")
    assert features["human_flaws"] == List(Value("string"))


def test_an_input_that_is_named_like_a_column_of_ours_is_renamed() -> None:
    config = parse_label_config(
        '<View><Image name="i" value="$image"/><Text name="t" value="$final_text"/>'
        '<Text name="u" value="$image_sha256"/></View>'
    )
    names = [column.name for column in columns_of(config)]
    assert names[:5] == ["image", "image_sha256", "input_final_text", "input_image_sha256", "final_text"]
    assert len(set(names)) == len(names)


def test_a_control_that_is_named_like_a_column_of_ours_keeps_its_own() -> None:
    """`judge_confidence` is the judge's probability; its answer to a control `confidence` stands beside it."""
    config = parse_label_config('<View><Image name="i" value="$image"/><Rating name="confidence" toName="i"/></View>')
    columns = {column.name: column.kind for column in columns_of(config)}
    assert (columns["judge_confidence"], columns["judge_confidence_"]) == ("real", "stars")


def test_shards_and_row_groups_follow_the_bytes(tmp_path: Path) -> None:
    from datasets import Dataset

    writer = SplitWriter(tmp_path, COLUMNS, config="all", split="test", max_group_bytes=1, max_shard_bytes=1)
    for number in range(3):
        writer.add(row(number), {"image": (picture_of(png(number)),)})
    written = writer.finish()
    shards = sorted((tmp_path / "data" / "all").iterdir())
    assert [shard.name[:19] for shard in shards] == [f"test-0000{index}-of-00003" for index in range(3)]
    assert (written.name, written.rows) == ("test", 3)
    assert {shard.match(written.pattern) for shard in shards} == {True}
    tables = [Dataset.from_parquet(str(shard), cache_dir=str(tmp_path / "cache")) for shard in shards]
    assert [table["task_id"][:] for table in tables] == [[0], [1], [2]]


def row(number: int) -> Record:
    texts = {"caption": "a", "wish": None}
    return unseen(number, {"image": ("unused",)}, texts=texts, final_text="a", final_text_source="original")


BROKEN = (
    task(1, []),
    task(2, [], image="data:image/png;base64,AAAA"),
    task(3, [], image=uri(png(3)[:-30])),
    task(4, [], image=" "),
)


def test_images_that_do_not_open_stop_the_export_and_are_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"(?s)^3 tasks have an image .* task 2: `image`: .* task 3: .* task 4: "):
        export(tmp_path / "out", *BROKEN)
    assert list(tmp_path.iterdir()) == []


def test_unless_they_may_be_missing(tmp_path: Path) -> None:
    summary = export(tmp_path / "out", *BROKEN, allow_missing=True)
    assert summary.counts.missing_images == (2, 3, 4)
    assert "null image, it could not be read: tasks 2, 3, 4" in summary.lines()
    rows = load(tmp_path / "out", tmp_path / "cache")
    assert [image is None for image in rows["image"]] == [False, True, True, True]
    assert list(rows["image_sha256"])[1:] == [None, None, None]


def test_many_broken_images_end_the_export_early(tmp_path: Path) -> None:
    class Endless:
        def annotated_tasks(self, project_id: int) -> Iterator[tuple[Any, ...]]:
            number = 0
            while True:
                number += 1
                yield (task(number, [], image="data:,x"),)

    reader = PictureReader(ImageLoader(Settings()), allow_missing=False)
    with pytest.raises(ExportError, match=r"^20 tasks have an image"):
        write_export(Project(1, "Dots", XML, "", 0), Endless(), reader, tmp_path / "out", policy=Policy())


def test_nothing_to_export_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"^project 1 \(Dots\) has nothing to export: 1 skipped, 1 unannotated; "):
        export(tmp_path / "out", TASKS[4], TASKS[6])
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_export_is_replaced_whole(tmp_path: Path) -> None:
    export(tmp_path / "out", *TASKS)
    export(tmp_path / "out", TASKS[0], title="New")
    assert "# New\n" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert len(load(tmp_path / "out", tmp_path / "cache")) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out"]


def test_a_failing_export_leaves_the_earlier_one(tmp_path: Path) -> None:
    export(tmp_path / "out", *TASKS)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(ExportError):
        export(tmp_path / "out", *BROKEN)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_progress_is_told_out_of_all_tasks_with_those_left_out(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    export(tmp_path / "out", *TASKS[3:], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(tmp_path / "out", TASKS[0])
    assert (tmp_path / "out" / MARKER).is_file()


@pytest.mark.parametrize(
    ("name", "message"),
    [("notes.txt", "holds other files than an export .notes.txt."), ("README.md", "was edited since")],
)
def test_what_people_put_into_an_export_is_not_lost(tmp_path: Path, name: str, message: str) -> None:
    export(tmp_path / "out", TASKS[0])
    (tmp_path / "out" / name).write_text("mine", encoding="utf-8")
    with pytest.raises(ExportError, match=message):
        export(tmp_path / "out", TASKS[0])
    assert (tmp_path / "out" / name).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(("name", "message"), [("a/b.txt", "not empty and not an earlier export"), ("", "is a file")])
def test_what_is_not_an_export_is_left_alone(tmp_path: Path, name: str, message: str) -> None:
    theirs = tmp_path / "out" / name
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("theirs", encoding="utf-8")
    with pytest.raises(ExportError, match=message), fresh_folder(tmp_path / "out"):
        pytest.fail("the folder was given out")
    assert theirs.read_text(encoding="utf-8") == "theirs"
