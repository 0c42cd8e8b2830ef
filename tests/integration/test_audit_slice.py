"""The blind slice against a real Label Studio: on every road to an annotator its verdicts stay in the store."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from scipy.stats import binom

from backend.batch import arriving
from backend.batch.into_project import Imported, import_batch
from backend.batch.output import JudgedBatch
from backend.core.audit import AuditPlan, with_plan
from backend.core.label_config import parse_label_config
from backend.settings import Settings
from backend.store import Store
from tests.datasets_made import image, write_parquet
from tests.road import Road


def plan_of(road: Road, project: int) -> AuditPlan:
    plan = parse_label_config(road.studio.project(project).label_config).audit
    assert plan is not None
    return plan


def drawn(road: Road, project: int) -> set[int]:
    plan = plan_of(road, project)
    return {task["id"] for task in road.tasks(project) if plan.drawn_with(task["id"], task["data"]) is not None}


def withheld(store: Path, key: str) -> dict[int, dict[str, Any]]:
    with sqlite3.connect(store) as connection:
        rows = connection.execute("SELECT task, prediction FROM withheld WHERE audit_key = ?", (key,)).fetchall()
    return {task: json.loads(text) for task, text in rows}


def check_blind(road: Road, project: int, store: str) -> None:
    """Nothing is shown of what is drawn, all is kept, and nothing else is."""
    blind, plan = drawn(road, project), plan_of(road, project)
    tasks = road.tasks(project)
    assert 0 < len(blind) < len(tasks)
    assert {len(task["predictions"]) for task in tasks} == {1}
    assert {task["id"] for task in tasks if not task["predictions"][0]["result"]} == blind
    kept = withheld(road.home / store, plan.key)
    assert kept.keys() == blind
    assert all(made["result"] and made["score"] > 1e-6 for made in kept.values())
    versions = {task["predictions"][0]["model_version"] for task in tasks}
    assert {made["model_version"] for made in kept.values()} == versions
    places = [(task["predictions"][0]["score"], plan.position(task["id"])) for task in tasks if task["id"] in blind]
    assert all(score == pytest.approx(place / plan.share * 1e-6, abs=1e-18) for score, place in places)


@pytest.mark.parametrize("road_taken", ["judge", "button", "later"])
def test_verdicts_of_the_slice_stay_in_the_store_on_every_road(road: Road, road_taken: str) -> None:
    audit = () if road_taken == "later" else ("--audit", "0.4")
    project = road.create(f"Audit by {road_taken}", *audit)
    if road_taken == "button":
        road.run("project", "connect", "--project", str(project), road.backend_url)
        road.studio.retrieve_predictions(project)
        check_blind(road, project, "backend.sqlite")
        road.studio.retrieve_predictions(project)  # nothing is asked for again
        check_blind(road, project, "backend.sqlite")
        return
    road.run("judge", "--project", str(project))
    if road_taken == "later":
        assert all(task["predictions"][0]["result"] for task in road.tasks(project))
        road.create("Audit by later", "--audit", "0.4")
    check_blind(road, project, "commands.sqlite")
    assert "0 judged and stored" in road.run("judge", "--project", str(project)).stdout
    check_blind(road, project, "commands.sqlite")


def test_a_smaller_slice_shows_again_what_left_it_and_the_same_command_changes_nothing(road: Road) -> None:
    project = road.create("Audit that shrinks", "--audit", "0.6")
    road.run("judge", "--project", str(project))
    before, plan = drawn(road, project), plan_of(road, project)
    road.create("Audit that shrinks")  # says nothing of the slice, which stays
    assert plan_of(road, project) == plan
    road.create("Audit that shrinks", "--audit", "0.3")
    after = drawn(road, project)
    assert after < before
    kept = withheld(road.home / "commands.sqlite", plan.key)
    for task in road.tasks(project):
        [made] = task["predictions"]
        assert bool(made["result"]) == (task["id"] not in after)
        if task["id"] in before - after:
            assert (made["result"], made["score"]) == (kept[task["id"]]["result"], kept[task["id"]]["score"])


def test_what_people_labelled_blind_cannot_leave_the_slice(road: Road) -> None:
    project = road.create("Audit that stays", "--audit", "0.6")
    road.run("judge", "--project", str(project))
    smaller = AuditPlan(0.3, plan_of(road, project).key)
    leaving = next(n for n in sorted(drawn(road, project)) if smaller.drawn_with(n, {}) is None)
    choice = {"from_name": "verdict", "to_name": "image", "type": "choices", "value": {"choices": ["accept"]}}
    road.studio.annotate(leaving, {"result": [{**choice, "id": "a", "origin": "manual"}]})
    more = ("--tasks", str(road.sample.tasks), "--audit", "0.3")
    said = road.run("project", "create", "--title", "Audit that stays", *more, status=1).stderr
    assert f"1 tasks that people have labelled blind would leave the slice (task {leaving}, say)" in said
    assert plan_of(road, project).share == 0.6


def test_a_slice_that_people_have_seen_is_refused_and_nothing_is_changed(road: Road) -> None:
    project = road.create("Audit too late")
    road.run("judge", "--project", str(project))
    before = road.tasks(project)
    for task in before:
        prediction = task["predictions"][0]
        road.studio.annotate(task["id"], {"result": prediction["result"], "parent_prediction": prediction["id"]})
    tasks = str(road.sample.tasks)
    done = road.run("project", "create", "--title", "Audit too late", "--tasks", tasks, "--audit", "0.5", status=1)
    assert "labelled by people who could see the judge's answer" in done.stderr
    assert parse_label_config(road.studio.project(project).label_config).audit is None
    assert [task["predictions"] for task in road.tasks(project)] == [task["predictions"] for task in before]


def test_the_audit_tab_lists_the_slice_in_the_order_of_the_draw(road: Road) -> None:
    project = road.create("Audit tab", "--audit", "0.5")
    road.run("judge", "--project", str(project))
    tabs = road.studio.tabs(project)
    assert next(iter(tabs)) == "Audit (blind)"
    plan = plan_of(road, project)
    listed = road.studio.tab_tasks(project, tabs["Audit (blind)"])
    assert list(listed) == sorted(drawn(road, project), key=plan.position)
    stream = road.studio.tab_tasks(project, tabs["Least sure first"])
    assert stream[: len(listed)] == listed


@pytest.fixture(scope="module")
def batch(road: Road, tmp_path_factory: pytest.TempPathFactory) -> JudgedBatch:
    """A judged dataset of 24 rows, of which 4 are of the group `rare`."""
    home = tmp_path_factory.mktemp("batch")
    rows = [
        {"image": image(n), "text": f"Dog {n}.", "source": {"page": n}, "maker": "rare" if n < 4 else "usual"}
        for n in range(24)
    ]
    write_parquet(home / "in.parquet", rows)
    judged = ("judge", "--source", str(home / "in.parquet"), "--out", str(home / "out"), "--column", "caption=text")
    road.run(*judged, "--engine", "scripted")
    return JudgedBatch(home / "out")


def test_a_judged_dataset_goes_in_without_showing_what_is_drawn(road: Road, batch: JudgedBatch) -> None:
    """Half of 24 are 12: all four of the rare ones, and 8 of 20 of the others."""
    create = ("project", "create", "--title", "Audit of a batch", "--from-batch", str(batch.out), "--audit", "0.5")
    said = road.run(*create, "--audit-by", "maker").stdout
    assert said.startswith("24 rows = 24 imported + 0 there before + 0 left out")
    project = next(int(line.split()[1].rstrip(":")) for line in said.splitlines() if line.startswith("project "))
    plan, blind, before = plan_of(road, project), drawn(road, project), road.tasks(project)
    assert dict(plan.shares) == {"rare": 1.0, "usual": 0.4}
    assert {task["id"] for task in before if task["data"]["maker"] == "rare"} <= blind
    assert shown(before) == {task["id"]: [task["id"] not in blind] for task in before}
    kept = withheld(road.home / "commands.sqlite", plan.key)
    assert kept.keys() == blind
    assert all(made["result"] for made in kept.values())

    first = next(task for task in before if task["id"] in blind)
    road.studio.delete_prediction(first["predictions"][0]["id"])
    said = road.run(*create, "--audit-by", "maker").stdout
    assert said.startswith("24 rows = 0 imported + 24 there before (1 of them without their prediction, which they")
    assert plan_of(road, project) == plan
    assert shown(road.tasks(project)) == shown(before)


def test_rows_are_blind_from_the_moment_they_are_in_the_project(
    road: Road, batch: JudgedBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is put right afterwards here: this is the import alone, some rows at a time."""
    store, plan = Store(tmp_path / "own.sqlite"), AuditPlan(0.4, "0123456789abcdef")
    project = road.studio.create_project("Audit while importing", with_plan(batch.manifest.label_config, plan))
    monkeypatch.setattr(arriving, "TASKS_AT_ONCE", 5)
    done = import_batch(road.studio, Settings(), batch, project, store=store)
    assert done == Imported(rows=24, imported=24, completed=0, already=0, left_out=0)
    tasks, blind = road.tasks(project.id), drawn(road, project.id)
    assert shown(tasks) == {task["id"]: [task["id"] not in blind] for task in tasks}
    said = {row.row.id: row.prediction for row in batch.rows()}
    assert {task: [bare(one) for one in each] for task, each in store.withheld.get(plan.key, blind).items()} == {
        task["id"]: [said[task["data"]["judge_row"]]] for task in tasks if task["id"] in blind
    }
    store.close()


