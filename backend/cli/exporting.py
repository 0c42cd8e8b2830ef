"""`export`: a reviewed project as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from backend.cli.command import Result
from backend.cli.exported import export_as_data
from backend.cli.root import load_settings, main
from backend.progress import note, plain_progress, progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backend.settings import Settings
    from backend.store import WithheldBook
    from backend.trust.report.facts import Report
    from exporters.hub.push import PushTarget
    from exporters.options import ExportOptions


@main.command()
@click.option("--project", "project_id", type=int, help="The project's number.")
@click.option(
    "--from-batch",
    "batch_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Instead of a project: what `judge --source` wrote to DIR, seen by no person.",
)
@click.option(
    "--from-file",
    "download",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read the project from what Label Studio's Export > JSON wrote. Predictions, which that names by number, are "
    "asked of Label Studio where its address is set.",
)
@click.option(
    "--label-config",
    "label_config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --from-file: the project's label config.  [default: Label Studio's]",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the dataset.")
@click.option("--push-to", help="Also push to this dataset on the Hub, as user/name.")
@click.option("--public", is_flag=True, help="Make the pushed dataset public; it is private otherwise.")
@click.option("--create-pr", is_flag=True, help="Push as a pull request, which changes nothing until it is merged.")
@click.option("--dry-run", is_flag=True, help="Write the folder, say what a push would change, and push nothing.")
@click.option(
    "--replace-card", is_flag=True, help="Put our card in the place of one there that is not ours or was edited."
)
@click.option(
    "--personal-fields", metavar="KEYS", help="Keys of the tasks' data, like name,email, that must not be pushed."
)
@click.option("--allow-missing", is_flag=True, help="Go on when images cannot be read; their rows have none.")
@click.option(
    "--several",
    type=click.Choice(["last", "first", "majority", "all"]),
    default="last",
    show_default=True,
    help="Which annotation counts when a task has several; with `all` each is a row of its own.",
)
@click.option("--annotator", type=int, metavar="ID", help="The user whose annotations count where they gave some.")
@click.option(
    "--configs",
    metavar="NAMES",
    help="Of default, all, sft, preference, judgements those to write.  [default: all five]",
)
@click.option(
    "--splits",
    metavar="SHARES",
    help="Like train=0.9,validation=0.05,test=0.05; an image is in one only.  [default: train]",
)
@click.option("--stratify", metavar="COLUMN", help="Hold the shares within every group that this column tells.")
@click.option("--prompt", metavar="TEXT", help="What `sft` and `preference` ask; $key is the task's text of that key.")
@click.option("--keep-location", is_flag=True, help="Leave in photographs where they were taken; removed otherwise.")
@click.option("--image-format", type=click.Choice(["jpeg", "webp", "png"]), help="Encode images anew as this.")
@click.option(
    "--image-quality", type=click.IntRange(1, 100), help="Of JPEG and WebP that are encoded anew.  [default: 90]"
)
@click.option("--max-pixels", type=click.IntRange(min=1), help="Shrink larger images to about so many pixels.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep fetched images here, so that an export that breaks off goes on; delete it afterwards.",
)
@click.option("--licence", metavar="NAME", help="Of the whole dataset, like cc-by-4.0.  [default: what its rows say]")
@click.option("--no-pictures", is_flag=True, help="Show no picture of some rows on the card.")
@click.option(
    "--also",
    multiple=True,
    type=click.Choice(["jsonl", "webdataset", "croissant"]),
    help="Write this form too, beside Parquet; may be repeated. A push leaves out jsonl, which has a file for every "
    "image and the same rows as Parquet.",
)
def export(project_id: int | None, batch_dir: Path | None, download: Path | None, out: Path, **given: Any) -> Result:
    """Export a reviewed project as a Hugging Face dataset, with its images.

    Example: vlm-judge export --project 1 --out dataset

    Example: vlm-judge export --from-file project-1.json --out dataset
    """
    from exporters.export import export_batch, export_download, export_project
    from exporters.records.consolidate import Policy

    _check_what(click.get_current_context(), project_id, batch_dir, download)
    people = Policy(several=given["several"], annotator=given["annotator"])
    pushing = {"allow_missing": given["allow_missing"], "target": _target(given), "dry_run": given["dry_run"]}
    options = _options(given)
    settings = load_settings()
    with progress_bar("Exporting") as report:
        if batch_dir is not None:
            summary = export_batch(settings, batch_dir, out, options=options, progress=report, **pushing)
        elif download is not None:
            summary = export_download(
                settings,
                download,
                out,
                project_id=project_id,
                label_config=_text(given["label_config"]),
                policy=people,
                options=options,
                progress=report,
                withheld=lambda: _withheld(settings),
                **pushing,
            )
        elif project_id is not None:
            summary = export_project(
                settings,
                project_id,
                out,
                policy=people,
                options=options,
                progress=report,
                withheld=lambda: _withheld(settings),
                trust=lambda: _trust(settings, project_id),
                **pushing,
            )
    return Result(export_as_data(summary), summary.lines())


def _check_what(context: click.Context, project_id: int | None, batch_dir: Path | None, download: Path | None) -> None:
    """Raise a usage error where it is not clear what to export, or something was said that does not fit it."""
    if (batch_dir is not None) + (project_id is not None or download is not None) != 1:
        raise click.UsageError("say what to export: --project NUMBER, --from-file FILE, or --from-batch DIR")
    if download is None and context.params["label_config"] is not None:
        raise click.UsageError("--label-config is that of --from-file; a project and a batch have their own")
    if batch_dir is None:
        return
    for name in ("several", "annotator"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(
                f"--{name} chooses among people's annotations, and --from-batch has none; leave it out"
            )


def _text(path: Path | None) -> str | None:
    from backend.projects import read_text

    return None if path is None else read_text(path)


def _options(given: Mapping[str, Any]) -> ExportOptions:
    """What was asked for. Raises ExportError for what cannot be."""
    from exporters.images.encoding import Encoding
    from exporters.images.pictures import PictureOptions
    from exporters.options import USUAL, ExportOptions, parse_configs
    from exporters.records.splits import parse_shares

    encoding = Encoding(given["image_format"], given["image_quality"], given["max_pixels"])
    return ExportOptions(
        configs=parse_configs(given["configs"]) if given["configs"] else USUAL.configs,
        splits=parse_shares(given["splits"]) if given["splits"] else USUAL.splits,
        stratify=given["stratify"],
        prompt=given["prompt"],
        pictures=PictureOptions(given["keep_location"], encoding),
        cache=given["cache"],
        also=tuple(dict.fromkeys(given["also"])),
        licence=given["licence"],
        show_rows=not given["no_pictures"],
    )


def _target(given: Mapping[str, Any]) -> PushTarget | None:
    """Where to push. Raises ExportError for what says how to push and not where."""
    from backend.errors import ExportError
    from exporters.hub.privacy import parse_fields
    from exporters.hub.push import PushTarget

    if given["push_to"] is None:
        how = ("public", "create_pr", "dry_run", "replace_card", "personal_fields")
        if said := [f"--{name.replace('_', '-')}" for name in how if given[name]]:
            raise ExportError(f"{said[0]} says how to push; say where with --push-to user/name")
        return None
    personal = parse_fields(given["personal_fields"]) if given["personal_fields"] else ()
    return PushTarget(
        given["push_to"],
        private=not given["public"],
        create_pr=given["create_pr"],
        replace_card=given["replace_card"],
        personal=personal,
    )


def _trust(settings: Settings, project_id: int) -> Report | None:
    """What is measured of the judge; None without a blind slice, which measures it, or without the libraries for it."""
    from importlib.util import find_spec

    from backend.assemble import make_studio
    from backend.core.label_config import parse_label_config
    from backend.errors import TrustError
    from backend.store import Store
    from backend.trust.reading import read_project
    from backend.trust.report.facts import make_report

    studio = make_studio(settings)
    blind = parse_label_config(studio.project(project_id).label_config).audit
    if blind is None:
        return None
    if not all(map(find_spec, ("scipy", "sklearn", "krippendorff"))):
        note(
            "the card says nothing of how good the judge is: the libraries that measure it are missing; "
            "pip install 'vlm-judge-label-studio[trust]'"
        )
        return None
    store = Store(settings.store)
    try:
        reading = read_project(studio, store, project_id, plain_progress("Measuring"))  # a bar is shown already
        return make_report(reading, store)
    except TrustError as exc:
        note(f"the card says nothing of how good the judge is: {exc}")
        return None


def _withheld(settings: Settings) -> WithheldBook:
    """Where the judge's answers to the blind slice are."""
    from backend.store import Store

    return Store(settings.store).withheld
