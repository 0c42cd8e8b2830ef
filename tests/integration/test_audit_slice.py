"""The blind slice against a real Label Studio: on every road to an annotator its verdicts stay in the store."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from backend.core.audit import AuditPlan
from backend.core.label_config import parse_label_config
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
