"""`interface`: the ready labeling interfaces."""

from __future__ import annotations

import click

from backend.cli.command import Result
from backend.cli.root import main
from backend.core.kinds import Kind
from backend.interfaces import KINDS


@main.group()
def interface() -> None:
    """Show the labeling interfaces that come along, one for every kind of samples.

    Example: vlm-judge interface list
    """


@interface.command("list", settings=False)
def list_interfaces() -> Result:
    """List the kinds that `project create --kind` takes, and what their interfaces show.

    Example: vlm-judge interface list
    """
    from backend.interfaces import interface_summary

    width = max(map(len, KINDS))
    summaries = {kind: interface_summary(kind) for kind in KINDS}
    lines = tuple(f"{kind:{width}}  {summary}" for kind, summary in summaries.items())
    return Result({"interfaces": [{"kind": kind, "summary": summary} for kind, summary in summaries.items()]}, lines)


@interface.command("show", settings=False)
@click.argument("kind", type=click.Choice(KINDS))
def show_interface(kind: Kind) -> Result:
    """Print a kind's label config, to change it or to paste it into a project of your own.

    Example: vlm-judge interface show chart > mine.xml
    """
    from backend.interfaces import label_config_of

    text = label_config_of(kind)
    return Result({"kind": kind, "text": text}, (text.removesuffix("\n"),))
