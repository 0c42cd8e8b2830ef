"""Shows how far a long command is, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error; a plain line now and then when that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield plain_progress(title)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def plain_progress(title: str, every_s: float = 10.0) -> Callable[[int, int | None], None]:
    """Progress as lines on standard error, at most one each `every_s` seconds, the first after as long."""
    last_s = time.monotonic()

    def report(done: int, total: int | None) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= every_s:
            last_s = time.monotonic()
            click.echo(f"{title}: {done}" if total is None else f"{title}: {done} of {total}", err=True)

    return report
