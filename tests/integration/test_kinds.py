"""Projects of other kinds on a real Label Studio, by the commands: create, judge, review, export, load back."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from backend.core.audit import without_plan
from backend.core.label_config import parse_label_config
from backend.core.regions import details
from backend.interfaces import sample_tasks
from backend.label_studio_server import LabelStudioProcess
from backend.studio import Studio

SERVED = "/data/local-files/?d=kinds/"
COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 200)}


def test_a_project_that_is_named_by_its_title_alone_is_completed_and_keeps_its_form(kinds: Kinds) -> None:
    """As messages tell people to draw a slice: `project create --title TITLE --audit SHARE`."""
    command = ("project", "create", "--title", "Charts that stay", "--engine", "scripted")
    number = int(kinds.run(*command, "--kind", "chart", "--sample").split()[1].rstrip(":"))
    before = kinds.studio.update_project(number, description="Ours.")
    printed = kinds.run(*command, "--audit", "0.5").splitlines()
    assert printed[0].endswith("/data (3 tasks; there was a project of this title, which was completed)")
    after = kinds.studio.project(number)
    assert without_plan(after.label_config) == before.label_config
    plan = parse_label_config(after.label_config).audit
    assert plan is not None
    assert plan.share == 0.5
    shown = httpx.get(f"{kinds.studio.url}/api/projects/{number}/", headers={"Authorization": f"Token {kinds.key}"})
    assert shown.raise_for_status().json()["description"] == "Ours."


@dataclass(frozen=True)
class Kinds:
    """A Label Studio with pictures that it serves, and the commands."""

    studio: Studio
    key: str
    pictures: Path
    home: Path

    def run(self, *arguments: str) -> str:
        """What `vlm-judge` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "backend.cli", *arguments],
            env={
                **os.environ,
                "LABEL_STUDIO_URL": self.studio.url,
                "LABEL_STUDIO_API_KEY": self.key,
                "VLM_JUDGE_STORE": str(self.home / "verdicts.sqlite"),
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def judged(self, kind: str, *data: dict[str, Any]) -> list[dict[str, Any]]:
        """The tasks of a new project of this kind, each judged once by the scripted engine."""
        tasks = self.home / f"{kind}.json"
        tasks.write_text(json.dumps([{"data": item} for item in data]), encoding="utf-8")
        printed = self.run(
            *("project", "create", "--title", kind, "--kind", kind, "--tasks", str(tasks), "--engine", "scripted"),
            *("--local-files", str(self.pictures)),
        )
        return self.judged_in(printed.split()[1].rstrip(":"), len(data))

    def judged_in(self, project: str, count: int) -> list[dict[str, Any]]:
        """The tasks of a project, so many, each judged once by the scripted engine."""
        printed = self.run("judge", "--project", project, "--engine", "scripted")
        assert printed.startswith(
            f"{count} tasks = {count} judged and stored + 0 judged before + 0 failed (judge scripted-"
        )
        return [{**task, "project": project} for page in self.studio.annotated_tasks(int(project)) for task in page]

    def exported(self, task: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
        """What exporting the task's project prints first, and the rows as they load back."""
        from datasets import load_dataset

        out = self.home / f"dataset-{task['project']}"
        printed = self.run("export", "--project", str(task["project"]), "--out", str(out))
        rows = load_dataset(str(out), "all", split="train", cache_dir=str(self.home / "cache"))
        return printed.splitlines()[0], list(rows)

    def digest(self, name: str) -> str:
        """SHA-256 of a picture, in hex."""
        return hashlib.sha256((self.pictures / f"{name}.png").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def kinds(label_studio: LabelStudioProcess, tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    """Three pictures of one colour each, served by Label Studio."""
    pictures = label_studio.document_root / "kinds"
    pictures.mkdir(parents=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (64, 48), colour).save(pictures / f"{name}.png")
    studio = Studio(label_studio.url, label_studio.token)
    return Kinds(studio, label_studio.token, pictures, tmp_path_factory.mktemp("kinds"))


def said(task: Mapping[str, Any]) -> dict[str, Any]:
    """The judge's value in each control, as the dataset holds it; silent controls are absent."""
    [prediction] = task["predictions"]
    values: dict[str, Any] = {}
    for region in prediction["result"]:
        name, value = region["from_name"], region["value"]
        if "labels" in value:
            span = {key: value[key] for key in ("start", "end", "text")}
            values.setdefault(name, []).append({**span, "label": value["labels"][0]})
        else:
            values[name] = value["rating"] if "rating" in value else (value.get("choices") or value["text"])[0]
    return values


def submit(kinds: Kinds, task: Mapping[str, Any], **changes: str) -> None:
    """What a person submits who began from the judge's answer and changed these choices and texts."""
    [prediction] = task["predictions"]
    kept = [region for region in prediction["result"] if region["from_name"] not in changes]
    to_name = prediction["result"][0]["to_name"]
    shapes = dict.fromkeys(("verdict", "preference"), ("choices", "choices"))
    given = [(name, value, *shapes.get(name, ("textarea", "text"))) for name, value in changes.items()]
    own = [
        {"from_name": name, "to_name": to_name, "type": tag, "value": {key: [value]}} for name, value, tag, key in given
    ]
    kinds.studio.annotate(
        task["id"], {"result": [*kept, *own], "parent_prediction": prediction["id"], "lead_time": 2.5}
    )


RATINGS = frozenset({"visual_realism", "text_accuracy", "consistency", "reading_order"})


def probs(told: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """The judge's probabilities as the dataset holds them."""
    found = (told or {}).get("probs")
    return [{"value": value, "prob": pytest.approx(prob)} for value, prob in found.items()] if found else None


def row(task: Mapping[str, Any], human: Mapping[str, Any] | None, controls: tuple[str, ...]) -> dict[str, Any]:
    """The columns of a task that a person has annotated once with these values, or nobody has."""
    [prediction] = task["predictions"]
    judge = said(task)
    changed = human and sorted(name for name in controls if human.get(name) != judge.get(name))
    marked: dict[str, Any] = {"unsupported": []} if "unsupported" in controls else {}
    told = details(prediction["result"])
    deciding = next(name for name in ("verdict", "preference") if name in controls)
    with_probs = [deciding, *(name for name in controls if name in RATINGS)]
    of_decision = told.get(deciding)
    return {
        **{f"judge_{name}_probs": probs(told.get(name)) for name in with_probs},
        "judge_flags": None if of_decision is None else of_decision.get("flags", []),
        "judge_reliance": of_decision and of_decision.get("reliance"),
        "judge_features": None,
        **dict.fromkeys(("generator", "source", "licence")),
        "saw_prediction": None if human is None else True,
        "audit": False,
        **{f"judge_{name}": (marked | judge).get(name) for name in controls},
        **{f"human_{name}": human and (marked | dict(human)).get(name) for name in controls},
        "decided_by": "judge only" if human is None else "corrected" if changed else "confirmed",
        "corrected_controls": changed,
        "judge_confidence": pytest.approx(prediction["score"]),
        "fingerprint": prediction["model_version"],
        "annotation_count": 0 if human is None else 1,
        "verdicts_agree": None,
        "lead_time_s": None if human is None else 2.5,
        "task_id": task["id"],
    }


def test_a_pair_project_from_create_to_load_back(kinds: Kinds) -> None:
    texts = {"question": "What colour is it?", "text_a": "It is red.", "text_b": "It is green."}
    colours = ("red", "green", "blue")
    tasks = kinds.judged("preference-pair", *({"image": f"{SERVED}{colour}.png", **texts} for colour in colours))
    judge = [said(task) for task in tasks]
    assert [sorted(values) for values in judge] == [["preference", "rationale"]] * 3
    submit(kinds, tasks[0])
    own = {"preference": "B", "rationale": "The picture is green."}
    submit(kinds, tasks[1], **own)
    printed, rows = kinds.exported(tasks[0])
    assert printed == "3 tasks = 3 rows"

    assert [item.pop("image").getpixel((0, 0)) for item in rows] == [COLOURS[colour] for colour in colours]
    assert [len(item.pop("annotators")) for item in rows] == [1, 1, 0]
    assert [item.pop("annotator") is None for item in rows] == [False, False, True]
    assert [item.pop("annotation_id") is None for item in rows] == [False, False, True]
    preferred = {"A": "It is red.", "B": "It is green.", "undecided": None}
    final = [preferred[choice] for choice in (judge[0]["preference"], "B", judge[2]["preference"])]
    assert rows == [
        {
            "image_sha256": kinds.digest(colour),
            **texts,
            "final_text": text,
            "final_text_source": "original" if text else "missing",
            "rejected": [other for other in (texts["text_a"], texts["text_b"]) if text and other != text],
            "tie": text is None if human or "preference" in said(task) else None,
            **row(task, human, ("preference", "rationale")),
        }
        for colour, text, task, human in zip(colours, final, tasks, (judge[0], own, None), strict=True)
    ]


def test_a_document_project_from_create_to_load_back(kinds: Kinds) -> None:
    pages = (("red", "green", "blue"), ("blue",))
    tasks = kinds.judged(
        "document",
        *(
            {"pages": [f"{SERVED}{name}.png" for name in names], "transcription": f"{len(names)} pages\nin colour"}
            for names in pages
        ),
    )
    judge = [said(task) for task in tasks]
    ratings = {"visual_realism", "text_accuracy", "consistency", "reading_order"}
    assert [set(values) >= {*ratings, "verdict", "rationale"} for values in judge] == [True, True]
    own = {"verdict": "fix", "corrected_text": "Three pages\nin colour", "rationale": "A number in letters."}
    submit(kinds, tasks[0], **own)
    submit(kinds, tasks[1], verdict="accept")
    printed, rows = kinds.exported(tasks[0])
    assert printed == "2 tasks = 2 rows"

    seen = [[page.getpixel((0, 0)) for page in item.pop("pages")] for item in rows]
    assert seen == [[COLOURS[name] for name in names] for names in pages]
    assert [len(item.pop("annotators")) for item in rows] == [1, 1]
    assert None not in [item.pop(name) for item in rows for name in ("annotator", "annotation_id")]
    controls = (*sorted(ratings), "unsupported", "verdict", "rationale", "corrected_text", "blind_transcription")
    final = (("Three pages\nin colour", "human"), ("1 pages\nin colour", "original"))
    human = (judge[0] | own, judge[1] | {"verdict": "accept"})
    assert rows == [
        {
            "pages_sha256": [kinds.digest(name) for name in names],
            "transcription": task["data"]["transcription"],
            "final_text": text,
            "final_text_source": source,
            **row(task, values, controls),
        }
        for names, task, values, (text, source) in zip(pages, tasks, human, final, strict=True)
    ]


def test_a_project_of_sample_tasks_needs_no_files(kinds: Kinds) -> None:
    printed = kinds.run(
        *("project", "create", "--title", "Sample charts", "--kind", "chart", "--sample", "--engine", "scripted")
    )
    assert printed.endswith("/data (3 tasks)\n")
    tasks = kinds.judged_in(printed.split()[1].rstrip(":"), 3)
    assert [task["data"] for task in tasks] == [task["data"] for task in sample_tasks("chart")]
    printed, rows = kinds.exported(tasks[0])
    assert printed == "3 tasks = 3 rows"
    assert [item["chart"].size for item in rows] == [(560, 400)] * 3
    assert [item["caption"] for item in rows] == [task["data"]["caption"] for task in tasks]
