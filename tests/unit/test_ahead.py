"""Reading ahead: in order, no further than there is room, and errors arrive where the items do."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from backend.ahead import read_ahead


class Source:
    """Numbers that are counted as they are read."""

    def __init__(self, count: int, error: BaseException | None = None) -> None:
        self.count = count
        self.error = error
        self.read = 0
        self.closed = threading.Event()
        self.thread = 0

    def items(self) -> Generator[int, None, None]:
        self.thread = threading.get_ident()
        try:
            for number in range(self.count):
                self.read += 1
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.closed.set()


def settled(source: Source) -> int:
    """How many were read when reading does not go on."""
    seen = -1
    while seen != source.read:
        seen = source.read
        time.sleep(0.05)
    return seen


def test_all_come_in_order_from_another_thread() -> None:
    source = Source(1000)
    assert list(read_ahead(source.items(), 7)) == list(range(1000))
    assert source.thread != threading.get_ident()
    assert source.closed.is_set()


def test_no_more_is_read_than_there_is_room_for() -> None:
    """One is with the consumer, three are in the room, one waits to enter."""
    source = Source(1000)
    items = read_ahead(source.items(), 3)
    assert next(items) == 0
    assert settled(source) == 5
    assert [next(items) for _ in range(4)] == [1, 2, 3, 4]
    assert settled(source) == 9


def test_an_error_comes_after_all_that_came_before_it() -> None:
    items = read_ahead(Source(3, error=OSError("gone")).items(), 10)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="gone"):
        next(items)


def test_whoever_wants_no_more_stops_the_reading() -> None:
    source = Source(10**9)
    items = read_ahead(source.items(), 3)
    assert next(items) == 0
    began_s = time.monotonic()
    items.close()
    assert source.closed.wait(1)
    assert time.monotonic() - began_s < 1
    assert settled(source) <= 9
