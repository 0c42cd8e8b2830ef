from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.core.case import JudgeOptions
from backend.core.label_config import parse_label_config
from backend.core.sample import bind, check_config
from backend.core.types import Answer, Option, Question, Reply, Scored, Span, Unscored, Unwritten, Written
from backend.engines.base import JudgeRequest, WriteRequest
from backend.engines.rubrics import default_rubric
from backend.engines.scripted import Script, ScriptedEngine
from backend.errors import ImageError, LabelConfigError
from backend.service import Failure, JudgeService, Prepared
from backend.store import Store, verdict_from_json, verdict_to_json

XML = """
<View>
  <Image name="image" value="$image"/>
  <Text name="caption" value="$caption"/>
  <Text name="requested" value="$requested"/>
  <Labels name="unsupported" toName="caption"><Label value="Unsupported"/></Labels>
  <Rating name="visual_realism" toName="image"/>
  <Rating name="consistency" toName="caption"/>
  <Rating name="requested_features" toName="image"/>
  <Choices name="verdict" toName="caption">
    <Choice value="accept"/><Choice value="fix"/><Choice value="reject"/>
  </Choices>
  <TextArea name="rationale" toName="caption"/>
</View>
"""
CONFIG = parse_label_config(XML)


class Shelf:
    """Pictures by name; anything else cannot be had."""

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        if not uri.startswith("picture"):
            raise ImageError(f"{uri} cannot be had; check the address")
        return Image.new("RGB", (8, 8), (len(uri), 0, 0))


def sees(wrong: str) -> Script:
    """A judge that finds every word in order but one."""

    def script(request: JudgeRequest, question: Question) -> Answer:
        if question.id.startswith("word:"):
            fine = f'"{wrong}"' not in question.text.split("word ")[-1]
        elif ":" in question.id:
            fine = wrong not in question.text
        else:
            fine = wrong not in request.fields or question.id != "consistency"
        return pick(question, ("yes" if fine else "no") if ":" in question.id else ("5" if fine else "3"))

    return script


def pick(question: Question, value: str) -> Scored:
    rest = 0.1 / (len(question.options) - 1)
    return Scored(question, tuple(0.9 if option.value == value else rest for option in question.options), 0.99)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "verdicts.sqlite")
    yield store
    store.close()


def service(store: Store, script: Script | None = None) -> JudgeService:
    return JudgeService(ScriptedEngine(script or sees("green")), Shelf(), store)


def task(number: int, caption: str, image: Any = "picture", **more: Any) -> dict[str, Any]:
    return {"id": number, "data": {"image": image, "caption": caption, **more}}


def ready(items: list[Prepared | Failure]) -> list[Prepared]:
    return [item for item in items if isinstance(item, Prepared)]


def test_a_wrong_word_is_found_marked_and_explained(store: Store) -> None:
    judge = service(store)
    items = ready(judge.prepare([task(7, "A cat, a green dog.", requested="a cat, a green bird")], CONFIG))
    [verdict] = judge.judge(items)
    assert verdict.decision == "reject", "a requested feature is not there"
    assert [answer.question.id for answer in verdict.answers] == [
        "visual_realism",
        "text_accuracy",
        "consistency",
        "requested_features",
    ]
    assert verdict.evidence.spans == (Span(9, 14, "green", pytest.approx(0.1)),)  # type: ignore[arg-type]
    assert [(f.text, round(f.support_prob, 3)) for f in verdict.evidence.features] == [
        ("a cat", 0.9),
        ("a green bird", 0.1),
    ]
    assert verdict.evidence.rationale == (
        "Image-text consistency 3 of 5: “green” is not supported (p = 0.10).\n"
        "Doubtful: “a green bird” is not found (p = 0.10)."
    )


def test_the_prediction_fills_the_controls_there_are(store: Store) -> None:
    judge = service(store)
    [verdict] = judge.judge(ready(judge.prepare([task(7, "A green dog.")], CONFIG)))
    made = judge.judging(CONFIG).prediction(verdict)
    assert (made["score"], made["model_version"]) == (round(verdict.confidence, 6), judge.judging(CONFIG).fingerprint)
    assert {region["from_name"]: region["value"] for region in made["result"]} == {
        "visual_realism": {"rating": 5},
        "consistency": {"rating": 3},
        "verdict": {"choices": ["fix"]},
        "unsupported": {"start": 2, "end": 7, "text": "green", "labels": ["Unsupported"]},
        "rationale": {"text": ["Image-text consistency 3 of 5: “green” is not supported (p = 0.10)."]},
    }
    stars = next(region for region in made["result"] if region["from_name"] == "consistency")
    # expected = .025 * (1 + 2 + 4 + 5) + .9 * 3 = 3.0
    assert stars["meta"]["judge"] == {
        "expected": 3.0,
        "probs": {"1": 0.025, "2": 0.025, "3": 0.9, "4": 0.025, "5": 0.025},
        "label_mass": 0.99,
    }


