"""`judge`: bulk judging of a project."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from backend.cli.root import engine_options, main, project_option, told_plainly
from backend.progress import progress_bar
from backend.settings import load_settings

if TYPE_CHECKING:
    from backend.judge import Preview
    from backend.patience import Stop

SHOWN_FAILURES = 20
WATCH_S = 10.0


@main.command()
@project_option
@click.option("--limit", type=click.IntRange(min=1), help="Judge at most this many tasks.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="TEXT",
    help="Only tasks like `annotations = 0`, `id > 100`, `data.source = web`, `data.caption ~ dog`; may be repeated.",
)
@click.option("--preview", type=click.IntRange(min=1), help="Show so many verdicts, and write nothing.")
@click.option("--watch", is_flag=True, help="Go on, and judge new tasks as they come, until Ctrl-C.")
@click.option(
    "--failures",
    "failures_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where tasks that fail are listed, as JSON lines.  [default: vlm-judge-failures-PROJECT.jsonl]",
)
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    help="Seconds to wait for a Label Studio that is away.",
)
@engine_options
@told_plainly
def judge(
    project_id: int,
    limit: int | None,
    filters: tuple[str, ...],
    preview: int | None,
    watch: bool,
    failures_file: Path | None,
    patience_s: float,
    **options: Any,
) -> None:
    """Judge every task of a project that this judge has not judged yet.

    Can be stopped and started again at any time. Ends with exit code 1 when some tasks failed.

    Example: vlm-judge judge --project 1 --engine demo
    """
    from backend.assemble import make_service, make_studio
    from backend.failure_file import FailureFile
    from backend.filters import parse_filter
    from backend.judge import RunOptions, Told, judge_project, preview_project

    settings = load_settings(**options)
    asked = RunOptions(
        settings.batch_size, limit, tuple(map(parse_filter, filters)), WATCH_S if watch else None, patience_s
    )
    studio, service = make_studio(settings), make_service(settings)
    if preview:
        for shown in preview_project(studio, service, project_id, preview, asked):
            click.echo(_preview(shown))
        return
    failures = FailureFile(failures_file or Path(f"vlm-judge-failures-{project_id}.jsonl"))
    with progress_bar("Judging") as bar, _signals_stop() as stop:
        told = Told(bar, failures.add, lambda text: click.echo(text, err=True))
        run = judge_project(studio, service, project_id, asked, told, stop)
    for failure in run.failures[:SHOWN_FAILURES]:
        click.echo(f"not judged: {failure.reason}", err=True)
    if failures.count:
        click.echo(f"all {failures.count} failures are listed in {failures.path}", err=True)
    click.echo(run.summary())
    sys.exit(130 if run.interrupted and not watch else 1 if run.failures or run.unaccounted else 0)


@contextmanager
def _signals_stop() -> Iterator[Stop]:
    """Let Ctrl-C and SIGTERM end the run with what is judged stored, and a second one end it at once.

    The handler only sets an attribute: an exception could come in the middle of a write.
    """
    from backend.patience import Stop

    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _preview(shown: Preview) -> str:
    """A verdict as a person reads it."""
    from backend.core.types import Scored
    from backend.service import Failure

    result = shown.result
    if isinstance(result, Failure):
        return f"task {shown.task.id}: not judged: {result.reason.removeprefix(f'task {shown.task.id}: ')}"
    decided = result.decision or (result.preference.winner if result.preference else None) or "undecided"
    rated = ", ".join(f"{answer.question.id} {answer.best}" for answer in result.answers if isinstance(answer, Scored))
    lines = [f"task {shown.task.id}: {decided} ({result.confidence:.0%})", rated, result.evidence.rationale]
    return "\n    ".join(line for line in lines if line)
