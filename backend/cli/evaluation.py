"""`evaluate`: the judge against human labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from backend.cli.command import Result, wants_json
from backend.cli.root import engine_options, load_settings, main
from backend.progress import progress_bar


@main.command()
@click.argument("source")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("evaluation"),
    show_default=True,
    help="Folder for evaluation.json and evaluation.png.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["export", "samples", "pairs", "vl-rewardbench", "mmrb2", "polaris"]),
    help="What the columns mean.  [default: told by their names]",
)
@click.option("--subset", help="Configuration of a dataset.  [default: default, or the only one]")
@click.option("--split", help="Part of a dataset.  [default: test, else validation, else the first]")
@click.option("--limit", type=click.IntRange(min=1), help="Read at most this many rows.")
@click.option("--no-baseline", is_flag=True, help="Do not judge every row once more with a blank image.")
@click.option(
    "--good-from",
    type=click.FloatRange(1, 5),
    default=4.0,
    show_default=True,
    help="From which rating on a row that was only rated counts as good.",
)
@click.option(
    "--examples",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Judge every row with and without these few-shot examples, and say whether they help.",
)
@engine_options
def evaluate(
    source: str,
    out: Path,
    format_name: str | None,
    subset: str | None,
    split: str | None,
    limit: int | None,
    no_baseline: bool,
    good_from: float,
    examples: Path | None,
    **options: Any,
) -> Result:
    """Judge human-labelled data offline, and say how well the judge agrees with people.

    SOURCE is a JSON lines, JSON, CSV or Parquet file, a folder such as `vlm-judge export` writes, or a dataset's id on
    the Hub. Each row has an image and a text with a verdict or rating, or two texts and which one people prefer.

    Example: vlm-judge evaluate dataset --engine demo --out evaluation
    """
    from rich.console import Console

    from backend.evaluation.plot import draw
    from backend.evaluation.report import as_json, print_report, write_json
    from backend.evaluation.run import EvaluateOptions, evaluate
    from backend.evaluation.tables import Source

    settings = load_settings(**options)
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    asked = EvaluateOptions(
        Source(source, subset, split, token),
        format=format_name,
        limit=limit,
        baseline=not no_baseline,
        good_from=good_from,
        examples=examples,
    )
    with progress_bar("Evaluating") as report:
        evaluation = evaluate(settings, asked, report)
    written = (out / "evaluation.json", out / "evaluation.png")
    write_json(evaluation, written[0])
    draw(evaluation, written[1])
    if not wants_json():
        console = Console()
        print_report(evaluation, console if console.is_terminal else Console(width=160))
    data = {**as_json(evaluation), "written": written}
    return Result(data, (f"written: {', '.join(map(str, written))}",))
