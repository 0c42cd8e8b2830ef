"""Measures the embedded judge on held-out boards: `python -m backend.engines.demo.evaluate`.

AUROC per kind of corruption: right samples against samples with that one thing wrong, the score
being the expected value of the criterion that should see it. Held-out boards come from a seed
that training never uses.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend.core.prompts import claim_question, render_fields
from backend.core.rubric import Rubric
from backend.core.types import DECISIONS, Answer, Feature, Scored, Verdict
from backend.core.verdict import claim_probs, make_verdict
from backend.engines.base import Engine, JudgeRequest
from backend.engines.demo.architecture import text_fields
from backend.engines.demo.engine import MODEL, demo_engine
from backend.engines.demo.examples import CORRUPTIONS, Corruption, Example, make_example
from backend.engines.demo.world import CONDITIONS, Condition, draw, random_scene
from backend.engines.local import hash_folder

if TYPE_CHECKING:
    from PIL import Image

SEED = 987_654_321

BY_VERDICT = ", by the verdict"
"""Ends the name of a figure whose score is the probability of accept."""

_SEEN_BY: dict[str, str] = {"misspelled": "text_accuracy", "missing feature": "requested_features"}


@dataclass(frozen=True, slots=True)
class Judged:
    """A held-out example and the judge's answers."""

    condition: Condition
    example: Example
    answers: tuple[Answer, ...]

    def expected(self, criterion: str) -> float:
        """Expected value of a criterion; NaN when it was not asked or not scored."""
        found = [a for a in self.answers if a.question.id == criterion and isinstance(a, Scored)]
        return found[0].expected if found else float("nan")

    def verdict(self, rubric: Rubric) -> Verdict:
        """The verdict by the product's own rule."""
        kinds = ("claim:", "feature:")
        criteria = [answer for answer in self.answers if not answer.question.id.startswith(kinds)]
        features = [
            Feature(answer.question.id, answer.prob("yes"))
            for answer in self.answers
            if isinstance(answer, Scored) and answer.question.id.startswith("feature:")
        ]
        return make_verdict(rubric, criteria, (), features, "", claim_probs(self.answers))

    def accepted(self, rubric: Rubric) -> float:
        """The probability of accept; NaN without a verdict."""
        return self.verdict(rubric).decision_probs.get("accept", float("nan"))


def held_out(count: int, seed: int = SEED) -> list[tuple[Condition, Example, JudgeRequest]]:
    """Examples over all corruptions on undamaged boards, and right ones on every damaged condition."""
    rubric = demo_engine().default_rubric
    rng = random.Random(seed)
    made: list[tuple[Condition, Example, JudgeRequest]] = []
    plan: list[tuple[Condition, Corruption]] = [
        *(("clean", corruption) for corruption in (*CORRUPTIONS, "none")),
        *((condition, "none") for condition in CONDITIONS[1:]),
    ]
    while len(made) < count:
        condition, corruption = plan[len(made) % len(plan)]
        scene = random_scene(rng, condition)
        example = make_example(scene, corruption, rng)
        if example is not None:
            made.append((condition, example, _request(rubric, example, draw(scene, rng))))
    return made


def _request(rubric: Rubric, example: Example, image: Image.Image) -> JudgeRequest:
    criteria = [
        rubric.question(c) for c in rubric.criteria if c.needs is None or (c.needs == "requested" and example.requested)
    ]
    claims = [claim_question(i, rubric.checks.claim, claim.text) for i, claim in enumerate(example.claims)]
    features = [
        replace(claim_question(i, rubric.checks.claim, feature.text), id=f"feature:{i}")
        for i, feature in enumerate(example.features)
    ]
    questions = (*criteria, *claims, *features)
    return JudgeRequest((image,), rubric.instructions, render_fields(text_fields(example)), questions)


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


def measure(engine: Engine, count: int, batch_size: int = 32) -> dict[str, float]:
    """AUROC per corruption and condition, claim AUROC and verdict accuracy over `count` held-out examples."""
    examples = held_out(count)
    judged: list[Judged] = []
    for at in range(0, len(examples), batch_size):
        part = examples[at : at + batch_size]
        replies = engine.answer([request for _, _, request in part])
        judged += [Judged(c, e, reply) for (c, e, _), reply in zip(part, replies, strict=True)]
    rubric = engine.default_rubric
    return {**_corruption_scores(judged, rubric), **_condition_scores(judged), **_overall(judged, rubric)}


def _corruption_scores(judged: Sequence[Judged], rubric: Rubric) -> dict[str, float]:
    clean = [item for item in judged if item.condition == "clean"]
    right = [item for item in clean if item.example.corruption == "none"]
    scores: dict[str, float] = {}
    for kind in CORRUPTIONS[1:]:
        wrong = [item for item in clean if item.example.corruption == kind]
        criterion = _SEEN_BY.get(kind, "consistency")
        scores[kind] = _auroc([i.expected(criterion) for i in right], [i.expected(criterion) for i in wrong])
        scores[f"{kind}{BY_VERDICT}"] = _auroc([i.accepted(rubric) for i in right], [i.accepted(rubric) for i in wrong])
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
    hits = 0
    for item in judged:
        hits += item.verdict(rubric).decision == true_decision(item.example, rubric)
        if item.condition == "clean":
            asked = [answer for answer in item.answers if answer.question.id.startswith("claim:")]
            for claim, answer in zip(item.example.claims, asked, strict=True):
                if isinstance(answer, Scored):
                    claims[0 if claim.holds else 1].append(answer.prob("yes"))
    answers = [answer for item in judged for answer in item.answers]
    return {
        "single claims": _auroc(*claims),
        "verdict accuracy": hits / len(judged),
        "unscored answers": sum(not isinstance(answer, Scored) for answer in answers) / len(answers),
    }


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
claim and word of a text. It understands only the wording of `rubric.yaml`, and was not trained to write.

These weights were made in two runs of `python -m backend.engines.demo.train`, whose docstring says how it goes:

```sh
python -m backend.engines.demo.train --out first
python -m backend.engines.demo.train --resume first --seed 10 --boards 8000 --steps 1500 --peak 7e-4
```

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
