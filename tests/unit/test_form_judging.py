"""A project's own form inside a judgement: its score, its refusal, and what the package makes of the prediction."""

from __future__ import annotations

import json
from typing import Any

import pytest
from label_studio_sdk.label_interface.interface import LabelInterface
from PIL import Image

from backend.core.case import JudgeOptions
from backend.core.judging import Judge, Judging, make_judging
from backend.core.label_config import parse_label_config
from backend.core.prompts import PAINTED
from backend.core.regions import decode
from backend.core.types import Answer, Box, Question, Reply, Scored, TextSpan, Unfilled, Unscored, Verdict, Written
from backend.engines.base import JudgeRequest, WriteRequest
from backend.engines.rubrics import default_rubric
from backend.engines.run import Pictured, run_flows
from backend.engines.scripted import ScriptedEngine
from backend.errors import LabelConfigError

XML = """
<View>
  <Image name="image" value="$image"/>
  <Text name="note" value="$note"/>
  <Choices name="sky" toName="image"><Choice value="Clear sky" alias="clear"/><Choice value="Clouds"/></Choices>
  <Choices name="seen" toName="image" choice="multiple"><Choice value="cat"/><Choice value="dog"/></Choices>
  <Choices name="own" toName="image,note" value="$options"/>
  <Rating name="stars" toName="image" maxRating="10"/>
  <Number name="legs" toName="image" min="0" max="9"/>
  <Number name="weight" toName="image"/>
  <Taxonomy name="kind" toName="image">
    <Choice value="Animal"><Choice value="A cat" alias="cat"/></Choice><Choice value="Plant"/>
  </Taxonomy>
  <TextArea name="why" toName="image"/>
  <Labels name="words" toName="note"><Label value="Thing" alias="thing"/></Labels>
  <RectangleLabels name="boxes" toName="image"><Label value="Cat" alias="cat"/></RectangleLabels>
  <Labels name="print" toName="image"><Label value="Logo"/></Labels>
  <Rectangle name="frame" toName="image"/>
  <Brush name="mask" toName="image"/>
</View>
"""
REPLIES: dict[str, Any] = {
    "form:weight": {"number": 4.5},
    "form:why": {"text": "It has whiskers."},
    "form:words": {"items": [{"text": "cat", "label": "thing"}]},
    "form:boxes:0": {"items": [{"bbox_2d": [10, 10, 90, 60], "label": "cat"}]},
    "form:print:0": {"items": [{"bbox_2d": [0, 0, 50, 100], "label": "Logo"}]},
}


def last(request: JudgeRequest, question: Question) -> Answer:
    """Two thirds for the last option, the others share what is left; yes is worth 0.9, but nothing is painted."""
    if question.options[0].value == "yes":
        return Scored(question, (0.1, 0.9) if question.id == PAINTED else (0.9, 0.1), 1.0)
    rest = (1 / 3) / (len(question.options) - 1)
    return Scored(question, (*[rest] * (len(question.options) - 1), 2 / 3), 1.0)


def author(request: WriteRequest) -> Reply:
    return Written(request.writing, json.dumps(REPLIES[request.writing.id]), ((100, 100),))


def judging(xml: str) -> Judging:
    return make_judging(parse_label_config(xml), default_rubric(), JudgeOptions(), Judge("judge", {}))


def judge(made: Judging, engine: ScriptedEngine, data: dict[str, Any]) -> Verdict:
    sample = made.bind({"id": 1, "data": {"image": "i.png", **data}})
    pictured = Pictured((Image.new("RGB", (100, 100)),), made.rubric)
    (ran,) = run_flows(engine, [made.flow(sample)], [pictured])
    return ran.result


def test_every_kind_of_control_makes_a_valid_prediction() -> None:
    made = judging(XML)
    engine = ScriptedEngine(last, author=author)
    verdict = judge(made, engine, {"note": "A cat on a mat.", "options": ["first", "second"]})
    prediction = made.prediction(verdict)
    interface: Any = LabelInterface(XML)
    assert interface.validate_prediction(prediction, return_errors=True) == []
    assert {name: said.value for name, said in decode(prediction["result"], made.config).items()} == {
        "sky": ("Clouds",),
        "seen": ("cat", "dog"),
        "own": ("second",),
        "stars": 10,
        "legs": 9,
        "weight": 4.5,
        "kind": (("Plant",),),
        "why": "It has whiskers.",
        "words": (TextSpan(2, 5, "cat", "thing"),),
        "boxes": (Box(10.0, 10.0, 80.0, 50.0, "cat"),),
        "print": (Box(0.0, 0.0, 50.0, 100.0, "Logo"),),
        "frame": (Box(0.0, 0.0, 50.0, 100.0, ""),),
    }
    # the least sure of the chosen ones; what was written does not count
    assert (verdict.confidence, prediction["score"]) == (2 / 3, 0.666667)
    assert verdict.decision is None
    # one reading, and no question of the rubric, whose findings have no control here
    assert [[question.id.partition(":")[0] for question in request.questions] for request in engine.asked] == [
        ["form"] * 7
    ]


