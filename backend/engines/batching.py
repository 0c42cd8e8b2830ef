"""Many pieces of work in few passes: of a bounded size, of similar length, and smaller when memory runs out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from backend.engines.faults import is_out_of_memory, make_room

T = TypeVar("T")
R = TypeVar("R")


Size = tuple[int, ...]
"""Tokens of an item's parts. In a batch, each part has as much room as the longest of that part needs."""


def batches(sizes: Sequence[Size], max_tokens: int) -> list[tuple[int, ...]]:
    """Indices of the items in batches of at most `max_tokens`, counted as items times the room of their parts.

    Longest first, so that little is padded and what does not fit shows at once. An item longer
    than `max_tokens` is a batch of its own.
    """
    found: list[tuple[int, ...]] = []
    batch: list[int] = []
    room: Size = ()
    for index in sorted(range(len(sizes)), key=lambda index: (-sum(sizes[index]), sizes[index])):
        wider = tuple(map(max, room or sizes[index], sizes[index]))
        if batch and (len(batch) + 1) * sum(wider) > max_tokens:
            found.append(tuple(batch))
            batch, wider = [], sizes[index]
        batch.append(index)
        room = wider
    return [*found, tuple(batch)] if batch else found


def run_in_batches(
    items: Sequence[T],
    sizes: Sequence[Size],
    max_tokens: int,
    run: Callable[[Sequence[T]], Sequence[R]],
    ahead: Callable[[T], object] | None = None,
) -> list[R | None]:
    """What `run` gives for every item, in the items' order; None for an item that alone exhausts the memory.

    `ahead` is told of every item one batch before it is run.
    """
    results: list[R | None] = [None] * len(items)
    plan = batches(sizes, max_tokens)
    for number, batch in enumerate(plan):
        if ahead is not None:
            for index in (index for soon in plan[number : number + 2] for index in soon):
                ahead(items[index])
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
