"""`bench`: how fast judging is here."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from backend.cli.command import DONE, FAILED, Result
from backend.cli.root import main
from backend.progress import note

GPU_SIDES, DEMO_SIDES = (504, 1036), (140,)


@main.command(settings=False)
@click.option("--shape", type=click.Choice(["3b", "7b"]), help="Qwen2.5-VL of this size, on a GPU; nothing is loaded.")
@click.option("--random-weights", is_flag=True, help="What --shape needs: its weights are drawn on the device.")
@click.option("--model", help="Another model to measure, by its folder or its id on the Hub.")
@click.option("--side", "sides", type=click.IntRange(min=28), multiple=True, help="Side of the images, in pixels.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="How often all are measured.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write what was measured here too.")
def bench(
    shape: str | None, random_weights: bool, model: str | None, sides: tuple[int, ...], rounds: int, out: Path | None
) -> Result:
    """Measure how fast judging is on this machine, beside what people do today and beside what it could do.

    Four ways to judge the same pairs with the same weights, in turn: a JSON verdict written out, for one pair at a
    time and for many; one prefill for each criterion; and ours. Without options: the embedded judge on the CPU.

    Example: vlm-judge bench --shape 7b --random-weights
    """
    if (shape is not None) != random_weights:
        raise click.UsageError("--shape and --random-weights belong together: only dimensions are known, not weights")
    if shape and model:
        raise click.UsageError("choose one of --shape and --model")
    if out is not None:
        _try_to_write(out)
    from backend.bench.record import as_markdown, save
    from backend.bench.run import bench as measure
    from backend.bench.setting import engine_for, plan_for

    engine = engine_for(shape, model)
    chosen = sides or (GPU_SIDES if shape or model else DEMO_SIDES)
    found = measure(engine, plan_for(engine, chosen, rounds), _command(), note)
    code = DONE
    if out is not None:
        try:
            save(found, out)
        except OSError as exc:  # what took minutes is shown all the same
            note(f"not written: {out}: {exc.strerror}")
            code = FAILED
    return Result(found, (as_markdown(found),), code)


def _try_to_write(path: Path) -> None:
    """Open it for writing, so that what cannot be is said before minutes of measuring. Raises OSError."""
    was_there = path.exists()
    with path.open("ab"):
        pass
    if not was_there:
        path.unlink()


def _command() -> str:
    """What was typed, without where the result goes."""
    words, kept = iter(sys.argv[1:]), ["vlm-judge"]
    for word in words:
        if word == "--out":
            next(words, None)
        elif not word.startswith("--out=") and word not in ("--json", "--quiet"):
            kept.append(word)
    return " ".join(kept)
