"""Labelled projects for tests, from a few words each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.core.kinds import kind_of
from backend.core.label_config import parse_label_config
from backend.core.trust.labels import Judgement, LabelledProject, LabelledTask, Said
from backend.core.types import Value

IMAGE_TEXT = """<View>
  <Image name="image" value="$image"/>
  <Text name="caption" value="$caption"/>
  <Rating name="realism" toName="image" maxRating="5"/>
  <Choices name="verdict" toName="caption" choice="single-radio">
    <Choice value="accept"/><Choice value="fix"/><Choice value="reject"/>
  </Choices>
  <TextArea name="corrected_text" toName="caption"/>
</View>"""

PAIRWISE = """<View>
  <Image name="image" value="$image"/>
  <Text name="text_a" value="$text_a"/>
  <Text name="text_b" value="$text_b"/>
  <Pairwise name="better" toName="text_a,text_b"/>
</View>"""

OWN_FORM = """<View>
  <Image name="image" value="$image"/>
  <Choices name="style" toName="image" choice="single"><Choice value="photo"/><Choice value="drawing"/></Choices>
  <Choices name="faults" toName="image" choice="multiple"><Choice value="blur"/><Choice value="hands"/></Choices>
  <Taxonomy name="place" toName="image"><Choice value="in"/><Choice value="out"/></Taxonomy>
  <Number name="people" toName="image"/>
  <TextArea name="remark" toName="image"/>
</View>"""


def judged(confidence: float = 0.9, **values: Value) -> Judgement:
    """What a judge says that is so sure of it."""
    return Judgement(values, confidence)


def verdict(decision: str, confidence: float = 0.9, **values: Value) -> Judgement:
    """A judge's decision."""
    return Judgement({"verdict": (decision,), **values}, confidence)


def said(who: str, *, saw: bool = False, seconds: float | None = None, **values: Value) -> Said:
    """What one person says; a verdict may be given as a word."""
    if isinstance(values.get("verdict"), str):
        values["verdict"] = (str(values["verdict"]),)
    return Said(0, who, values, saw, seconds=seconds)


def skip(who: str, *, saw: bool = False) -> Said:
    """A task that someone skipped."""
    return Said(0, who, {}, saw, skipped=True)


def task(
    number: int,
    judge: Judgement | None,
    *labels: Said,
    drawn_with: float | None = None,
    image: str = "",
    data: Mapping[str, Any] | None = None,
) -> LabelledTask:
    """A task with an image of its own, unless another is named."""
    return LabelledTask(number, data or {}, image or f"{number}.png", judge, labels, drawn_with)


def project(tasks: Sequence[LabelledTask], xml: str = IMAGE_TEXT) -> LabelledProject:
    """A project of these tasks."""
    config = parse_label_config(xml)
    return LabelledProject(1, "Cats", config, kind_of(config), "judge-1", tuple(tasks))
