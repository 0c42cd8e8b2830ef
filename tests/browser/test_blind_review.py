"""A blind task in a real browser: an empty form, no hint of the verdict anywhere, and a row that says so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Page, Response, sync_playwright

from backend.core.label_config import parse_label_config
from tests.browser import review
from tests.browser.test_review import FLAGS, SIZE, chromium
from tests.road import Road

EMPTY = review.Values(dict.fromkeys(review.RATINGS, 0), "", "", "", (), 0)


@pytest.fixture
def page(road: Road) -> Iterator[Page]:
    """A page that is logged in."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page(viewport=SIZE)
        review.login(page, road.label_studio.url, road.label_studio.email, road.label_studio.password)
        yield page
        browser.close()


def kept(road: Road, key: str) -> dict[int, dict[str, Any]]:
    """What the judge says of the blind tasks, by control."""
    with sqlite3.connect(road.home / "commands.sqlite") as store:
        rows = store.execute("SELECT task, prediction FROM withheld WHERE audit_key = ?", (key,)).fetchall()
    made = {task: json.loads(text) for task, text in rows}
    return {task: {one["from_name"]: one["value"] for one in each["result"]} for task, each in made.items()}


def words_of(said: dict[str, Any]) -> list[str]:
    """The texts that the judge wrote, whole and by sentence."""
    texts = [text for name in ("rationale", "corrected_text") if name in said for text in said[name]["text"]]
    return [part for text in texts for part in (text, *text.splitlines()) if len(part) > 10]


def test_a_blind_task_opens_empty_and_what_is_submitted_there_is_a_label_by_someone_who_saw_nothing(
    road: Road, page: Page, tmp_path: Path
) -> None:
    from datasets import load_dataset

    project = road.create("Blind review", "--audit", "0.5")
    road.run("judge", "--project", str(project))
    plan = parse_label_config(road.studio.project(project).label_config).audit
    assert plan is not None
    said = kept(road, plan.key)
    assert all(words_of(each) for each in said.values())
    came: list[str] = []
    page.on("response", lambda response: came.append(body(response)))

    first = review.open_label_stream(page, road.label_studio.url, project)
    assert first == min(said, key=plan.position), "the stream begins with the slice, in the order of the draw"
    assert review.judge_values(page) == EMPTY
    shown = all_of(page)
    fixed = next((task for task, each in said.items() if "corrected_text" in each and task != first), None)
    if fixed is not None:
        review.open_task(page, road.label_studio.url, project, fixed)
        assert review.judge_values(page) == EMPTY
        shown += all_of(page)
        review.open_label_stream(page, road.label_studio.url, project)
    assert any(f'"id":{first}' in text.replace(" ", "") for text in came), "what came was looked at"
    tasks = road.tasks(project)
    open_to_all = [task["data"] for task in tasks] + [task["predictions"] for task in tasks if task["id"] not in said]
    told = {words for each in said.values() for words in words_of(each) if plain(words)[1:-1] not in plain(open_to_all)}
    assert told
    assert [words for words in told for text in (*shown, *came) if words in text or plain(words)[1:-1] in text] == []

    decision = "reject" if said[first]["verdict"]["choices"] != ["reject"] else "accept"
    review.set_verdict(page, decision)
    review.set_rating(page, "consistency", 2)
    review.submit(page)

    out = tmp_path / "dataset"
    road.run("export", "--project", str(project), "--out", str(out))
    rows = load_dataset(str(out), "all", split="train", cache_dir=str(tmp_path / "cache"))
    [row] = [row for row in rows if row["task_id"] == first]
    assert (row["decided_by"], row["saw_prediction"], row["audit"]) == ("human", False, True)
    assert (row["human_verdict"], row["human_consistency"]) == (decision, 2)
    assert row["judge_verdict"] == said[first]["verdict"]["choices"][0]


def plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def all_of(page: Page) -> list[str]:
    """Everything that is on the page, and what the editor knows of its task."""
    return [page.content(), page.inner_text("body"), page.evaluate("JSON.stringify(Htx.task.dataObj)")]


def body(response: Response) -> str:
    """What came of it, as far as it is text of Label Studio's API."""
    if "/api/" not in response.url:
        return ""
    try:
        return response.text()
    except (Error, UnicodeDecodeError):  # a redirect, or an image
        return ""
