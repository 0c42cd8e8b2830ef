"""A dataset that was exported comes back into a real Label Studio, and exported again it says the same, row for row.

And a project that was downloaded from it as a file gives the dataset that the project itself does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet
import pytest
from pydantic import SecretStr

from backend.authorship import ACCEPTED
from backend.published.opening import Wanted, open_published
from backend.settings import Settings
from backend.store import Store
from backend.trust.accepting import SERVICE_ACCOUNT
from exporters.export import export_download
from exporters.records.record import Policy
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
def reviewed(road: Road) -> int:
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
    return project


@pytest.fixture(scope="module")
def exported(road: Road, reviewed: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That project as a dataset."""
    out = tmp_path_factory.mktemp("round-trip") / "dataset"
    road.run("export", "--project", str(reviewed), "--out", str(out))
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


def people_go_on(road: Road, project: int) -> None:
    """Skips, a second person who says otherwise, and a draft, which no road may take for an answer."""
    tasks = [task for task in road.tasks(project) if task["predictions"] and task["predictions"][0]["result"]]
    skipped, other, drafted = [task for task in tasks if not task["annotations"]][:3]
    road.studio.annotate(skipped["id"], {"result": [], "was_cancelled": True, "lead_time": 1.0})
    second = road.studio.service_account("second@example.org", "Second")
    said = {"from_name": "verdict", "to_name": "caption", "type": "choices", "value": {"choices": ["reject"]}}
    for number, by in enumerate(({}, {"completed_by": second})):
        result = [said | {"value": {"choices": [("accept", "reject")[number]]}}]
        road.studio.annotate(other["id"], {"result": result, "lead_time": 2.0, **by})
    httpx.post(
        f"{road.label_studio.url}/api/tasks/{drafted['id']}/drafts",
        headers={"Authorization": f"Token {road.label_studio.token}"},
        json={"result": [said], "lead_time": 1.0, "draft_id": 0},
    ).raise_for_status()


def downloaded(road: Road, project: int, path: Path) -> Path:
    """What Export > JSON gives, of all tasks."""
    answer = httpx.get(
        f"{road.label_studio.url}/api/projects/{project}/export",
        params={"exportType": "JSON", "download_all_tasks": "true"},
        headers={"Authorization": f"Token {road.label_studio.token}"},
        timeout=60,
    )
    path.write_bytes(answer.raise_for_status().content)
    return path


def snapshot(road: Road, project: int, path: Path) -> Path:
    """A snapshot with people as objects, with their addresses, and whole predictions."""
    base, headers = f"{road.label_studio.url}/api/projects/{project}/exports/", {}
    headers["Authorization"] = f"Token {road.label_studio.token}"
    wanted = {"predictions": {"only_id": False}, "annotations__completed_by": {"only_id": False}}
    every = {"usual": True, "ground_truth": True, "skipped": True}
    asked = {"serialization_options": wanted, "annotation_filter_options": every}
    made = httpx.post(base, headers=headers, json=asked, timeout=60).raise_for_status().json()["id"]
    answer = httpx.get(f"{base}{made}/download", params={"exportType": "JSON"}, headers=headers, timeout=60)
    path.write_bytes(answer.raise_for_status().content)
    httpx.delete(f"{base}{made}", headers=headers).raise_for_status()
    return path


def test_a_downloaded_project_gives_the_same_rows(road: Road, reviewed: int, exported: Path, tmp_path: Path) -> None:
    people_go_on(road, reviewed)
    several = ("--several", "all")
    printed = road.run("export", "--project", str(reviewed), *several, "--out", str(tmp_path / "api")).stdout
    file = downloaded(road, reviewed, tmp_path / "project.json")
    again = road.run("export", "--from-file", str(file), *several, "--out", str(tmp_path / "file")).stdout
    first = rows(tmp_path / "api")
    assert printed.splitlines()[0] == f"{TASKS} tasks = {TASKS} rows of {TASKS - 1} tasks + 1 left out (skipped)"
    assert again.replace("/file", "/api") == printed
    assert rows(tmp_path / "file") == first
    assert len({row["annotator"] for row in first if row["annotator"]}) == 2
    assert "example.org" not in json.dumps(first, default=str)

    whole = snapshot(road, reviewed, tmp_path / "snapshot.json")
    assert b"second@example.org" in whole.read_bytes()
    offline = Settings(annotator_key=SecretStr(road.label_studio.token), store=str(road.home / "commands.sqlite"))
    summary = export_download(
        offline,
        whole,
        tmp_path / "offline",
        label_config=road.studio.project(reviewed).label_config,
        policy=Policy("all"),
        allow_missing=True,  # the pictures are in Label Studio
        withheld=lambda: Store(offline.store).withheld,
    )
    assert summary.notes == ()
    pictures = ("image", "image_sha256")
    assert rows(tmp_path / "offline") == [{**row, **dict.fromkeys(pictures)} for row in first]


