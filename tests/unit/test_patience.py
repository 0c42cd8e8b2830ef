"""Patience: asks again while Label Studio is away, ever less often, and gives up when it has been long enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from backend.errors import StudioAway, StudioError
from backend.patience import IN_A_ROW, InARow, Patience, Stop, Stopped


class Time:
    """`time` whose clock goes on only while somebody sleeps or asks."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.said: list[str] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def patience(self, last_s: float) -> Patience:
        return Patience(last_s, self.said.append)

    @property
    def pauses(self) -> list[str]:
        return [sentence.partition("trying again in ")[2] for sentence in self.said]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr("backend.patience.time", clock)
    return clock


def away_for(times: int, clock: Time | None = None, takes_s: float = 0.0) -> Callable[[], str]:
    """A call that fails so often, each time after a while, and then answers."""
    left = times

    def call() -> str:
        nonlocal left
        if clock is not None:
            clock.now_s += takes_s
        if left == 0:
            return "answer"
        left -= 1
        raise StudioAway(f"nothing answers ({left} left)")

    return call


def test_what_answers_at_once_is_asked_once(clock: Time) -> None:
    assert clock.patience(600.0).ask(away_for(0)) == "answer"
    assert (clock.said, clock.now_s) == ([], 1_000.0)


def test_what_is_away_is_asked_again_after_longer_and_longer_pauses(clock: Time) -> None:
    assert clock.patience(600.0).ask(away_for(8)) == "answer"
    assert clock.pauses == ["1 s", "2 s", "4 s", "8 s", "16 s", "30 s", "30 s", "30 s"]
    assert clock.said[0] == "nothing answers (7 left); trying again in 1 s"
    assert clock.now_s == pytest.approx(1_000.0 + 1 + 2 + 4 + 8 + 16 + 30 + 30 + 30)


def test_the_last_pause_ends_when_the_patience_does_and_one_try_follows(clock: Time) -> None:
    with pytest.raises(StudioAway, match=r"\(95 left\)"):
        clock.patience(10.0).ask(away_for(100))
    assert clock.pauses == ["1 s", "2 s", "4 s", "3 s"]
    assert clock.now_s == pytest.approx(1_010.0)


def test_the_time_that_the_asking_takes_counts(clock: Time) -> None:
    with pytest.raises(StudioAway):
        clock.patience(100.0).ask(away_for(100, clock, takes_s=60.0))
    assert clock.pauses == ["1 s", "2 s"], "61 s after the first try, 123 s after the second"
    assert clock.now_s == pytest.approx(1_000.0 + 3 * 60.0 + 3.0)


def test_no_patience_is_one_try(clock: Time) -> None:
    with pytest.raises(StudioAway):
        clock.patience(0.0).ask(away_for(1))
    assert (clock.said, list(clock.patience(0.0).pauses())) == ([], [None])


def test_other_errors_are_not_waited_for(clock: Time) -> None:
    def refused() -> str:
        raise StudioError("the API key is wrong")

    with pytest.raises(StudioError, match="the API key is wrong"):
        clock.patience(600.0).ask(refused)
    assert clock.said == []


def test_whatever_is_the_matter_may_be_waited_for(clock: Time) -> None:
    clock.patience(600.0).wait(ValueError("the model is away"), 4.0)
    assert clock.said == ["the model is away; trying again in 4 s"]
    assert clock.now_s == pytest.approx(1_004.0)


def test_by_itself_it_sleeps_in_real_seconds_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.patience.FIRST_PAUSE_S", 0.02)
    began_s = time.monotonic()
    assert Patience(5.0).ask(away_for(2)) == "answer"
    assert 0.06 <= time.monotonic() - began_s < 1.0


def test_a_stop_ends_a_pause_at_once() -> None:
    stop = Stop()
    assert not stop.is_set()
    timer = threading.Timer(0.2, setattr, (stop, "asked", True))
    timer.start()
    began_s = time.monotonic()
    with pytest.raises(Stopped):
        Patience(600.0, stop=stop).sleep(60.0)
    assert 0.15 <= time.monotonic() - began_s < 1.0
    assert stop.is_set()
    timer.join()


def test_after_a_stop_nothing_is_waited_for_but_what_answers_is_taken() -> None:
    stop = Stop()
    stop.asked = True
    patience = Patience(600.0, stop=stop)
    assert patience.ask(away_for(0)) == "answer"
    with pytest.raises(Stopped):
        patience.ask(away_for(1))


def test_so_many_failures_in_a_row_are_waited_out_ever_longer_and_one_outcome_begins_anew(clock: Time) -> None:
    in_a_row = InARow(clock.patience(600.0))
    away = ["no server answers"] * IN_A_ROW
    for why in (*away, *away, *away[1:], None, *away):
        assert in_a_row.note(why)
    assert clock.pauses == ["1 s", "2 s", "1 s"]


def test_when_patience_is_at_an_end_no_further_pause_is_promised(clock: Time) -> None:
    in_a_row = InARow(clock.patience(2.0))
    noted = [in_a_row.note("no server answers") for _ in range(5 * IN_A_ROW)]
    assert [place for place, going_on in enumerate(noted, 1) if not going_on] == [
        3 * IN_A_ROW,
        4 * IN_A_ROW,
        5 * IN_A_ROW,
    ]
    assert clock.said == ["no server answers; trying again in 1 s", "no server answers; trying again in 1 s"]
