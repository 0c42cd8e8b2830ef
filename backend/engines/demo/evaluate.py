"""Measures the embedded judge on held-out boards: `python -m backend.engines.demo.evaluate`.

Every figure comes from the product's own road, from questions to verdict and evidence. AUROC per kind of corruption:
right samples against samples with that one thing wrong. Held-out boards come from a seed that training never uses.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.core.case import Case, JudgeOptions
from backend.core.claims import split_claims
from backend.core.form import make_form
from backend.core.label_config import LabelConfig
from backend.core.pointwise import judge_text
from backend.core.rubric import Rubric
from backend.core.types import DECISIONS, ImageRef, Sample, Scored, Verdict, Written
from backend.core.writing import text_writing
from backend.engines.base import Engine, WriteRequest
from backend.engines.demo.architecture import text_fields
from backend.engines.demo.engine import MODEL, demo_engine
from backend.engines.demo.examples import CORRUPTIONS, Claim, Corruption, Example, make_example
from backend.engines.demo.world import (
    CHANGES,
    CONDITIONS,
    HEIGHT,
    WIDTH,
    Area,
    Condition,
    Scene,
    draw,
    random_scene,
    read_phrase,
)
from backend.engines.local import hash_folder
from backend.engines.run import Pictured, run_flows

if TYPE_CHECKING:
    from PIL import Image

SEED = 987_654_321

BY_VERDICT = ", by the verdict"
"""Ends the name of a figure whose score is the probability of accept."""

_SEEN_BY: dict[str, str] = {"misspelled": "text_accuracy", "missing feature": "requested_features"}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """An example that training never saw, with its picture."""

    scene: Scene
    example: Example
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Judged:
    """A held-out example and the judge's verdict."""

    scene: Scene
    example: Example
    verdict: Verdict

    @property
    def condition(self) -> Condition:
        """How damaged the picture is."""
        return self.scene.condition

    def expected(self, criterion: str) -> float:
        """Expected value of a criterion; NaN when it was not asked or not scored."""
        found = [a for a in self.verdict.answers if a.question.id == criterion and isinstance(a, Scored)]
        return found[0].expected if found else float("nan")

    @property
    def accepted(self) -> float:
        """The probability of accept; NaN without a verdict."""
        return self.verdict.decision_probs.get("accept", float("nan"))


def held_out(count: int) -> list[HeldOut]:
    """Examples over all corruptions on undamaged boards, and right ones on every damaged condition."""
    rng = random.Random(SEED)
    made: list[HeldOut] = []
    plan: list[tuple[Condition, Corruption]] = [
        *(("clean", corruption) for corruption in (*CORRUPTIONS, "none")),
        *((condition, "none") for condition in CONDITIONS[1:]),
    ]
    while len(made) < count:
        condition, corruption = plan[len(made) % len(plan)]
        scene = random_scene(rng, condition)
        example = make_example(scene, corruption, rng)
        if example is not None:
            made.append(HeldOut(scene, example, draw(scene, rng)))
    return made


def judge(engine: Engine, examples: Sequence[HeldOut], explain: bool, batch_size: int = 32) -> list[Judged]:
    """The product's verdicts; with areas and corrected texts when `explain`."""
    rubric = engine.default_rubric
    form = make_form(LabelConfig((), ()), frozenset())
    options = JudgeOptions(explain="flagged" if explain else "never")
    judged: list[Judged] = []
    for at in range(0, len(examples), batch_size):
        part = examples[at : at + batch_size]
        cases = [
            Case(Sample("", (ImageRef("image", ""),), text_fields(item.example)), rubric, form, options, "", "demo")
            for item in part
        ]
        pictured = [Pictured((item.image,), rubric) for item in part]
        runs = run_flows(engine, [judge_text(case) for case in cases], pictured)
        judged += [Judged(i.scene, i.example, run.result) for i, run in zip(part, runs, strict=True)]
    return judged


def true_decision(example: Example, rubric: Rubric) -> str:
    """The decision that the true levels call for."""
    levels = {
        "visual_realism": example.realism,
        "text_accuracy": example.text,
        "consistency": example.consistency,
        "requested_features": example.requested_level,
    }
    called = [level.decision for c in rubric.criteria for level in c.levels if level.value == levels[c.id]]
    return max(called, key=DECISIONS.index)


def measure(engine: Engine, count: int, explain: bool = True) -> dict[str, float]:
    """AUROC per corruption and condition, of claims, verdict accuracy, and how good the evidence is."""
    examples = held_out(count)
    judged = judge(engine, examples, explain)
    rubric = engine.default_rubric
    evidence = {**_evidence(judged), **_generated(engine, examples)} if explain else {}
    return {**_corruption_scores(judged), **_condition_scores(judged), **_overall(judged, rubric), **evidence}


