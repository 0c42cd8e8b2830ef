"""Reviews drawn boards in place of the reader of `docs/tutorial.md`, through the API that Label Studio's own page uses.

    python tests/careful_annotator.py blind|shown --project 1

It knows the truth, because it knows how the boards were drawn. With `blind` it gives a verdict on every task of the
blind slice, in the order of the draw. With `shown` it goes through what nobody has decided yet, with the judge's answer
before it, where that is shown: it confirms that, or corrects the verdict and the text.
"""

from __future__ import annotations

import sys
from typing import Any

from backend.assemble import make_studio
from backend.core.claims import split_claims
from backend.core.label_config import parse_label_config
from backend.engines.demo.evaluate import is_true
from backend.engines.demo.sample import sample_items
from backend.engines.demo.world import REALISM, Scene, Statement, phrase, read_phrase
from backend.settings import load_settings
from backend.studio import Studio

BOARDS = 24
"""So many the tutorial draws."""
GLANCE_S, LOOK_S = 4.0, 11.0
"""How long a person takes to confirm, and to decide alone."""

Region = dict[str, Any]


def scene_of(task: dict[str, Any]) -> Scene:
    """How the task's board was drawn; the task names the file that it came from, like `boards/007.png`."""
    number = int(task["data"]["source"].rsplit("/", 1)[-1].removesuffix(".png"))
    return sample_items(BOARDS)[number - 1].scene


def right_decision(caption: str, scene: Scene) -> str:
    """What the embedded judge's rubric asks for: a spoiled picture or two wrong statements reject, one asks to fix."""
    statements = [read_phrase(piece.text) for piece in split_claims(caption)]
    wrong = sum(statement is None or not statement.holds(scene) for statement in statements)
    if REALISM[scene.condition] < 3 or wrong >= 2 or wrong == len(statements):
        return "reject"
    return "fix" if wrong else "accept"


def right_text(scene: Scene) -> str:
    """What a person would write: what is where, and the word."""
    things = [Statement("thing", position=place, thing=thing) for place, thing in enumerate(scene.things) if thing]
    said = [phrase(statement, 0) for statement in (*things, Statement("word", word=scene.word))]
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in said)


def blind_tasks(studio: Studio, project: int) -> list[dict[str, Any]]:
    """Those of the slice that have no answer yet, in the order in which they were drawn."""
    plan = parse_label_config(studio.project(project).label_config).audit
    if plan is None:
        return []
    drawn = [task for task in tasks_of(studio, project) if plan.drawn_with(task["id"], task["data"]) is not None]
    return sorted((task for task in drawn if not task["annotations"]), key=lambda task: plan.position(task["id"]))


def tasks_of(studio: Studio, project: int) -> list[dict[str, Any]]:
    return [dict(task) for page in studio.annotated_tasks(project) for task in page]


def label_blind(studio: Studio, task: dict[str, Any]) -> None:
    """Choose a verdict on the empty form, and write the right text where the verdict is fix."""
    scene = scene_of(task)
    decision = right_decision(task["data"]["caption"], scene)
    verdict = {"from_name": "verdict", "to_name": "caption", "type": "choices", "value": {"choices": [decision]}}
    result = [{**verdict, "origin": "manual"}, *((_corrected(scene),) if decision == "fix" else ())]
    body: Region = {"result": result, "lead_time": LOOK_S}
    if task["predictions"]:
        body["parent_prediction"] = task["predictions"][-1]["id"]
    studio.annotate(task["id"], body)


def review_shown(studio: Studio, task: dict[str, Any]) -> None:
    """Confirm what the judge filled in, or correct verdict and text."""
    prediction, scene = task["predictions"][-1], scene_of(task)
    decision = right_decision(task["data"]["caption"], scene)
    result = [{**region, "origin": "prediction"} for region in prediction["result"]]
    changed = [_decided(region, decision) for region in result]
    if decision == "fix":
        offered = next((_text(region) for region in result if region["from_name"] == "corrected_text"), "")
        if not is_true(offered, scene):
            changed = [region for region in changed if region["from_name"] != "corrected_text"]
            changed.append(_corrected(scene))
    seconds = GLANCE_S if changed == result else LOOK_S
    body = {"result": changed, "parent_prediction": prediction["id"], "lead_time": seconds}
    studio.annotate(task["id"], body)


def _corrected(scene: Scene) -> Region:
    text = {"from_name": "corrected_text", "to_name": "caption", "type": "textarea", "origin": "manual"}
    return {**text, "value": {"text": [right_text(scene)]}}


def _decided(region: Region, decision: str) -> Region:
    """The region, with this decision where it holds another."""
    if region["from_name"] != "verdict" or region["value"] == {"choices": [decision]}:
        return region
    return {**region, "value": {"choices": [decision]}, "origin": "prediction-changed"}


def _text(region: Region) -> str:
    return " ".join(region["value"]["text"])


def main() -> None:
    what, _, number = sys.argv[1:]
    studio, project = make_studio(load_settings()), int(number)
    if what == "blind":
        for task in blind_tasks(studio, project):
            label_blind(studio, task)
        return
    for task in tasks_of(studio, project):
        if not task["annotations"] and task["predictions"]:
            (review_shown if task["predictions"][-1]["result"] else label_blind)(studio, task)


if __name__ == "__main__":
    main()