def test_words_without_a_claim_of_their_own_are_not_asked_about(store: Store) -> None:
    judge = service(store)
    judge.judge(ready(judge.prepare([task(7, "A green dog on the sofa.")], CONFIG)))
    engine = judge.engine
    assert isinstance(engine, ScriptedEngine)
    asked = [question.text for question in engine.asked[-1].questions]
    assert [text.split("the word ")[1].split("?")[0] for text in asked] == ['"green"', '"dog"', '"sofa"']


def test_what_was_judged_is_not_asked_again(store: Store) -> None:
    judge = service(store)
    [verdict] = judge.judge(ready(judge.prepare([task(1, "A cat.")], CONFIG)))
    [same, other] = ready(judge.prepare([task(2, "A cat."), task(3, "A cat.", image="picture2")], CONFIG))
    assert judge.known([same, other]) == {same.key: verdict}


def test_one_bad_task_fails_alone_and_says_why(store: Store) -> None:
    judge = service(store)
    items = judge.prepare(
        [
            task(1, "A cat."),
            task(2, "A cat.", image="nowhere"),
            task(3, ""),
            {"id": 4},
            {"id": 5, "data": {"caption": "A cat.", "image": 3}},
        ],
        CONFIG,
    )
    assert [type(item) for item in items] == [Prepared, Failure, Failure, Failure, Failure]
    assert items[1:] == [
        Failure("2", "task 2, `image`: nowhere cannot be had; check the address"),
        Failure("3", "task 3 has no text to judge in `caption`; give it one or delete the task"),
        Failure("4", "task 4 has no `data` object"),
        Failure("5", "task 5: `image` must be text, not int"),
    ]


@pytest.mark.parametrize("requested", [" ", " , "])
def test_without_requested_features_they_are_not_judged(store: Store, requested: str) -> None:
    judge = service(store)
    [verdict] = judge.judge(ready(judge.prepare([task(1, "A cat.", requested=requested)], CONFIG)))
    assert "requested_features" not in [answer.question.id for answer in verdict.answers]
    assert verdict.decision == "accept"


def test_an_unscored_criterion_is_an_empty_control_and_is_not_asked_again(store: Store) -> None:
    judge = service(store, silent_on_consistency(transient=False))
    items = ready(judge.prepare([task(1, "A cat.")], CONFIG))
    [verdict] = judge.judge(items)
    made = judge.judging(CONFIG).prediction(verdict)
    assert [region["from_name"] for region in made["result"]] == ["visual_realism", "rationale"]
    assert made["score"] == 0.0
    assert judge.known(items) == {items[0].key: verdict}


def test_what_could_not_be_answered_for_now_is_asked_again(store: Store) -> None:
    judge = service(store, silent_on_consistency(transient=True))
    items = ready(judge.prepare([task(1, "A cat.")], CONFIG))
    [verdict] = judge.judge(items)
    assert judge.known(items) == {}
    assert verdict.unsettled


def silent_on_consistency(transient: bool) -> Script:
    def script(request: JudgeRequest, question: Question) -> Answer:
        if question.id == "consistency":
            return Unscored(question, "only 3% of the model's answer was on the menu", transient)
        return pick(question, question.options[-1].value if ":" not in question.id else "yes")

    return script


def test_the_fingerprint_follows_everything_that_decides_a_verdict(store: Store) -> None:
    def fingerprint(engine: ScriptedEngine, xml: str = XML, **how: Any) -> str:
        return JudgeService(engine, Shelf(), store, **how).judging(parse_label_config(xml)).fingerprint

    beauty = '<Rating name="beauty" toName="image"/></View>'
    bare = '<View><Image name="image" value="$image"/><Text name="caption" value="$caption"/></View>'
    engine = ScriptedEngine()
    own = engine.default_rubric.model_copy(update={"name": "other"})
    same = {fingerprint(engine), fingerprint(ScriptedEngine()), fingerprint(engine, options=JudgeOptions())}
    others = {
        fingerprint(engine, rubric=own),
        fingerprint(ScriptedEngine(sees("x"))),
        fingerprint(engine, options=JudgeOptions(explain="never")),
        fingerprint(engine, options=JudgeOptions(reliance=True)),
        fingerprint(engine, XML.replace("</View>", beauty)),
        # the same form, beside criteria and without
        fingerprint(engine, bare.replace("</View>", beauty)),
        fingerprint(engine, bare.replace("</View>", '<Rating name="consistency" toName="caption"/>' + beauty)),
    }
    assert len(same) == 1
    assert next(iter(same)).startswith("scripted-")
    assert len(same | others) == 8


