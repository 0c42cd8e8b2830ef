"""`judge`: bulk judging of a project."""

from __future__ import annotations

import sys
from typing import Any

import click

from backend.cli.root import engine_options, main, project_option, told_plainly
from backend.progress import progress_bar
from backend.settings import load_settings


@main.command()
@project_option
@click.option("--limit", type=click.IntRange(min=1), help="Judge at most this many tasks.")
@engine_options
@told_plainly
def judge(project_id: int, limit: int | None, **options: Any) -> None:
    """Judge every task of a project that this judge has not judged yet.

    Can be stopped and started again at any time. Ends with exit code 1 when some tasks failed.

    Example: vlm-judge judge --project 1 --engine demo
    """
    from backend.assemble import make_service, make_studio
    from backend.judge import judge_project

    settings = load_settings(**options)
    studio, service = make_studio(settings), make_service(settings)
    with progress_bar("Judging") as report:
        run = judge_project(studio, service, project_id, batch_size=settings.batch_size, limit=limit, report=report)
    for failure in run.failures:
        click.echo(f"not judged: {failure.reason}", err=True)
    click.echo(run.summary())
    sys.exit(1 if run.failures else 0)
