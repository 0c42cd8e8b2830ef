"""Judges three pictures with their captions and prints the verdicts.

    python examples/judge_three_images.py

Nothing is downloaded: the pictures are drawn here, and the embedded judge knows such drawn boards and nothing else.
For pictures of your own, put their paths or addresses into SAMPLES and take the judge in the comment at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from backend import Failure, Judge, Sample
from backend.engines.demo.world import Scene, Thing, draw

BOARD = draw(Scene((Thing("red", "circle"), None, None, Thing("blue", "star")), word="LAMP"), Random(0))

SAMPLES = (
    Sample(id="right", image=BOARD, caption="A red circle at the top left. The sign says LAMP."),
    Sample(id="wrong colour", image=BOARD, caption="A green circle at the top left. The sign says LAMP."),
    Sample(id="something missing", image=BOARD, caption="The sign says LAMP.", requested="a blue star, a black cross"),
)


def show(judge: Judge, samples: Sequence[Sample]) -> None:
    """Print a few lines for each sample, in order."""
    for verdict in judge.stream(samples):
        if isinstance(verdict, Failure):
            print(f"{verdict.id}: not judged, {verdict.reason}")
            continue
        scores = ", ".join(f"{score.criterion} {score.expected:.1f}" for score in verdict.scores if score.expected)
        print(f"{verdict.id}: {verdict.decision}, confidence {verdict.confidence:.2f}")
        print(f"  scores      {scores}")
        print(f"  rationale   {verdict.rationale}")
        for span in verdict.unsupported:
            print(f"  unsupported {span.text!r} (characters {span.start} to {span.end})")
        if verdict.correction is not None:
            print(f"  correction  {verdict.correction}")


if __name__ == "__main__":
    # with Judge(model="Qwen/Qwen2.5-VL-7B-Instruct") as judge:  # for real pictures, on a GPU
    with Judge() as judge:
        show(judge, SAMPLES)
