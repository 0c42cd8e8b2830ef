from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.label_config import parse_label_config
from backend.core.regions import decode, details, encode, rating
from backend.core.types import Box, ControlValue, TextSpan

XML = """
<View>
  <Image name="image" value="$image"/>
  <Text name="caption" value="$text"/>
  <Labels name="unsupported" toName="caption"><Label value="Unsupported"/></Labels>
  <RectangleLabels name="contradiction" toName="image"><Label value="Contradiction"/></RectangleLabels>
  <Rating name="consistency" toName="caption"/>
  <Rating name="ten" toName="caption" maxRating="10"/>
  <Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="Fix it" alias="fix"/></Choices>
  <TextArea name="rationale" toName="caption"/>
  <Number name="price" toName="image,caption"/>
  <Taxonomy name="kind" toName="image"><Choice value="Animal"><Choice value="Cat"/></Choice></Taxonomy>
  <Labels name="printed" toName="image"><Label value="Text"/><Label value="Logo"/></Labels>
  <Rectangle name="frame" toName="image"/>
</View>
"""
CONFIG = parse_label_config(XML)


def test_values_become_regions_as_label_studio_writes_them() -> None:
    regions = encode(
        [
            ControlValue("consistency", "Rating", 2),
            ControlValue("unsupported", "Labels", (TextSpan(2, 7, "green", "Unsupported"),)),
            ControlValue("nowhere", "Rating", 5),
            ControlValue("verdict", "Rating", 5),
        ],
        CONFIG,
        {"consistency": {"expected": 2.1}},
    )
    ids = [region.pop("id") for region in regions]
    assert regions == [
        {
            "from_name": "consistency",
            "to_name": "caption",
            "type": "rating",
            "value": {"rating": 2},
            "meta": {"judge": {"expected": 2.1}},
        },
        {
            "from_name": "unsupported",
            "to_name": "caption",
            "type": "labels",
            "value": {"start": 2, "end": 7, "text": "green", "labels": ["Unsupported"]},
        },
    ]
    assert len(set(ids)) == 2
    assert all(len(name) == 10 for name in ids)


def test_boxes_of_two_controls_share_their_ids_and_pages_are_counted() -> None:
    box = Box(10.0, 20.0, 30.0, 40.0, "Text", 2)
    regions = encode(
        [
            ControlValue("printed", "Labels", (box,)),
            ControlValue("frame", "Rectangle", (replace(box, label=""),)),
            ControlValue("contradiction", "RectangleLabels", (replace(box, label="Contradiction", page=None),)),
            ControlValue("contradiction", "RectangleLabels", (replace(box, label="Contradiction"),)),
        ],
        CONFIG,
    )
    ids = [region.pop("id") for region in regions]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    extent = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0, "rotation": 0}
    on_image = {"to_name": "image", "item_index": 2}
    drawn = {"type": "rectanglelabels", "value": {**extent, "rectanglelabels": ["Contradiction"]}}
    assert regions == [
        {"from_name": "printed", "type": "labels", "value": {**extent, "labels": ["Text"]}, **on_image},
        {"from_name": "frame", "type": "rectangle", "value": extent, **on_image},
        {"from_name": "contradiction", "to_name": "image", **drawn},
        {"from_name": "contradiction", **drawn, **on_image},
    ]


def test_numbers_and_paths_become_regions_on_their_first_object() -> None:
    values = [ControlValue("price", "Number", 2.5), ControlValue("kind", "Taxonomy", (("Animal", "Cat"), ("Animal",)))]
    assert [(region["to_name"], region["type"], region["value"]) for region in encode(values, CONFIG)] == [
        ("image", "number", {"number": 2.5}),
        ("image", "taxonomy", {"taxonomy": [["Animal", "Cat"], ["Animal"]]}),
    ]


def test_spans_that_are_not_counted_in_characters_are_left_out() -> None:
    def region(**value: Any) -> dict[str, Any]:
        return {"from_name": "unsupported", "value": {**value, "labels": ["Unsupported"]}}

    in_markup = region(start="/p[1]/text()[1]", end="/p[1]/text()[1]", globalOffsets={"start": 3, "end": 5}, text="ab")
    assert decode([in_markup, region(start="/p[1]", end="/p[1]"), region(start=0.5, end=1.5)], CONFIG) == {
        "unsupported": ControlValue("unsupported", "Labels", (TextSpan(3, 5, "ab", "Unsupported"),))
    }


def test_nested_choices_are_read_as_paths() -> None:
    region = {"from_name": "verdict", "value": {"choices": [["accept", "gladly"], "fix"]}}
    assert decode([region], CONFIG)["verdict"].value == ("accept / gladly", "fix")