def test_a_task_without_text_is_judged_where_no_text_is_judged() -> None:
    verdict = judge(judging(XML), ScriptedEngine(last, author=author), {})
    assert [entry for entry in verdict.form if isinstance(entry, Unfilled)] == [
        Unfilled("own", "the task has no choices in `options`"),
        Unfilled("words", "the task leaves its text out"),
    ]


def test_what_stays_empty_is_named() -> None:
    made = judging(XML)
    assert made.unfilled == ("mask",)
    assert made.form.unfilled == (Unfilled("mask", "the judge fills no Brush controls"),)


def test_the_rubric_and_the_form_share_a_reading_and_the_rubric_keeps_the_score() -> None:
    xml = """
    <View>
      <Image name="image" value="$image"/><Text name="caption" value="$note"/>
      <Rating name="consistency" toName="caption"/>
      <Choices name="sky" toName="image"><Choice value="clear"/><Choice value="Clouds"/></Choices>
    </View>
    """
    made = judging(xml)
    engine = ScriptedEngine(last)
    verdict = judge(made, engine, {"note": "A cat."})
    assert {"consistency", "form:sky"} <= {question.id for question in engine.asked[0].questions}
    assert {region["from_name"] for region in made.prediction(verdict)["result"]} == {"consistency", "sky"}
    assert verdict.decision is not None
    assert verdict.confidence == verdict.decision_probs[verdict.decision]


def test_the_form_is_not_asked_about_a_blank_image() -> None:
    xml = """
    <View>
      <Image name="image" value="$image"/><Text name="caption" value="$note"/>
      <Rating name="consistency" toName="caption"/>
      <Choices name="sky" toName="image"><Choice value="clear"/><Choice value="Clouds"/></Choices>
    </View>
    """
    options = JudgeOptions(reliance=True)
    made = make_judging(parse_label_config(xml), default_rubric(), options, Judge("judge", {}))
    engine = ScriptedEngine(last)
    judge(made, engine, {"note": "A cat."})
    seen, blind = ({question.id for question in request.questions} for request in engine.asked[:2])
    assert seen - blind == {"form:sky"}


def test_a_form_without_a_single_answer_has_no_confidence() -> None:
    xml = '<View><Image name="image" value="$image"/><Rating name="stars" toName="image"/></View>'
    made = judging(xml)
    silent = ScriptedEngine(lambda request, question: Unscored(question, "no answer"))
    verdict = judge(made, silent, {})
    assert verdict.form == (Unfilled("stars", "no answer"),)
    prediction = made.prediction(verdict)
    assert (prediction["result"], prediction["score"]) == ([], 0.0)


def test_a_form_that_cannot_be_filled_at_all_is_refused_with_the_reasons() -> None:
    xml = (
        '<View><Image name="image" value="$image"/><Brush name="mask" toName="image"/>'
        '<TextArea name="said" toName="image" perRegion="true"/></View>'
    )
    with pytest.raises(LabelConfigError) as caught:
        judging(xml)
    assert str(caught.value).startswith(
        "the judge can fill none of the label config's controls (`said`: it is filled in for every region, and the "
        "regions do not exist yet; `mask`: the judge fills no Brush controls); it fills Choices, Rating, Number, "
    )


def test_a_judge_that_understands_only_its_rubric_fills_no_other_form() -> None:
    rubric = default_rubric().model_copy(update={"only_wording": True})
    xml = '<View><Image name="image" value="$image"/><Rating name="{}" toName="image"/>{}</View>'
    stars = '<Rating name="stars" toName="image"/>'
    config = parse_label_config(xml.format("visual_realism", stars))
    made = make_judging(config, rubric, JudgeOptions(), Judge("judge", {}))
    reason = "the judge understands no questions but those of its own rubric"
    assert (made.form.controls, made.form.unfilled) == ((), (Unfilled("stars", reason),))
    with pytest.raises(LabelConfigError, match=f"`stars`: {reason}"):
        make_judging(parse_label_config(xml.format("stars", "")), rubric, JudgeOptions(), Judge("judge", {}))
