from __future__ import annotations

from backend.worker import Pace


def test_a_batch_grows_until_it_takes_about_two_seconds() -> None:
    """At 100 samples a second: 8, 16, 32, 64 take less than one; 128 take 1.28 and stay."""
    pace = Pace(8)
    sizes = []
    for _ in range(7):
        sizes.append(pace.batch_size)
        pace.took(pace.batch_size, pace.batch_size / 100)
    assert sizes == [8, 16, 32, 64, 128, 128, 128]


def test_a_batch_shrinks_when_samples_become_slow_and_never_below_the_first() -> None:
    pace = Pace(128)
    sizes = []
    for _ in range(6):
        pace.took(pace.batch_size, pace.batch_size)
        sizes.append(pace.batch_size)
    assert sizes == [64, 32, 16, 8, 8, 8]


def test_a_batch_that_was_not_full_says_nothing_about_larger_ones() -> None:
    pace = Pace(8)
    pace.took(7, 0.001)
    assert pace.batch_size == 8
    for _ in range(10):
        pace.took(pace.batch_size, 0.001)
    assert pace.batch_size == 256


def test_a_batch_size_that_was_chosen_stays() -> None:
    pace = Pace(16, is_fixed=True)
    pace.took(16, 0.001)
    pace.took(16, 100)
    assert pace.batch_size == 16
