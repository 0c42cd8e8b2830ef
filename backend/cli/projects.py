"""`project`: makes and connects projects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.command import Result
from backend.cli.from_dataset import Arrived, create_from_dataset, dataset_options, taken_from
from backend.cli.root import engine_options, load_settings, main, project_option
from backend.interfaces import KINDS

if TYPE_CHECKING:
    from backend.audit_slice import Draw
    from backend.batch.arriving import ImagesFolder
    from backend.core.kinds import Kind
    from backend.settings import Settings
    from backend.studio import Connection, Project, Studio


@main.group()
def project() -> None:
    """Make and connect Label Studio projects.

    Example: vlm-judge project create --title Captions --tasks tasks.json --connect http://127.0.0.1:9090
    """


@project.command()
@click.option("--title", required=True, help="The project's title; one that exists is completed.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A label config of your own, instead of --kind.",
)
@click.option(
    "--kind", type=click.Choice(KINDS), help="What the tasks are, see `interface list`.  [default: image-text]"
)
@click.option("--sample", is_flag=True, help="A few sample tasks of the kind, with their pictures, instead of --tasks.")
@click.option(
    "--tasks",
    "tasks_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Tasks as JSON, a list of {"data": {...}}, or as JSON lines.',
)
@click.option(
    "--local-files",
    type=click.Path(path_type=Path),
    help="Folder below Label Studio's document root whose images the tasks show.",
)
@click.option(
    "--from-batch",
    "batch_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Instead of --tasks and --config: what `judge --source` wrote to DIR, with its predictions. Images that lie "
    "in its rows are put into --local-files, or become part of their tasks.",
)
@click.option(
    "--document-root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
    help="Folder that Label Studio serves files from, for --from-batch and --from-dataset.  [default: the one above "
    "--local-files]",
)
@dataset_options
@click.option(
    "--audit",
    "audit_share",
    type=float,
    help="Keep this random share of the tasks blind: the judge's verdict goes to the store, and to no annotator. To be "
    "certified, a judge needs 100 to 300 such labels.",
)
@click.option(
    "--audit-by", default="", metavar="KEY", help="Draw about as many of every group that this data key tells."
)
@click.option("--connect", "backend_url", help="Address of a running backend, as Label Studio sees it.")
@engine_options
def create(
    title: str,
    config_file: Path | None,
    kind: Kind | None,
    sample: bool,
    tasks_file: Path | None,
    local_files: Path | None,
    batch_dir: Path | None,
    document_root: Path | None,
    audit_share: float | None,
    audit_by: str,
    backend_url: str | None,
    **options: Any,
) -> Result:
    """Make a project that is ready for judging and review: interface, settings, tabs, tasks.

    A project of this title that is there is completed, and keeps its interface unless another one is named.

    Example: vlm-judge project create --title Captions --tasks tasks.json --connect http://127.0.0.1:9090
    """
    from backend.assemble import make_service, make_studio
    from backend.audit_slice import Draw, count_drawn
    from backend.core.kinds import kind_of
    from backend.core.label_config import parse_label_config
    from backend.interfaces import DEFAULT_KIND, label_config_of, sample_tasks
    from backend.projects import ProjectSpec, create_project, read_tasks, read_text

    choice = taken_from(options)
    if audit_by and audit_share is None:
        raise click.UsageError("--audit-by says how to draw; say how many with --audit")
    _refuse_two_of(
        {"--tasks": tasks_file, "--sample": sample, "--from-batch": batch_dir, "--from-dataset": choice.dataset}
    )
    _refuse_two_of({"--config": config_file, "--kind": kind, "--from-batch": batch_dir})
    settings = load_settings(**options)
    audit = None if audit_share is None else Draw(audit_share, audit_by)
    files = local_files.absolute() if local_files else None
    asked = read_text(config_file) if config_file else label_config_of(kind) if kind else None
    tasks = read_tasks(tasks_file) if tasks_file else ()
    studio, arrived = make_studio(settings), None
    existing = studio.find_project(title.strip())
    # Who names a project only by its title means to complete it, not to change its form.
    usual = existing.label_config if existing else label_config_of(DEFAULT_KIND)
    if batch_dir:
        made, arrived = _create_from_batch(studio, settings, title, batch_dir, files, document_root, audit)
    else:
        service = make_service(settings)
        if choice.dataset:
            put = _images_folder(files, document_root)
            made, arrived = create_from_dataset(studio, service, settings, title, asked, usual, choice, put, audit)
        else:
            label_config = asked or usual
            if sample:
                tasks = sample_tasks(kind_of(parse_label_config(label_config)))
            version = service.judging(parse_label_config(label_config)).fingerprint
            spec = ProjectSpec(title, label_config, tasks, version, local_files=files, audit=audit)
            made = create_project(studio, spec, store=service.store)
    connection = _connect(studio, settings, made.id, backend_url) if backend_url else None
    blind = count_drawn(studio, made) if audit and made.task_count else None
    return _created(f"{studio.url}/projects/{made.id}/data", made, existing is not None, arrived, blind, connection)


def _refuse_two_of(given: Mapping[str, object]) -> None:
    """Refuse options that bring the same thing."""
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(names)} bring the same thing; leave all but one out")


def _created(
    url: str, made: Project, existed: bool, arrived: Arrived | None, blind: int | None, connection: Connection | None
) -> Result:
    """What was made or completed; `blind` is how many tasks are kept blind, None where no slice was drawn."""
    lines = [arrived.summary] if arrived else []
    before = "; there was a project of this title, which was completed" if existed else ""
    lines.append(f"project {made.id}: {url} ({made.task_count} tasks{before})")
    if blind is not None:
        lines.append(
            f"{blind} of them are kept blind: label these first, in the tab “Audit (blind)”, without the judge's answer"
        )
    data = {
        "project": made.id,
        "title": made.title,
        "url": url,
        "tasks": made.task_count,
        "existed": existed,
        "imported": arrived.counts if arrived else None,
        "blind": blind,
        "connection": connection,
    }
    return Result(data, tuple(lines))


def _images_folder(files: Path | None, document_root: Path | None) -> ImagesFolder | None:
    """Where images that lie in rows are put; None where they become part of their tasks."""
    from backend.batch.arriving import ImagesFolder

    if files is None:
        return None
    files.mkdir(parents=True, exist_ok=True)
    return ImagesFolder(files, document_root.absolute() if document_root else files.parent)


def _create_from_batch(
    studio: Studio,
    settings: Settings,
    title: str,
    batch_dir: Path,
    files: Path | None,
    document_root: Path | None,
    audit: Draw | None,
) -> tuple[Project, Arrived]:
    """The project, with every row of the batch in it once."""
    from backend.batch.into_project import import_batch
    from backend.batch.output import JudgedBatch
    from backend.progress import progress_bar
    from backend.projects import ProjectSpec, create_project
    from backend.store import Store

    batch = JudgedBatch(batch_dir)
    images = _images_folder(files, document_root)
    manifest = batch.manifest
    by = audit.by if audit else ""
    groups = tuple({by: judged.row.data.get(by)} for judged in batch.rows()) if by else ()
    spec = ProjectSpec(title, manifest.label_config, (), manifest.fingerprint, "", files, audit, groups)
    store = Store(settings.store)

    arrived: list[Arrived] = []

    def fill(project: Project) -> None:
        with progress_bar("Importing") as bar:
            imported = import_batch(studio, settings, batch, project, images, bar, store=store)
        arrived.append(Arrived(imported, imported.summary()))

    return create_project(studio, spec, fill, store), arrived[0]


@project.command()
@project_option
@click.argument("backend_url")
def connect(project_id: int, backend_url: str) -> Result:
    """Connect a running backend to a project, as the project's settings page does.

    Where the backend asks for a name and password, or a webhook secret, set the same variables here as there.

    Example: vlm-judge project connect --project 1 http://127.0.0.1:9090
    """
    from backend.assemble import make_studio

    settings = load_settings()
    made = _connect(make_studio(settings), settings, project_id, backend_url)
    line = f"connected {made.url} ({made.model_version or 'no version yet'})"
    return Result({"project": project_id, "connection": made}, (line,))


def _connect(studio: Studio, settings: Settings, project_id: int, backend_url: str) -> Connection:
    password, secret = settings.basic_auth_password, settings.webhook_secret
    return studio.connect_backend(
        project_id,
        backend_url,
        "VLM judge",
        user=settings.basic_auth_user,
        password=password.get_secret_value() if password else None,
        webhook_secret=secret.get_secret_value() if secret else None,
    )
