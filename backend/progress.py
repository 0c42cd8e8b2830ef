"""Shows how far a long command is, and what else is worth a note, on standard error; nothing when it is to be quiet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


class _Quiet:
    """Whether progress and notes are left out; the same for all threads of a command."""

    on = False


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Leave progress, notes and the log's warnings out until the end of the block, if `quiet`."""
    before, _Quiet.on = _Quiet.on, quiet
    level = logging.root.manager.disable
    if quiet:
        logging.disable(logging.WARNING)
    try:
        yield
    finally:
        _Quiet.on = before
        logging.disable(level)


def note(text: str) -> None:
    """Say something beside the result."""
    if not _Quiet.on:
        click.echo(text, err=True)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error; a plain line now and then when that is not a terminal.

    What is said to be done at first was done before, and does not count towards the rate.
    """
    if _Quiet.on:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield plain_progress(title)
        return
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    pace = Pace()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None, rate="")

        def report(done: int, total: int | None) -> None:
            if pace.first is None:
                progress.reset(task, total=total, completed=done, rate="")
            progress.update(task, completed=done, total=total, rate=pace.text(done))

        yield report


def plain_progress(title: str, every_s: float = 10.0) -> Callable[[int, int | None], None]:
    """Progress as lines on standard error, at most one each `every_s` seconds, the first after as long."""
    last_s = time.monotonic()
    pace = Pace()

    def report(done: int, total: int | None) -> None:
        nonlocal last_s
        text = pace.text(done)
        if time.monotonic() - last_s >= every_s:
            last_s = time.monotonic()
            left = pace.left(done, total)
            ending = f" ({', '.join(filter(None, (text, left)))})" if text else ""
            note(f"{title}: {done}{ending}" if total is None else f"{title}: {done} of {total}{ending}")

    return report


class Pace:
    """How fast it goes since the first report."""

    def __init__(self) -> None:
        self.first: tuple[float, int] | None = None

    def per_s(self, done: int) -> float:
        """Items a second; 0 while that is not known."""
        if self.first is None:
            self.first = (time.monotonic(), done)
        began_s, before = self.first
        took_s = time.monotonic() - began_s
        return max(0.0, (done - before) / took_s) if took_s > 0 else 0.0

    def text(self, done: int) -> str:
        """`12.4 per s`; empty while that is not known."""
        rate = self.per_s(done)
        return f"{rate:.1f} per s" if rate else ""

    def left(self, done: int, total: int | None) -> str:
        """`3 min left`; empty while that is not known."""
        rate = self.per_s(done)
        if total is None or not rate or done >= total:
            return ""
        left_s = (total - done) / rate
        return f"{left_s:.0f} s left" if left_s < 90 else f"{left_s / 60:.0f} min left"
