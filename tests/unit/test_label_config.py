"""What is read from a label config, and which ones are refused."""

from __future__ import annotations

import pytest

from backend.core.label_config import (
    Choice,
    Condition,
    Control,
    LabelConfig,
    ObjectTag,
    parse_label_config,
)
from backend.errors import LabelConfigError

XML = """
<View>
  <Style>.a { color: red }</Style>
  <Header value="  The
     picture "/>
  <Image name="image" value="$photo.url"/>
  <Labels name="unsupported" toName="caption"><Label value="Unsupported" hint="not seen"/></Labels>
  <Text name="caption" value="$text"/>
  <Text name="note" value="Only $5 today!"/>
  <rating name="ten" toname="x" toName="caption" maxRating="10" perRegion="true"/>
  <Number name="price" toName="image, caption" min="-1.5" max="1e400" step="cheap" title="Price" hint="in euro"/>
  <Choices name="verdict" toName="caption" choice="multiple" required="TRUE">
    <View><Choice value="Fix it" alias="fix" html="&lt;b&gt;mend&lt;/b&gt; it"/></View><Choice/>
  </Choices>
  <Taxonomy name="kind" toName="image" leafsOnly="true" placeholder="What is it?">
    <Choice value="Animal"><Choice value="Cat"/></Choice>
  </Taxonomy>
  <Brush name="mask" toName="image"/>
  <Video name="clip" value="$clip"/>
</View>
"""


def test_a_label_config_is_read_into_objects_and_controls() -> None:
    animal = Choice("Animal", "Animal", "", (Choice("Cat", "Cat"),))
    assert parse_label_config(XML) == LabelConfig(
        objects=(
            ObjectTag("image", "Image", "photo.url"),
            ObjectTag("caption", "Text", "text"),
            ObjectTag("note", "Text", ""),
            ObjectTag("clip", "Video", "clip"),
        ),
        controls=(
            Control(
                "unsupported",
                "Labels",
                "caption",
                (Choice("Unsupported", "Unsupported", "not seen"),),
                heading="The picture",
            ),
            Control("ten", "Rating", "caption", max_rating=10, heading="Only $5 today!", scope="region"),
            Control("price", "Number", "image, caption", minimum=-1.5, heading="Price", hint="in euro"),
            Control(
                "verdict", "Choices", "caption", (Choice("fix", "Fix it", "mend it"),), multiple=True, required=True
            ),
            Control("kind", "Taxonomy", "image", (animal,), leaves_only=True, hint="What is it?"),
        ),
        others=(Control("mask", "Brush", "image"),),
    )


def test_values_objects_and_unknown_controls_have_short_names() -> None:
    config = parse_label_config(XML)
    assert [control.labels for control in config.controls] == [("Unsupported",), (), (), ("fix",), ("Animal", "Cat")]
    assert config.controls[2].objects == ("image", "caption")
    assert config.unknown == ("mask",)
    assert config.control("kind") == config.controls[4]
    assert config.object("clip") == config.objects[3]
    assert (config.control("gone"), config.object("gone")) == (None, None)


def test_choices_may_come_from_the_task_or_from_an_address() -> None:
    config = parse_label_config(
        '<View><Image name="i" valueList="$pages"/><Choices name="a" toName="i" value="$options" allowNested="true"/>'
        '<Taxonomy name="b" toName="i" apiUrl="http://127.0.0.1/tree"/></View>'
    )
    assert config.objects == (ObjectTag("i", "Image", "pages", several=True),)
    assert config.controls == (
        Control("a", "Choices", "i", key="options"),
        Control("b", "Taxonomy", "i", remote=True),
    )


