"""`vlm-judge`: the only place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from backend.errors import VlmJudgeError
from backend.settings import load_settings

P = ParamSpec("P")
R = TypeVar("R")

ENGINES = click.Choice(["demo", "local", "scripted"])


def told_plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn our own errors into a sentence on standard error and exit code 1; defects keep their traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except VlmJudgeError as exc:
            click.echo(f"Error: {exc}", err=True)
            sys.exit(1)

    return run


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose the judge."""
    command = click.option("--engine", type=ENGINES, help="Which judge answers.  [default: demo]")(command)
    command = click.option("--model", help="Model id or folder for --engine local.")(command)
    command = click.option("--rubric", type=click.Path(path_type=Path), help="A rubric file of your own.")(command)
    return click.option("--batch-size", type=int, help="Samples per forward pass.  [default: 8]")(command)


def project_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The project's number."""
    return click.option("--project", "project_id", type=int, required=True, help="The project's number.")(command)


@click.group()
@click.version_option(package_name="vlm-judge-label-studio", prog_name="vlm-judge")
def main() -> None:
    """Qwen2.5-VL as a judge inside Label Studio, and from there to a Hugging Face dataset.

    Label Studio is found by LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.
    """


@main.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on.  [default: 9090]")
@engine_options
@told_plainly
def serve(**options: Any) -> None:
    """Serve the ML backend that Label Studio connects to.

    Example: vlm-judge serve --engine demo --port 9090
    """
    from backend.serving import serve as serve_backend

    serve_backend(load_settings(**options))


@main.command()
@project_option
@click.option("--limit", type=click.IntRange(min=1), help="Judge at most this many tasks.")
@engine_options
@told_plainly
def judge(project_id: int, limit: int | None, **options: Any) -> None:
    """Judge every task of a project that this judge has not judged yet.

    Can be stopped and started again at any time. Ends with exit code 1 when some tasks failed.

    Example: vlm-judge judge --project 1 --engine demo
    """
    from backend.assemble import make_service, make_studio
    from backend.judge import judge_project

    settings = load_settings(**options)
    studio, service = make_studio(settings), make_service(settings)
    with progress_bar("Judging") as report:
        run = judge_project(studio, service, project_id, batch_size=settings.batch_size, limit=limit, report=report)
    for failure in run.failures:
        click.echo(f"not judged: {failure.reason}", err=True)
    click.echo(run.summary())
    sys.exit(1 if run.failures else 0)


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
@click.option("--connect", "backend_url", help="Address of a running backend, as Label Studio sees it.")
@engine_options
@told_plainly
def create(
    title: str, config_file: Path | None, tasks_file: Path | None, backend_url: str | None, **options: Any
) -> None:
    """Make a project that is ready for judging and review: interface, settings, tabs, tasks.

    Example: vlm-judge project create --title Captions --tasks tasks.json --connect http://127.0.0.1:9090
    """
    from backend.assemble import make_service, make_studio
    from backend.interfaces import default_label_config
    from backend.projects import ProjectSpec, create_project, read_tasks, read_text

    settings = load_settings(**options)
    studio, service = make_studio(settings), make_service(settings)
    label_config = read_text(config_file) if config_file else default_label_config()
    tasks = read_tasks(tasks_file) if tasks_file else ()
    made = create_project(studio, ProjectSpec(title, label_config, tasks, service.fingerprint))
    if backend_url:
        studio.connect_backend(made.id, backend_url, "VLM judge")
    click.echo(f"project {made.id}: {studio.url}/projects/{made.id}/data ({made.task_count} tasks)")


@project.command()
@project_option
@click.argument("backend_url")
@told_plainly
def connect(project_id: int, backend_url: str) -> None:
    """Connect a running backend to a project, as the project's settings page does.

    Example: vlm-judge project connect --project 1 http://127.0.0.1:9090
    """
    from backend.assemble import make_studio

    made = make_studio(load_settings()).connect_backend(project_id, backend_url, "VLM judge")
    click.echo(f"connected {made.url} ({made.model_version or 'no version yet'})")


@main.command()
@project_option
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
def export(project_id: int, out: Path, several: Any, **options: Any) -> None:
    """Export a reviewed project as a Hugging Face dataset, with its images.

    Example: vlm-judge export --project 1 --out dataset
    """
    from exporters.consolidate import Policy
    from exporters.export import export_project

    with progress_bar("Exporting") as report:
        summary = export_project(
            load_settings(), project_id, out, policy=Policy(several=several), progress=report, **options
        )
    for line in summary.lines():
        click.echo(line)


@main.command()
@click.option("--port", type=int, help="Label Studio's port.  [default: 8080, or the next free one]")
@click.option("--backend-port", type=int, help="The backend's port.  [default: 9090, or the next free one]")
@told_plainly
def demo(**options: Any) -> None:
    """Start a Label Studio with pre-judged sample tasks, ready to review; Ctrl-C stops it."""
    from backend.demo import DemoOptions, run_demo

    run_demo(DemoOptions(**options))


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error; silent when that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


if __name__ == "__main__":
    main()
