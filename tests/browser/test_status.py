"""The status page on a phone and on a screen, by day and by night, under the policy that the server sends with it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from backend.status import REFRESH_S, StatusView, headline, render
from tests.browser.test_review import FLAGS, chromium, keep_screenshot
from tests.status_views import BUSY, HOSTILE, IDLE, LOADING, LONG_WORD, VIEWS

Scheme = Literal["light", "dark"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
"""As `backend.doors` sends it with every answer."""
SMALLEST: ViewportSize = {"width": 320, "height": 640}
"""What WCAG 2.2 asks for: also a wide screen at four times the size."""
PHONE: ViewportSize = {"width": 360, "height": 740}
SCREEN: ViewportSize = {"width": 1280, "height": 800}
LEAST_CONTRAST = 4.5
"""WCAG 2.2, level AA, for text."""
NEVER_S = 3_600
"""Pages that are looked at do not change meanwhile, however slow the machine."""
BACKGROUNDS: dict[Scheme, str] = {"light": "rgb(246, 245, 242)", "dark": "rgb(21, 21, 23)"}

_CONTRASTS = """root => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (front, back) => back.map((value, index) => value + (front[index] - value) * front[3] / 255);
  const behind = element => {
    if (!element) throw new Error('no background');
    const color = rgba(getComputedStyle(element).backgroundColor);
    return color[3] === 255 ? color.slice(0, 3) : over(color, behind(element.parentElement));
  };
  const light = color => color
    .map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const contrast = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const found = [], top = document.querySelector(root), texts = document.createTreeWalker(top, NodeFilter.SHOW_TEXT);
  const add = (text, element, style) => {
    const back = behind(element);
    found.push([text, contrast(over(rgba(style.color), back), back)]);
  };
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement, text = texts.currentNode.data.trim();
    if (text && element.checkVisibility()) add(text, element, getComputedStyle(element));
  }
  for (const element of top.querySelectorAll('*')) {
    const style = getComputedStyle(element, '::after'), text = style.content.match(/^"(.*\\w.*)"$/)?.[1];
    if (text && element.checkVisibility()) add(text, element, style);
  }
  return found;
}"""
"""Every visible text below a place, also what a style adds, and its contrast against what it stands on."""


FAULTY = """<!doctype html><html><head><title>Faulty</title><link rel="icon" href="data:,"></head>
<body style="background: white"><p style="color: #888; width: 2000px">grey</p><script>document.title = "x"</script>
<img src="missing.png" alt=""></body></html>"""
"""Has one fault of each kind that the tests look for."""


@dataclass(slots=True)
class StatusServer:
    """A real server of pages; what it shows may be changed while it runs."""

    url: str
    refresh_s: int
    views: dict[str, StatusView]
    asked: Counter[str] = field(default_factory=Counter)
    """Requests by path."""

    def page(self, path: str) -> str | None:
        name = path.removeprefix("/")
        if name == "faulty":
            return FAULTY
        return render(self.views[name], self.refresh_s) if name in self.views else None


@contextmanager
def serving(views: dict[str, StatusView], refresh_s: int = NEVER_S) -> Iterator[StatusServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.asked[self.path] += 1
            page = shown.page(self.path)
            body = (page or "").encode("utf-8")
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        shown = StatusServer(f"http://127.0.0.1:{httpd.server_address[1]}", refresh_s, dict(views))
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield shown
        finally:
            httpd.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server() -> Iterator[StatusServer]:
    with serving(VIEWS) as server:
        yield server


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[tuple[Page, list[str]]]:
    """The page, and what the browser complains of: its console, scripts, requests, the security policy."""
    page = browser.new_page(viewport=SCREEN, color_scheme="light")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.goto(url)
    yield page, complaints
    page.close()


def too_wide(page: Page) -> int:
    """By how many pixels one would have to scroll sideways, at most 0 for a page that fits."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def contrasts(page: Page, root: str) -> list[tuple[str, float]]:
    """Every visible text in the element that a selector finds, with its contrast, from 1 to 21."""
    found: list[tuple[str, float]] = page.evaluate(_CONTRASTS, root)
    return found