def percent() -> st.SearchStrategy[float]:
    return st.floats(0, 100, allow_nan=False)


def pages() -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(0, 9)


def offsets() -> st.SearchStrategy[int]:
    return st.integers(0, 50)


VALUES: Any = st.fixed_dictionaries(
    {
        "consistency": st.integers(1, 5),
        "verdict": st.sampled_from([("accept",), ("fix",), ("accept", "fix")]),
        "rationale": st.text(min_size=1).filter(str.strip),
        "unsupported": st.lists(
            st.builds(TextSpan, offsets(), offsets(), st.text(), st.just("Unsupported")), min_size=1, max_size=3
        ).map(lambda spans: tuple(sorted(spans, key=lambda s: (s.start, s.end)))),
        "contradiction": st.lists(
            st.builds(Box, percent(), percent(), percent(), percent(), st.just("Contradiction"), pages()),
            min_size=1,
            max_size=3,
        ).map(tuple),
        "price": st.integers(-9, 9) | st.floats(-9, 9),
        "kind": st.lists(st.sampled_from([("Animal",), ("Animal", "Cat")]), min_size=1, unique=True).map(tuple),
        "printed": st.lists(
            st.builds(Box, percent(), percent(), percent(), percent(), st.sampled_from(["Text", "Logo"]), pages()),
            min_size=1,
            max_size=3,
        ).map(tuple),
        "frame": st.lists(
            st.builds(Box, percent(), percent(), percent(), percent(), st.just(""), pages()), min_size=1, max_size=3
        ).map(tuple),
    }
)


@given(VALUES)
def test_what_is_encoded_is_decoded_to_the_same(values: dict[str, Any]) -> None:
    said = {
        control.name: ControlValue(control.name, control.tag, values[control.name])
        for control in CONFIG.controls
        if control.name in values
    }
    assert decode(encode(tuple(said.values()), CONFIG), CONFIG) == said


def test_the_most_human_origin_counts_and_silent_controls_are_absent() -> None:
    def region(control: str, origin: str, value: dict[str, Any]) -> dict[str, Any]:
        return {"from_name": control, "origin": origin, "value": value}

    decoded = decode(
        [
            region("unsupported", "prediction", {"start": 4, "end": 5, "text": "b", "labels": ["Unsupported"]}),
            region("unsupported", "manual", {"start": 0, "end": 1, "text": "a", "labels": ["Unsupported"]}),
            region("consistency", "prediction-changed", {"rating": 4}),
            region("rationale", "prediction", {"text": ["  "]}),
            region("gone", "manual", {"rating": 1}),
        ],
        CONFIG,
    )
    assert decoded == {
        "unsupported": ControlValue(
            "unsupported",
            "Labels",
            (TextSpan(0, 1, "a", "Unsupported"), TextSpan(4, 5, "b", "Unsupported")),
            "manual",
        ),
        "consistency": ControlValue("consistency", "Rating", 4, "prediction-changed"),
    }


@pytest.mark.parametrize(("level", "stars"), [(1, 1), (2, 3), (3, 6), (4, 8), (5, 10)])
def test_a_level_is_scaled_to_the_controls_stars(level: int, stars: int) -> None:
    # 1 + (level - 1) * 9 / 4 = 1, 3.25, 5.5, 7.75, 10, rounded half up
    control = CONFIG.control("ten")
    assert control is not None
    assert rating(control, level, 5) == ControlValue("ten", "Rating", stars)


def test_what_travels_with_a_control_that_says_nothing_goes_with_the_first_that_says_something() -> None:
    said = [ControlValue("consistency", "Rating", 2), ControlValue("rationale", "TextArea", "why")]
    told = {"rationale": {"expected": 2.0}, "verdict": {"flags": ["instructions"]}}
    first, second = encode(said, CONFIG, told)
    assert (first["meta"], second["meta"]) == (
        {"judge_silent": {"verdict": {"flags": ["instructions"]}}},
        {"judge": {"expected": 2.0}},
    )
    assert details([first, second]) == told
    assert decode([first, second], CONFIG) == {value.control: value for value in said}
    [both] = encode(said[1:], CONFIG, told)
    assert details([both]) == told
    assert encode([], CONFIG, told) == []


@pytest.mark.parametrize("meta", [None, "x", {"judge": 3}, {"judge_silent": []}, {"judge_silent": {"verdict": 1}}])
def test_what_travels_in_another_form_is_passed_over(meta: object) -> None:
    assert details([{"from_name": "verdict", "meta": meta}, {}]) == {}