@pytest.mark.parametrize(
    ("xml", "headings"),
    [
        ('<Header value="A"/><Rating name="r"/><Rating name="s"/>', ["A", ""]),
        ('<Header value="A"/><Header value="B"/><Rating name="r"/><Rating name="s"/>', ["B", ""]),
        ('<Header>A <b>bold</b> one</Header><Rating name="r"/>', ["A bold one"]),
        ('<View><Header value="A"/></View><View><Rating name="r"/></View>', ["A"]),
        ('<Header value="A"/><View><Header value="B"/><Rating name="r"/></View><Rating name="s"/>', ["B", "A"]),
        ('<View><Header value="A"/><Text name="t" value="$t"/></View><Rating name="r" title="R"/>', ["R"]),
        ('<Header value="A"/><Text name="t" value="$t"/><Rating name="r"/>', ["A"]),
        ('<Text name="t" value="Is it good?"/><Rating name="r"/>', ["Is it good?"]),
        ('<Header value="A"/><Brush name="m"/><Rating name="r" title="R"/>', ["A"]),
    ],
)
def test_a_heading_belongs_to_the_next_control_of_its_view(xml: str, headings: list[str]) -> None:
    placed = xml.replace("<Rating ", '<Rating toName="i" ').replace("<Brush ", '<Brush toName="i" ')
    config = parse_label_config(f'<View><Image name="i" value="$i"/>{placed}</View>')
    assert [control.heading for control in config.controls] == headings


def test_what_shows_a_control_is_read_from_the_views_around_it() -> None:
    config = parse_label_config(
        '<View><Image name="i" value="$i"/><View visibleWhen="choice-selected" whenTagName="ok">'
        '<Rating name="r" toName="i" visibleWhen="choice-unselected" whenTagName="why" whenChoiceValue="a,b"/></View>'
        '<Rating name="s" toName="i" visibleWhen="region-selected"/><Rating name="t" toName="i" perItem="true"/></View>'
    )
    assert [(control.shown_when, control.scope) for control in config.controls] == [
        ((Condition("ok", ()), Condition("why", ("a,b", "a", "b"), chosen=False)), "task"),
        ((), "region"),
        ((), "item"),
    ]


@pytest.mark.parametrize(
    ("condition", "values", "holds"),
    [
        (Condition("ok", ("no",)), {"ok": ("no",)}, True),
        (Condition("ok", ("no",)), {"ok": ("yes",)}, False),
        (Condition("ok", ("no",)), {}, False),
        (Condition("ok", ()), {"ok": ("yes",)}, True),
        (Condition("ok", ()), {}, False),
        (Condition("ok", ("no",), chosen=False), {"ok": ("no", "yes")}, False),
        (Condition("ok", ("no",), chosen=False), {}, True),
    ],
)
def test_a_condition_holds_by_what_is_chosen(
    condition: Condition, values: dict[str, tuple[str, ...]], holds: bool
) -> None:
    assert condition.holds(values) is holds


def test_what_a_repeater_repeats_is_not_an_object_of_the_task() -> None:
    config = parse_label_config(
        '<View><Repeater on="$pages" indexFlag="{{i}}"><Image name="p{{i}}" value="$pages[{{i}}].image"/>'
        '<Rating name="r{{i}}" toName="p{{i}}"/></Repeater></View>'
    )
    assert config == LabelConfig((), (), (Control("r{{i}}", "Rating", "p{{i}}"),))


@pytest.mark.parametrize(
    ("rating", "stars"), [("0", 0), ("-3", 0), ("many", 0), ("٣", 0), ("9" * 5000, 0), ("", 5), ("7", 7)]
)
def test_a_rating_without_a_sensible_number_of_stars_has_none(rating: str, stars: int) -> None:
    (control,) = parse_label_config(f'<View><Rating name="r" toName="i" maxRating="{rating}"/></View>').controls
    assert control.max_rating == stars


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("<View>", "not valid XML"),
        ("", "not valid XML"),
        ("<View>\ud800</View>", "not valid XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "declares a document type"),
        ("<a>" * 101 + "</a>" * 101, "more than 100 tags within each other; flatten it"),
        (
            '<View><Rating name="r" toName="i"/><Brush name="r" toName="i"/></View>',
            "names two controls `r`; give each a name of its own",
        ),
    ],
)
def test_a_label_config_that_cannot_be_read_is_refused(xml: str, reason: str) -> None:
    with pytest.raises(LabelConfigError, match=reason):
        parse_label_config(xml)


def test_a_hundred_tags_within_each_other_are_read() -> None:
    assert parse_label_config("<a>" * 100 + "</a>" * 100) == LabelConfig((), ())