def test_the_file_of_another_label_studio_is_refused(road: Road, reviewed: int, tmp_path: Path) -> None:
    file = downloaded(road, reviewed, tmp_path / "project.json")
    tasks = json.loads(file.read_text())
    file.write_text(json.dumps([{**task, "created_at": "2025-01-01T00:00:00.000000Z"} for task in tasks]))
    done = road.run("export", "--from-file", str(file), "--out", str(tmp_path / "out"), status=1)
    assert "`created_at` is 2025-01-01T00:00:00.000000Z, and " in done.stderr
    assert "of this Label Studio, which is another one; set LABEL_STUDIO_URL to the one" in done.stderr


NESTED = """<View auditShare="0.1" auditKey="0123456789abcdef">
  <Image name="image" value="$photo.url"/><Text name="caption" value="$said.text"/>
  <Choices name="verdict" toName="caption" choice="single-radio">
    <Choice value="accept"/><Choice value="fix"/><Choice value="reject"/>
  </Choices>
  <Choices name="faults" toName="image" choice="multiple"><Choice value="blur"/><Choice value="noise"/></Choices>
</View>"""


def test_a_dataset_comes_back_under_the_form_that_it_holds_whose_keys_are_nested(road: Road, tmp_path: Path) -> None:
    studio, pictures = road.studio, sorted(road.sample.images.iterdir())[:2]
    project = studio.create_project("Nested", NESTED)
    studio.serve_local_files(project.id, str(road.sample.images), "sample")
    data = [
        {"photo": {"url": f"/data/local-files/?d=road/images/{one.name}"}, "said": {"text": f"Dog {n}.", "by": "me"}}
        for n, one in enumerate(pictures)
    ]
    first, second = studio.import_tasks(project.id, [{"data": one} for one in data])
    verdict = {"from_name": "verdict", "to_name": "caption", "type": "choices", "value": {"choices": ["fix"]}}
    faults = {"from_name": "faults", "to_name": "image", "type": "choices", "value": {"choices": ["blur", "noise"]}}
    found = {"flags": ["instructions"], "features": [{"text": "a dog", "prob": 0.25}]}
    undecided = {**faults, "meta": {"judge_silent": {"verdict": found}}}
    made = [{"task": first, "result": [verdict], "score": 0.75}, {"task": second, "result": [undecided], "score": 0.0}]
    studio.import_predictions(project.id, [{**one, "model_version": "judge-1"} for one in made])
    annotate(road, road.tasks(project.id)[0], {"verdict": {"choices": ["accept"]}})
    out, again = tmp_path / "dataset", tmp_path / "again"
    road.run("export", "--project", str(project.id), "--out", str(out))
    assert (out / "label_config.xml").read_text() == NESTED.replace(' auditShare="0.1" auditKey="0123456789abcdef"', "")

    exported = rows(out)
    assert [(row["said.text"], row["judge_verdict"], row["human_verdict"]) for row in exported] == [
        ("Dog 0.", "fix", "accept"),
        ("Dog 1.", None, None),
    ]
    assert [(row["judge_flags"], row["judge_features"]) for row in exported] == [
        (None, None),
        (["instructions"], [{"value": "a dog", "prob": 0.25}]),
    ]
    made_anew = road.run("project", "create", "--title", "Nested again", "--from-dataset", str(out)).stdout
    number = int(made_anew.splitlines()[-1].split()[1].rstrip(":"))
    assert studio.project(number).label_config == (out / "label_config.xml").read_text()
    [one, _] = road.tasks(number)
    assert one["data"]["said"] == {"text": "Dog 0."}
    assert one["data"]["photo"]["url"].startswith("data:image/")
    road.run("export", "--project", str(number), "--out", str(again))
    assert values(rows(again)) == values(exported)
