"""`rubric`: the ready rubrics."""

from __future__ import annotations

import click

from backend.cli.command import Result
from backend.cli.root import main


@main.group()
def rubric() -> None:
    """Show the rubrics that come along, to choose one or to copy and change it.

    Example: vlm-judge rubric list
    """


@rubric.command("list", settings=False)
def list_rubrics() -> Result:
    """List the ready rubrics.

    Without --rubric, the one that fits a project's label config is taken.

    Example: vlm-judge rubric list
    """
    from backend.interfaces import rubric_names, rubric_summary

    width = max(len(name) for name in rubric_names())
    summaries = {name: rubric_summary(name) for name in rubric_names()}
    lines = tuple(f"{name:{width}}  {summary}" for name, summary in summaries.items())
    return Result({"rubrics": [{"name": name, "summary": summary} for name, summary in summaries.items()]}, lines)


@rubric.command("show", settings=False)
@click.argument("name")
def show_rubric(name: str) -> Result:
    """Print a ready rubric.

    Example: vlm-judge rubric show image-text > mine.yaml
    """
    from backend.interfaces import rubric_file

    text = rubric_file(name).read_text(encoding="utf-8")
    return Result({"name": name, "text": text}, (text.removesuffix("\n"),))
