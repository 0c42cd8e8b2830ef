"""A dataset that was exported comes back into a real Label Studio, and exported again it says the same, row for row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet
import pytest

from backend.authorship import ACCEPTED
from backend.published.opening import Wanted, open_published
from backend.trust.accepting import SERVICE_ACCOUNT
from tests.datasets_made import image, png, write_parquet
from tests.road import TASKS, Road

NUMBERS = ("task_id", "annotation_id", "annotator", "annotators")
"""What a dataset brought back has others of."""
AUDIT_SHARE = "0.3"


def rows(dataset: Path) -> list[dict[str, Any]]:
    """Every row of an export, in order."""
    opened: Any = pyarrow.parquet.ParquetFile
    files = sorted((dataset / "data" / "all").glob("*.parquet"))
    return [row for path in files for row in opened(path).read().to_pylist()]


def values(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in NUMBERS} for row in found]


def annotate(road: Road, task: dict[str, Any], changes: dict[str, Any], **fields: Any) -> None:
    """Submit the judge's answer with some controls' values replaced, and those that are None taken out."""
    [prediction] = task["predictions"]
    result = [
        {**region, "value": changes.get(region["from_name"], region["value"]), "origin": "prediction"}
        for region in prediction["result"]
        if changes.get(region["from_name"], ...) is not None
    ]
    road.studio.annotate(
        task["id"], {"result": result, "parent_prediction": prediction["id"], "lead_time": 3.5, **fields}
    )


def alone(road: Road, task: dict[str, Any], verdict: str) -> None:
    """Submit an answer of one's own."""
    said = {"from_name": "verdict", "to_name": "caption", "type": "choices", "value": {"choices": [verdict]}}
    road.studio.annotate(task["id"], {"result": [said], "lead_time": 7.25})


