"""Admission: how many requests and tasks are let in, and when the others may come back."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from backend.admission import Admission, Busy


def admission(max_tasks: int = 100, max_requests: int = 3, rate: float = 0.0) -> Admission:
    return Admission(max_tasks, max_requests, lambda: rate)


def refused(door: Admission, tasks: int) -> Busy:
    with pytest.raises(Busy) as caught, door.admitted(tasks):
        pass
    return caught.value


def test_as_many_requests_and_tasks_are_let_in_as_fit() -> None:
    door = admission()
    with ExitStack() as stack:
        stack.enter_context(door.admitted(60))
        stack.enter_context(door.admitted(40))
        assert door.requests == 2
        assert str(refused(door, 1)) == (
            "2 requests with 100 tasks are being judged, and the backend takes at most 100 tasks, by "
            "VLM_JUDGE_QUEUE_LIMIT at a time; ask again later"
        )
        stack.enter_context(door.admitted(0))
        assert door.requests == 3
        refused(door, 0)
    assert door.requests == 0
    with door.admitted(100):
        assert door.requests == 1


def test_a_request_that_comes_alone_is_let_in_however_large_it_is() -> None:
    door = admission(max_tasks=10)
    with door.admitted(5_000):
        refused(door, 1)
    with door.admitted(11):
        assert door.requests == 1


def test_a_place_is_given_back_when_a_request_fails() -> None:
    door = admission(max_requests=1)

    def fail() -> None:
        with door.admitted(100):
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            fail()
    assert door.requests == 0
    with door.admitted(100):
        pass


@pytest.mark.parametrize(
    ("tasks", "rate", "retry_after_s"),
    [
        (100, 4.0, 25),  # 100 / 4
        (100, 3.0, 33),  # 33.3
        (100, 500.0, 1),  # 0.2, but at least a second
        (100, 0.1, 120),  # 1000, but at most two minutes
        (100, 0.0, 30),  # not known
        (0, 4.0, 1),
    ],
)
def test_who_is_refused_is_told_how_long_the_others_take(tasks: int, rate: float, retry_after_s: int) -> None:
    door = admission(max_tasks=tasks, rate=rate)
    with door.admitted(tasks):
        assert refused(door, 1).retry_after_s == retry_after_s


def test_threads_never_get_in_beyond_the_limits() -> None:
    door = admission(max_tasks=10, max_requests=4)
    start = threading.Barrier(8)
    guard = threading.Lock()
    inside = {"requests": 0, "tasks": 0}
    most = {"requests": 0, "tasks": 0}

    def ask(seed: int) -> int:
        start.wait()
        got = 0
        for turn in range(60):
            tasks = 1 + (seed + turn) % 4
            try:
                with door.admitted(tasks):
                    with guard:
                        inside["requests"] += 1
                        inside["tasks"] += tasks
                        most.update({name: max(most[name], inside[name]) for name in inside})
                    time.sleep(0.0002)
                    with guard:
                        inside["requests"] -= 1
                        inside["tasks"] -= tasks
                    got += 1
            except Busy:
                continue
        return got

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(8))) > 0
    assert 2 <= most["requests"] <= 4
    assert 2 <= most["tasks"] <= 10
    assert door.requests == 0
    with door.admitted(10):
        refused(door, 1)
