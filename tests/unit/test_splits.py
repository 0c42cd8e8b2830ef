"""One image, one side: whatever the order, the machine and the rest of the project."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ExportError
from exporters.records.splits import WHOLE, Share, Splits, Survey, drawn, parse_shares

SHARES = (Share("train", 0.8), Share("validation", 0.1), Share("test", 0.1))


def image(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


IMAGES = [image(number) for number in range(2000)]


def test_shares_are_read() -> None:
    assert parse_shares("train=0.9, validation=.05,test=0.05") == (
        Share("train", 0.9),
        Share("validation", 0.05),
        Share("test", 0.05),
    )
    assert parse_shares("train=1") == WHOLE
    assert parse_shares("a=0.1,b=0.2,c=0.7")[2] == Share("c", 0.7), "which do not sum to 1 exactly in binary"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train=0.9,test=0.2", r"^the shares of --splits train=0.9,test=0.2 sum to 1.1; they must sum to 1$"),
        ("train", r"^'train' is no split and its share between 0 and 1; write it as train=0.9,"),
        ("train=nan,test=1", r"^'train=nan' is no split and its share"),
        ("train=-1,test=2", r"^'train=-1' is no split and its share"),
        ("train=0.5,train=0.5", r" names a split twice; "),
        ("all=1", r"^'all' cannot name a split; use letters, digits and _, and not `all`$"),
        ("my-train=1", r"^'my-train' cannot name a split; "),
        ("", r"^'' is no split"),
    ],
)
def test_what_is_no_split_is_refused(text: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        parse_shares(text)


def test_the_draw_is_written_down() -> None:
    # hashlib.blake2b(b"5feceb66ffc86f38d952786c6d696c79", digest_size=8, person=b"vlm-judge split"), as a share of 2^64
    assert image(0).startswith("5feceb66ffc86f38d952786c6d696c79")
    assert drawn(image(0)) == pytest.approx(0.5405445414040174, abs=1e-15)


def test_shares_hold_about_in_all_and_within_every_group() -> None:
    """Of n images a share s gets n s, give or take sqrt(n s (1 - s)); four times that is never left by chance."""
    splits = Splits(SHARES)
    for group in (IMAGES, IMAGES[:500], IMAGES[500:]):
        counts = Counter(splits.of(1, [one]) for one in group)
        for share in SHARES:
            expected = len(group) * share.share
            assert abs(counts[share.name] - expected) < 4 * math.sqrt(expected * (1 - share.share))


def test_a_split_depends_on_nothing_but_the_image() -> None:
    splits = Splits(SHARES)
    assert [splits.of(number, [one]) for number, one in enumerate(IMAGES)] == [
        Splits(SHARES).of(7, [one]) for one in IMAGES
    ]
    whole = Splits()
    assert {whole.of(1, [one]) for one in IMAGES[:20]} == {"train"}
    assert {splits.of(number, []) for number in range(200)} == {"train", "validation", "test"}


tasks = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4), max_size=25)


@given(tasks, st.randoms(use_true_random=False))
def test_no_image_of_any_task_is_on_two_sides_in_any_order(groups: list[list[int]], random: Random) -> None:
    shuffled = [random.sample(group, len(group)) for group in random.sample(groups, len(groups))]
    first, second = sides(groups), sides(shuffled)
    assert first == second
    assert all(len(found) == 1 for found in first.values())


def sides(groups: list[list[int]]) -> dict[int, set[str]]:
    """The splits that each image is in, by the rows that show it."""
    survey = Survey()
    for group in groups:
        survey.add([image(number) for number in group])
    splits = Splits(SHARES, survey.placed(SHARES, exact=False))
    found: dict[int, set[str]] = {}
    for group in groups:
        side = splits.of(1, [image(number) for number in group])
        for number in group:
            found.setdefault(number, set()).add(side)
    return found


def test_a_survey_of_single_images_changes_nothing() -> None:
    survey = Survey()
    for one in IMAGES:
        survey.add([one])
    placed = Splits(SHARES, survey.placed(SHARES, exact=False))
    assert [placed.of(1, [one]) for one in IMAGES] == [Splits(SHARES).of(1, [one]) for one in IMAGES]


def test_images_that_hang_together_follow_the_smallest() -> None:
    survey = Survey()
    survey.add([image(1), image(2)])
    survey.add([image(3), image(4)])
    survey.add([image(4), image(1)])
    placed = Splits(SHARES, survey.placed(SHARES, exact=False))
    smallest = min(image(number) for number in (1, 2, 3, 4))
    assert {placed.of(1, [image(number)]) for number in (1, 2, 3, 4)} == {Splits(SHARES).of(1, [smallest])}


@given(st.permutations(range(40)))
def test_exact_shares_hold_to_the_image_within_each_group(order: list[int]) -> None:
    survey = Survey()
    for number in order:
        survey.add([image(number)], "rare" if number < 10 else "common")
    placed = Splits(SHARES, survey.placed(SHARES, exact=True))
    counts = Counter(("rare" if number < 10 else "common", placed.of(1, [image(number)])) for number in range(40))
    assert counts == {
        ("rare", "train"): 8,
        ("rare", "validation"): 1,
        ("rare", "test"): 1,
        ("common", "train"): 24,
        ("common", "validation"): 3,
        ("common", "test"): 3,
    }


def test_an_image_of_several_groups_counts_for_the_first_of_them() -> None:
    survey = Survey()
    survey.add([image(0)], "b")
    survey.add([image(0)], "a")
    survey.add([image(1)], "b")
    half = (Share("x", 0.5), Share("y", 0.5))
    # each group then has one image; "a" draws 0.9467, which is in the second half, and "b" 0.3971
    placed = Splits(half, survey.placed(half, exact=True))
    assert [placed.of(1, [image(number)]) for number in (0, 1)] == ["y", "x"]


def start_of(name: str) -> float:
    """Where a group's ranks start, once more as `exporters.records.splits` has it written down."""
    identity = hashlib.sha256(name.encode()).hexdigest()[:32].encode()
    digest = hashlib.blake2b(identity, digest_size=8, person=b"vlm-judge split").digest()
    return int.from_bytes(digest, "big") / 2**64


