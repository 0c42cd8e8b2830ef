"""Filters as a person writes them."""

from __future__ import annotations

from typing import Any

import pytest

from backend.errors import SettingsError
from backend.filters import parse_filter

HOW = (
    "; write `id`, `annotations` or `predictions` with = != < <= > >= and a number, or "
    "`data.KEY` with = != ~ (contains) !~ and a text"
)


def number(column: str, operator: str, value: int) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": "Number", "value": value}


def words(column: str, operator: str, value: str) -> dict[str, Any]:
    return {"filter": f"filter:tasks:data.{column}", "operator": operator, "type": "String", "value": value}


@pytest.mark.parametrize(
    ("written", "filter_"),
    [
        ("id = 7", number("id", "equal", 7)),
        ("id!=7", number("id", "not_equal", 7)),
        ("annotations = 0", number("total_annotations", "equal", 0)),
        ("annotations<3", number("total_annotations", "less", 3)),
        ("predictions <=  3 ", number("total_predictions", "less_or_equal", 3)),
        (" id > 100", number("id", "greater", 100)),
        ("id >= -1", number("id", "greater_or_equal", -1)),
        ("data.source = web", words("source", "equal", "web")),
        ("data.source != two words", words("source", "not_equal", "two words")),
        ("data.caption ~ dog", words("caption", "contains", "dog")),
        ("data.caption !~ a = b, c ~ d", words("caption", "not_contains", "a = b, c ~ d")),
        ("data.caption ~ “Löwe”\n🐈", words("caption", "contains", "“Löwe”\n🐈")),
        ("data.source =", words("source", "equal", "")),
        ("data.größe-2.b ~ x", words("größe-2.b", "contains", "x")),
        ("data.a$b(%) = x", words("a$b(%)", "equal", "x")),
    ],
)
def test_a_filter_becomes_the_data_manager_s(written: str, filter_: dict[str, Any]) -> None:
    assert parse_filter(written) == filter_


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "there is no column, operator and value in it"),
        ("data.source", "there is no column, operator and value in it"),
        ("= web", "there is no column, operator and value in it"),
        ("data.source ! web", "there is no column, operator and value in it"),
        ("id ~ 7", "`id` is compared with a whole number"),
        ("id = 7.5", "`id` is compared with a whole number"),
        ("id == 7", "`id` is compared with a whole number"),
        ("annotations = many", "`annotations` is compared with a whole number"),
        ("predictions =", "`predictions` is compared with a whole number"),
        ("data. = x", "`data.` is not known"),
        ("source = web", "`source` is not known"),
        ("filter:tasks:id = 3", "`filter:tasks:id` is not known"),
        ("data.stars < 3", "`<` compares numbers, and what tasks hold is compared as text"),
        ("data.image url = x", "Label Studio cannot filter by a key with ` ` in it"),
        ("data.dog's = x", "Label Studio cannot filter by a key with `'` in it"),
        ("data.image__url ~ x", "Label Studio cannot filter by a key with `__` in it"),
        ("data.data.url ~ x", "Label Studio cannot filter by a key with `data.` in it"),
        ("data.caption ~", "every text contains the empty one, so `~` needs something to look for"),
        ("data.caption !~ ", "every text contains the empty one, so `!~` needs something to look for"),
    ],
)
def test_what_is_no_filter_is_told_with_what_can_be_written(written: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_filter(written)
    assert str(caught.value) == f"--filter {written!r}: {why}{HOW}"
