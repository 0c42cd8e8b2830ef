"""What a person does on Label Studio's labeling page, as functions over a Playwright page.

Controls are found by the names they carry in label_config.xml: the editor's own store knows which element on the page
belongs to which name. What is read is what the page shows, not what the store holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import ElementHandle, Page, Response

READY_TIMEOUT_MS = 60_000

_WATCH = """() => {
  window.reviewTasks = 0;
  let last = null;
  const watch = () => {
    const task = window.Htx?.task ?? null;
    if (task && task !== last) window.reviewTasks += 1;
    last = task;
    requestAnimationFrame(watch);
  };
  watch();
}"""
"""Counts how often the editor was given a task, also when it is the same one again; none is replaced within a frame.

Beside the list a task is given twice: from the list's row, which looks finished, then from the answer that lasts.
"""

_READY = """() => {
  const annotation = window.Htx?.annotationStore?.selected;
  if (window.DM?.loadingData || Htx.isLoading || Htx.isSubmitting || annotation?.type !== 'annotation') return false;
  const image = [...annotation.names.values()].find(tag => tag.type === 'image');
  const caption = document.querySelector('.review-caption .lsf-richtext__line');
  const canvas = document.querySelector('.review-picture .konvajs-content canvas');
  if (!image?.imageIsLoaded || image.naturalWidth <= 1 || !canvas || !caption) return false;
  const marked = annotation.regions.filter(region => region.type === 'richtextregion').length;
  return document.querySelectorAll('.review-caption .htx-highlight').length >= marked;
}"""

_ELEMENT = "name => Htx.annotationStore.selected.names.get(name).elementRef.current"

_VALUES = """([ratings, texts]) => {
  const names = Htx.annotationStore.selected.names, at = name => names.get(name).elementRef.current;
  const text = element => {
    const shown = element.querySelector('[data-testid="htx-textbox-content"]');
    if (shown) return shown.innerText.trim();
    return element.querySelector('textarea')?.value ?? '';
  };
  const regions = Htx.annotationStore.selected.regions;
  return {
    ...Object.fromEntries(ratings.map(name => [name, at(name).querySelectorAll('.ant-rate-star-full').length])),
    ...Object.fromEntries(texts.map(name => [name, text(at(name))])),
    verdict: at('verdict').querySelector('.ant-radio-wrapper-checked input')?.name ?? '',
    unsupported: [...document.querySelectorAll('.review-caption .htx-highlight')].map(mark => mark.innerText),
    contradiction: regions.filter(region => region.type === 'rectangleregion').length,
  };
}"""

_FITS = """() => {
  const fits = it => it.scrollHeight <= it.clientHeight + 1 && it.scrollWidth <= it.clientWidth + 1;
  const content = document.querySelector('.review').closest('.lsf-main-content');
  const bar = document.querySelector('[aria-label="Submit current annotation"]').getBoundingClientRect();
  const parts = [...document.querySelectorAll('.review-picture, .review-form > div')];
  return fits(content) && parts.every(part => part.getBoundingClientRect().bottom <= bar.top);
}"""

RATINGS = ("visual_realism", "text_accuracy", "consistency", "requested_features")
TEXTS = ("corrected_text", "rationale")


@dataclass(frozen=True, slots=True)
class Values:
    """What the controls of the open annotation show."""

    ratings: dict[str, int]
    """Stars per rating, 0 where none is lit."""
    verdict: str
    """`accept`, `fix`, `reject`, or empty where none is chosen."""
    corrected_text: str
    rationale: str
    unsupported: tuple[str, ...]
    """The marked pieces of the caption, in reading order."""
    contradiction: int
    """How many boxes are drawn on the image."""


def login(page: Page, url: str, email: str, password: str) -> None:
    """Log in through the form and wait until Label Studio has let us in."""
    page.goto(f"{url}/user/login")
    page.fill("input[name=email]", email)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(lambda address: "/user/login" not in address)


def open_label_stream(page: Page, url: str, project_id: int) -> int:
    """Open the project's label stream and answer with the id of the task it shows first; 0 when there is none."""
    return _open(page, f"{url}/projects/{project_id}/data?labeling=1", 1)


def open_task(page: Page, url: str, project_id: int, task_id: int) -> None:
    """Open one task beside the Data Manager's list."""
    shown = _open(page, f"{url}/projects/{project_id}/data?task={task_id}", 2)
    assert shown == task_id, f"asked for task {task_id}, Label Studio shows task {shown}"