def test_uneven_groups_are_drawn_to_about_equal_numbers(road: Road, tmp_path: Path) -> None:
    """A quarter of 240 are 60, 20 a group: all of c, and of the 40 that are left 20 each of 160 and of 60."""
    sizes = {"a": 160, "b": 60, "c": 20}
    tasks = [
        {"data": {"image": "data:,", "caption": f"{name} {n}", "made": {"by": name}, "by": name}}
        for name, size in sizes.items()
        for n in range(size)
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    create = ("project", "create", "--title", "Audit by groups", "--tasks", str(tmp_path / "tasks.json"))
    said = road.run(*create, "--audit", "0.25", "--audit-by", "by").stdout
    project = int(said.split()[1].rstrip(":"))
    plan = plan_of(road, project)
    assert dict(plan.shares) == {"a": 0.125, "b": 1 / 3, "c": 1.0}
    found = Counter(task["data"]["by"] for task in road.tasks(project) if plan.drawn_with(task["id"], task["data"]))
    for name, size in sizes.items():
        low, high = binom.interval(1 - 1e-6, size, dict(plan.shares)[name])
        assert low <= found[name] <= high
    assert said.splitlines()[1].startswith(f"{found.total()} of them are kept blind: label these first")
    xml = road.studio.project(project).label_config
    road.run(*create, "--audit", "0.25", "--audit-by", "by")
    assert road.studio.project(project).label_config == xml, "tasks that are there are not counted twice"
    done = road.run(*create, "--audit", "0.25", "--audit-by", "nothing", status=1)
    assert "no task has `nothing` in its data; name a key that tells the group" in done.stderr


def test_an_annotator_who_asks_the_judge_in_the_form_is_shown_nothing_of_a_blind_task(road: Road) -> None:
    project = road.create("Audit, asked in the form", "--audit", "0.4")
    connection = road.studio.connect_backend(project, road.backend_url, "Judge", interactive=True)
    headers = {"Authorization": f"Token {road.label_studio.token}"}
    address = f"{road.label_studio.url}/api/ml/{connection.id}"
    blind = drawn(road, project)
    for task in [min(blind), min({task["id"] for task in road.tasks(project)} - blind)]:
        answer = httpx.post(
            f"{address}/interactive-annotating",
            headers=headers,
            json={"task": task, "context": {"result": []}},
            timeout=120,
        )
        assert answer.status_code == 200, answer.text
        assert "data" in answer.json(), answer.text
        told = answer.json()["data"]
        assert bool(told["result"]) == (task not in blind)
        if task in blind:
            place = plan_of(road, project).position(task) / 0.4 * 1e-6
            assert told == {"result": [], "score": pytest.approx(place), "model_version": connection.model_version}
    assert {len(task["predictions"]) for task in road.tasks(project)} == {0}
    kept = withheld(road.home / "backend.sqlite", plan_of(road, project).key)
    assert [(task, bool(made["result"])) for task, made in kept.items()] == [(min(blind), True)]


def shown(tasks: list[dict[str, Any]]) -> dict[int, list[bool]]:
    return {task["id"]: [bool(made["result"]) for made in task["predictions"]] for task in tasks}


def bare(made: Mapping[str, Any]) -> dict[str, Any]:
    """As it was kept, without the moment."""
    return {name: value for name, value in made.items() if name != "created_at"}
