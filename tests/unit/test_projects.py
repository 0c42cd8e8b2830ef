from __future__ import annotations

from backend.core.label_config import parse_label_config
from backend.interfaces import default_label_config
from backend.projects import review_tabs, with_optional_keys

PAIR = """<View>
  <Image name="image" value="$photo"/><Text name="text_a" value="$first"/><Text name="text_b" value="$second"/>
  <Pairwise name="preference" toName="text_a,text_b"/>
</View>"""


def test_a_project_with_verdicts_gets_five_tabs_that_show_image_and_text() -> None:
    columns = [f"tasks:{name}" for name in ("id", "data.image", "data.caption", "data.requested", "annotators")]
    tabs = review_tabs(parse_label_config(default_label_config()), columns)
    assert [tab.title for tab in tabs] == [
        "Least sure first",
        "Judge rejects",
        "Judge and human disagree",
        "Reviewed",
        "Not judged",
    ]
    assert {tab.hidden_columns for tab in tabs} == {("tasks:data.requested", "tasks:annotators")}
    assert {tab.widths_px for tab in tabs} == {
        (("tasks:id", 90), ("tasks:data.image", 130), ("tasks:data.caption", 560))
    }


def test_a_project_without_verdicts_gets_three_tabs_that_show_its_own_texts() -> None:
    tabs = review_tabs(parse_label_config(PAIR), ["tasks:data.first", "tasks:data.other"])
    assert [tab.title for tab in tabs] == ["Least sure first", "Reviewed", "Not judged"]
    assert tabs[0].hidden_columns == ("tasks:data.other",)
    assert tabs[0].widths_px == (
        ("tasks:id", 90),
        ("tasks:data.photo", 130),
        ("tasks:data.first", 280),
        ("tasks:data.second", 280),
    )


def test_tasks_that_ask_for_no_features_get_the_empty_key_that_label_studio_wants() -> None:
    config = parse_label_config(default_label_config())
    asking = {"id": 2, "data": {"image": "b.png", "requested": "snow"}}
    tasks = ({"data": {"image": "a.png", "caption": "A dog."}}, asking)
    assert with_optional_keys(tasks, config) == (
        {"data": {"requested": "", "image": "a.png", "caption": "A dog."}},
        {"id": 2, "data": {"requested": "snow", "image": "b.png"}},
    )
    assert with_optional_keys(tasks, parse_label_config(PAIR)) == tasks