def test_a_verdict_survives_the_store_whole(store: Store) -> None:
    judge = service(store)
    [verdict] = judge.judge(ready(judge.prepare([task(7, "Ein grüner Hund, green.", requested="a dog")], CONFIG)))
    assert verdict_from_json(verdict_to_json(verdict)) == verdict
    unsettled = replace(verdict, decision=None, unsettled=True)
    assert verdict_from_json(verdict_to_json(unsettled)) == unsettled


def test_a_config_without_an_image_is_refused_by_name() -> None:
    with pytest.raises(LabelConfigError, match="shows no image"):
        check_config(parse_label_config('<View><Text name="t" value="$t"/></View>'))


def test_roles_follow_the_objects_names() -> None:
    config = parse_label_config(
        '<View><Image name="photo" value="$p"/><Text name="question" value="$q"/>'
        '<Text name="answer" value="$a"/></View>'
    )
    sample = bind({"id": 1, "data": {"p": "picture", "q": "What?", "a": "A dog."}}, config)
    assert [(text.name, text.role) for text in sample.texts] == [("q", "context"), ("a", "candidate")]
    assert sample.candidate == sample.texts[1]


def test_options_are_what_the_questions_say() -> None:
    assert pick(Question("q", "?", (Option("a", "A"), Option("b", "B"))), "b").best == "b"


def test_the_same_pixels_under_another_name_are_another_sample(store: Store) -> None:
    judge = service(store)
    [one] = ready(judge.prepare([task(1, "A cat.")], CONFIG))
    photo = parse_label_config(XML.replace("$image", "$photo"))
    [renamed] = ready(judge.prepare([task(1, "A cat.", photo="picture")], photo))
    assert judge.judging(photo).fingerprint == judge.judging(CONFIG).fingerprint
    assert one.key != renamed.key


def test_only_the_stars_of_a_criterion_carry_its_probabilities(store: Store) -> None:
    own = '<Choices name="consistency" toName="caption"><Choice value="low"/><Choice value="high"/></Choices>'
    config = parse_label_config(XML.replace('<Rating name="consistency" toName="caption"/>', own))
    judge = JudgeService(ScriptedEngine(), Shelf(), store)
    [verdict] = judge.judge(ready(judge.prepare([task(1, "A cat.")], config)))
    regions = {region["from_name"]: region for region in judge.judging(config).prediction(verdict)["result"]}
    assert "consistency" in {answer.question.id for answer in verdict.answers}
    assert "meta" not in regions["consistency"]
    assert "meta" in regions["visual_realism"]


def test_a_box_is_drawn_on_its_page_of_a_list(store: Store) -> None:
    boxes = '<RectangleLabels name="contradiction" toName="image"><Label value="Contradiction"/></RectangleLabels>'
    xml = XML.replace("</View>", f"{boxes}</View>")

    def author(request: WriteRequest) -> Reply:
        if not request.writing.id.startswith("box:"):
            return Unwritten(request.writing, "not asked for here")
        return Written(request.writing, '{"bbox_2d": [0, 0, 4, 8]}', ((8, 8),))

    judge = JudgeService(ScriptedEngine(sees("green"), author=author), Shelf(), store, rubric=default_rubric())
    pages: list[int | None] = []
    for config in (parse_label_config(xml), parse_label_config(xml.replace("value=", "valueList=", 1))):
        listed = config.images[0].several
        [item] = ready(judge.prepare([task(7, "A green dog.", ["picture"] if listed else "picture")], config))
        [verdict] = judge.judge([item])
        assert [(area.x, area.width) for area in verdict.evidence.areas] == [(0.0, 50.0)]
        result = judge.judging(config).prediction(verdict)["result"]
        pages += [region.get("item_index") for region in result if region["from_name"] == "contradiction"]
    assert pages == [None, 0]


def test_a_text_is_not_marked_with_what_is_wrong_in_another(store: Store) -> None:
    config = parse_label_config(XML.replace("</View>", '<Text name="second" value="$second"/></View>'))
    judge = service(store)
    tasks = [task(1, "A green dog.", second="A cat."), task(2, "", second="A green cat.")]
    first, second = judge.judge(ready(judge.prepare(tasks, config)))
    assert [span.text for span in first.evidence.spans] == ["green"]
    assert second.evidence.spans == ()
    assert "“green” is not supported" in second.evidence.rationale
