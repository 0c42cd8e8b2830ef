"""`project`: makes and connects projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.root import engine_options, main, project_option, told_plainly
from backend.settings import Settings, load_settings

if TYPE_CHECKING:
    from backend.studio import Connection, Studio


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
@click.option("--connect", "backend_url", help="Address of a running backend, as Label Studio sees it.")
@engine_options
@told_plainly
def create(
    title: str,
    config_file: Path | None,
    tasks_file: Path | None,
    local_files: Path | None,
    backend_url: str | None,
    **options: Any,
) -> None:
    """Make a project that is ready for judging and review: interface, settings, tabs, tasks.

    Example: vlm-judge project create --title Captions --tasks tasks.json --connect http://127.0.0.1:9090
    """
    from backend.assemble import make_service, make_studio
    from backend.core.label_config import parse_label_config
    from backend.interfaces import default_label_config
    from backend.projects import ProjectSpec, create_project, read_tasks, read_text

    settings = load_settings(**options)
    studio, service = make_studio(settings), make_service(settings)
    label_config = read_text(config_file) if config_file else default_label_config()
    tasks = read_tasks(tasks_file) if tasks_file else ()
    files = local_files.absolute() if local_files else None
    version = service.judging(parse_label_config(label_config)).fingerprint
    spec = ProjectSpec(title, label_config, tasks, version, local_files=files)
    made = create_project(studio, spec)
    if backend_url:
        _connect(studio, settings, made.id, backend_url)
    click.echo(f"project {made.id}: {studio.url}/projects/{made.id}/data ({made.task_count} tasks)")


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
