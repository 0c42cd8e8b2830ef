"""Many pieces of work in few passes: of a bounded size, of similar length, and smaller when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

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
        for index, result in zip(batch, _run_or_halve([items[index] for index in batch], run), strict=True):
            results[index] = result
    return results


def _run_or_halve(items: Sequence[T], run: Callable[[Sequence[T]], Sequence[R]]) -> list[R | None]:
    import torch

    try:
        return list(run(items))
    except torch.OutOfMemoryError:
        pass  # gone on below, where the exception no longer holds the failed pass's tensors
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(items) == 1:
        return [None]
    half = len(items) // 2
    return _run_or_halve(items[:half], run) + _run_or_halve(items[half:], run)
