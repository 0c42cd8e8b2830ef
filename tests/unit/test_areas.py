from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.areas import area_of
from backend.core.types import ImageArea, Unwritten, Written
from backend.core.writing import box_writing

ASKED = box_writing("box:0", "Where is it?")


def written(box: list[int], frame: tuple[int, int]) -> Written:
    return Written(ASKED, json.dumps({"bbox_2d": box}), (frame,))


@pytest.mark.parametrize(
    ("box", "frame", "expected"),
    [
        # pixels of a resized image of 1008 x 756: 252/1008 = 25 %, 378/756 = 50 %
        ([252, 378, 504, 567], (1008, 756), (25.0, 50.0, 25.0, 25.0)),
        # thousandths: 100/1000 = 10 %
        ([100, 200, 350, 1000], (1000, 1000), (10.0, 20.0, 25.0, 80.0)),
        # corners given the other way round
        ([504, 567, 252, 378], (1008, 756), (25.0, 50.0, 25.0, 25.0)),
        # leaves the image on the right and at the bottom
        ([504, 378, 2000, 2000], (1008, 756), (50.0, 50.0, 50.0, 50.0)),
    ],
)
def test_a_known_box_becomes_percent(
    box: list[int], frame: tuple[int, int], expected: tuple[float, float, float, float]
) -> None:
    assert area_of(written(box, frame), "image", "a red dog") == ImageArea("image", *expected, "a red dog")


@pytest.mark.parametrize("box", [[10, 10, 10, 50], [2000, 10, 3000, 50], [5, 5, 5, 5]])
def test_a_box_without_an_extent_in_the_image_is_none(box: list[int]) -> None:
    assert area_of(written(box, (1008, 756)), "image", "x") is None


def test_nothing_written_is_no_box() -> None:
    assert area_of(Unwritten(ASKED, "cut off"), "image", "x") is None
    assert area_of(Written(ASKED, '{"bbox_2d": [0, 0, 1, 1]}'), "image", "x") is None


@given(
    st.lists(st.integers(0, 99_999), min_size=4, max_size=4),
    st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
)
def test_every_area_lies_in_the_image(box: list[int], frame: tuple[int, int]) -> None:
    area = area_of(written(box, frame), "image", "x")
    if area is not None:
        assert 0 <= area.x < area.x + area.width <= 100.0001
        assert 0 <= area.y < area.y + area.height <= 100.0001
