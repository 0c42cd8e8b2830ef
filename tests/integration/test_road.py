"""The whole road by the commands a user types: create, connect, retrieve, judge, annotate, export, load back."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.core.rubric import load_rubric
from backend.engines.demo.engine import RUBRIC
from backend.engines.demo.evaluate import true_decision
from backend.engines.demo.sample import sample_items
from tests.road import TASKS, Road, said


@pytest.fixture(scope="module")
def retrieved(road: Road) -> int:
    """A project that was connected and judged by Label Studio's own button; what is late arrives by itself."""
    project = road.create("Road by the button", "--connect", road.backend_url)
    road.studio.retrieve_predictions(project)
    until = time.monotonic() + 240
    while not all(task["predictions"] for task in road.tasks(project)) and time.monotonic() < until:
        time.sleep(0.5)
    return project


@pytest.fixture(scope="module")
def judged(road: Road) -> int:
    """A project that was judged in bulk, in two runs."""
    project = road.create("Road in bulk")
    printed = road.run("judge", "--project", str(project), "--limit", "5").stdout
    assert printed.startswith("5 tasks = 5 judged and stored + 0 judged before + 0 failed (judge demo-")
    printed = road.run("judge", "--project", str(project)).stdout
    assert printed.startswith(
        f"{TASKS} tasks = {TASKS - 5} judged and stored + 5 judged before + 0 failed (judge demo-"
    )
    return project


def test_the_button_stores_one_prediction_per_task(road: Road, retrieved: int) -> None:
    tasks = road.tasks(retrieved)
    fingerprint = road.studio.connections(retrieved)[0].model_version
    assert len(tasks) == TASKS
    assert [[p["model_version"] for p in task["predictions"]] for task in tasks] == [[fingerprint]] * TASKS
    for task in tasks:
        assert set(said(task)) >= {"visual_realism", "text_accuracy", "consistency", "verdict", "rationale"}
        assert ("requested_features" in said(task)) == bool(task["data"].get("requested"))
        assert 0 < task["predictions"][0]["score"] <= 1


def test_bulk_judging_says_the_same_as_the_button(road: Road, retrieved: int, judged: int) -> None:
    one, other = road.tasks(retrieved), road.tasks(judged)
    assert [task["data"]["caption"] for task in one] == [task["data"]["caption"] for task in other]
    for left, right in zip(one, other, strict=True):
        [by_button], [in_bulk] = left["predictions"], right["predictions"]
        assert by_button["model_version"] == in_bulk["model_version"]
        assert by_button["score"] == pytest.approx(in_bulk["score"], abs=0.002)
        same = [control for control in said(left) if control != "rationale"]
        assert {name: said(left)[name] for name in same} == {name: said(right)[name] for name in same}


def test_nothing_is_judged_twice(road: Road, retrieved: int) -> None:
    printed = road.run("judge", "--project", str(retrieved)).stdout
    assert printed.startswith(f"{TASKS} tasks = 0 judged and stored + {TASKS} judged before + 0 failed")
    road.studio.retrieve_predictions(retrieved)
    assert [len(task["predictions"]) for task in road.tasks(retrieved)] == [1] * TASKS


def test_the_judge_sees_what_is_wrong_with_the_sample(road: Road, judged: int) -> None:
    """Most verdicts are right; how many exactly stands in the model card, for far more boards than these."""
    rubric = load_rubric(RUBRIC)
    truth = [true_decision(item.example, rubric) for item in sample_items(TASKS)]
    verdicts = [said(task)["verdict"]["choices"][0] for task in road.tasks(judged)]
    hits = sum(verdict == right for verdict, right in zip(verdicts, truth, strict=True))
    assert hits >= 0.75 * TASKS


def annotate(road: Road, task: dict[str, Any], changes: dict[str, Any] | None = None, **more: Any) -> None:
    """Submit the judge's answer as it is, or with some controls' values replaced."""
    [prediction] = task["predictions"]
    changes = changes or {}
    result = [{**region, "value": changes.get(region["from_name"], region["value"])} for region in prediction["result"]]
    given = {region["from_name"] for region in result}
    result += [
        {"from_name": name, "to_name": "caption", "type": "textarea", "value": value}
        for name, value in changes.items()
        if name not in given
    ]
    road.studio.annotate(
        task["id"], {"result": result, "parent_prediction": prediction["id"], "lead_time": 3.5, **more}
    )


