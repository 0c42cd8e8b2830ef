"""Which controls are filled by what their tags say, and what is said of the others."""

from __future__ import annotations

import pytest

from backend.core.form import Form, confidence, make_form
from backend.core.label_config import parse_label_config
from backend.core.types import ControlValue, Filled, Unfilled

IMAGE = '<Image name="image" value="$image"/>'


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (
            '<TextArea name="c" toName="image" perRegion="true"/>',
            "it is filled in for every region, and the regions do not exist yet",
        ),
        ('<TextArea name="c" toName="image" perItem="true"/>', "it is filled in for every image of a list"),
        (
            '<BrushLabels name="c" toName="image"><Label value="x"/></BrushLabels>',
            "the judge fills no BrushLabels controls",
        ),
        ('<DateTime name="c" toName="image"/>', "the judge fills no DateTime controls"),
        ('<Choices name="c" toName="gone"><Choice value="x"/></Choices>', "the label config shows no object `gone`"),
        (
            '<Audio name="a" value="$a"/><Rating name="c" toName="a"/>',
            "it belongs to `a`, and the judge cannot see what a tag Audio shows",
        ),
        ('<Choices name="c" toName="image"/>', "it has no choices"),
        (
            '<Choices name="c" toName="image" value="$o"><Choice value="x"/></Choices>',
            "it adds choices of the task to its own, which Label Studio takes from no prediction",
        ),
        (
            '<Choices name="c" toName="image"><Choice value="x"><Choice value="y"/></Choice></Choices>',
            "its choices are nested; a Taxonomy can be filled",
        ),
        (
            '<Taxonomy name="c" toName="image" apiUrl="http://x"/>',
            "its choices come from an address that only the annotator's browser asks",
        ),
        ('<Labels name="c" toName="image"><Label value="x"/></Labels>', "no Rectangle draws on `image` what it labels"),
        (
            '<HyperText name="h" value="$h"/><Labels name="c" toName="h"><Label value="x"/></Labels>',
            "it marks `h`, whose markup the judge does not see",
        ),
        (
            '<Text name="h" value="always"/><Labels name="c" toName="h"><Label value="x"/></Labels>',
            "it marks `h`, which is the same in every task",
        ),
        ('<Text name="h" value="$h"/><Rectangle name="c" toName="h"/>', "it draws on `h`, which is no image"),
        (
            '<Text name="h" value="$h"/><Text name="i" value="$i"/><Pairwise name="c" toName="h,i"/>',
            "the rubric does not compare texts",
        ),
        (
            '<Repeater on="$p" indexFlag="{{i}}"><Rating name="c" toName="image"/></Repeater>',
            "it is repeated for every item of a list",
        ),
    ],
)
def test_what_cannot_be_filled_says_why(control: str, reason: str) -> None:
    form = make_form(parse_label_config(f"<View>{IMAGE}{control}</View>"), frozenset())
    assert form.controls == ()
    assert form.unfilled == (Unfilled("c", reason),)


SHOWN = """
  <Choices name="ok" toName="image"><Choice value="yes"/><Choice value="no"/></Choices>
  <View visibleWhen="choice-selected" whenTagName="ok" whenChoiceValue="no">
    <TextArea name="why" toName="image"/>
    <Rating name="how_much" toName="image"/>
  </View>
"""


def test_what_the_rubric_fills_is_left_to_it() -> None:
    form = make_form(parse_label_config(f"<View>{IMAGE}{SHOWN}</View>"), frozenset({"ok"}))
    reason = "it is shown only for some answers in `ok`"
    assert form.controls == ()
    assert form.unfilled == (Unfilled("why", reason), Unfilled("how_much", reason))


def test_the_hash_follows_the_controls() -> None:
    def form(xml: str) -> Form:
        return make_form(parse_label_config(f"<View>{xml}</View>"), frozenset())

    rating = '<Rating name="r" toName="image"/>'
    same = {form(IMAGE + rating).hash, form(IMAGE + rating + "<Style>.a {}</Style>").hash}
    others = {
        form(IMAGE).hash,
        form(IMAGE.replace("$image", "$photo") + rating).hash,
        form(IMAGE + '<Header value="How good?"/>' + rating).hash,
    }
    assert len(same) == 1
    assert len(same | others) == 4
    assert form(IMAGE).hash == Form(()).hash


def test_confidence_is_that_of_the_least_sure_choice() -> None:
    def entry(prob: float | None) -> Filled:
        return Filled(ControlValue("c", "Rating", 1), prob)

    assert confidence([entry(0.9), entry(None), entry(0.4), Unfilled("d", "gone")]) == 0.4
