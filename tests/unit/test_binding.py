"""How a task's data become a sample."""

from __future__ import annotations

from typing import Any

import pytest

from backend.core.label_config import parse_label_config
from backend.core.sample import bind, check_config, data_value, page_of
from backend.core.types import ImageRef, Sample, TextField
from backend.errors import LabelConfigError, TaskError

CONFIG = parse_label_config(
    '<View><Image name="a" value="$photo.url"/><Image name="b" valueList="$pages"/><Text name="t" value="$texts[1]"/>'
    '<Text name="note" value="Look closely"/></View>'
)
DATA = {"photo": {"url": "a.png"}, "pages": ["1.png", "2.png"], "texts": ["no", "A box."]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a", 1),
        ("b.c", "dotted"),
        ("b.d", None),
        ("list[1].x", "deep"),
        ("list[2]", None),
        ("list[x]", None),
        ("list[99999999999]", None),
        ("a.b", None),
        ("gone", None),
        ("", None),
    ],
)
def test_a_key_may_reach_into_the_data(key: str, value: Any) -> None:
    data = {"a": 1, "b.c": "dotted", "b": {"c": "nested"}, "list": [0, {"x": "deep"}]}
    assert data_value(data, key) == (data if key == "" else value)


def test_nested_data_are_bound() -> None:
    assert bind({"id": 7, "data": DATA}, CONFIG) == Sample(
        "7",
        (ImageRef("photo.url", "a.png"), ImageRef("pages[0]", "1.png"), ImageRef("pages[1]", "2.png")),
        (TextField("texts[1]", "A box."),),
    )


def test_a_text_is_needed_only_where_it_is_judged() -> None:
    task = {"id": 7, "data": {**DATA, "texts": []}}
    with pytest.raises(TaskError, match=r"task 7 has no text to judge in `texts\[1\]`; give it one or delete the task"):
        bind(task, CONFIG)
    assert bind(task, CONFIG, needs_text=False).texts == ()


@pytest.mark.parametrize(
    ("xml", "shown"),
    [
        ("<View/>", "only nothing at all"),
        ('<View><Text name="t" value="$t"/><Audio name="a" value="$a"/></View>', "only `t` (Text), `a` (Audio)"),
        ('<View><Image name="logo" value="https://here/logo.png"/></View>', "only `logo` (Image)"),
    ],
)
def test_a_config_without_an_image_of_the_task_is_refused_with_what_it_shows(xml: str, shown: str) -> None:
    with pytest.raises(LabelConfigError) as caught:
        check_config(parse_label_config(xml))
    assert str(caught.value) == (
        f"the label config shows no image from the task's data, {shown}; the judge looks at images: add "
        '<Image name="image" value="$image"/>, outside any Repeater'
    )


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"texts": ["no", "A \ud800 box."]}, "task 7: `texts[1]` holds half a character (a lone surrogate)"),
        ({"choices": [{"value": "\udc00"}]}, "task 7: its data hold half a character (a lone surrogate)"),
        ({"generator": "\ud800"}, "task 7: its data hold half a character (a lone surrogate)"),
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(TaskError) as caught:
        bind({"id": 7, "data": {**DATA, **more}}, CONFIG)
    assert str(caught.value).partition(";")[0] == reason


def test_the_page_of_a_list_is_told_from_an_image_of_its_own() -> None:
    assert [page_of(ref.name, CONFIG) for ref in bind({"id": 7, "data": DATA}, CONFIG).images] == [None, 0, 1]
    single = parse_label_config('<View><Image name="second" value="$pages[1]"/></View>')
    assert [page_of(ref.name, single) for ref in bind({"id": 7, "data": DATA}, single).images] == [None]
