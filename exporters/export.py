"""Takes a project from Label Studio to a finished dataset folder, and to the Hub when asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from backend.annotated import AnnotatedTask, Source, annotated_tasks, unblinded
from backend.core.audit import KEY, is_blind, without_plan
from backend.core.kinds import kind_of
from backend.core.label_config import LabelConfig, parse_label_config
from backend.errors import ExportError
from backend.settings import NO_LABEL_STUDIO, Settings
from exporters.card.page import CardFacts, card
from exporters.card.plots import write_plots
from exporters.card.sheet import ContactSheet
from exporters.card.sizes import sizes_of
from exporters.exits.writing import write_exits
from exporters.files.build import DatasetWriter
from exporters.files.folder import CARD, FORM, check_replaceable, fresh_folder
from exporters.files.written import WrittenConfig
from exporters.hub.privacy import check_keys
from exporters.hub.push import PushTarget, carry_out, check_push, plan_push
from exporters.images.kept import KeptImages
from exporters.images.pictures import PictureReader
from exporters.images.sources import ImageSource
from exporters.options import USUAL, ExportOptions
from exporters.records.consolidate import Outcome, Policy, consolidate
from exporters.records.record import LeftOut
from exporters.records.splits import Splits
from exporters.records.tally import Counts, Tally
from exporters.schema.configs import configs_of
from exporters.schema.features import Pictures
from exporters.summary import ExportSummary, why_empty
from exporters.surveying import grouping, identities, needs_survey, surveyed

if TYPE_CHECKING:
    from backend.trust.report.facts import Report

__all__ = [
    "ExportSummary",
    "ProjectFacts",
    "Withheld",
    "export_batch",
    "export_download",
    "export_project",
    "write_export",
]

Progress = Callable[[int, int], None]
"""Called with the tasks done and all there are."""


class Withheld(Protocol):
    """Where verdicts are that annotators were not shown; `backend.store.WithheldBook` in production."""

    def get(self, audit_key: str, tasks: Collection[int]) -> Mapping[int, tuple[Mapping[str, Any], ...]]:
        """Those of these tasks, in the form of Label Studio's predictions."""
        ...


class ProjectFacts(Protocol):
    """What an export needs to know of a project; `backend.studio.Project` in production."""

    @property
    def id(self) -> int:
        """Its number in Label Studio."""
        ...

    @property
    def title(self) -> str:
        """Its name, which becomes the dataset's."""
        ...

    @property
    def label_config(self) -> str:
        """Its label config, in XML."""
        ...

    @property
    def task_count(self) -> int:
        """How many tasks it has."""
        ...


def export_project(
    settings: Settings,
    project_id: int,
    out: Path,
    *,
    policy: Policy | None = None,
    options: ExportOptions = USUAL,
    allow_missing: bool = False,
    target: PushTarget | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    withheld: Callable[[], Withheld] | None = None,
    trust: Callable[[], Report | None] | None = None,
) -> ExportSummary:
    """Export a project to the folder `out`, and push it when a target is given; a dry run only says what that would do.

    Without an annotator key in the policy that of the settings makes the pseudonyms, or else the Label Studio token.
    `withheld` is opened when the project has a blind slice; without it the judge's answers to that stay unknown.
    `trust` tells what the card says of how good the judge is, and is asked once all that is quickly seen to be wrong
    has been looked at. Raises ExportError or StudioError; then `out` is as it was before.
    """
    out = out.expanduser()
    from backend.images import ImageLoader
    from backend.studio import Studio

    if settings.label_studio_url is None or settings.label_studio_api_key is None:
        raise ExportError(NO_LABEL_STUDIO)
    token = _check(settings, out, target, dry_run=dry_run)
    api_key = settings.label_studio_api_key.get_secret_value()
    policy = with_key(policy or Policy(), settings)
    studio = Studio(settings.label_studio_url, api_key)
    project = studio.project(project_id)
    config = parse_label_config(project.label_config)
    _check_keys(config, target)
    kept = withheld() if withheld and config.audit else None
    measured = trust() if trust else None
    with _kept_images(ImageLoader(settings), config, options, settings.label_studio_url) as images:
        pictures = PictureReader(images, allow_missing=allow_missing, options=options.pictures)
        summary = write_export(
            project,
            studio,
            pictures,
            out,
            policy=policy,
            options=options,
            named=target.repo_id if target else None,
            progress=progress,
            withheld=kept,
            trust=measured,
        )
    return _pushed(summary, target, token, dry_run=dry_run)


def with_key(policy: Policy, settings: Settings) -> Policy:
    """The policy with a key for pseudonyms: its own, that of the settings, or else the Label Studio token."""
    key = settings.annotator_key or settings.label_studio_api_key
    if policy.annotator_key or key is None:
        return policy
    return replace(policy, annotator_key=key.get_secret_value().encode())


