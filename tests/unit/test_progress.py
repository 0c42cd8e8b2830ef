"""Progress on standard error: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from backend.progress import Pace, plain_progress, progress_bar

IN_A_TERMINAL = """
import time
from backend.progress import progress_bar

with progress_bar("Judging") as report:
    report(40, 100)
    time.sleep(0.2)
    report(60, 100)
    time.sleep(0.2)
    report(100, 100)
"""


class SteadyClock:
    """`time.monotonic` as it is told."""

    def __init__(self) -> None:
        self.now_s = 5_000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteadyClock:
    clock = SteadyClock()
    monkeypatch.setattr("backend.progress.time", clock)
    return clock


def test_what_was_done_before_does_not_count_towards_the_pace(clock: SteadyClock) -> None:
    pace = Pace()
    assert (pace.per_s(900), pace.text(900), pace.left(900, 1000)) == (0.0, "", "")
    clock.now_s += 4.0
    # 50 in 4 s, and 50 are left
    assert (pace.per_s(950), pace.text(950), pace.left(950, 1000)) == (12.5, "12.5 per s", "4 s left")


@pytest.mark.parametrize(
    ("done", "total", "left"),
    [
        (10, 100, "2 min left"),  # 90 s at 1 per s
        (10, 99, "89 s left"),
        (10, 610, "10 min left"),
        (100, 100, ""),
        (100, 90, ""),
        (10, None, ""),
        (0, 100, ""),
    ],
)
def test_the_time_that_is_left_follows_from_the_pace(
    clock: SteadyClock, done: int, total: int | None, left: str
) -> None:
    pace = Pace()
    pace.per_s(0)
    clock.now_s += max(float(done), 1.0)
    assert pace.left(done, total) == left


def test_a_count_that_goes_back_has_no_pace(clock: SteadyClock) -> None:
    pace = Pace()
    pace.per_s(50)
    clock.now_s += 5.0
    assert (pace.per_s(40), pace.text(40), pace.left(40, 100)) == (0.0, "", "")


def test_lines_come_now_and_then_with_pace_and_what_is_left(
    clock: SteadyClock, capsys: pytest.CaptureFixture[str]
) -> None:
    report = plain_progress("Judging")
    report(100, 1000)
    clock.now_s += 9.9
    report(190, 1000)
    clock.now_s += 0.1
    report(200, 1000)
    clock.now_s += 5.0
    report(250, 1000)
    clock.now_s += 5.0
    report(300, None)
    clock.now_s += 10.0
    report(1000, 1000)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "Judging: 200 of 1000 (10.0 per s, 80 s left)",
        "Judging: 300 (10.0 per s)",
        "Judging: 1000 of 1000 (30.0 per s)",
    ]


def test_a_first_line_without_a_pace_says_only_how_far_it_is(
    clock: SteadyClock, capsys: pytest.CaptureFixture[str]
) -> None:
    report = plain_progress("Reading", every_s=0)
    report(3, None)
    report(3, 9)
    assert capsys.readouterr().err == "Reading: 3\nReading: 3 of 9\n"


def test_outside_of_a_terminal_there_are_lines(clock: SteadyClock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Judging") as report:
        report(0, 10)
        clock.now_s += 10.0
        report(5, 10)
    assert capsys.readouterr().err == "Judging: 5 of 10 (0.5 per s, 10 s left)\n"


def test_in_a_terminal_there_is_a_bar_with_the_rate_of_what_is_done_now() -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", IN_A_TERMINAL], stderr=theirs, stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux says so where others say that there is no more
        pass
    finally:
        os.close(ours)
        process.wait(30)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert process.returncode == 0, plain
    last = plain.replace("\r", "\n").strip().splitlines()[-1]
    found = re.search(r"^Judging .* 100/100 (\d+\.\d) per s", last)
    assert found, plain
    assert 5.0 < float(found[1]) < 160.0, "60 in 0.4 s or more; with what was done before it would be 250"
