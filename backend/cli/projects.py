"""`project`: makes and connects projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.from_dataset import create_from_dataset, dataset_options, taken_from
from backend.cli.root import engine_options, load_settings, main, project_option, told_plainly

if TYPE_CHECKING:
    from backend.audit_slice import Draw
    from backend.batch.arriving import ImagesFolder
    from backend.settings import Settings
    from backend.studio import Connection, Project, Studio


@main.group()
def project() -> None:
    """Make and connect Label Studio projects."""


@project.command()
@click.option("--title", required=True, help="The project's title; one that exists is completed.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A label config.  [default: the one for image-text pairs]",
)
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
@told_plainly
def create(
    title: str,
    config_file: Path | None,
    tasks_file: Path | None,
    local_files: Path | None,
    batch_dir: Path | None,
    document_root: Path | None,
    audit_share: float | None,
    audit_by: str,
    backend_url: str | None,
    **options: Any,
) -> None:
    """Make a project that is ready for judging and review: interface, settings, tabs, tasks.

    Example: vlm-judge project create --title Captions --tasks tasks.json --connect http://127.0.0.1:9090
    """
    from backend.assemble import make_service, make_studio
    from backend.audit_slice import Draw
    from backend.core.label_config import parse_label_config
    from backend.interfaces import default_label_config
    from backend.projects import ProjectSpec, create_project, read_tasks, read_text

    if audit_by and audit_share is None:
        raise click.UsageError("--audit-by says how to draw; say how many with --audit")
    choice = taken_from(options)
    if choice.dataset and (batch_dir or tasks_file):
        raise click.UsageError("--from-dataset brings its own tasks; leave --tasks and --from-batch out")
    settings = load_settings(**options)
    audit = None if audit_share is None else Draw(audit_share, audit_by)
    files = local_files.absolute() if local_files else None
    if batch_dir:
        if config_file or tasks_file:
            raise click.UsageError("--from-batch brings its own tasks and label config; leave --tasks and --config out")
        studio = make_studio(settings)
        made = _create_from_batch(studio, settings, title, batch_dir, files, document_root, audit)
    else:
        studio, service = make_studio(settings), make_service(settings)
        label_config = read_text(config_file) if config_file else default_label_config()
        if choice.dataset:
            put = _images_folder(files, document_root)
            made = create_from_dataset(studio, service, settings, title, label_config, choice, put, audit)
        else:
            tasks = read_tasks(tasks_file) if tasks_file else ()
            version = service.judging(parse_label_config(label_config)).fingerprint
            spec = ProjectSpec(title, label_config, tasks, version, local_files=files, audit=audit)
            made = create_project(studio, spec, store=service.store)
    if backend_url:
        _connect(studio, settings, made.id, backend_url)
    click.echo(f"project {made.id}: {studio.url}/projects/{made.id}/data ({made.task_count} tasks)")
    if audit and made.task_count:
        click.echo(_slice_of(studio, made))


def _slice_of(studio: Studio, made: Project) -> str:
    """How many tasks are blind, and what for."""
    from backend.audit_slice import count_drawn

    count = count_drawn(studio, made)
    return f"{count} of them are kept blind: label these first, in the tab “Audit (blind)”, without the judge's answer"


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
) -> Project:
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

    def fill(project: Project) -> None:
        with progress_bar("Importing") as bar:
            imported = import_batch(studio, settings, batch, project, images, bar, store=store)
        click.echo(imported.summary())

    return create_project(studio, spec, fill, store)


@project.command()
@project_option
@click.argument("backend_url")
@told_plainly
def connect(project_id: int, backend_url: str) -> None:
    """Connect a running backend to a project, as the project's settings page does.

    Where the backend asks for a name and password, or a webhook secret, set the same variables here as there.

    Example: vlm-judge project connect --project 1 http://127.0.0.1:9090
    """
    from backend.assemble import make_studio

    settings = load_settings()
    made = _connect(make_studio(settings), settings, project_id, backend_url)
    click.echo(f"connected {made.url} ({made.model_version or 'no version yet'})")


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
