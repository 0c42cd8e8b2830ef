"""Fitting and certifying never share a label, and which is which cannot be chosen."""

from __future__ import annotations

import pytest

from backend.core.trust.acceptance.parting import part


def test_every_task_is_in_one_part_and_the_parts_are_as_large_as_asked() -> None:
    fitting, certifying = part(range(3_000), "project 1")
    assert sorted(fitting + certifying) == list(range(3_000))
    assert 940 <= len(fitting) <= 1_060
    assert part(range(10), "k", 0.0) == ((), tuple(range(10)))
    assert part(range(10), "k", 1.0) == (tuple(range(10)), ())


def test_it_is_the_same_everywhere_and_stays_when_labels_come() -> None:
    """BLAKE2b of the ids under the key, first bytes below a third: fixed once and for all."""
    assert part([9, 3, 7, 1, 5, 8, 2, 6, 4], "project 1") == ((1, 4), (2, 3, 5, 6, 7, 8, 9))
    few, many = part(range(100), "project 1")[0], part(range(200), "project 1")[0]
    assert few == tuple(task for task in many if task < 100)
    assert part(range(100), "project 2")[0] != few


def test_a_larger_share_only_adds() -> None:
    small, large = part(range(500), "k", 0.2)[0], part(range(500), "k", 0.5)[0]
    assert set(small) < set(large)


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fitting_share must lie between 0 and 1, not 1\.5"):
        part([1], "k", 1.5)