def export_batch(
    settings: Settings,
    batch: Path,
    out: Path,
    *,
    options: ExportOptions = USUAL,
    allow_missing: bool = False,
    target: PushTarget | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ExportSummary:
    """The same for the output of `vlm-judge judge --source`: the judge decided every row, and no person saw any.

    Raises ExportError or BatchError.
    """
    from exporters.batch import BatchSource

    out = out.expanduser()
    token = _check(settings, out, target, dry_run=dry_run)
    source = BatchSource(settings, batch)
    config = parse_label_config(source.facts.label_config)
    _check_keys(config, target)
    named = target.repo_id if target else None
    with _kept_images(source.images, config, options, settings.label_studio_url or "") as images:
        pictures = PictureReader(images, allow_missing=allow_missing, options=options.pictures, release=source.release)
        summary = write_export(
            source.facts, source, pictures, out, policy=Policy(), options=options, named=named, progress=progress
        )
    return _pushed(summary, target, token, dry_run=dry_run)


def export_download(
    settings: Settings,
    path: Path,
    out: Path,
    *,
    project_id: int | None = None,
    label_config: str | None = None,
    policy: Policy | None = None,
    options: ExportOptions = USUAL,
    allow_missing: bool = False,
    target: PushTarget | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    withheld: Callable[[], Withheld] | None = None,
) -> ExportSummary:
    """The same for a project that was downloaded from Label Studio as JSON; see `exporters.downloaded`.

    Where the settings say which Label Studio it is from, predictions that the file names and does not hold are read
    there, and the label config where it is not given. The card says nothing of how good the judge is: that is measured
    on the project itself. Raises ExportError or StudioError; then `out` is as it was before.
    """
    from backend.images import ImageLoader
    from exporters.downloaded.source import downloaded

    out = out.expanduser()
    token = _check(settings, out, target, dry_run=dry_run)
    policy = with_key(policy or Policy(), settings)
    with downloaded(settings, path, project_id, label_config, policy) as source:
        config = parse_label_config(source.facts.label_config)
        _check_keys(config, target)
        kept = withheld() if withheld and config.audit else None
        with _kept_images(ImageLoader(settings), config, options, settings.label_studio_url or "") as images:
            summary = write_export(
                source.facts,
                source,
                PictureReader(images, allow_missing=allow_missing, options=options.pictures),
                out,
                policy=policy,
                options=options,
                named=target.repo_id if target else None,
                progress=progress,
                withheld=kept,
                notes=source.notes,
            )
    return _pushed(summary, target, token, dry_run=dry_run)


@contextmanager
def _kept_images(
    source: ImageSource, config: LabelConfig, options: ExportOptions, server: str
) -> Iterator[ImageSource]:
    """The source, with what it fetches kept where it was asked for, or for as long as two passes need it."""
    if options.cache is not None:
        yield KeptImages(source, options.cache, server)
    elif needs_survey(config, options):
        with TemporaryDirectory(prefix="vlm-judge-export-") as folder:
            yield KeptImages(source, Path(folder), server)
    else:
        yield source


def _check(settings: Settings, out: Path, target: PushTarget | None, *, dry_run: bool) -> str | None:
    """See before the work whether its end can be had; the token to push with. Raises ExportError."""
    if find_spec("datasets") is None:
        raise ExportError("the exporter is not installed; run: pip install 'vlm-judge-label-studio[export]'")
    check_replaceable(out)
    return check_push(target.repo_id, _hub_token(settings), must_write=not dry_run) if target else None


def _check_keys(config: LabelConfig, target: PushTarget | None) -> None:
    """Raise ExportError when the form itself shows a field that must not be pushed."""
    if target is not None:
        check_keys([one.key for one in (*config.images, *config.texts) if one.key], target.personal)


def _pushed(summary: ExportSummary, target: PushTarget | None, token: str | None, *, dry_run: bool) -> ExportSummary:
    if target is None:
        return summary
    plan = plan_push(summary.folder, target, token)
    return replace(summary, plan=plan) if dry_run else replace(summary, pushed=carry_out(plan, token))


def write_export(
    project: ProjectFacts,
    source: Source,
    pictures: PictureReader,
    out: Path,
    *,
    policy: Policy,
    options: ExportOptions = USUAL,
    named: str | None = None,
    progress: Progress | None = None,
    withheld: Withheld | None = None,
    trust: Report | None = None,
    notes: tuple[str, ...] = (),
) -> ExportSummary:
    """Write the dataset folder; `named` is what the card tells readers to load, else the folder's own name.

    `notes` is what is not as in the project, for the summary, or the error where there is nothing to export. Raises
    ExportError, or StudioError; then `out` is as it was before.
    """
    config = parse_label_config(project.label_config)
    form = _form(project, config)
    configs = configs_of(config, options.configs, options.prompt)
    grouping(config, options)
    passes = 2 if needs_survey(config, options) else 1

    def outcomes(before: int) -> Iterator[Outcome]:
        for done, task in enumerate(_tasks_of(source, project, config, withheld), start=1):
            if before or passes == 1:
                tally.see(task)
            yield consolidate(task, config, policy)
            if progress is not None:
                progress(before + done, passes * project.task_count)

    tally, sheet = Tally(), ContactSheet()
    with fresh_folder(out) as draft:
        splits = Splits(options.splits)
        if passes > 1:
            splits = surveyed(outcomes(0), pictures, config, options)
            pictures.check()
        with DatasetWriter(draft, configs, splits.names) as writer:
            rows = pictures.read_all(outcomes((passes - 1) * project.task_count))
            _write_rows(rows, writer, splits, tally, sheet)
        pictures.check()
        tally.missing_images.extend(pictures.missing)
        summary = _summary(project, out, tally.counts(), writer.written, splits, pictures, notes)
        facts = CardFacts(
            project.title,
            summary.counts,
            summary.configs,
            policy.several,
            named or f"./{out.name}",
            pictures.said(),
            kind=kind_of(config),
            form=config,
            trust=trust,
            licence=options.licence,
        )
        facts = _illustrated(facts, draft, sheet if options.show_rows else None)
        (draft / CARD).write_text(card(facts), encoding="utf-8")
        (draft / FORM).write_text(form, encoding="utf-8", newline="")
        write_exits(draft, options.also)
    return summary


def _write_rows(
    rows: Iterable[tuple[Outcome, Pictures]], writer: DatasetWriter, splits: Splits, tally: Tally, sheet: ContactSheet
) -> None:
    """Write what became of each task, and count and show it."""
    for outcome, found in rows:
        tally.add(outcome)
        for record in () if isinstance(outcome, LeftOut) else outcome:
            sheet.add(record, found)
            writer.add(record, found, splits.of(record.task_id, identities(found)))


def _form(project: ProjectFacts, config: LabelConfig) -> str:
    """The label config as it is published. Raises ExportError when the key of the blind slice would be in it.

    That would tell annotators who go on with the project which tasks are in the slice.
    """
    form = without_plan(project.label_config.lstrip("\ufeff"))
    if config.audit and config.audit.key in form:
        raise ExportError(
            f"the label config of project {project.id} ({project.title}) repeats the key of the blind slice "
            f"({KEY}) in a comment or another tag, and would be published with it; take it out there"
        )
    return form


def _illustrated(facts: CardFacts, draft: Path, sheet: ContactSheet | None) -> CardFacts:
    """The facts with what the card shows beside its text, which is written into the folder."""
    return replace(
        facts,
        sizes=sizes_of(draft, facts.configs),
        sheet=sheet.write(draft) if sheet else None,
        plots=write_plots(draft, facts.trust),
    )


def _summary(
    project: ProjectFacts,
    out: Path,
    counts: Counts,
    written: tuple[WrittenConfig, ...],
    splits: Splits,
    pictures: PictureReader,
    notes: tuple[str, ...],
) -> ExportSummary:
    """Raises ExportError when there is nothing in it."""
    noted = "".join(f"\n{note}" for note in notes)
    if not counts.rows_out:
        raise ExportError(_nothing(project, counts) + noted)
    configs = tuple(one for one in written if one.splits)
    empty = tuple(one for one in written if not one.splits)
    if not configs:
        why = "; ".join(f"config {one.name}: {why_empty(one)}" for one in empty)
        raise ExportError(f"project {project.id} ({project.title}) has no row for what was asked: {why}{noted}")
    return ExportSummary(out, counts, configs, empty, splits.names, pictures.counts, notes)


def _tasks_of(
    source: Source, project: ProjectFacts, config: LabelConfig, withheld: Withheld | None
) -> Iterator[AnnotatedTask]:
    """The tasks, with what annotators were not shown."""
    for task in annotated_tasks(source, project.id):
        blind = any(is_blind(one.result) for one in task.predictions)
        kept = withheld.get(config.audit.key, (task.id,)) if blind and withheld and config.audit else {}
        yield unblinded(task, kept[task.id]) if task.id in kept else task


def _nothing(project: ProjectFacts, counts: Counts) -> str:
    why = ", ".join(f"{len(ids)} {reason}" for reason, ids in counts.left_out.items()) or "it has no tasks"
    return (
        f"project {project.id} ({project.title}) has nothing to export: {why}; annotate its tasks first, "
        f"or judge them: vlm-judge judge --project {project.id}"
    )


def _hub_token(settings: Settings) -> str | None:
    return settings.hf_token.get_secret_value() if settings.hf_token else None
