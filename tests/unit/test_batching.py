from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.batching import batches, run_in_batches
from backend.engines.packing import PackedRequest, Prompt


def test_batches_hold_items_of_similar_length_within_the_budget() -> None:
    """The longest, 9, goes alone (2 x 9 > 12); 5 and 4 cost 10; 3, 2, 1 and 1 cost 12."""
    assert batches([3, 9, 1, 5, 2, 4, 1], 12) == [(1,), (3, 5), (0, 4, 2, 6)]


def test_what_exceeds_the_budget_goes_alone() -> None:
    assert batches([20, 3], 12) == [(0,), (1,)]


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 100))
def test_every_item_is_in_one_batch_of_bounded_cost(lengths: list[int], budget: int) -> None:
    found = batches(lengths, budget)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget


class Room:
    """Runs as many tokens at once as there is memory for."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self.passes: list[list[str]] = []

    def run(self, items: Sequence[str]) -> list[str]:
        import torch

        self.passes.append(list(items))
        if sum(map(len, items)) > self._tokens:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [item.upper() for item in items]


def test_what_does_not_fit_is_halved_and_what_never_fits_is_none() -> None:
    room = Room(5)
    words = ["ab", "cd", "abcdef", "ef"]
    assert run_in_batches(words, [len(word) for word in words], 100, room.run) == ["AB", "CD", None, "EF"]
    assert room.passes == [["abcdef", "ab", "cd", "ef"], ["abcdef", "ab"], ["abcdef"], ["ab"], ["cd", "ef"]]


def test_other_errors_pass_through() -> None:
    def fail(items: Sequence[str]) -> list[str]:
        raise RuntimeError("not about memory")

    with pytest.raises(RuntimeError, match="not about memory"):
        run_in_batches(["a"], [1], 10, fail)


def packed(prefix: int, *branches: int) -> PackedRequest:
    ids = tuple((number,) * length for number, length in enumerate(branches, start=1))
    return PackedRequest(Prompt((0,) * prefix, (), None), ids, tuple((number,) for number in range(1, len(ids) + 1)))


def lengths(rows: Sequence[PackedRequest]) -> list[list[int]]:
    return [[len(row.prefix.ids), *map(len, row.branch_ids)] for row in rows]


def test_a_request_within_the_budget_is_one_row() -> None:
    row = packed(4, 2, 2)
    assert row.split(8) == (row,)


def test_a_longer_request_repeats_its_prefix() -> None:
    """Of 8 tokens the prefix takes 4 and leaves 4; the branch of 6 fits nowhere and goes alone."""
    rows = packed(4, 2, 2, 1, 6, 3, 1).split(8)
    assert lengths(rows) == [[4, 2, 2], [4, 1], [4, 6], [4, 3, 1]]
    assert [row.option_ids for row in rows] == [((1,), (2,)), ((3,),), ((4,),), ((5,), (6,))]


def test_without_questions_there_is_no_row() -> None:
    assert packed(4).split(8) == packed(9).split(8) == ()
