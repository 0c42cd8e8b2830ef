"""The report on a phone, on a screen and on paper, by day and by night: all can be read, and nothing is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from backend.report.render import render
from tests.browser.test_review import FLAGS, chromium
from tests.browser.test_status import BACKGROUNDS, SCREEN, SMALLEST, faint, opened, too_wide
from tests.report_pages import PAGES, SAMPLE, SCRIPT

PHONE: ViewportSize = {"width": 400, "height": 800}
SHEET: ViewportSize = {"width": 688, "height": 1000}
"""What the margins leave of an A4 sheet: 182 by 265 mm, at 96 pixels per inch."""
TOLERANCE = {"across": 2.0, "down": 3.5}
"""Pixels by which the boxes of two texts may meet: they hold the room for descenders too."""

_VISIBLE = "[...document.querySelectorAll('.plot svg')].filter(svg => svg.checkVisibility())"
_OVERLAPS = f"""tolerance => {_VISIBLE}.flatMap(svg => {{
  const texts = [...svg.querySelectorAll('text')]
    .filter(text => text.getBBox().width > 0)
    .map(text => [text.firstChild.data, text.getBoundingClientRect()]);
  return texts.flatMap(([one, a], index) => texts.slice(index + 1)
    .filter(([, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > tolerance.across
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > tolerance.down)
    .map(([other]) => [svg.querySelector('title').textContent, one, other]));
}})"""
"""Texts of one plot that are written over each other."""
_OUTSIDE = f"""() => {_VISIBLE}.flatMap(svg => {{
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')]
    .map(text => [text.textContent, text.getBoundingClientRect()])
    .filter(([, box]) => box.width && (box.left < frame.left - 3 || box.right > frame.right + 3
      || box.top < frame.top - 3 || box.bottom > frame.bottom + 3))
    .map(([text]) => text);
}})"""
_SIZES = f"() => {_VISIBLE}.map(svg => [svg.getBoundingClientRect().width, svg.getBoundingClientRect().height])"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds all pages."""
    folder = tmp_path_factory.mktemp("reports")
    for name, page in PAGES.items():
        (folder / f"{name}.html").write_text(render(page), encoding="utf-8")
    return folder


def overlaps(page: Page) -> list[list[str]]:
    found: list[list[str]] = page.evaluate(_OVERLAPS, TOLERANCE)
    return found


def outside(page: Page) -> list[str]:
    found: list[str] = page.evaluate(_OUTSIDE)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_it_fits_can_be_read_and_pleases_the_browser(browser: Browser, folder: Path, name: str) -> None:
    with opened(browser, (folder / f"{name}.html").as_uri()) as (page, complaints):
        for size, (scheme, background) in product((SMALLEST, PHONE, SCREEN), BACKGROUNDS.items()):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background
            assert too_wide(page) <= 0, (size, scheme)
            assert faint(page) == [], (size, scheme)
        assert complaints == []


@pytest.mark.parametrize("size", [PHONE, SCREEN], ids=["phone", "screen"])
@pytest.mark.parametrize("name", ["sample", "edges", "hostile"])
def test_no_text_of_a_plot_hides_another(browser: Browser, folder: Path, name: str, size: ViewportSize) -> None:
    with opened(browser, (folder / f"{name}.html").as_uri()) as (page, _):
        page.set_viewport_size(size)
        assert len(page.evaluate(_SIZES)) >= 6
        assert overlaps(page) == []
        assert outside(page) == []


def test_these_tests_see_plots_that_are_wrong(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "sample.html").as_uri()) as (page, _):
        page.evaluate(
            f"""() => {{
              const texts = {_VISIBLE}[0].querySelectorAll('text');
              texts[1].setAttribute('x', texts[0].getAttribute('x'));
              texts[1].setAttribute('y', texts[0].getAttribute('y'));
              texts[2].setAttribute('x', -200);
            }}"""
        )
        first, second = "blind: the person did not see the judge's answer", "shown: the person saw it"
        assert overlaps(page) == [[SAMPLE.sections[0].blocks[0].title, first, second]]  # type: ignore[union-attr]
        assert outside(page) == ["labels"]


def test_text_is_as_large_on_a_phone_as_on_a_screen(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "sample.html").as_uri()) as (page, _):
        for size, drawn in ((PHONE, 340), (SCREEN, 780)):
            page.set_viewport_size(size)
            scales = {round(width / drawn, 2) for width, _ in page.evaluate(_SIZES)}
            assert all(0.97 <= scale <= 1.1 for scale in scales), scales


def test_on_paper_no_plot_is_cut(browser: Browser, folder: Path) -> None:
    """Each is kept on one sheet, which can be done because it is no higher than a sheet."""
    for name in ("sample", "edges"):
        with opened(browser, (folder / f"{name}.html").as_uri()) as (page, _):
            page.set_viewport_size(SHEET)
            page.emulate_media(media="print", color_scheme="dark")
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
            assert too_wide(page) <= 0
            assert overlaps(page) == []
            assert not page.locator("details, nav, .plot.narrow").filter(visible=True).count()
            breaks = page.evaluate(f"() => {_VISIBLE}.map(svg => getComputedStyle(svg).breakInside)")
            assert set(breaks) == {"avoid"}
            assert max(height for _, height in page.evaluate(_SIZES)) < SHEET["height"]
            assert page.evaluate("getComputedStyle(document.body).printColorAdjust") == "exact"


def test_it_can_be_printed(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "sample.html").as_uri()) as (page, _):
        paper = page.pdf(format="A4")
        assert paper.startswith(b"%PDF")
        assert 4 <= paper.count(b"/Type /Page\n") <= 7
        assert len(paper) < 2_000_000


def test_the_numbers_of_a_plot_are_one_click_away(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "sample.html").as_uri()) as (page, _):
        figure = page.get_by_role("figure", name="Agreement on each criterion")
        table = figure.get_by_role("table", name="Agreement on each criterion")
        assert table.count() == 0
        figure.get_by_text("The numbers").click()
        assert table.get_by_role("row").nth(1).inner_text().split() == (
            [
                "Verdict",
                "blind:",
                "the",
                "person",
                "did",
                "not",
                "see",
                "the",
                "judge's",
                "answer",
                "84.0",
                "79.0",
                "88.5",
                "204",
            ]
        )
        assert too_wide(page) <= 0


def test_it_can_be_read_out(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "sample.html").as_uri()) as (page, _):
        drawing = page.get_by_role("img", name="Who said what")
        assert drawing.count() == 1, "the one for phones is not read out too"
        contents = page.get_by_role("navigation", name="Contents").get_by_role("link").all_inner_texts()
        assert contents == [*(section.title for section in SAMPLE.sections), "How this was made"]
        regions = [page.get_by_role("region", name=title, exact=True).count() for title in contents]
        assert regions == [1] * 6
        assert page.get_by_role("heading", level=1).inner_text() == SAMPLE.title


def test_the_contents_stay_in_sight(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "sample.html").as_uri()) as (page, _):
        page.get_by_role("link", name="Groups").click()
        seen = """element => {
          const {top, bottom} = element.getBoundingClientRect();
          return top >= 0 && bottom <= innerHeight;
        }"""
        assert page.locator("nav").evaluate(seen)
        assert page.get_by_role("heading", name="Groups").evaluate(seen)


def test_bad_words_do_nothing(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "hostile.html").as_uri()) as (page, complaints):
        assert page.title().startswith(SCRIPT)
        assert page.locator("script, img").count() == 0
        assert complaints == []
