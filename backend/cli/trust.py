"""`sweep`, `calibrate`, `certify`, `accept`: how far the judge can be trusted, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.command import DONE, NOT_CERTIFIED, Result, wants_json
from backend.cli.root import load_settings, main, project_option
from backend.progress import note, progress_bar

if TYPE_CHECKING:
    from backend.store import Store
    from backend.studio import Studio
    from backend.trust.reading import Reading

probability = click.FloatRange(0, 1, min_open=True, max_open=True)


def _edges() -> tuple[Studio, Store]:
    """Label Studio and the store. Raises SettingsError, also when the libraries for statistics are not installed."""
    from importlib.util import find_spec

    from backend.assemble import make_studio
    from backend.errors import SettingsError
    from backend.store import Store

    if not all(map(find_spec, ("scipy", "sklearn", "krippendorff"))):
        raise SettingsError("statistics are not installed; run: pip install 'vlm-judge-label-studio[trust]'")
    settings = load_settings()
    return make_studio(settings), Store(settings.store)


def _read(studio: Studio, store: Store, project_id: int) -> Reading:
    """The project, with progress; what cannot be seen from here is said."""
    from backend.trust.reading import read_project

    with progress_bar("Reading") as report:
        reading = read_project(studio, store, project_id, report)
    if reading.unknown:
        note(
            f"{len(reading.unknown)} tasks are kept blind and their verdicts are not in {store.shown}, so they do not "
            "count; name the backend's store with VLM_JUDGE_STORE"
        )
    return reading


def _result(as_json: str, lines: Iterable[str], exit_code: int = DONE) -> Result:
    return Result(json.loads(as_json), tuple(lines), exit_code)


@main.command()
@project_option
def sweep(project_id: int) -> Result:
    """Take into the store what people said in a project and no webhook told of.

    The other commands that read annotations do so by themselves. Doing it again changes nothing.

    Example: vlm-judge sweep --project 1
    """
    from backend.trust.sweep import sweep as run

    studio, store = _edges()
    swept = run(studio, store.feedback, studio.project(project_id))
    return Result(swept, (swept.summary(),))


@main.command()
@project_option
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.33,
    show_default=True,
    help="Of the blind labels, how many to learn from; only the others can certify afterwards.",
)
def calibrate(project_id: int, share: float) -> Result:
    """Learn from blind labels what the judge's confidence is worth.

    Example: vlm-judge calibrate --project 1
    """
    from backend.trust.calibrating import calibrate_project
    from backend.trust.telling import calibration_lines

    studio, store = _edges()
    found = calibrate_project(_read(studio, store, project_id), store, share)
    return _result(found.to_json(), calibration_lines(found, share))


@main.command()
@project_option
@click.option("--max-error", type=probability, help="At most this share of the accepted is wrong.  [default: 0.05]")
@click.option(
    "--max-bad-accepted",
    type=probability,
    help="Instead: at most this share of all tasks is accepted and wrong, on average over slices.",
)
@click.option("--confidence", type=probability, default=0.95, show_default=True, help="How sure the promise is.")
@click.option(
    "--only-look",
    is_flag=True,
    help="Promise never to look at more labels of this slice; a first look then needs fewer (59 instead of 63).",
)
def certify(project_id: int, max_error: float | None, max_bad_accepted: float | None, **options: Any) -> Result:
    """Say from which confidence on tasks need no person, with a guarantee; or that it cannot be said, and why.

    Only blind labels count, and every look at more of them makes the next one stricter. Ends with exit code 3 when
    nothing can be certified.

    Example: vlm-judge certify --project 1 --max-error 0.05 --confidence 0.95
    """
    if max_error is not None and max_bad_accepted is not None:
        raise click.UsageError("choose one of --max-error and --max-bad-accepted; they promise different things")
    from backend.trust.certifying import Terms, certify_project
    from backend.trust.telling import certified_as_json, certified_lines

    if max_bad_accepted is None:
        terms = Terms(max_error or 0.05, None, **options)
    else:
        terms = Terms(None, max_bad_accepted, **options)
    studio, store = _edges()
    found = certify_project(_read(studio, store, project_id), store, terms)
    return _result(certified_as_json(found), certified_lines(found), NOT_CERTIFIED if found.issued is None else DONE)


@main.command()
@project_option
@click.option("--dry-run", is_flag=True, help="Say what would be accepted, and change nothing.")
@click.option("--take-back", is_flag=True, help="Delete what was accepted without a person instead.")
def accept(project_id: int, dry_run: bool, take_back: bool) -> Result:
    """Take the judge's answers above the certified threshold as annotations, marked as its decision.

    A random 3 % of them go to people all the same, blind, for ever. Once these show that a promised --max-error is
    broken, nothing more is accepted.

    Example: vlm-judge accept --project 1 --dry-run
    """
    from backend.trust import accepting
    from backend.trust.telling import acceptance_as_json, acceptance_lines

    studio, store = _edges()
    reading = _read(studio, store, project_id)
    if take_back:
        with progress_bar("Taking back") as report, store.held(reading.project.uid, note):
            count = 0 if dry_run else accepting.take_back(studio, reading, report)
        would = sum(map(len, reading.accepted.values())) if dry_run else count
        sentence = f"{would} annotations {'would be taken back' if dry_run else 'taken back'}; people decide again"
        return Result({"taken_back": would, "dry_run": dry_run}, (sentence,))
    found = accepting.acceptance(reading, store, keep=not dry_run)
    done = None
    if not dry_run:
        with progress_bar("Accepting") as report, store.held(reading.project.uid, note):
            done = accepting.accept(studio, store, reading, found, report, note)
    return _result(acceptance_as_json(found, done), acceptance_lines(found, done))


@main.command()
@project_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The page, as one HTML file.")
@click.option(
    "--by", "fields", multiple=True, metavar="KEY", help="Compare groups by this data key too; may be repeated."
)
@click.option("--images", is_flag=True, help="Also look for images that look alike, which loads every image.")
def report(project_id: int, out: Path | None, fields: tuple[str, ...], images: bool) -> Result:
    """How far the judge of a project can be trusted, on one page: agreement, risk, quality, biases, variety.

    Example: vlm-judge report --project 1 --out report.html
    """
    if out is None and not wants_json():
        raise click.UsageError("say where the page goes with --out report.html, or ask for --json")
    from backend.looks import looks_of
    from backend.report.render import render
    from backend.trust.report.facts import addresses_of, make_report
    from backend.trust.report.facts import as_json as facts_as_json
    from backend.trust.report.page import page_of

    settings = load_settings()
    studio, store = _edges()
    reading = _read(studio, store, project_id)
    looks = looks_of(settings, addresses_of(reading)) if images else None
    with progress_bar("Computing") as told:
        found = make_report(reading, store, fields, looks, told)
    if out is not None:
        _write(out, render(page_of(found)))
        if wants_json():
            note(f"written: {out}")
    return Result(json.loads(facts_as_json(found)) if wants_json() else {}, (f"written: {out}",))


def _write(path: Path, text: str) -> None:
    """Raises SettingsError naming the file."""
    from backend.errors import SettingsError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise SettingsError(f"cannot write {path}: {exc.strerror}") from exc


@main.command()
@project_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@click.option("--count", type=click.IntRange(1, 32), default=4, show_default=True, help="Examples at most.")
@click.option("--without-images", is_flag=True, help="Teach the standard only: the judge is not shown the images.")
def examples(project_id: int, out: Path, count: int, without_images: bool) -> Result:
    """Choose samples that people decided on, for the judge to learn from; never from the blind slice.

    Try them with `vlm-judge evaluate SOURCE --examples FILE`; VLM_JUDGE_EXAMPLES=FILE switches them on, which makes the
    judge a new one.

    Example: vlm-judge examples --project 1 --out examples.json
    """
    from backend.core.examples import Examples
    from backend.core.trust.examples import choose_examples
    from backend.errors import TrustError
    from backend.example_files import write_examples
    from backend.images import ImageLoader

    settings = load_settings()
    studio, store = _edges()
    labelled = _read(studio, store, project_id).labelled
    chosen = choose_examples(labelled, count)
    if not chosen.examples:
        raise TrustError(
            f"project {labelled.id} has no corrections outside the blind slice to learn from; review more of its tasks"
        )
    shown = Examples(labelled.kind, chosen.examples, not without_images)
    write_examples(out, shown, ImageLoader(settings).read)
    data = {
        "out": out,
        "examples": len(chosen.examples),
        "available": chosen.available,
        "corrected": chosen.corrected,
        "confirmed": chosen.confirmed,
        "tasks": chosen.tasks,
    }
    line = (
        f"{len(chosen.examples)} examples of {chosen.available} tasks ({chosen.corrected} corrections, "
        f"{chosen.confirmed} confirmed on good evidence), from tasks {', '.join(map(str, chosen.tasks))}: {out}"
    )
    return Result(data, (line,))
