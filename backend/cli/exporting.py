"""`export`: a reviewed project as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.root import load_settings, main, told_plainly
from backend.progress import progress_bar

if TYPE_CHECKING:
    from backend.settings import Settings
    from backend.store import WithheldBook


@main.command()
@click.option("--project", "project_id", type=int, help="The project's number.")
@click.option(
    "--from-batch",
    "batch_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Instead of a project: what `judge --source` wrote to DIR, seen by no person.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the dataset.")
@click.option("--push-to", help="Also push to this dataset on the Hub, as user/name.")
@click.option("--public", is_flag=True, help="Make the pushed dataset public; it is private otherwise.")
@click.option("--allow-missing", is_flag=True, help="Go on when images cannot be read; their rows have none.")
@click.option(
    "--several",
    type=click.Choice(["last", "first", "majority"]),
    default="last",
    show_default=True,
    help="Which annotation counts when a task has several.",
)
@told_plainly
def export(project_id: int | None, batch_dir: Path | None, out: Path, several: Any, **options: Any) -> None:
    """Export a reviewed project as a Hugging Face dataset, with its images.

    Example: vlm-judge export --project 1 --out dataset
    """
    from exporters.consolidate import Policy
    from exporters.export import export_batch, export_project

    if (project_id is None) == (batch_dir is None):
        raise click.UsageError("say what to export: --project NUMBER, or --from-batch DIR")
    with progress_bar("Exporting") as report:
        if batch_dir is not None:
            summary = export_batch(load_settings(), batch_dir, out, progress=report, **options)
        elif project_id is not None:
            policy = Policy(several=several)
            settings = load_settings()
            summary = export_project(
                settings,
                project_id,
                out,
                policy=policy,
                progress=report,
                withheld=lambda: _withheld(settings),
                **options,
            )
    for line in summary.lines():
        click.echo(line)


def _withheld(settings: Settings) -> WithheldBook:
    """Where the judge's answers to the blind slice are."""
    from backend.store import Store

    return Store(settings.store).withheld
