"""Many pieces of work in few passes: of a bounded size, of similar length, and smaller when memory runs out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from backend.engines.faults import is_out_of_memory, make_room

T = TypeVar("T")
R = TypeVar("R")


def batches(lengths: Sequence[int], max_tokens: int) -> list[tuple[int, ...]]:
    """Indices of the items in batches of at most `max_tokens`, counted as items times the longest of them.

    Longest first, so that little is padded and what does not fit shows at once. An item longer
    than `max_tokens` is a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    found: list[tuple[int, ...]] = []
    at = 0
    while at < len(order):
        count = max(1, max_tokens // max(1, lengths[order[at]]))
        found.append(tuple(order[at : at + count]))
        at += count
    return found


def run_in_batches(
    items: Sequence[T], lengths: Sequence[int], max_tokens: int, run: Callable[[Sequence[T]], Sequence[R]]
) -> list[R | None]:
    """What `run` gives for every item, in the items' order; None for an item that alone exhausts the memory."""
    results: list[R | None] = [None] * len(items)
    for batch in batches(lengths, max_tokens):
        for index, result in zip(batch, run_or_halve([items[index] for index in batch], run), strict=True):
            results[index] = result
    return results


def run_or_halve(items: Sequence[T], run: Callable[[Sequence[T]], Sequence[R]]) -> list[R | None]:
    """What `run` gives for the items: all at once if that fits into memory, else half of them at a time, and so on.

    None for an item that alone exhausts the memory.
    """
    found = within_memory(partial(run, items))
    if found is not None:
        return list(found)
    if len(items) == 1:
        return [None]
    half = len(items) // 2
    return run_or_halve(items[:half], run) + run_or_halve(items[half:], run)


def within_memory(work: Callable[[], R]) -> R | None:
    """What the work gives; None when memory ran out, and then all that it held is free again."""
    outside = sys.exception()
    try:
        return work()
    except (RuntimeError, MemoryError) as exc:
        if not is_out_of_memory(exc):
            raise
        make_room(exc, outside)
        return None
