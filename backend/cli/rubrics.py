"""`rubric`: the ready rubrics."""

from __future__ import annotations

import click

from backend.cli.root import main, told_plainly


@main.group()
def rubric() -> None:
    """Show the rubrics that come along, to choose one or to copy and change it."""


@rubric.command("list")
def list_rubrics() -> None:
    """List the ready rubrics.

    Without --rubric, the one that fits a project's label config is taken.
    """
    from backend.interfaces import rubric_names, rubric_summary

    width = max(len(name) for name in rubric_names())
    for name in rubric_names():
        click.echo(f"{name:{width}}  {rubric_summary(name)}")


@rubric.command("show")
@click.argument("name")
@told_plainly
def show_rubric(name: str) -> None:
    """Print a ready rubric.

    Example: vlm-judge rubric show image-text > mine.yaml
    """
    from backend.interfaces import rubric_file

    click.echo(rubric_file(name).read_text(encoding="utf-8"), nl=False)