def task_id(page: Page) -> int:
    """The id of the task on the page; 0 when the stream has none left."""
    return int(page.evaluate("Htx.noTask ? 0 : Number(Htx.task?.id ?? 0)"))


def fits(page: Page) -> bool:
    """Whether image and form are seen as a whole: no scroll bar in the editor, nothing under its bottom bar."""
    return bool(page.evaluate(_FITS))


def judge_values(page: Page) -> Values:
    """Read every control of the active annotation; before anything is changed these are the judge's values."""
    shown = page.evaluate(_VALUES, [list(RATINGS), list(TEXTS)])
    return Values(
        ratings={name: shown[name] for name in RATINGS},
        verdict=shown["verdict"],
        corrected_text=shown["corrected_text"],
        rationale=shown["rationale"],
        unsupported=tuple(shown["unsupported"]),
        contradiction=shown["contradiction"],
    )


def set_verdict(page: Page, value: str) -> None:
    """Click a verdict. A click on the chosen one changes nothing, while its hotkey would take it back."""
    verdict = _control(page, "verdict")
    _within(verdict, f".ant-radio-wrapper:has(input[name='{value}'])").click()
    _within(verdict, f".ant-radio-wrapper-checked:has(input[name='{value}'])")


def set_rating(page: Page, name: str, stars: int) -> None:
    """Click the star with this number, 1 to 5, unless it is the rating already: a click on that would clear it."""
    rating = _control(page, name)
    if len(rating.query_selector_all(".ant-rate-star-full")) != stars:
        rating.query_selector_all(".ant-rate-star")[stars - 1].click()
    page.wait_for_function(
        "([element, stars]) => element.querySelectorAll('.ant-rate-star-full').length === stars", arg=[rating, stars]
    )


def set_text(page: Page, name: str, text: str) -> None:
    """Replace a text by clicking on it and typing; an empty control is typed into and added."""
    area = _control(page, name)
    shown = area.query_selector("[data-testid='htx-textbox-content']")
    if shown:
        shown.scroll_into_view_if_needed()
        _within(area, "[data-testid='htx-textbox-edit-button']").click()
    field = _within(area, "textarea")
    field.fill(text)
    field.press("Shift+Enter")
    page.wait_for_function(
        "([area, text]) => area.querySelector('[data-testid=\"htx-textbox-content\"]')?.innerText.trim() === text",
        arg=[area, text],
    )


def submit(page: Page, *, by_key: bool = False) -> int:
    """Submit the open task by its button or by Ctrl+Enter and wait for what follows; answers with the annotation's id.

    In the stream the next task follows. Beside the list the same task stays, with its annotation saved.
    """
    if by_key:
        return _save(page, lambda: page.keyboard.press("Control+Enter"))
    return _save(page, page.get_by_label("Submit current annotation").click)


def skip(page: Page) -> int:
    """Skip the open task of the stream and wait for the next one; answers with the cancelled annotation's id."""
    return _save(page, page.get_by_label("skip-task").click)


def _open(page: Page, address: str, tasks: int) -> int:
    page.goto(address, wait_until="commit")
    page.evaluate(_WATCH)
    return _wait_for_task(page, tasks)


def _save(page: Page, act: Callable[[], None]) -> int:
    tasks = int(page.evaluate("window.reviewTasks"))
    with page.expect_response(_saves_annotation) as saving:
        act()
    response = saving.value
    assert response.ok, f"{response.status} from {response.url}: {response.text()}"
    _wait_for_task(page, tasks + 1)
    return int(response.json()["id"])


def _wait_for_task(page: Page, tasks: int) -> int:
    page.wait_for_function(
        f"tasks => window.Htx?.noTask || window.reviewTasks >= tasks && ({_READY})()",
        arg=tasks,
        timeout=READY_TIMEOUT_MS,
    )
    return task_id(page)


def _saves_annotation(response: Response) -> bool:
    return response.request.method == "POST" and bool(re.search(r"/api/tasks/\d+/annotations", response.url))


def _control(page: Page, name: str) -> ElementHandle:
    element = page.evaluate_handle(_ELEMENT, name).as_element()
    assert element, f"no control {name} on the page"
    return element


def _within(element: ElementHandle, selector: str) -> ElementHandle:
    found = element.wait_for_selector(selector)
    assert found, f"nothing matches {selector}"
    return found
