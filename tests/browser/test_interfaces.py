"""The review page of every kind in a real browser: it fits a small screen, can be read, and one keystroke confirms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from pydantic import SecretStr

from backend.core.kinds import Kind
from backend.core.label_config import parse_label_config
from backend.core.regions import decode
from backend.images import ImageLoader
from backend.interfaces import KINDS, label_config_of, sample_tasks
from backend.judge import RunOptions, judge_project
from backend.label_studio_server import LabelStudioProcess
from backend.projects import ProjectSpec, create_project
from backend.service import JudgeService
from backend.settings import Settings
from backend.store import Store
from backend.studio import Studio
from tests.browser import review
from tests.browser.test_blind_review import EMPTY
from tests.browser.test_review import FLAGS, chromium, keep_screenshot
from tests.browser.test_status import LEAST_CONTRAST, contrasts
from tests.sample_judge import sample_judge

SCREEN: ViewportSize = {"width": 1280, "height": 800}

_OUTSIDE = """() => {
  const frame = document.querySelector('.lsf-main-content').getBoundingClientRect();
  const leaves = it => {
    const box = it.getBoundingClientRect();
    return box.width > 0 && (box.left < frame.left - 1 || box.right > frame.right + 1);
  };
  const cut = it => it.matches('h3, .lsf-label, .ant-radio-wrapper') && it.scrollWidth > it.clientWidth + 1;
  return [...document.querySelectorAll('.review, .review *')]
    .filter(it => it.checkVisibility() && !it.closest('.lsf-tooltips') && (leaves(it) || cut(it)))
    .map(it => `${it.tagName} ${it.className} ${it.textContent.slice(0, 30)}`);
}"""
"""What leaves the editor at its left or right, and headings and buttons whose words are cut off.

The tooltips of Label Studio's own toolbar lie outside until the mouse is there.
"""


@dataclass(frozen=True)
class Desk:
    """A Label Studio with its browser, and a judge whose answers to the samples are known."""

    label_studio: LabelStudioProcess
    studio: Studio
    service: JudgeService
    browser: Browser

    def project(self, kind: Kind, title: str, tasks: Sequence[Any]) -> int:
        """A new project of a kind, with all tasks judged."""
        config = label_config_of(kind)
        version = self.service.judging(parse_label_config(config)).fingerprint
        made = create_project(self.studio, ProjectSpec(title, config, tuple(tasks), version))
        run = judge_project(self.studio, self.service, made.id, RunOptions())
        assert (run.tasks, run.stored, run.failures) == (len(tasks), len(tasks), ())
        return made.id

    def exported(self, project: int, folder: Path) -> list[dict[str, Any]]:
        """The rows of a project as they load back."""
        from datasets import load_dataset

        from exporters.export import export_project
        from exporters.options import ExportOptions

        settings = Settings(label_studio_url=self.studio.url, label_studio_api_key=SecretStr(self.label_studio.token))
        export_project(settings, project, folder / "dataset", options=ExportOptions(("all",), show_rows=False))
        return list(load_dataset(str(folder / "dataset"), "all", split="train", cache_dir=str(folder / "cache")))

    def page(self, scheme: str) -> Page:
        """A page that is logged in, in Label Studio's own light or dark colours."""
        page = self.browser.new_page(viewport=SCREEN)
        page.add_init_script(f"localStorage.setItem('preferred-color-scheme', '{scheme}')")
        review.login(page, self.label_studio.url, self.label_studio.email, self.label_studio.password)
        return page