@pytest.fixture(scope="module")
def exported(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, judged with a blind slice, with every kind of answer that people and the judge can give."""
    project = road.create("Round trip", "--audit", AUDIT_SHARE)
    before, *rest = road.tasks(project)
    alone(road, before, "fix")
    road.run("judge", "--project", str(project))
    tasks = road.tasks(project)[1:]
    assert len(rest) == len(tasks) == TASKS - 1
    shown = [task for task in tasks if task["predictions"][0]["result"]]
    blind = [task for task in tasks if not task["predictions"][0]["result"]]
    assert len(blind) >= 2, "a draw of 0.3 out of 24 that holds fewer than two others comes up once in 130 times"
    annotate(road, shown[0], {})
    annotate(road, shown[1], {"verdict": {"choices": ["fix"]}, "consistency": {"rating": 2}})
    annotate(road, shown[2], {"rationale": None})
    annotate(road, shown[3], {region["from_name"]: None for region in shown[3]["predictions"][0]["result"]})
    alone(road, shown[4], "reject")
    [taken] = shown[5]["predictions"]
    marked = [{**region, "meta": {**region.get("meta", {}), ACCEPTED: "c1"}} for region in taken["result"]]
    road.studio.annotate(shown[5]["id"], {"result": marked, "parent_prediction": taken["id"]})
    alone(road, blind[0], "accept")
    out = tmp_path_factory.mktemp("round-trip") / "dataset"
    road.run("export", "--project", str(project), "--out", str(out))
    return out


def test_the_round_trip_keeps_every_value(road: Road, exported: Path, tmp_path: Path) -> None:
    first = rows(exported)
    assert {(row["decided_by"], row["saw_prediction"], row["audit"]) for row in first} >= {
        ("confirmed", True, False),
        ("corrected", True, False),
        ("human", True, False),
        ("human", False, True),
        ("judge accepted", None, False),
        ("judge only", None, False),
        ("judge only", None, True),
    }
    said = road.run("project", "create", "--title", "Brought back", "--from-dataset", str(exported)).stdout
    balance, made = said.splitlines()
    assert balance == (
        f"{TASKS} tasks in the dataset = {TASKS} imported + 0 there before + 0 left out, which lack an image or text"
    )
    project = int(made.split()[1].rstrip(":"))
    again = tmp_path / "again"
    road.run("export", "--project", str(project), "--out", str(again))
    assert values(rows(again)) == values(first)
    assert all(row["judge_consistency_probs"] and row["judge_verdict_probs"] for row in first if row["fingerprint"])
    [taken] = [row for row in first if row["decided_by"] == "judge accepted"]
    [accepted] = [task for task in road.tasks(project) if task["data"]["caption"] == taken["caption"]]
    emails = {user.id: user.email for user in road.studio.users()}
    assert emails[accepted["annotations"][0]["completed_by"]] == SERVICE_ACCOUNT
    fingerprint = next(row["fingerprint"] for row in first if row["fingerprint"])
    assert road.studio.project(project).model_version == fingerprint


def test_an_import_that_was_broken_off_is_completed(road: Road, exported: Path, tmp_path: Path) -> None:
    """Broken off after tasks went in, and before the rest of what was said of them."""
    title = ("--title", "Brought back in two", "--from-dataset", str(exported))
    made = road.run("project", "create", *title).stdout.splitlines()[-1]
    project = int(made.split()[1].rstrip(":"))
    tasks = road.tasks(project)
    annotated = [task for task in tasks if task["annotations"] and task["annotations"][0]["parent_prediction"]]
    unseen = [task for task in tasks if task["annotations"] and len(task["predictions"]) == 2]
    gone = next(task for task in tasks if not task["annotations"])
    road.studio.delete_annotation(annotated[0]["annotations"][0]["id"])
    road.studio.delete_prediction(max(made["id"] for made in unseen[0]["predictions"]))
    httpx.delete(
        f"{road.label_studio.url}/api/tasks/{gone['id']}",
        headers={"Authorization": f"Token {road.label_studio.token}"},
    ).raise_for_status()
    balance, _ = road.run("project", "create", *title).stdout.splitlines()
    assert balance == (
        f"{TASKS} tasks in the dataset = 1 imported + {TASKS - 1} there before (2 of them without all that was said of "
        "them, which they have now) + 0 left out, which lack an image or text"
    )
    again = tmp_path / "again"
    road.run("export", "--project", str(project), "--out", str(again))
    by_image = {row["image_sha256"]: row for row in values(rows(again))}
    assert by_image == {row["image_sha256"]: row for row in values(rows(exported))}
    balance, _ = road.run("project", "create", *title).stdout.splitlines()
    assert balance.endswith(f"= 0 imported + {TASKS} there before + 0 left out, which lack an image or text")


def test_anybodys_dataset_becomes_tasks_that_can_be_judged(road: Road, tmp_path: Path) -> None:
    found = [{"photo": image(n), "text": f"Dog {n}.", "style": "plain", "boxes": [1, 2], "number": n} for n in range(3)]
    write_parquet(tmp_path / "theirs" / "train.parquet", found)
    folder = road.label_studio.document_root / "theirs"
    done = road.run(
        *("project", "create", "--title", "Theirs", "--from-dataset", str(tmp_path / "theirs")),
        *("--local-files", str(folder)),
    )
    balance, made = done.stdout.splitlines()
    assert balance == "3 tasks in the dataset = 3 imported + 0 there before + 0 left out, which lack an image or text"
    tasks = road.tasks(int(made.split()[1].rstrip(":")))
    names = [next(path.name for path in folder.iterdir() if path.read_bytes() == png(n)) for n in range(3)]
    assert [task["data"] for task in tasks] == [
        {
            "image": f"/data/local-files/?d=theirs/{names[n]}",
            "caption": f"Dog {n}.",
            "requested": "",
            "style": "plain",
            "number": n,
            "judge_row": f"train.parquet#{n}",
        }
        for n in range(3)
    ]


def test_what_cannot_be_brought_in_is_said_so(road: Road, exported: Path, tmp_path: Path) -> None:
    published = open_published(Wanted(str(exported)))
    assert (published.config, published.is_ours, published.rows) == ("all", True, TASKS)
    create = ("project", "create", "--title", "Nothing", "--from-dataset")
    done = road.run(*create, str(exported), "--config-name", "none", status=1)
    assert done.stderr.startswith(f"Error: {exported} has no config none, only ")
    assert "choose one with --config-name" in done.stderr
    write_parquet(tmp_path / "x" / "a.parquet", [{"file": image(1), "words": "A dog."}])
    done = road.run(*create, str(tmp_path / "x"), status=1)
    assert done.stderr == (
        f"Error: the label config shows caption, and {tmp_path / 'x'} has no column that is known for it, only file, "
        "words; name it with --text-column, or give another label config by --config\n"
    )
    done = road.run(*create, str(exported), "--audit", "0.5", status=2)
    assert "publishes it; leave --audit out" in done.stderr
    assert road.studio.find_project("Nothing") is None
