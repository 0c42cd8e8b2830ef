"""What an annotator does and sees, in a real browser, and what the export makes of it."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from backend.core.label_config import parse_label_config
from backend.core.regions import encode
from backend.core.types import ControlValue, TextSpan
from backend.interfaces import default_label_config
from tests.browser import review
from tests.road import Road, said

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Looked for in this order, as by `make browser`, unless CHROMIUM names one."""
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
SIZE: ViewportSize = {"width": 1500, "height": 950}
COLOURS = 128
"""Of a screenshot in the documentation; they make it a third of the size, and nothing looks different."""
SCREENSHOTS = Path(__file__).parents[2] / "docs" / "screenshots"


def chromium() -> str:
    """Path of the browser."""
    named = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, (named,) if named else BROWSERS)), None)
    assert found, "the browser tests need Chromium: install it, or set CHROMIUM to where it is"
    return found


@pytest.fixture(scope="module")
def page(road: Road) -> Iterator[Page]:
    """A page that is logged in."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page(viewport=SIZE)
        review.login(page, road.label_studio.url, road.label_studio.email, road.label_studio.password)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def project(road: Road) -> int:
    """A project that was judged in bulk."""
    number = road.create("Image-text review", "--connect", road.backend_url)
    road.run("judge", "--project", str(number))
    return number


def keep_screenshot(page: Page, name: str, part: str = "body") -> None:
    """Take a screenshot, of the page or of a part that a selector finds.

    Only when SCREENSHOTS=1 it replaces the one in the documentation, in a palette of colours.
    """
    picture = page.screenshot() if part == "body" else page.locator(part).screenshot()
    assert len(picture) > 20_000
    if os.environ.get("SCREENSHOTS"):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(SCREENSHOTS / name, "PNG", optimize=True)


def test_an_annotator_confirms_corrects_and_skips_and_the_export_tells_them_apart(
    road: Road, project: int, page: Page, tmp_path: Path
) -> None:
    from datasets import load_dataset

    by_id = {task["id"]: task for task in road.tasks(project)}
    least_sure = sorted(by_id.values(), key=lambda task: task["predictions"][0]["score"])

    first = review.open_label_stream(page, road.label_studio.url, project)
    assert first == least_sure[0]["id"], "uncertainty sampling shows the least sure task first"
    shown, judged = review.judge_values(page), said(by_id[first])
    assert shown.verdict == judged["verdict"]["choices"][0]
    assert {name: stars for name, stars in shown.ratings.items() if stars} == {
        name: judged[name]["rating"] for name in review.RATINGS if name in judged
    }
    assert shown.rationale == judged["rationale"]["text"][0]
    assert review.fits(page), "the form is visible without scrolling"
    review.submit(page, by_key=True)

    second = review.task_id(page)
    judged = said(by_id[second])
    stars = 2 if judged["consistency"]["rating"] != 2 else 3
    changed = {"consistency", "corrected_text"}
    if judged["verdict"]["choices"] != ["fix"]:
        review.set_verdict(page, "fix")
        changed.add("verdict")
    review.set_rating(page, "consistency", stars)
    review.set_text(page, "corrected_text", "A text by a person.")
    review.submit(page)

    third = review.task_id(page)
    review.skip(page)

    out = tmp_path / "dataset"
    printed = road.run("export", "--project", str(project), "--out", str(out)).stdout
    assert printed.splitlines()[0] == "24 tasks = 23 rows + 1 left out (skipped)"
    loaded = load_dataset(str(out), "all", split="train", cache_dir=str(tmp_path / "cache"))
    rows = {row["task_id"]: row for row in loaded}
    assert third not in rows
    assert (rows[first]["decided_by"], rows[first]["corrected_controls"]) == ("confirmed", [])
    assert rows[first]["human_verdict"] == rows[first]["judge_verdict"] == shown.verdict
    assert rows[second]["decided_by"] == "corrected"
    assert set(rows[second]["corrected_controls"]) == changed
    assert (rows[second]["human_verdict"], rows[second]["human_consistency"]) == ("fix", stars)
    assert (rows[second]["final_text"], rows[second]["final_text_source"]) == ("A text by a person.", "human")
    others = [row for number, row in rows.items() if number not in (first, second)]
    assert {row["decided_by"] for row in others} == {"judge only"}


def test_the_review_page_shows_a_marked_word(road: Road, project: int, page: Page) -> None:
    marked = [task for task in road.tasks(project) if "unsupported" in said(task) and not task["annotations"]]
    task = max(marked, key=lambda task: task["predictions"][0]["score"])
    review.open_task(page, road.label_studio.url, project, task["id"])
    shown = review.judge_values(page)
    marks = [region["value"]["text"] for region in task["predictions"][0]["result"] if region["type"] == "labels"]
    assert list(shown.unsupported) == marks
    keep_screenshot(page, "review.png")


def test_the_data_manager_has_the_tabs_and_the_least_sure_first(road: Road, project: int, page: Page) -> None:
    tabs = road.studio.tabs(project)
    waiting = [task for task in road.tasks(project) if all(given["was_cancelled"] for given in task["annotations"])]
    scores = {task["id"]: task["predictions"][0]["score"] for task in waiting}
    listed = road.studio.tab_tasks(project, tabs["Least sure first"])
    assert set(listed) == set(scores)
    assert [scores[number] for number in listed] == sorted(scores.values())
    page.goto(f"{road.label_studio.url}/projects/{project}/data?tab={tabs['Least sure first']}")
    for title in ("Least sure first", "Judge rejects", "Judge and human disagree", "Reviewed"):
        page.get_by_text(title, exact=True).first.wait_for()
    page.wait_for_function("() => [...document.images].filter(image => image.naturalWidth).length >= 8")
    keep_screenshot(page, "data-manager.png")


def test_marks_stand_on_their_words_behind_characters_outside_the_basic_plane(road: Road, page: Page) -> None:
    """Label Studio counts code points, as the judge does; counted in UTF-16 the mark would be two characters off."""
    caption = "🟥🟦 A green dog, 👩‍🚀 and more."
    settings = {"show_collab_predictions": True, "model_version": "judge-1"}
    made = road.studio.create_project("Offsets", default_label_config(), **settings)
    picture = base64.b64encode((road.sample.images / "001.png").read_bytes()).decode()
    data = {"image": f"data:image/png;base64,{picture}", "caption": caption, "requested": ""}
    [task] = road.studio.import_tasks(made.id, [{"data": data}])
    spans = (TextSpan(5, 10, "green", "Unsupported"), TextSpan(16, 19, "👩‍🚀", "Unsupported"))
    assert [caption[span.start : span.end] for span in spans] == [span.text for span in spans]
    config = parse_label_config(default_label_config())
    result = encode([ControlValue("unsupported", "Labels", spans)], config)
    road.studio.import_predictions(
        made.id, [{"task": task, "result": result, "score": 0.5, "model_version": "judge-1"}]
    )
    review.open_task(page, road.label_studio.url, made.id, task)
    assert review.judge_values(page).unsupported == ("green", "👩‍🚀")
