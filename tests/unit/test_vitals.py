"""What a running judge has done, counted."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from backend.vitals import FAILURES_KEPT, FailureNote, Vitals, VitalSigns


class SteadyClock:
    """`time.monotonic` as it is told."""

    def __init__(self) -> None:
        self.now_s = 5_000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteadyClock:
    clock = SteadyClock()
    monkeypatch.setattr("backend.vitals.time", clock)
    return clock


def test_at_the_start_nothing_was_done(clock: SteadyClock) -> None:
    before = datetime.now(UTC)
    signs = VitalSigns()
    clock.now_s += 3.0
    found = signs.snapshot()
    assert before <= found.started_at <= datetime.now(UTC)
    assert found == Vitals(
        started_at=found.started_at,
        up_s=3.0,
        judged=0,
        recalled=0,
        delivered=0,
        failed=0,
        rate=0.0,
        batches=0,
        idle_s=3.0,
        failures=(),
        requests=(),
    )


def test_everything_that_happens_is_counted(clock: SteadyClock) -> None:
    signs = VitalSigns()
    clock.now_s += 10.0
    signs.judged(8)
    clock.now_s += 5.0
    signs.judged(4)
    clock.now_s += 5.0
    signs.recalled()
    signs.recalled()
    signs.delivered(7)
    signs.delivered(5)
    signs.requested("busy")
    signs.requested("answered")
    signs.requested("answered")
    signs.failed("12", "task 12: no image")
    found = signs.snapshot()
    assert replace(found, failures=()) == Vitals(
        started_at=found.started_at,
        up_s=20.0,
        judged=12,
        recalled=2,
        delivered=12,
        failed=1,
        rate=12 / 10,
        batches=2,
        idle_s=5.0,
        failures=(),
        requests=(("answered", 2), ("busy", 1)),
    )
    [note] = found.failures
    assert note == FailureNote("12", "task 12: no image", note.at)
    assert note.at.tzinfo is UTC


def test_a_snapshot_does_not_change_afterwards(clock: SteadyClock) -> None:
    signs = VitalSigns()
    signs.failed("1", "why")
    signs.requested("answered")
    found = signs.snapshot()
    signs.failed("2", "why")
    signs.requested("failed")
    assert [note.task for note in found.failures] == ["1"]
    assert found.requests == (("answered", 1),)


def test_the_rate_is_since_the_first_batch_of_the_last_minute(clock: SteadyClock) -> None:
    signs = VitalSigns()
    signs.judged(30)
    assert signs.snapshot().rate == 30.0, "as if it had run for a second"
    clock.now_s += 30.0
    signs.judged(30)
    assert signs.snapshot().rate == 60 / 30
    clock.now_s += 30.0
    assert signs.snapshot().rate == 60 / 60
    clock.now_s += 1.0
    assert signs.snapshot().rate == 30 / 31, "the first batch is more than a minute ago, the second 31 s"
    clock.now_s += 30.0
    found = signs.snapshot()
    assert (found.rate, found.judged, found.idle_s) == (0.0, 60, 61.0)


def test_a_batch_in_which_all_failed_is_a_batch(clock: SteadyClock) -> None:
    signs = VitalSigns()
    clock.now_s += 9.0
    signs.judged(0)
    found = signs.snapshot()
    assert (found.batches, found.judged, found.idle_s) == (1, 0, 0.0)


def test_the_newest_failures_come_first_and_not_all_are_kept() -> None:
    signs = VitalSigns()
    for number in range(FAILURES_KEPT + 20):
        signs.failed(str(number), f"why {number}")
    found = signs.snapshot()
    assert found.failed == FAILURES_KEPT + 20
    assert [note.task for note in found.failures] == [str(number) for number in range(119, 19, -1)]


def test_threads_lose_no_count() -> None:
    signs = VitalSigns()

    def work(_: int) -> None:
        for _ in range(200):
            signs.judged(2)
            signs.recalled()
            signs.delivered(3)
            signs.requested("answered")
            signs.snapshot()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    found = signs.snapshot()
    assert (found.judged, found.batches, found.recalled, found.delivered) == (3200, 1600, 1600, 4800)
    assert found.requests == (("answered", 1600),)


def test_time_passes_by_itself() -> None:
    signs = VitalSigns()
    time.sleep(0.02)
    found = signs.snapshot()
    assert 0.02 <= found.up_s < 5.0
    assert found.idle_s == found.up_s
