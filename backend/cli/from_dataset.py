"""`project create --from-dataset`: its options, and the project that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from backend.audit_slice import Draw
    from backend.batch.arriving import ImagesFolder, Tally
    from backend.batch.into_project import Imported
    from backend.service import JudgeService
    from backend.settings import Settings
    from backend.studio import Project, Studio

Command = TypeVar("Command", bound=Callable[..., Any])
_NAMES = ("dataset", "dataset_config", "split", "image_column", "text_column", "columns")


def dataset_options(command: Command) -> Command:
    """The options that say which published dataset becomes tasks, and how its columns are to be taken."""
    options = (
        click.option(
            "--from-dataset",
            "dataset",
            metavar="SOURCE",
            help="Instead of --tasks: a published dataset, as user/name of the Hub or a folder such as `export` "
            "writes. One of ours comes back with predictions and annotations, under the label config that it "
            "holds. Images that lie in its rows are put into --local-files, or become part of their tasks.",
        ),
        click.option(
            "--config-name",
            "dataset_config",
            metavar="NAME",
            help="Config of the dataset.  [default: `all` of ours, else the only one, or `default`]",
        ),
        click.option("--split", metavar="NAME", help="Split of the dataset.  [default: all]"),
        click.option("--image-column", metavar="COLUMN", help="Column of the images.  [default: the one of that type]"),
        click.option("--text-column", metavar="COLUMN", help="Column of the texts.  [default: caption, text or such]"),
        click.option(
            "--column",
            "columns",
            multiple=True,
            metavar="KEY=COLUMN",
            help="For any key that the label config shows, the dataset's column; may be repeated.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class DatasetChoice:
    """What was said by the options above."""

    dataset: str | None
    dataset_config: str | None
    split: str | None
    image_column: str | None
    text_column: str | None
    columns: tuple[str, ...]

    def check(self) -> None:
        """Raise UsageError where options are given that say something of a dataset, and none is."""
        said = (self.dataset_config, self.split, self.image_column, self.text_column, self.columns)
        names = ("--config-name", "--split", "--image-column", "--text-column", "--column")
        given = [name for name, value in zip(names, said, strict=True) if value]
        if self.dataset is None and given:
            raise click.UsageError(f"{', '.join(given)}: only with --from-dataset")


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came of rows that became tasks, in numbers and in a line."""

    counts: Imported | Tally
    summary: str


def taken_from(options: dict[str, Any]) -> DatasetChoice:
    """Take the options above out of a command's. Raises UsageError where they do not go together."""
    choice = DatasetChoice(**{name: options.pop(name) for name in _NAMES})
    choice.check()
    return choice


def create_from_dataset(
    studio: Studio,
    service: JudgeService,
    settings: Settings,
    title: str,
    label_config: str | None,
    usual: str,
    choice: DatasetChoice,
    files: ImagesFolder | None,
    audit: Draw | None,
) -> tuple[Project, Arrived]:
    """The project, with every row of the dataset in it once.

    Without a label config under that of the dataset, or under the usual one where it has none.
    """
    from backend.core.label_config import parse_label_config
    from backend.progress import progress_bar
    from backend.projects import ProjectSpec, create_project
    from backend.published.into_project import Bringing
    from backend.published.opening import Wanted, open_published, published_form

    wanted = Wanted(
        choice.dataset or "",
        choice.dataset_config,
        choice.split,
        choice.text_column,
        settings.max_image_bytes,
        settings.hf_token,
    )
    published = open_published(wanted)
    if label_config is None and published.is_ours:
        label_config = published_form(wanted)
    label_config = label_config or usual
    bringing = Bringing(published, label_config, _columns(choice, label_config))
    if audit and published.is_ours:
        raise click.UsageError(
            f"--audit keeps what the judge says from people, and {published.name} publishes it; leave --audit out"
        )
    config = parse_label_config(bringing.label_config)
    version = None if published.is_ours else service.judging(config).fingerprint
    folder = files.folder if files else None
    groups = bringing.data_of(audit.by) if audit and audit.by else ()
    spec = ProjectSpec(title, bringing.label_config, (), version, local_files=folder, audit=audit, filled=groups)

    arrived: list[Arrived] = []

    def fill(project: Project) -> None:
        with progress_bar("Importing") as bar:
            brought = bringing.into(studio, settings, project, files, bar)
        arrived.append(Arrived(brought.tally, brought.summary()))

    return create_project(studio, spec, fill, service.store), arrived[0]


def _columns(choice: DatasetChoice, label_config: str) -> Mapping[str, str]:
    """For keys of the task's data the columns that were named."""
    from backend.core.label_config import parse_label_config
    from backend.core.sample import candidate_object

    config = parse_label_config(label_config)
    found = {}
    if choice.image_column:
        if not config.images:
            raise click.UsageError("--image-column names the images, and the label config shows none")
        found[config.images[0].key] = choice.image_column
    candidate = candidate_object(config)
    if choice.text_column:
        if candidate is None or not candidate.key:
            raise click.UsageError("--text-column names the texts to judge, and the label config shows none")
        found[candidate.key] = choice.text_column
    for each in choice.columns:
        key, equals, column = each.partition("=")
        if not equals or not key or not column:
            raise click.UsageError(f"--column wants KEY=COLUMN, such as caption=text, not {each!r}")
        found[key] = column
    return found
