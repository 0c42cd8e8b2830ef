"""The report of a rich project as its reader sees it: on a screen, on a phone, with every number in its place."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from backend.core.trust.acceptance.certificate import Certificate
from backend.report.render import render
from backend.store import Store
from backend.trust.report.facts import Report, make_report
from backend.trust.report.page import page_of
from tests.browser.test_report_page import PHONE, outside, overlaps
from tests.browser.test_review import FLAGS, chromium, keep_screenshot
from tests.browser.test_status import BACKGROUNDS, SCREEN, faint, opened, too_wide
from tests.trust_rich import rich_reading
from tests.unit.test_trust_report_facts import PROJECTS

_CUT = """() => [...document.querySelectorAll('table')]
  .filter(table => table.checkVisibility())
  .map(table => [table, table.closest('.scroll')])
  .filter(([table, frame]) => table.getBoundingClientRect().right > frame.getBoundingClientRect().right + 1
    || frame.scrollWidth > frame.clientWidth + 1)
  .map(([table]) => table.caption?.textContent ?? table.textContent.slice(0, 40))"""
"""Tables of which one has to scroll to see the last column."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    store = Store(tmp_path_factory.mktemp("rich") / "store.db")
    return make_report(rich_reading(np.random.default_rng(4), store), store, ("source",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Path:
    """Holds the page of the rich project, and those of projects that have next to nothing."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "rich.html").write_text(render(page_of(report)), encoding="utf-8")
    for name, make in PROJECTS.items():
        found = make_report(make(), Store(folder / f"{name}.db"))
        (folder / f"{name}.html").write_text(render(page_of(found)), encoding="utf-8")
    return folder


def cut(page: Page) -> list[str]:
    found: list[str] = page.evaluate(_CUT)
    return found


@pytest.mark.parametrize("name", ["rich", *PROJECTS])
def test_it_fits_and_can_be_read(browser: Browser, folder: Path, name: str) -> None:
    with opened(browser, (folder / f"{name}.html").as_uri()) as (page, complaints):
        for size, scheme in product((SCREEN, PHONE), BACKGROUNDS):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            assert too_wide(page) <= 0, (size, scheme)
            assert overlaps(page) == [], size
            assert outside(page) == [], size
            assert faint(page) == [], (size, scheme)
        assert complaints == []


@pytest.mark.parametrize("name", ["rich", *PROJECTS])
def test_no_table_is_cut_off_on_a_screen(browser: Browser, folder: Path, name: str) -> None:
    with opened(browser, (folder / f"{name}.html").as_uri()) as (page, _):
        for summary in page.locator("summary").all():
            summary.click()
        assert page.locator("table").filter(visible=True).count() > (12 if name == "rich" else 0)
        assert cut(page) == []
        page.evaluate("document.querySelector('table').style.minWidth = '2000px'")
        assert len(cut(page)) == 1, "this test sees a table that is cut off"


def test_what_decides_comes_first(browser: Browser, folder: Path, report: Report) -> None:
    certificate = report.standing.certificates[""]
    assert isinstance(certificate, Certificate)
    with opened(browser, (folder / "rich.html").as_uri()) as (page, _):
        share = f"{100 * certificate.accepted / report.counts.judged:.0f} %"
        top = page.get_by_text(share, exact=True).first.bounding_box()
        assert top is not None
        assert top["y"] < 400
        promise = page.get_by_text(f"confidence of {certificate.threshold:.4g} or more at most 5 % are wrong")
        assert promise.is_visible()
        box = promise.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < SCREEN["height"], "without scrolling"


def test_the_picture_in_the_documentation(browser: Browser, folder: Path) -> None:
    """The numbers are made up, as its text says: people and judge are simulated, and all else is computed."""
    with opened(browser, (folder / "rich.html").as_uri()) as (page, _):
        assert page.get_by_role("heading", level=2).nth(1).inner_text() == "Certificate"
        keep_screenshot(page, "report.png")
