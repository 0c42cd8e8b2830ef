"""Whatever a label config and a task hold, the form is filled validly or left empty with a reason."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from backend.core.case import JudgeOptions
from backend.core.form import make_form
from backend.core.judging import Judge, make_judging
from backend.core.label_config import CONTROL_TAGS, parse_label_config
from backend.core.types import Filled
from backend.engines.rubrics import default_rubric
from backend.engines.run import Pictured, run_flows
from backend.engines.scripted import ScriptedEngine
from backend.errors import LabelConfigError
from tests.schema_author import FRAME, author, errors

OBJECTS = (
    '<Image name="image" value="$image"/><Image name="pages" valueList="$pages"/><Text name="text" value="$text"/>'
    '<HyperText name="html" value="$html"/><Text name="fixed" value="Say it"/><Audio name="sound" value="$sound"/>'
)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn")), max_size=12)
ATTRIBUTES: dict[str, st.SearchStrategy[str]] = {
    "toName": st.sampled_from(["image", "pages", "text", "html", "fixed", "sound", "gone", "image,text", "text,html"]),
    "value": st.sampled_from(["$options", "$gone", "$text", "$"]),
    "choice": st.sampled_from(["single", "multiple", "single-radio"]),
    "maxRating": st.sampled_from(["1", "5", "9", "10", "26", "27", "x"]),
    "min": st.sampled_from(["0", "-3", "1.5", "9", "x"]),
    "max": st.sampled_from(["0", "9", "2.5", "40"]),
    "step": st.sampled_from(["1", "2", "0", "-1", "0.5"]),
    "required": st.sampled_from(["true", "false"]),
    "leafsOnly": st.sampled_from(["true", "false"]),
    "visibleWhen": st.sampled_from(["choice-selected", "choice-unselected", "region-selected"]),
    "whenTagName": st.sampled_from(["c0", "c1", "gone"]),
    "whenChoiceValue": st.sampled_from(["a", "b,c"]),
    "perRegion": st.just("false"),
    "hint": WORDS,
    "title": WORDS,
}
CHILDREN = {"Choices": "Choice", "Taxonomy": "Choice", "Labels": "Label", "RectangleLabels": "Label"}
LEAVES = st.builds(
    lambda value, alias: f"<{{}} value={quoteattr(value)}{alias}/>", WORDS, st.sampled_from(["", ' alias="b"'])
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(lambda found: '<{} value="a">' + "".join(found) + "</{}>"),
    max_leaves=6,
)
DATA = st.fixed_dictionaries(
    {},
    optional={
        "text": WORDS,
        "html": WORDS,
        "options": st.recursive(
            WORDS | st.none() | st.fixed_dictionaries({"value": WORDS}, optional={"alias": WORDS, "hint": WORDS}),
            lambda inner: st.lists(inner | st.fixed_dictionaries({"value": WORDS, "children": inner}), max_size=30),
            max_leaves=40,
        ),
    },
)


@st.composite
def configs(draw: st.DrawFn) -> str:
    controls = []
    for number in range(draw(st.integers(1, 4))):
        tag = draw(st.sampled_from(sorted(CONTROL_TAGS - {"Pairwise"})))
        given = {"name": f"c{number}", "toName": draw(ATTRIBUTES["toName"])}
        for name in draw(st.lists(st.sampled_from(sorted(ATTRIBUTES)), unique=True, max_size=6)):
            given[name] = draw(ATTRIBUTES[name])
        child = CHILDREN.get(tag, "")
        inside = "".join(draw(st.lists(TREES, max_size=4))).replace("{}", child) if child else ""
        written = " ".join(f"{name}={quoteattr(value)}" for name, value in given.items())
        controls.append(f"<Header value={quoteattr(draw(WORDS))}/><{tag} {written}>{inside}</{tag}>")
    return f"<View>{OBJECTS}{''.join(controls)}</View>"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(configs(), DATA)
def test_any_form_is_filled_validly_or_left_empty(xml: str, data: dict[str, Any]) -> None:
    config = parse_label_config(xml)
    try:
        made = make_judging(config, default_rubric(), JudgeOptions(), Judge("judge", {}))
    except LabelConfigError as exc:
        reasons = [f"`{entry.control}`: {entry.reason}" for entry in make_form(config, frozenset()).unfilled]
        if "; ".join(reasons) not in str(exc):
            raise
        return
    task = {"id": 1, "data": {"image": "i.png", "pages": ["1.png", "2.png"], **data}}
    picture = Image.new("RGB", FRAME)
    pictured = Pictured((picture, picture, picture), made.rubric)
    (ran,) = run_flows(ScriptedEngine(author=author), [made.flow(made.bind(task))], [pictured])
    named = [entry.value.control if isinstance(entry, Filled) else entry.control for entry in ran.result.form]
    assert named == [control.name for control in made.form.controls]
    assert all(isinstance(entry, Filled) or entry.reason for entry in ran.result.form)
    assert errors(xml, made.prediction(ran.result)) == []