def faint(page: Page) -> list[tuple[str, float]]:
    """Texts that stand out too little from what is behind them."""
    found = contrasts(page, "body")
    assert len(found) > 0
    return [(text, round(contrast, 2)) for text, contrast in found if contrast < LEAST_CONTRAST]


@pytest.mark.parametrize("name", VIEWS)
def test_it_fits_can_be_read_and_pleases_the_browser(browser: Browser, server: StatusServer, name: str) -> None:
    wanted = headline(VIEWS[name]).text
    with opened(browser, f"{server.url}/{name}") as (page, complaints):
        assert page.title() == f"{wanted} · VLM Judge"
        assert page.get_by_role("heading", level=1).inner_text() == wanted
        for size, (scheme, background) in product((SMALLEST, PHONE, SCREEN), BACKGROUNDS.items()):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background
            assert too_wide(page) <= 0, (size, scheme)
            assert faint(page) == [], (size, scheme)
        assert complaints == []


def test_nothing_is_asked_for_but_the_page(browser: Browser) -> None:
    with serving(VIEWS) as server, opened(browser, f"{server.url}/busy") as (page, _):
        page.wait_for_load_state("networkidle")
        assert server.asked == {"/busy": 1}


def test_these_tests_see_a_page_that_is_wrong(browser: Browser, server: StatusServer) -> None:
    with opened(browser, f"{server.url}/faulty") as (page, complaints):
        assert too_wide(page) > 700
        assert faint(page) == [("grey", 3.54)]  # of #888 on white
        assert page.title() == "Faulty", "the policy lets no script run"
        refused = [line for line in complaints if "Content Security Policy" in line]
        assert len(refused) == 2, complaints  # the script and the image


def test_what_others_write_is_shown_as_they_wrote_it(browser: Browser, server: StatusServer) -> None:
    with opened(browser, f"{server.url}/crowded") as (page, complaints):
        assert page.locator("script, img").count() == 0
        reasons = page.get_by_role("table", name="The newest 20; 123 more since the start").locator("td:last-child")
        assert reasons.count() == 20
        assert reasons.nth(0).inner_text() == LONG_WORD
        assert reasons.nth(1).inner_text() == HOSTILE.replace("\ud800", "?")
        assert complaints == []


def test_it_can_be_read_out(browser: Browser, server: StatusServer) -> None:
    """The parts have roles and names for those who do not see the page."""
    with opened(browser, f"{server.url}/busy") as (page, _):
        bar = page.get_by_role("progressbar", name="2,104 of 3,344 samples judged")
        assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("2104", "3344")
        table = page.get_by_role("table", name="All since the start, the newest first")
        assert table.get_by_role("columnheader").all_inner_texts() == ["Task", "Reason"]
        regions = [page.get_by_role("region", name=name).count() for name in ("Failures", "Projects", "Judge")]
        assert regions == [1, 1, 1]
        assert page.get_by_role("definition").first.inner_text() == "1,240\n64 in the queue, 212 MB"
    with opened(browser, f"{server.url}/idle") as (page, _):
        assert page.get_by_role("list", name="Warnings").inner_text() == f"Warning: {IDLE.warnings[0]}"


def test_it_loads_itself_anew(browser: Browser) -> None:
    with (
        serving({"status": LOADING}, REFRESH_S) as server,
        opened(browser, f"{server.url}/status") as (page, complaints),
    ):
        assert page.get_by_role("heading", level=1).inner_text() == "Loading the model"
        server.views["status"] = BUSY
        page.get_by_role("heading", name="Judging: 1,240 waiting, about 2 min left").wait_for(timeout=15_000)
        assert server.asked == {"/status": 2}
        assert complaints == []


def test_the_picture_in_the_documentation(browser: Browser, server: StatusServer) -> None:
    with opened(browser, f"{server.url}/busy") as (page, _):
        assert page.get_by_role("heading", level=1).inner_text() == "Judging: 1,240 waiting, about 2 min left"
        keep_screenshot(page, "status.png")
