"""`vlm-judge`: the only place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, get_args

import click

from backend.errors import VlmJudgeError
from backend.progress import progress_bar
from backend.settings import EngineName, load_settings

P = ParamSpec("P")
R = TypeVar("R")

ENGINES = click.Choice(get_args(EngineName))


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
    command = click.option("--model", help="Model id, or folder for --engine local.")(command)
    command = click.option("--rubric", help="A rubric of your own, or a name from `rubric list`.")(command)
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
@click.argument("images")
@click.option("--kind", type=click.Choice(["caption", "vqa", "ocr"]), default="caption", show_default=True)
@click.option(
    "--candidates",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Texts per image, generator and style: the likeliest, and then sampled ones.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The tasks, as JSON lines; manifest.jsonl and images/ are put beside it.",
)
@click.option(
    "--generator",
    "generators",
    multiple=True,
    metavar="MODEL",
    help="Model id or folder that writes; may be repeated.  [default: the one of --engine and --model]",
)
@click.option(
    "--style",
    "style_names",
    multiple=True,
    help="plain, short, detailed, simple, formal, or one of --styles; may be repeated.  [default: plain]",
)
@click.option(
    "--styles",
    "styles_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Styles of your own: YAML, a `name: text` each; the text is put before the request.",
)
@click.option("--requested", default="", help="Features asked for, comma separated; goes into every task.")
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True), default=0.8, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sampled texts.")
@click.option("--limit", type=click.IntRange(min=1), help="Use at most this many images.")
@click.option("--image-column", help="Column of the images or addresses.  [default: the usual one]")
@click.option("--split", default="train", show_default=True, help="Part of a Hugging Face dataset.")
@click.option("--licence", default="", help="Licence of images that come with none.")
@click.option("--licence-column", help="Column of each image's licence.  [default: licence or license]")
@click.option(
    "--image-distance",
    type=click.IntRange(0, 64),
    default=3,
    show_default=True,
    help="Images whose perceptual hashes differ in at most so many of 64 bits are duplicates.",
)
@click.option(
    "--text-ratio",
    type=click.FloatRange(0, 100),
    default=97,
    show_default=True,
    help="Texts of an image that are alike by at least so many percent are duplicates.",
)
@click.option("--keep-addresses", is_flag=True, help="Tasks show web images from their address, not from our copy.")
@click.option(
    "--document-root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
    help="Folder that Label Studio serves files from; --out lies below it.  [default: the folder of --out]",
)
@engine_options
@told_plainly
def generate(images: str, generators: tuple[str, ...], **options: Any) -> None:
    """Have models write captions, questions or transcriptions for IMAGES, as tasks to be judged.

    IMAGES is a folder, a list of addresses (text, CSV or JSON lines), or a Hugging Face dataset (folder, parquet file
    or name). Images that are there twice and texts that say the same are dropped and counted. Can be stopped and
    started again at any time.

    Example: vlm-judge generate photos --kind caption --candidates 4 --out work/tasks.jsonl
    """
    from backend.generation.generators import chosen_generators
    from backend.generation.run import GenerateOptions, gather_images, write_tasks
    from backend.generation.sources import SourceOptions
    from backend.generation.styles import chosen_styles

    of_engine = {name: options.pop(name) for name in ("engine", "model", "rubric", "batch_size")}
    settings = load_settings(**of_engine)
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    of_sources = {name: options.pop(name) for name in ("image_column", "licence_column", "licence", "split")}
    sources = SourceOptions(**of_sources, hf_token=token, besides=(options["out"].parent / "images",))
    styles = chosen_styles(options.pop("style_names"), options.pop("styles_file"))
    asked = GenerateOptions(images=images, styles=styles, sources=sources, **options)
    chosen = chosen_generators(settings, generators, asked.kind)
    with progress_bar("Reading images") as report:
        gathered = gather_images(settings, asked, report)
    for failure in gathered.failures:
        click.echo(f"not used: {failure.source}: {failure.reason}", err=True)
    with progress_bar("Writing texts") as report:
        run = write_tasks(settings, asked, gathered, chosen, report)
    click.echo(run.summary())


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
@click.argument("source")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("evaluation"),
    show_default=True,
    help="Folder for evaluation.json and evaluation.png.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["export", "samples", "pairs", "vl-rewardbench", "mmrb2", "polaris"]),
    help="What the columns mean.  [default: told by their names]",
)
@click.option("--subset", help="Configuration of a dataset.  [default: default, or the only one]")
@click.option("--split", help="Part of a dataset.  [default: test, else validation, else the first]")
@click.option("--limit", type=click.IntRange(min=1), help="Read at most this many rows.")
@click.option("--no-baseline", is_flag=True, help="Do not judge every row once more with a blank image.")
@click.option(
    "--good-from",
    type=click.FloatRange(1, 5),
    default=4.0,
    show_default=True,
    help="From which rating on a row that was only rated counts as good.",
)
@engine_options
@told_plainly
def evaluate(
    source: str,
    out: Path,
    format_name: str | None,
    subset: str | None,
    split: str | None,
    limit: int | None,
    no_baseline: bool,
    good_from: float,
    **options: Any,
) -> None:
    """Judge human-labelled data offline, and say how well the judge agrees with people.

    SOURCE is a JSON lines, JSON, CSV or Parquet file, a folder such as `vlm-judge export` writes, or a dataset's id on
    the Hub. Each row has an image and a text with a verdict or rating, or two texts and which one people prefer.

    Example: vlm-judge evaluate dataset --engine demo --out evaluation
    """
    from rich.console import Console

    from backend.evaluation.plot import draw
    from backend.evaluation.report import print_report, write_json
    from backend.evaluation.run import EvaluateOptions, evaluate
    from backend.evaluation.tables import Source

    settings = load_settings(**options)
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    asked = EvaluateOptions(
        Source(source, subset, split, token),
        format=format_name,
        limit=limit,
        baseline=not no_baseline,
        good_from=good_from,
    )
    with progress_bar("Evaluating") as report:
        evaluation = evaluate(settings, asked, report)
    write_json(evaluation, out / "evaluation.json")
    draw(evaluation, out / "evaluation.png")
    console = Console()
    print_report(evaluation, console if console.is_terminal else Console(width=160))
    click.echo(f"written: {out / 'evaluation.json'}, {out / 'evaluation.png'}")


@main.command()
@click.option("--port", type=int, help="Label Studio's port.  [default: 8080, or the next free one]")
@click.option("--backend-port", type=int, help="The backend's port.  [default: 9090, or the next free one]")
@told_plainly
def demo(**options: Any) -> None:
    """Start a Label Studio with pre-judged sample tasks, ready to review; Ctrl-C stops it."""
    from backend.demo import DemoOptions, run_demo

    run_demo(DemoOptions(**options))


if __name__ == "__main__":
    main()