@pytest.fixture(scope="module")
def desk(label_studio: LabelStudioProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    store = Store(tmp_path_factory.mktemp("interfaces") / "verdicts.sqlite")
    service = JudgeService(sample_judge(), ImageLoader(Settings()), store)
    studio = Studio(label_studio.url, label_studio.token)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield Desk(label_studio, studio, service, browser)
        browser.close()
    service.close()


@pytest.fixture(scope="module")
def light(desk: Desk) -> Page:
    return desk.page("Light")


@pytest.fixture(scope="module")
def dark(desk: Desk) -> Page:
    return desk.page("Dark")


def outside(page: Page) -> list[str]:
    found: list[str] = page.evaluate(_OUTSIDE)
    return found


def faint(page: Page) -> list[tuple[str, float]]:
    """Texts of the form that stand out too little from what is behind them; stars and marks are no texts."""
    found = contrasts(page, ".review")
    assert len(found) > 10
    return [(text, round(contrast, 2)) for text, contrast in found if contrast < LEAST_CONTRAST]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_fits_and_one_keystroke_confirms_what_the_judge_said(
    desk: Desk, light: Page, kind: Kind, tmp_path: Path
) -> None:
    project = desk.project(kind, f"Review of {kind}", sample_tasks(kind)[:1])
    number = review.open_label_stream(light, desk.label_studio.url, project)
    assert outside(light) == []
    assert review.fits(light), "nothing lies under the bar at the bottom"
    assert light.get_by_label("Submit current annotation").is_visible()
    assert faint(light) == []
    keep_screenshot(light, f"interface-{kind}.png")

    review.submit(light, by_key=True)
    [task] = [task for page in desk.studio.annotated_tasks(project) for task in page]
    config = parse_label_config(label_config_of(kind))
    [annotation], [prediction] = task["annotations"], task["predictions"]
    assert task["id"] == number
    assert decode(annotation["result"], config) == decode(prediction["result"], config)
    assert annotation["parent_prediction"] == prediction["id"]
    [row] = desk.exported(project, tmp_path)
    assert (row["decided_by"], row["corrected_controls"]) == ("confirmed", [])


@pytest.mark.parametrize("kind", ["image-text", "preference-pair"])
def test_the_page_can_be_read_in_dark_mode(desk: Desk, dark: Page, kind: Kind) -> None:
    """These two have everything that the others have."""
    project = desk.project(kind, f"Dark review of {kind}", sample_tasks(kind)[:1])
    review.open_label_stream(dark, desk.label_studio.url, project)
    assert dark.evaluate("document.documentElement.dataset.colorScheme") == "dark"
    assert faint(dark) == []
    if kind == "image-text":
        keep_screenshot(dark, "interface-dark.png")


def test_the_keys_of_the_annotators_guide_do_what_it_says(desk: Desk, light: Page) -> None:
    """On the sample with the fruit: rejected, with 2 stars of consistency, "Four" and "green" marked, and corrected."""
    project = desk.project("image-text", "Keys of the guide", sample_tasks("image-text")[2:3])
    review.open_label_stream(light, desk.label_studio.url, project)
    before = review.judge_values(light)
    assert (before.verdict, before.ratings["consistency"], before.unsupported) == ("reject", 2, ("Four", "green"))

    light.keyboard.press("2")
    light.keyboard.press("d")
    light.keyboard.press("x")
    light.locator(".review-caption .lsf-richtext__line").dblclick(position={"x": 56, "y": 12})
    light.wait_for_function("document.querySelectorAll('.review-caption .htx-highlight').length === 3")
    marked = review.judge_values(light)
    assert (marked.verdict, marked.ratings["consistency"]) == ("fix", 3)
    assert marked.unsupported == ("Four", "red", "green")
    keep_screenshot(light, "annotator-mark.png", ".review")

    light.locator(".review-caption .htx-highlight", has_text="red").click()
    light.keyboard.press("Backspace")
    light.wait_for_function("document.querySelectorAll('.review-caption .htx-highlight').length === 2")
    assert review.judge_values(light).unsupported == before.unsupported

    light.locator(".review-corrected [data-testid='htx-textbox-edit-button']").click()
    light.keyboard.type(" It is noon.")
    keep_screenshot(light, "annotator-correct.png", ".review")
    light.keyboard.press("Shift+Enter")
    light.locator("textarea").first.wait_for(state="detached")
    assert review.judge_values(light).corrected_text == f"{before.corrected_text} It is noon."
    light.keyboard.press("2")
    assert review.judge_values(light).verdict == "", "the number of what is chosen takes it back"


def test_a_task_without_a_prediction_opens_empty(desk: Desk, light: Page) -> None:
    made = create_project(
        desk.studio, ProjectSpec("Empty", label_config_of("image-text"), sample_tasks("image-text")[1:2])
    )
    review.open_label_stream(light, desk.label_studio.url, made.id)
    assert review.judge_values(light) == EMPTY
    assert (outside(light), faint(light)) == ([], [])
    keep_screenshot(light, "annotator-blind.png", ".review")

    light.locator(".review-form").evaluate("form => form.style.minWidth = '900px'")
    light.locator(".review").evaluate("page => page.style.background = 'white'")
    light.locator(".review-form h3").first.evaluate("it => it.style.setProperty('color', '#888', 'important')")
    assert outside(light)[0].startswith("DIV review-form"), "this test sees what leaves the screen"
    assert faint(light)[0] == ("Text", 3.54), "and what is faint: #888 on white"