def _corruption_scores(judged: Sequence[Judged]) -> dict[str, float]:
    clean = [item for item in judged if item.condition == "clean"]
    right = [item for item in clean if item.example.corruption == "none"]
    scores: dict[str, float] = {}
    for kind in CORRUPTIONS[1:]:
        wrong = [item for item in clean if item.example.corruption == kind]
        criterion = _SEEN_BY.get(kind, "consistency")
        scores[kind] = _auroc([i.expected(criterion) for i in right], [i.expected(criterion) for i in wrong])
        scores[f"{kind}{BY_VERDICT}"] = _auroc([i.accepted for i in right], [i.accepted for i in wrong])
    return scores


def _condition_scores(judged: Sequence[Judged]) -> dict[str, float]:
    right = [item for item in judged if item.example.corruption == "none"]
    good = [item.expected("visual_realism") for item in right if item.condition == "clean"]
    return {
        kind: _auroc(good, [item.expected("visual_realism") for item in right if item.condition == kind])
        for kind in CONDITIONS[1:]
    }


def _overall(judged: Sequence[Judged], rubric: Rubric) -> dict[str, float]:
    """Claims on undamaged boards, and verdicts by the product's own rule: one that it leaves open counts as wrong."""
    claims: tuple[list[float], list[float]] = ([], [])
    for item in judged:
        if item.condition == "clean":
            stated = {claim.text: claim.support_prob for claim in item.verdict.evidence.claims}
            for claim in item.example.claims:
                if claim.text in stated:
                    claims[0 if claim.holds else 1].append(stated[claim.text])
    hits = sum(item.verdict.decision == true_decision(item.example, rubric) for item in judged)
    answers = [answer for item in judged for answer in item.verdict.answers]
    return {
        "single claims": _auroc(*claims),
        "verdict accuracy": hits / len(judged),
        "unscored answers": sum(not isinstance(answer, Scored) for answer in answers) / len(answers),
    }


def _evidence(judged: Sequence[Judged]) -> dict[str, float]:
    """Of the texts with one thing wrong: changed words marked, true corrections, areas over the right place."""
    wrong = [item for item in judged if item.example.corruption in CHANGES]
    marked = [marks(item, claim) for item in wrong for claim in item.example.claims if claim.wrong_words]
    right = [is_true(item.verdict.evidence.corrected or "", item.scene) for item in wrong]
    overlaps = [
        _overlap((area.x, area.y, area.x + area.width, area.y + area.height), claim.area)
        for item in wrong
        for area in item.verdict.evidence.areas
        for claim in item.example.claims
        if claim.text == area.claim and not claim.holds
    ]
    return {
        "changed words marked": sum(marked) / len(marked),
        "corrected texts true": sum(right) / len(right),
        "areas over the right place": sum(overlap >= 0.5 for overlap in overlaps) / max(1, len(overlaps)),
    }


def is_true(text: str, scene: Scene) -> bool:
    """Whether a text states something about the scene, and nothing that does not hold."""
    statements = [read_phrase(piece.text) for piece in split_claims(text)]
    return bool(statements) and all(statement is not None and statement.holds(scene) for statement in statements)


def _generated(engine: Engine, examples: Sequence[HeldOut]) -> dict[str, float]:
    """How often a caption written from nothing is true, and the printed word read right, on undamaged boards."""
    boards = [item for item in examples if item.scene.condition == "clean" and item.example.corruption == "none"]
    rubric = engine.default_rubric
    wanted = {"caption": rubric.requests.caption or "", "ocr": rubric.requests.ocr or ""}
    replies = {
        name: engine.write(
            [WriteRequest((item.image,), rubric.instructions, "", text_writing(name, request)) for item in boards]
        )
        for name, request in wanted.items()
    }
    said = {name: [r.value["text"] if isinstance(r, Written) else "" for r in got] for name, got in replies.items()}
    captions = [is_true(text, item.scene) for text, item in zip(said["caption"], boards, strict=True)]
    words = [text == item.scene.word for text, item in zip(said["ocr"], boards, strict=True)]
    return {"written captions true": sum(captions) / len(boards), "signs read": sum(words) / len(boards)}


def marks(item: Judged, claim: Claim) -> bool:
    """Whether every changed word of the claim lies in a marked stretch of the text."""
    caption = item.example.caption
    start = caption.index(claim.text)
    places = [start + claim.text.index(word) for word in claim.wrong_words or ()]
    spans = item.verdict.evidence.spans
    return all(any(span.start <= place < span.end for span in spans) for place in places)


def _overlap(percent: tuple[float, float, float, float], area: Area) -> float:
    """Intersection over union of a box in percent of the board and one in its pixels."""
    scale = (WIDTH / 100, HEIGHT / 100, WIDTH / 100, HEIGHT / 100)
    left, top, right, bottom = (edge * factor for edge, factor in zip(percent, scale, strict=True))
    width = min(right, area[2]) - max(left, area[0])
    height = min(bottom, area[3]) - max(top, area[1])
    both = max(0.0, width) * max(0.0, height)
    either = (right - left) * (bottom - top) + (area[2] - area[0]) * (area[3] - area[1]) - both
    return both / either


