from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import jinja2
import pytest

from backend import status
from backend.status import (
    DeliveryState,
    DeliveryStatus,
    Headline,
    ProjectStatus,
    StatusView,
    headline,
    memory,
    render,
    shown_store,
    time_left_s,
)
from tests.status_views import AWAY, BUSY, CROWDED, FAILED, FRESH, HOSTILE, IDLE, LOADING, PROJECTS, VIEWS


class Page(HTMLParser):
    """The words of a page: heading, table rows by cell, the pairs of its lists, and the tags it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.heading = ""
        self.rows: list[list[str]] = []
        self.facts: dict[str, str] = {}
        self._inside: list[str] = []
        self._term = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes[tag] = dict(attrs)
        self._inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "dt":
            self._term = ""
        elif tag == "small" and "dd" in self._inside:
            self.facts[self._term] += "; "
        elif tag == "small":
            self.rows[-1][-1] += "; "

    def handle_endtag(self, tag: str) -> None:
        while self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "h1" in self._inside:
            self.heading += data
        elif "dt" in self._inside:
            self._term += data
        elif "dd" in self._inside:
            self.facts[self._term] = self.facts.get(self._term, "") + data
        elif "td" in self._inside or "th" in self._inside:
            self.rows[-1][-1] += data


def owing(owed: int, state: DeliveryState) -> StatusView:
    return replace(IDLE, projects=(replace(PROJECTS[0], owed=owed), PROJECTS[1]), delivery=DeliveryStatus(state, ""))


@pytest.mark.parametrize(
    ("view", "wanted"),
    [
        (LOADING, Headline("loading", "Loading the model")),
        (replace(LOADING, waiting=1_240), Headline("loading", "Loading the model", "1,240 waiting")),
        (FAILED, Headline("failed", "The model cannot be loaded")),
        (replace(FAILED, vitals=BUSY.vitals), Headline("failed", "The model has stopped working")),
        (BUSY, Headline("judging", "Judging", "1,240 waiting, about 2 min left")),  # 1240 / 12.44 per s = 99.7 s
        (replace(BUSY, vitals=FRESH), Headline("judging", "Judging", "1,240 waiting")),
        (replace(IDLE, requests_open=1), Headline("judging", "Judging", "1 request being answered")),
        (owing(1, "delivering"), Headline("judging", "Writing back", "1 prediction to go")),
        (owing(35, "idle"), Headline("judging", "Writing back", "35 predictions to go")),
        (AWAY, Headline("waiting", "Waiting for Label Studio", "35 predictions to write back")),
        (owing(35, "off"), Headline("waiting", "Not connected", "35 predictions cannot be written back")),
        (IDLE, Headline("idle", "Idle", "everything is judged")),
        (
            replace(IDLE, vitals=replace(IDLE.vitals, failed=1)),
            Headline("idle", "Idle", "nothing left to judge, 1 failure since the start"),
        ),
        (replace(IDLE, vitals=replace(FRESH, recalled=1)), Headline("idle", "Idle", "everything is judged")),
        (replace(IDLE, vitals=FRESH), Headline("idle", "Ready", "nothing to judge yet")),
    ],
)
def test_the_headline_says_how_it_stands(view: StatusView, wanted: Headline) -> None:
    assert headline(view) == wanted
    assert Page(render(view)).heading == wanted.text


def test_time_left_is_what_is_left_by_the_rate() -> None:
    assert time_left_s(BUSY) == 1_240 / 12.44  # 1240 are owed, the 64 in the queue among them
    assert time_left_s(replace(BUSY, waiting=3_000)) == 3_000 / 12.44  # those of requests being answered are not owed
    assert time_left_s(replace(AWAY, waiting=5)) == 5 / 12.44  # what is owed cannot come while Label Studio is away
    assert time_left_s(AWAY) is None
    assert time_left_s(replace(BUSY, vitals=replace(BUSY.vitals, rate=0.0))) is None
    assert time_left_s(IDLE) is None


def test_the_page_tells_all_that_is_known() -> None:
    page = Page(render(BUSY))
    assert page.facts == {
        "Waiting": "1,240; 64 in the queue, 212 MB",
        "Rate": "12.4 per s; last minute",
        "Time left": "2 min; at this rate",
        "Failures": "4; since the start",
        "Name": "Qwen2.5-VL-7B-Instruct",
        "Model": "Qwen/Qwen2.5-VL-7B-Instruct; engine local, ready",
        "Batch": "8 samples; last finished just now",
        "Memory": "6.4 GB",
        "GPU memory": "21.5 GB of 85.9 GB",
        "Verdicts in": "postgresql://db.example.org/verdicts",
        "State": "Writing predictions back",
        "Still to go": "1,240 predictions",
        "Written back": "4,020 predictions",
        "Judged": "5,231 samples; in 661 batches",
        "Known already": "1,904 tasks",
        "Requests now": "2",
        "Requests answered": "391",
        "Requests put off": "2",
        "Requests refused": "1",
        "Requests failed": "0",
    }
    assert [[" ".join(cell.split()) for cell in row] for row in page.rows] == [
        ["Task", "Reason"],
        [
            "4711; just now",
            "the image https://pictures.example.org/spring/0417.jpg cannot be had: 404 Not Found; check the address",
        ],
        [
            "4710; 20 s ago",
            "the image is 30,000 x 20,000 pixels and 100,000,000 are allowed; make it smaller or raise "
            "VLM_JUDGE_MAX_IMAGE_PIXELS",
        ],
        ["4709; 40 s ago", "`caption` is empty; there is nothing to judge"],
        ["4708; 1 min ago", "pictures.example.org did not answer within 20 s; it is asked again with the task"],
    ]
    assert page.attributes["progress"] == {"aria-labelledby": "progress", "max": "3344", "value": "2104"}
    html = render(BUSY)
    for said in (
        "2,104 of 3,344 samples judged",
        "All since the start, the newest first",
        "7 · Captions of the spring set",
        "1,240 to write back",
        "Qwen2.5-VL-7B-Instruct-3f9a1c0b77de",
        "stays empty: <bdi>a Number without bounds has no menu to choose from</bdi>",
        "Version 0.1.0, up for 5 h 12 min since",
        "2026-11-26 09:00 UTC",
        "this is 14:12:30 UTC",
    ):
        assert said in html


def test_a_page_without_work_has_no_progress_and_no_empty_table() -> None:
    for view in (LOADING, IDLE, replace(FAILED, waiting=3)):
        page = Page(render(view))
        assert "progress" not in page.tags
        assert "table" not in page.tags
    assert Page(render(IDLE)).facts["Time left"] == "none; nothing is left to judge"
    assert Page(render(FAILED)).facts["Time left"] == "unknown; nothing judged lately"
    assert "GPU memory" not in Page(render(LOADING)).facts
    assert "None since the start." in render(IDLE)
    assert "None has asked yet." in render(LOADING)


def test_why_it_failed_or_waits_stands_under_the_headline() -> None:
    assert f'<p class="detail"><bdi>{AWAY.delivery.detail}</bdi></p>' in render(AWAY)
    assert "cannot be loaded: &lt;b&gt;CUDA out of memory&lt;/b&gt;.\nChoose a smaller model" in render(FAILED)
    assert render(AWAY).count(AWAY.delivery.detail) == 1
    assert render(LOADING).count("LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set") == 1
    assert "<li><b>Warning:</b> <bdi>The embedded judge knows" in render(IDLE)


def test_only_the_newest_failures_are_shown_and_the_others_counted() -> None:
    page = render(CROWDED)
    rows = Page(page).rows[1:]
    assert [row[0].split(";")[0] for row in rows] == [str(4711 - index) for index in range(20)]
    assert "The newest 20; 123 more since the start" in page  # 143 in all
    assert rows[2][1] == "word " * 119 + "word…"  # 600 characters
    assert "and 11 projects more" in page  # 31 in all, 20 shown


def test_what_others_write_is_escaped_and_can_always_be_sent() -> None:
    page = render(CROWDED)
    assert {"script", "img", "link"} & set(Page(page).tags) == {"link"}
    assert "&lt;script&gt;document.title = &#39;taken&#39;&lt;/script&gt;" in page
    assert HOSTILE.endswith("\ud800")
    assert "gnp.exe ?" in page.encode("utf-8").decode("utf-8")


@pytest.mark.parametrize("name", VIEWS)
def test_every_page_loads_itself_anew_without_a_script(name: str) -> None:
    page = Page(render(VIEWS[name]))
    assert '<meta http-equiv="refresh" content="5">' in render(VIEWS[name])
    assert "script" not in page.tags
    assert page.attributes["body"] == {"class": headline(VIEWS[name]).mood}


def test_the_template_refuses_what_it_was_not_given() -> None:
    with pytest.raises(jinja2.UndefinedError):
        status._template().render(view=BUSY)


@pytest.mark.parametrize(
    ("project", "heading"),
    [
        (ProjectStatus("7", "Captions", "demo-1", 0, ()), "7 · Captions"),
        (ProjectStatus("7", "", "demo-1", 0, ()), "7"),
        (ProjectStatus("-", "an image and a text", "demo-1", 0, ()), "an image and a text"),
        (ProjectStatus("-", "", "demo-1", 0, ()), "Unknown project"),
    ],
)
def test_a_project_is_called_by_what_is_known_of_it(project: ProjectStatus, heading: str) -> None:
    assert f"<h3><bdi>{heading}</bdi></h3>" in render(replace(IDLE, projects=(project,)))


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        (".vlm-judge.sqlite", ".vlm-judge.sqlite"),
        ("postgresql://judge:s3cret@db.example.org:5432/verdicts", "postgresql://db.example.org:5432/verdicts"),
        ("postgresql://judge:s3@cret@db/verdicts?password=s3cret&sslmode=require", "postgresql://db/verdicts"),
        ("postgresql:///verdicts?host=/run/postgresql&user=judge", "postgresql:///verdicts"),
        ("postgresql://judge:s3/c?re#t@db/verdicts", "postgresql://db/verdicts"),
        ("postgresql+psycopg://judge:s3cret@[::1]:5432/verdicts", "postgresql+psycopg://[::1]:5432/verdicts"),
        ("postgresql://judge:s3cret@db:s3cret/verdicts", "postgresql://..."),
    ],
)
def test_the_store_is_shown_without_its_secrets(store: str, shown: str) -> None:
    assert shown_store(store) == shown


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1 kB"),
        (1_234, "1.2 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (1_234_567_890, "1.2 GB"),
        (85_899_345_920, "85.9 GB"),
        (10**15, "1,000 TB"),
    ],
)
def test_sizes_in_the_unit_that_fits(number: int, said: str) -> None:
    assert status.size(number) == said


@pytest.mark.parametrize(
    ("per_s", "said"),
    [
        (0.0, "0 per s"),
        (1 / 60, "1 per min"),
        (0.5, "30 per min"),
        (0.994, "59.6 per min"),
        (0.996, "1 per s"),
        (12.44, "12.4 per s"),
        (1_234.5, "1,234 per s"),
    ],
)
def test_rates_by_the_second_or_the_minute(per_s: float, said: str) -> None:
    assert status.rate(per_s) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (45.4, "45 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (7_530, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (3 * 86_400 + 59, "3 d"),
    ],
)
def test_durations_in_two_units(seconds: float, said: str) -> None:
    assert status.duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "left", "since"),
    [
        (-3, "a few seconds", "just now"),
        (4.9, "a few seconds", "just now"),
        (5, "about 10 s", "10 s ago"),
        (44, "about 40 s", "40 s ago"),
        (54.9, "about 50 s", "50 s ago"),
        (55, "about 1 min", "1 min ago"),
        (100, "about 2 min", "2 min ago"),
        (5_399, "about 90 min", "90 min ago"),
        (5_401, "about 2 h", "2 h ago"),
        (129_599, "about 36 h", "36 h ago"),
        (129_601, "about 2 days", "2 days ago"),
        (86_400_000, "about 1,000 days", "1,000 days ago"),
    ],
)
def test_estimates_in_one_rounded_unit(seconds: float, left: str, since: str) -> None:
    assert (status.about(seconds), status.ago(seconds)) == (left, since)


def test_memory_is_what_the_system_says() -> None:
    lines = Path("/proc/self/status").read_text().splitlines()
    resident = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    assert memory().resident_bytes == pytest.approx(resident, rel=0.05)


@dataclass(frozen=True)
class Cuda:
    """What is asked of `torch.cuda`."""

    initialized: bool
    lost: bool = False

    def is_initialized(self) -> bool:
        return self.initialized

    def mem_get_info(self) -> tuple[int, int]:
        if self.lost:
            raise RuntimeError("CUDA error: unspecified launch failure")
        assert self.initialized, "would wake the GPU"
        return 60, 80


@pytest.mark.parametrize(
    ("cuda", "used_and_total"),
    [
        (Cuda(initialized=True), (20, 80)),
        (Cuda(initialized=False), (None, None)),
        (Cuda(initialized=True, lost=True), (None, None)),
        (ModuleType("torch.cuda"), (None, None)),  # the engine's thread has just begun to import it
    ],
)
def test_gpu_memory_is_told_where_the_engine_uses_a_gpu(
    cuda: Cuda | ModuleType, used_and_total: tuple[int | None, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.cuda", cuda)
    assert (memory().gpu_used_bytes, memory().gpu_total_bytes) == used_and_total


def test_nothing_heavy_is_loaded_with_the_modules() -> None:
    code = (
        "import sys, backend.metrics, backend.status\n"
        "backend.status.memory()\n"
        "print(sorted({'flask', 'jinja2', 'prometheus_client', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
