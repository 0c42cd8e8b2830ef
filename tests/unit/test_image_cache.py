"""`backend.image_cache`: what is kept, for how long, and who fetches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from backend.errors import ImageAway, ImageError
from backend.image_cache import MAX_AGE_S, OVERHEAD_BYTES, ImageCache

KIB = 1024


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Source:
    """Counts what is asked of it."""

    asked: list[str] = field(default_factory=list)

    def fetching(self, name: str, size: int = KIB - OVERHEAD_BYTES) -> Callable[[], bytes]:
        def fetch() -> bytes:
            self.asked.append(name)
            return name.encode() * size

        return fetch


def ask(cache: ImageCache, source: Source, names: str) -> str:
    """Ask for each letter in turn; the letters that had to be fetched. Each takes one KiB of the cache."""
    before = len(source.asked)
    for name in names:
        assert cache.get(name.encode(), source.fetching(name)) == name.encode() * (KIB - OVERHEAD_BYTES)
    return "".join(source.asked[before:])


def test_what_was_fetched_is_not_fetched_again() -> None:
    assert ask(ImageCache(8 * KIB), Source(), "abcabc") == "abc"


def test_the_least_recently_used_goes_first_and_bytes_are_bounded() -> None:
    cache, source = ImageCache(4 * KIB), Source()
    assert ask(cache, source, "abcd" + "a") == "abcd"
    assert ask(cache, source, "e") == "e"
    assert cache.size_bytes == 4 * KIB
    assert ask(cache, source, "acde") == ""
    assert ask(cache, source, "b") == "b"
    assert cache.size_bytes == 4 * KIB


def test_no_bytes_keep_nothing() -> None:
    cache = ImageCache(0)
    assert ask(cache, Source(), "aaa") == "aaa"
    assert cache.size_bytes == 0


def test_what_would_take_more_than_a_quarter_is_not_kept() -> None:
    cache, source = ImageCache(4 * KIB), Source()
    for size in (KIB - OVERHEAD_BYTES, KIB - OVERHEAD_BYTES + 1):
        for _ in range(2):
            assert cache.get(str(size).encode(), source.fetching("x", size)) == b"x" * size
    assert source.asked == ["x"] * 3
    assert cache.size_bytes == KIB


def test_empty_answers_count_by_what_an_entry_takes() -> None:
    cache, source = ImageCache(4 * KIB), Source()
    for number in range(1000):
        assert cache.get(str(number).encode(), source.fetching("", 0)) == b""
    assert cache.size_bytes == 4 * KIB
    assert cache.get(b"999", source.fetching("", 0)) == b""
    assert len(source.asked) == 1000


def test_what_is_old_is_fetched_anew_however_often_it_is_used() -> None:
    clock, source = Clock(), Source()
    cache = ImageCache(8 * KIB, clock)
    assert ask(cache, source, "a") == "a"
    for _ in range(2):
        clock.now_s += MAX_AGE_S / 2 - 1
        assert ask(cache, source, "a") == ""
    clock.now_s += 2
    assert ask(cache, source, "ab") == "ab"
    assert ask(cache, source, "ab") == ""
    assert cache.size_bytes == 2 * KIB


def test_errors_are_not_kept() -> None:
    cache, source = ImageCache(8 * KIB), Source()

    def fail() -> bytes:
        source.asked.append("fail")
        raise ImageError("not now")

    for _ in range(2):
        with pytest.raises(ImageError, match=r"^not now$"):
            cache.get(b"a", fail)
    assert ask(cache, source, "a") == "a"
    assert source.asked == ["fail", "fail", "a"]


@dataclass
class Gate:
    """A fetch that waits until it may end, in the thread that began it; `result` is what it comes to."""

    result: bytes | Exception
    begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)
    fetches: int = 0

    def __call__(self) -> bytes:
        self.fetches += 1
        self.begun.set()
        assert self.may_end.wait(10)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def together(cache: ImageCache, gate: Gate, askers: int = 6) -> list[bytes | str]:
    """Let several threads ask for one key while the fetch of the first is under way: bytes, or their errors."""

    arrived = threading.Semaphore(0)

    def ask_once() -> bytes | str:
        arrived.release()
        try:
            return cache.get(b"key", gate)
        except ImageError as exc:
            return f"{type(exc).__name__}: {exc}"

    with ThreadPoolExecutor(askers) as threads:
        asked = [threads.submit(ask_once) for _ in range(askers)]
        assert gate.begun.wait(10)
        assert all(arrived.acquire(timeout=10) for _ in asked)
        time.sleep(0.1)  # from there it is one step to the wait
        gate.may_end.set()
        return [future.result(10) for future in asked]


def test_one_fetch_serves_all_who_ask_meanwhile() -> None:
    gate = Gate(b"picture")
    assert together(ImageCache(8 * KIB), gate) == [b"picture"] * 6
    assert gate.fetches == 1


def test_also_where_nothing_is_kept() -> None:
    gate = Gate(b"picture")
    assert together(ImageCache(0), gate) == [b"picture"] * 6
    assert gate.fetches == 1


@pytest.mark.parametrize("kind", [ImageError, ImageAway])
def test_one_error_is_given_to_all_who_ask_meanwhile(kind: type[ImageError]) -> None:
    """Of the same kind: what is only away is asked for again, for every task that shows it."""
    cache, gate = ImageCache(8 * KIB), Gate(kind("gone"))
    assert together(cache, gate) == [f"{kind.__name__}: gone"] * 6
    assert gate.fetches == 1
    assert cache.get(b"key", lambda: b"back") == b"back"


def test_an_interrupted_fetch_leaves_nobody_waiting() -> None:
    """A defect of ours, or Ctrl-C, ends the one who fetched; the next one fetches."""
    cache = ImageCache(8 * KIB)
    gate = Gate(ZeroDivisionError("defect"))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.get, b"key", gate)
        assert gate.begun.wait(10)
        second = threads.submit(cache.get, b"key", lambda: b"picture")
        gate.may_end.set()
        with pytest.raises(ZeroDivisionError):
            first.result(10)
        assert second.result(10) == b"picture"


def test_other_keys_do_not_wait() -> None:
    cache, gate = ImageCache(8 * KIB), Gate(b"slow")
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(cache.get, b"slow", gate)
        assert gate.begun.wait(10)
        assert cache.get(b"fast", lambda: b"fast") == b"fast"
        assert not slow.done()
        gate.may_end.set()
        assert slow.result(10) == b"slow"


def test_many_threads_never_exceed_the_bound() -> None:
    cache, source = ImageCache(16 * KIB), Source()

    def work(seed: int) -> int:
        for step in range(300):
            ask(cache, source, "abcdefghijklmnopqrstuvwxyz"[(seed * 7 + step * step) % 26])
            assert cache.size_bytes <= 16 * KIB
        return seed

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == list(range(8))
