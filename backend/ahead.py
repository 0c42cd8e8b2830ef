"""Reads what takes time to come ahead, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")

LET_GO_S = 5.0
"""How long to wait for the thread when no more is wanted; it may be in the middle of a request."""
_GLANCE_S = 0.2


@dataclass(slots=True)
class _End:
    """The end of what is read; used as a context, it keeps what went wrong for the thread that consumes."""

    error: BaseException | None = None

    def __enter__(self) -> _End:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None) -> bool:
        self.error = exc
        return True


def read_ahead(source: Generator[Item, None, None], room: int) -> Generator[Item, None, None]:
    """The items of `source`, of which up to `room` are read before they are asked for; raises what it raises."""
    items: Queue[Item | _End] = Queue(room)
    stopping = threading.Event()
    thread = threading.Thread(target=_read, args=(source, items, stopping), name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := items.get(), _End):
            yield item
    finally:
        stopping.set()
        _empty(items)  # so that the thread sees it at once
        thread.join(LET_GO_S)
    if item.error is not None:
        raise item.error


def _read(source: Generator[Item, None, None], items: Queue[Item | _End], stopping: threading.Event) -> None:
    with _End() as end, closing(source):
        for item in source:
            if not _put(items, item, stopping):
                break
    _put(items, end, stopping)


def _put(items: Queue[Item | _End], item: Item | _End, stopping: threading.Event) -> bool:
    """Wait for room; False when no more is wanted."""
    while not stopping.is_set():
        with suppress(Full):
            items.put(item, timeout=_GLANCE_S)
            return True
    return False


def _empty(items: Queue[Item | _End]) -> None:
    with suppress(Empty):
        while True:
            items.get_nowait()