def test_small_groups_reach_a_small_share_too() -> None:
    names = [f"g{number}" for number in range(200)]
    survey = Survey()
    for number, name in enumerate(names):
        survey.add([image(number)], name)
    shares = (Share("train", 0.9), Share("test", 0.1))
    placed = Splits(shares, survey.placed(shares, exact=True))
    found = {name for number, name in enumerate(names) if placed.of(1, [image(number)]) == "test"}
    assert found == {name for name in names if start_of(name) >= 0.9}
    assert len(found) == 18, "a tenth of 200, give or take sqrt(200 x 0.1 x 0.9) = 4.2"


def test_three_images_of_a_group_are_cut_from_where_it_starts() -> None:
    survey = Survey()
    for number in range(6):
        survey.add([image(number)], "a" if number < 3 else "b")
    placed = Splits(SHARES, survey.placed(SHARES, exact=True))
    # "a" starts at 0.9467: 0.3156, 0.6489, 0.9822 are train, train, test; "b" at 0.3971: 0.1324, 0.4657, 0.7990
    for numbers, expected in ((range(3), ["test", "train", "train"]), (range(3, 6), ["train"] * 3)):
        assert sorted(placed.of(1, [image(number)]) for number in numbers) == expected
    last = max(range(3), key=lambda number: drawn(image(number)))
    assert placed.of(1, [image(last)]) == "test", "whose own draw is the highest of the group"


def test_a_row_follows_any_of_its_images_that_the_survey_placed() -> None:
    placed = Splits(SHARES, {bytes.fromhex(image(1)[:32]): "validation"})
    new = next(number for number in range(2, 50) if placed.of(1, [image(number)]) == "train")
    assert placed.of(1, [image(new), image(1)]) == "validation"