def test_the_export_tells_who_decided_and_loads_back_row_for_row(road: Road, judged: int, tmp_path: Path) -> None:
    from datasets import load_dataset

    tasks = sorted(road.tasks(judged), key=lambda task: said(task)["verdict"]["choices"] != ["accept"])
    assert [said(task)["verdict"]["choices"] for task in tasks[:4]] == [["accept"]] * 4
    annotate(road, tasks[0])
    annotate(
        road,
        tasks[1],
        {"verdict": {"choices": ["fix"]}, "consistency": {"rating": 2}, "corrected_text": {"text": ["One red star."]}},
    )
    annotate(road, tasks[2], was_cancelled=True)
    annotate(road, tasks[3])
    annotate(road, tasks[3], {"verdict": {"choices": ["reject"]}})
    out = tmp_path / "dataset"
    printed = road.run("export", "--project", str(judged), "--out", str(out)).stdout
    assert printed.splitlines()[0] == f"{TASKS} tasks = {TASKS - 1} rows + 1 left out (skipped)"

    rows = list(load_dataset(str(out), "all", split="train", cache_dir=str(tmp_path / "cache")))
    kept = sorted((task for task in tasks if task is not tasks[2]), key=lambda task: task["id"])
    assert [row["task_id"] for row in rows] == [task["id"] for task in kept]
    by_task = {row["task_id"]: row for row in rows}
    annotated = [by_task[tasks[index]["id"]] for index in (0, 1, 3)]
    assert [row["decided_by"] for row in annotated] == ["confirmed", "corrected", "corrected"]
    untouched = [row for row in rows if row not in annotated]
    assert {row["decided_by"] for row in untouched} == {"judge only"}
    assert {row["human_verdict"] for row in untouched} == {None}
    _, fixed, disputed = annotated
    assert (fixed["human_verdict"], fixed["human_consistency"]) == ("fix", 2)
    assert (fixed["final_text"], fixed["final_text_source"]) == ("One red star.", "human")
    assert (disputed["human_verdict"], disputed["annotation_count"], disputed["verdicts_agree"]) == ("reject", 2, False)
    for row, task in zip(rows, kept, strict=True):
        original = (road.sample.images / task["data"]["image"].rsplit("/", 1)[-1]).read_bytes()
        assert row["image"].tobytes() == Image.open(io.BytesIO(original)).convert("RGB").tobytes()
        assert row["caption"] == task["data"]["caption"]
        assert row["fingerprint"] == task["predictions"][0]["model_version"]
        assert row["judge_verdict"] == said(task)["verdict"]["choices"][0]
        assert row["judge_consistency"] == said(task)["consistency"]["rating"]
    card = (out / "README.md").read_text()
    assert rows[0]["fingerprint"] in card
    assert "knows only drawn scenes" in card


def test_a_task_whose_image_is_gone_fails_alone(road: Road) -> None:
    tasks = road.home / "broken.json"
    good = json.loads(road.sample.tasks.read_text())[0]
    gone = {"data": {"caption": "A circle.", "image": "/data/local-files/?d=road/images/none.png"}}  # requests nothing
    tasks.write_text(json.dumps([good, gone]))
    printed = road.run("project", "create", "--title", "Road with a gap", "--tasks", str(tasks)).stdout
    project = int(printed.split()[1].rstrip(":"))
    road.studio.serve_local_files(project, str(road.sample.images), "sample")
    done = road.run("judge", "--project", str(project), status=1)
    assert done.stdout.startswith("2 tasks = 1 judged and stored + 0 judged before + 1 failed")
    assert "not judged: task " in done.stderr
    assert "none.png" in done.stderr


def test_errors_are_sentences(road: Road, tmp_path: Path) -> None:
    done = road.run("judge", "--project", "999999", status=1)
    assert done.stderr.startswith("Error: ")
    assert "999999" in done.stderr
    assert "Traceback" not in done.stderr
    done = road.run("judge", "--project", "1", "--rubric", str(tmp_path / "none.yaml"), status=1)
    assert done.stderr.startswith("Error: cannot read the rubric")
