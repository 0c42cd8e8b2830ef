from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.batching import batches, run_in_batches, within_memory
from backend.engines.packing import PackedRequest, Prompt
from backend.engines.pixels import Patching, Pictures


def test_batches_hold_items_of_similar_length_within_the_budget() -> None:
    """The longest, 9, goes alone (2 x 9 > 12); 5 and 4 cost 10; 3, 2, 1 and 1 cost 12."""
    assert batches([(3,), (9,), (1,), (5,), (2,), (4,), (1,)], 12) == [(1,), (3, 5), (0, 4, 2, 6)]


def test_what_exceeds_the_budget_goes_alone() -> None:
    assert batches([(20,), (3,)], 12) == [(0,), (1,)]


def test_parts_have_the_room_of_the_longest_of_each() -> None:
    """Each is 8 long, but side by side the first two are 6 + 6 wide: 24 for both, 16 for the two that are alike."""
    assert batches([(6, 2), (2, 6), (6, 2)], 16) == [(1,), (0, 2)]
    assert batches([(6, 2), (2, 6)], 24) == [(1, 0)]


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), max_size=30), st.integers(1, 200))
def test_every_item_is_in_one_batch_of_bounded_cost(sizes: list[tuple[int, int]], budget: int) -> None:
    found = batches(sizes, budget)
    assert sorted(index for batch in found for index in batch) == list(range(len(sizes)))
    for batch in found:
        first, second = (max(sizes[index][part] for index in batch) for part in range(2))
        assert len(batch) == 1 or len(batch) * (first + second) <= budget


def test_what_is_next_is_told_a_batch_before_it_is_run() -> None:
    said: list[str] = []

    def run(items: Sequence[str]) -> list[str]:
        said.append(f"run {''.join(items)}")
        return list(items)

    run_in_batches(["a", "bb", "ccc"], [(1,), (2,), (3,)], 3, run, lambda item: said.append(f"soon {item}"))
    runs = ["run ccc", "run bb", "run a"]
    assert [line for line in said if line in runs] == runs
    assert all(said.index(f"soon {item}") < said.index(before) for item, before in (("bb", runs[0]), ("a", runs[1])))


def no_gpu_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory.")


def no_cpu_memory() -> None:
    import torch

    torch.empty(2**60, dtype=torch.uint8)


def no_host_memory() -> None:
    import numpy as np

    np.empty(2**60, dtype=np.uint8)


class Room:
    """Runs as many letters at once as there is memory for, where tensors are hard to be rid of.

    Of each pass one is in a cycle with its error, and one in a variable that a closure shares.
    """

    def __init__(self, letters: int, run_out: Callable[[], None]) -> None:
        self._letters = letters
        self._run_out = run_out
        self._held: list[weakref.ref[Any]] = []
        self.passes: list[list[str]] = []
        self.left_behind: list[bool] = []
        """Per pass, whether the pass before it is still in memory."""

    def run(self, items: Sequence[str]) -> list[str]:
        import torch

        self.passes.append(list(items))
        self.left_behind.append(any(ref() is not None for ref in self._held))
        in_cycle, shared = torch.ones(len(items)), torch.ones(len(items))
        self._held = [weakref.ref(in_cycle), weakref.ref(shared)]

        def run_out() -> None:
            self._run_out()
            shared.zero_()

        if sum(map(len, items)) > self._letters:
            try:
                run_out()
            except (RuntimeError, MemoryError) as exc:
                kept = exc
                raise kept from None
        return [item.upper() for item in items]


@pytest.mark.parametrize("run_out", [no_gpu_memory, no_cpu_memory, no_host_memory])
def test_what_does_not_fit_is_halved_and_what_never_fits_is_none(run_out: Callable[[], None]) -> None:
    room = Room(5, run_out)
    words = ["ab", "cd", "abcdef", "ef"]
    gc.disable()
    try:
        assert run_in_batches(words, [(len(word),) for word in words], 100, room.run) == ["AB", "CD", None, "EF"]
    finally:
        gc.enable()
    assert room.passes == [["abcdef", "ab", "cd", "ef"], ["abcdef", "ab"], ["abcdef"], ["ab"], ["cd", "ef"]]
    assert room.left_behind == [False] * 5


def test_other_errors_pass_through() -> None:
    def fail(items: Sequence[str]) -> list[str]:
        raise RuntimeError("not about memory")

    with pytest.raises(RuntimeError, match="not about memory"):
        run_in_batches(["a"], [(1,)], 10, fail)


def test_work_within_memory_gives_what_it_gives() -> None:
    assert within_memory(lambda: []) == []
    assert within_memory(no_cpu_memory) is None


def packed(prefix: int, *branches: int) -> PackedRequest:
    ids = tuple((number,) * length for number, length in enumerate(branches, start=1))
    pictures = Pictures((), (), Patching(14, 2, 2, 1.0, (0.0,), (1.0,), 3))
    return PackedRequest(
        Prompt((0,) * prefix, (), pictures), ids, tuple((number,) for number in range(1, len(ids) + 1))
    )


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


def test_singles_hold_one_question_each() -> None:
    assert lengths(packed(4, 2, 6, 1).singles) == [[4, 2], [4, 6], [4, 1]]


def test_without_questions_there_is_no_row() -> None:
    assert packed(4).split(8) == packed(9).split(8) == ()
