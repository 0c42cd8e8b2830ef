"""`judge`: bulk judging of a project, or of a dataset."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from backend.cli.command import DONE, FAILED, INTERRUPTED, Result
from backend.cli.root import engine_options, load_settings, main
from backend.progress import note, progress_bar

if TYPE_CHECKING:
    from backend.judge import JudgeRun, Preview
    from backend.patience import Stop
    from backend.settings import Settings

SHOWN_FAILURES = 20
WATCH_S = 10.0


@main.command()
@click.option("--project", "project_id", type=int, help="The project's number.")
@click.option("--limit", type=click.IntRange(min=1), help="Judge at most this many tasks.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="TEXT",
    help="Only tasks like `annotations = 0`, `id > 100`, `data.source = web`, `data.caption ~ dog`; may be repeated.",
)
@click.option("--preview", type=click.IntRange(min=1), help="Show so many verdicts, and write nothing.")
@click.option("--watch", is_flag=True, help="Go on, and judge new tasks as they come, until Ctrl-C.")
@click.option(
    "--failures",
    "failures_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where tasks that fail are listed, as JSON lines.  [default: vlm-judge-failures-PROJECT.jsonl]",
)
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    help="Seconds to wait for a Label Studio, or with --source for servers and images, that are away.",
)
@click.option(
    "--source",
    metavar="DATA",
    help="Instead of a project, a dataset: Parquet, a folder of images, or a dataset of the Hub as user/name.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the dataset's verdicts, as Parquet.",
)
@click.option(
    "--label-config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Says what is judged in the dataset.  [default: the one for image-text pairs]",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="KEY=COLUMN",
    help="For a key that the label config shows, the dataset's column, like `caption=text`; may be repeated.",
)
@click.option("--split", help="Part of a dataset of the Hub, or of a saved one.  [default: train]")
@click.option(
    "--part-rows",
    type=click.IntRange(min=1),
    help="Rows in each file of --out; what is dealt to machines.  [default: 1000]",
)
@click.option(
    "--ray",
    "ray_address",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Judge the dataset on this Ray cluster; without an address on a Ray of its own on this machine.",
)
@click.option(
    "--actors",
    type=click.IntRange(min=1),
    help="Engines on the Ray.  [default: one per GPU; for --engine remote one per machine; else one for two CPUs]",
)
@engine_options
def judge(
    project_id: int | None,
    limit: int | None,
    filters: tuple[str, ...],
    preview: int | None,
    watch: bool,
    failures_file: Path | None,
    patience_s: float,
    **options: Any,
) -> Result:
    """Judge every task of a project, or every row of a dataset, that this judge has not judged yet.

    Can be stopped and started again at any time. Ends with exit code 1 when some tasks or rows failed.

    Example: vlm-judge judge --project 1 --engine demo

    Example: vlm-judge judge --source photos/ --out judged --engine demo
    """
    of_batch = {name: options.pop(name) for name in _OF_BATCH}
    of_project = {"--limit": limit, "--filter": filters, "--preview": preview, "--watch": watch}
    if (project_id is None) == (of_batch["source"] is None):
        raise click.UsageError("say what to judge: --project NUMBER, or --source DATA with --out DIR")
    if project_id is None:
        _refuse({**of_project, "--failures": failures_file}, "--project")
        return _judge_dataset(load_settings(**options), patience_s, **of_batch)
    if preview:
        _refuse_beside_preview({"--watch": watch, "--failures": failures_file})
    _refuse({f"--{name.replace('_', '-')}": value for name, value in of_batch.items()}, "--source")
    from backend.assemble import make_service, make_studio
    from backend.failure_file import FailureFile
    from backend.filters import parse_filter
    from backend.judge import RunOptions, Told, judge_project, preview_project
    from backend.service import Failure

    settings = load_settings(**options)
    asked = RunOptions(
        settings.batch_size, limit, tuple(map(parse_filter, filters)), WATCH_S if watch else None, patience_s
    )
    studio, service = make_studio(settings), make_service(settings)
    if preview:
        shown = preview_project(studio, service, project_id, preview, asked)
        nothing = f"project {project_id} has no task to show that this judge has not judged yet"
        lines = tuple(map(_preview, shown)) or (nothing,)
        code = FAILED if any(isinstance(one.result, Failure) for one in shown) else DONE
        return Result({"project": project_id, "preview": list(map(_as_data, shown))}, lines, code)
    failures = FailureFile(failures_file or Path(f"vlm-judge-failures-{project_id}.jsonl"))
    with progress_bar("Judging") as bar, _signals_stop() as stop:
        told = Told(bar, failures.add, note)
        run = judge_project(studio, service, project_id, asked, told, stop)
    for failure in run.failures[:SHOWN_FAILURES]:
        note(f"not judged: {failure.reason}")
    if failures.count:
        note(f"all {failures.count} failures are listed in {failures.path}")
    code = INTERRUPTED if run.interrupted and not watch else FAILED if run.failures or run.unaccounted else DONE
    return Result(_balance(project_id, run, failures.path if failures.count else None), (run.summary(),), code)


def _balance(project_id: int, run: JudgeRun, failures: Path | None) -> dict[str, Any]:
    """What became of the tasks, in numbers; `failures` is the file that lists those that failed."""
    return {
        "project": project_id,
        "tasks": run.tasks,
        "stored": run.stored,
        "already": run.already,
        "failed": len(run.failures),
        "unaccounted": run.unaccounted,
        "failures": failures,
        "fingerprint": run.fingerprint,
        "interrupted": run.interrupted,
    }


_OF_BATCH = ("source", "out", "config_file", "columns", "split", "part_rows", "ray_address", "actors")


def _refuse(given: Mapping[str, Any], with_what: str) -> None:
    """Refuse options that the other way of judging has."""
    names = [_SPELLED.get(name, name) for name, value in given.items() if value]
    if names:
        raise click.UsageError(f"{', '.join(names)}: only with {with_what}")


def _refuse_beside_preview(given: Mapping[str, Any]) -> None:
    if names := [name for name, value in given.items() if value]:
        raise click.UsageError(f"{', '.join(names)}: not with --preview, which shows some verdicts and writes nothing")


_SPELLED = {"--config-file": "--label-config", "--columns": "--column", "--ray-address": "--ray"}


def _judge_dataset(
    settings: Settings,
    patience_s: float,
    *,
    source: str,
    out: Path | None,
    config_file: Path | None,
    columns: tuple[str, ...],
    split: str | None,
    part_rows: int | None,
    ray_address: str | None,
    actors: int | None,
) -> Result:
    """Judge a dataset."""
    from backend.batch.on_ray import RayOptions, judge_on_ray
    from backend.batch.run import BatchOptions, Told, judge_dataset
    from backend.projects import read_text

    if out is None:
        raise click.UsageError("say with --out DIR where the verdicts go")
    if actors and not ray_address:
        raise click.UsageError("--actors: only with --ray")
    config = read_text(config_file) if config_file else None
    asked = BatchOptions(source, out, config, _renamed(columns), split or "train", part_rows, patience_s)
    with progress_bar("Judging") as bar:
        told = Told(bar, note)
        if ray_address:
            run = judge_on_ray(settings, asked, RayOptions(ray_address, actors), told)
        else:
            with _signals_stop() as stop:
                run = judge_dataset(settings, asked, told, stop)
    if run.failed or run.away:
        note(f"the column judge_failure of {run.out}/data says why rows failed")
    code = INTERRUPTED if run.interrupted else FAILED if run.failed or run.away else DONE
    return Result(run, (run.summary(),), code)


def _renamed(columns: tuple[str, ...]) -> dict[str, str]:
    """Columns by key, out of `key=column`."""
    for text in columns:
        if not all(text.partition("=")):
            raise click.UsageError(f"--column {text}: write it as KEY=COLUMN, like caption=text")
    return {text.partition("=")[0]: text.partition("=")[2] for text in columns}


@contextmanager
def _signals_stop() -> Iterator[Stop]:
    """Let Ctrl-C and SIGTERM end the run with what is judged stored, and a second one end it at once.

    The handler only sets an attribute: an exception could come in the middle of a write.
    """
    from backend.patience import Stop

    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_data(shown: Preview) -> dict[str, Any]:
    """A verdict as a program reads it; a task that was not judged has `failure` instead."""
    from backend.core.types import Scored
    from backend.service import Failure

    result = shown.result
    if isinstance(result, Failure):
        return {"task": shown.task.id, "failure": result.reason}
    answers = [answer for answer in result.answers if isinstance(answer, Scored)]
    return {
        "task": shown.task.id,
        "decision": result.decision,
        "preferred": result.preference.winner if result.preference else None,
        "confidence": result.confidence,
        "answers": {answer.question.id: answer.best for answer in answers},
        "rationale": result.evidence.rationale,
    }


def _preview(shown: Preview) -> str:
    """A verdict as a person reads it."""
    from backend.core.types import Scored
    from backend.service import Failure

    result = shown.result
    if isinstance(result, Failure):
        return f"task {shown.task.id}: not judged: {result.reason.removeprefix(f'task {shown.task.id}: ')}"
    decided = result.decision or (result.preference.winner if result.preference else None) or "undecided"
    rated = ", ".join(f"{answer.question.id} {answer.best}" for answer in result.answers if isinstance(answer, Scored))
    lines = [f"task {shown.task.id}: {decided} ({result.confidence:.0%})", rated, result.evidence.rationale]
    return "\n".join(line for line in lines if line).replace("\n", "\n    ")
