from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.label_config import Control, LabelConfig, ObjectTag, parse_label_config
from backend.core.regions import Box, ControlValue, TextSpan, decode, encode, rating
from backend.errors import LabelConfigError

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
  <Number name="price" toName="caption"/>
</View>
"""
CONFIG = parse_label_config(XML)


def test_a_label_config_is_read_into_objects_and_controls() -> None:
    assert (
        LabelConfig(
            objects=(ObjectTag("image", "Image", "image"), ObjectTag("caption", "Text", "text")),
            controls=(
                Control("unsupported", "Labels", "caption", ("Unsupported",)),
                Control("contradiction", "RectangleLabels", "image", ("Contradiction",)),
                Control("consistency", "Rating", "caption"),
                Control("ten", "Rating", "caption", max_rating=10),
                Control("verdict", "Choices", "caption", ("accept", "fix")),
                Control("rationale", "TextArea", "caption"),
            ),
            unknown=("price",),
        )
        == CONFIG
    )


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("<View>", "not valid XML"),
        ("", "not valid XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "declares a document type"),
    ],
)
def test_a_label_config_that_cannot_be_read_is_refused(xml: str, reason: str) -> None:
    with pytest.raises(LabelConfigError, match=reason):
        parse_label_config(xml)


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


def percent() -> st.SearchStrategy[float]:
    return st.floats(0, 100, allow_nan=False)


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
            st.builds(Box, percent(), percent(), percent(), percent(), st.just("Contradiction")), min_size=1, max_size=3
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