def _auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Area under the ROC curve of scores that should be higher for the first; pairs with NaN are left out."""
    from sklearn.metrics import roc_auc_score

    pairs = [(s, 1) for s in positive if s == s] + [(s, 0) for s in negative if s == s]
    return float(roc_auc_score([label for _, label in pairs], [score for score, _ in pairs]))


CARD = Path(__file__).parent / "MODEL_CARD.md"

_CARD = """\
# The embedded demo judge

A real `Qwen2_5_VLForConditionalGeneration` of {parameters:.1f} million weights, trained from nothing on drawn boards:
four pastel squares, each empty or with one coloured shape, over a word in letter tiles. It exists so that the product
can be tried, shown and tested by its real code path, on a laptop, without a download.

**It knows these boards and nothing else.** What it says about any other picture means nothing. Judge real data with
`Qwen/Qwen2.5-VL-7B-Instruct` or larger.

## What it was trained for

Captions that are right, wrong in one thing (colour, shape, position, count, printed word), wrong in several, about
something else, or misspelled; requested features that are missing; pictures that are clean, noisy, blurred, or have
parts missing. It answers one token per question: the four criteria of its rubric from 1 to 5, and yes or no for every
claim and word of a text. It writes, as JSON, captions, the printed word, questions with answers, the right text for a
wrong one, and a box around the place where a claim is decided. It understands only the wording of `rubric.yaml`.

These weights were made in four runs of `python -m backend.engines.demo.train`, whose docstring says how it goes:

```sh
train="python -m backend.engines.demo.train"
$train --out first --length 176
$train --resume first --out second --length 176 --seed 10 --boards 8000 --steps 1500 --peak 7e-4
$train --resume second --out third --length 304 --batch 40 --seed 20 --boards 8000 --steps 3600 --peak 9e-4
$train --resume third --length 304 --batch 40 --seed 30 --boards 6000 --steps 1500 --peak 6e-4
```

The lessons grew on the way: writing came with the third run, more claims about shapes in the wrong place with the
fourth. Run from nothing today, the four give a judge of the same kind with other figures.

It runs on a GPU where there is one. These weights come from a CPU; arithmetic in another order gives slightly others.

## Held-out results

{count:,} boards from a seed that training never uses. `python -m backend.engines.demo.evaluate` measures this again.

AUROC: right samples against samples with that one thing wrong (an area of 0.5 is chance, 1 is perfect). Once the score
is the expected value of the one criterion that should see it, once the verdict's probability of accept, in which every
criterion, claim and requested feature has a say. For wrong texts the picture is undamaged.

| wrong in the text | AUROC by its criterion | AUROC by the verdict |
|---|---|---|
{texts}

| damage to the picture | AUROC |
|---|---|
{pictures}

| evidence for texts with one thing wrong | |
|---|---|
| share of the changed words that are marked | {marked:.3f} |
| share of the texts for which a correction is offered of which every statement is true | {corrected:.3f} |
| share of the boxes over the right place (intersection over union of a half or more) | {areas:.3f} |

| written about undamaged boards | |
|---|---|
| share of the captions of which every statement is true | {captions:.3f} |
| share of the printed words read right | {signs:.3f} |

| over everything | |
|---|---|
| AUROC of single claims, supported against not | {claims:.3f} |
| accuracy of the verdict (accept, fix, reject) | {verdicts:.3f} |
| share of answers that could not be scored | {unscored:.4f} |

Weights: SHA-256 of the model folder `{digest}`.
"""


def card(figures: dict[str, float], count: int, parameters: int, digest: str) -> str:
    """The model card with these figures, as they are."""

    def rows(names: Sequence[str]) -> str:
        return "\n".join(f"| {name} | {figures[name]:.3f} |" for name in names)

    return _CARD.format(
        parameters=parameters / 1e6,
        count=count,
        texts="\n".join(
            f"| {name} | {figures[name]:.3f} | {figures[name + BY_VERDICT]:.3f} |" for name in CORRUPTIONS[1:]
        ),
        pictures=rows(CONDITIONS[1:]),
        claims=figures["single claims"],
        verdicts=figures["verdict accuracy"],
        unscored=figures["unscored answers"],
        marked=figures["changed words marked"],
        corrected=figures["corrected texts true"],
        areas=figures["areas over the right place"],
        captions=figures["written captions true"],
        signs=figures["signs read"],
        digest=digest,
    )


def main() -> None:
    """Print the figures as JSON, and write the model card when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--count", type=int, default=4_800)
    parser.add_argument("--write-card", action="store_true")
    options = parser.parse_args()
    engine = demo_engine(options.model)
    engine.load()
    figures = {name: round(value, 4) for name, value in measure(engine, options.count).items()}
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    if options.write_card:
        text = card(figures, options.count, engine.parameters, hash_folder(options.model))
        CARD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
