"""Takes a project from Label Studio to a finished dataset folder, and to the Hub when asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from backend.annotated import AnnotatedTask, Source, annotated_tasks, unblinded
from backend.core.audit import is_blind
from backend.core.label_config import LabelConfig, parse_label_config
from backend.errors import ExportError
from backend.settings import Settings
from exporters.build import SplitWriter
from exporters.card import REASONS, CardFacts, card
from exporters.columns import columns_of
from exporters.consolidate import Policy, Record, consolidate
from exporters.folder import CARD, check_replaceable, fresh_folder
from exporters.pictures import PictureReader
from exporters.push import check_push, push
from exporters.tally import Counts, Tally

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


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export did."""

    folder: Path
    counts: Counts
    pushed_to: str | None = None
    """Name of the dataset on the Hub."""
    address: str | None = None
    """Where a browser finds it."""

    @property
    def rows_out(self) -> int:
        """Rows in the dataset."""
        return self.counts.rows_out

    def lines(self) -> tuple[str, ...]:
        """What to tell the person who exported; the last three lines are code that loads the result."""
        counts = self.counts
        left_out = "".join(f" + {len(ids)} left out ({reason})" for reason, ids in counts.left_out.items())
        deciders = ", ".join(f"{number} {name}" for name, number in counts.decided_by.items())
        lines = [f"{counts.tasks_in} tasks = {counts.rows_out} rows{left_out}", f"decided by: {deciders}"]
        lines += [f"left out, {REASONS[reason]}: {_tasks(ids)}" for reason, ids in counts.left_out.items()]
        if counts.several:
            lines.append(f"several annotations: {counts.several} rows, {counts.disagreeing} with different verdicts")
        if counts.missing_text:
            lines.append(
                "no final text, the fix, the verdict, a preferred text or the text itself is missing: "
                f"{_tasks(counts.missing_text)}"
            )
        if counts.missing_images:
            lines.append(f"null image, it could not be read: {_tasks(counts.missing_images)}")
        lines.append(f"pushed to {self.address}" if self.address else f"written to {self.folder}")
        name = self.pushed_to or str(self.folder)
        return (
            *lines,
            "",
            "from datasets import load_dataset",
            f'rows = load_dataset("{name}", split="train")',
            "print(rows[0])",
        )


def export_project(
    settings: Settings,
    project_id: int,
    out: Path,
    *,
    policy: Policy | None = None,
    allow_missing: bool = False,
    push_to: str | None = None,
    public: bool = False,
    progress: Progress | None = None,
    withheld: Callable[[], Withheld] | None = None,
) -> ExportSummary:
    """Export a project to the folder `out`, and push it to the dataset `push_to` when given.

    Without an annotator key in the policy the Label Studio token is the key, so that the same token gives
    the same pseudonyms. `withheld` is opened when the project has a blind slice; without it the judge's answers to that
    stay unknown. Raises ExportError or StudioError; then `out` is as it was before.
    """
    from backend.images import ImageLoader
    from backend.studio import Studio

    if settings.label_studio_url is None or settings.label_studio_api_key is None:
        raise ExportError("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to say which Label Studio to export from")
    token = _check(settings, out, push_to, public=public)
    api_key = settings.label_studio_api_key.get_secret_value()
    policy = policy or Policy()
    if not policy.annotator_key:
        policy = replace(policy, annotator_key=api_key.encode())
    studio = Studio(settings.label_studio_url, api_key)
    pictures = PictureReader(ImageLoader(settings), allow_missing=allow_missing)
    project = studio.project(project_id)
    kept = withheld() if withheld and parse_label_config(project.label_config).audit else None
    summary = write_export(
        project, studio, pictures, out, policy=policy, named=push_to, progress=progress, withheld=kept
    )
    return _pushed(summary, push_to, token, public=public)


def export_batch(
    settings: Settings,
    batch: Path,
    out: Path,
    *,
    allow_missing: bool = False,
    push_to: str | None = None,
    public: bool = False,
    progress: Progress | None = None,
) -> ExportSummary:
    """The same for the output of `vlm-judge judge --source`: the judge decided every row, and no person saw any.

    Raises ExportError or BatchError.
    """
    from exporters.batch import BatchSource

    token = _check(settings, out, push_to, public=public)
    source = BatchSource(settings, batch)
    pictures = PictureReader(source.images, allow_missing=allow_missing)
    summary = write_export(source.facts, source, pictures, out, policy=Policy(), named=push_to, progress=progress)
    return _pushed(summary, push_to, token, public=public)


def _check(settings: Settings, out: Path, push_to: str | None, *, public: bool) -> str | None:
    """See before the work whether its end can be had; the token to push with. Raises ExportError."""
    if public and push_to is None:
        raise ExportError("--public says who may see what is pushed; say where with --push-to user/name")
    if find_spec("datasets") is None:
        raise ExportError("the exporter is not installed; run: pip install 'vlm-judge-label-studio[export]'")
    check_replaceable(out)
    return check_push(push_to, _hub_token(settings)) if push_to else None


def _pushed(summary: ExportSummary, push_to: str | None, token: str | None, *, public: bool) -> ExportSummary:
    if push_to is None:
        return summary
    return replace(summary, pushed_to=push_to, address=push(summary.folder, push_to, private=not public, token=token))


def write_export(
    project: ProjectFacts,
    source: Source,
    pictures: PictureReader,
    out: Path,
    *,
    policy: Policy,
    named: str | None = None,
    progress: Progress | None = None,
    withheld: Withheld | None = None,
) -> ExportSummary:
    """Write the dataset folder; `named` is what the card tells readers to load, else the folder's own name."""
    config = parse_label_config(project.label_config)
    columns = columns_of(config)
    tally = Tally()
    with fresh_folder(out) as draft:
        with SplitWriter(draft, columns) as writer:
            for done, task in enumerate(_tasks_of(source, project, config, withheld), start=1):
                outcome = consolidate(task, config, policy)
                tally.add(outcome)
                if isinstance(outcome, Record):
                    writer.add(outcome, pictures.read(outcome))
                if progress is not None:
                    progress(done, project.task_count)
        pictures.check()
        tally.missing_images.extend(pictures.missing)
        counts = tally.counts()
        if not counts.rows_out:
            raise ExportError(_nothing(project, counts))
        facts = CardFacts(project.title, counts, columns, policy.several, named or f"./{out.name}", writer.pattern)
        (draft / CARD).write_text(card(facts), encoding="utf-8")
    return ExportSummary(out, counts)


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
    return f"project {project.id} ({project.title}) has nothing to export: {why}; judge or annotate its tasks first"


def _tasks(ids: tuple[int, ...], shown: int = 10) -> str:
    more = f" and {len(ids) - shown} more" if len(ids) > shown else ""
    return f"tasks {', '.join(map(str, ids[:shown]))}{more}" if len(ids) > 1 else f"task {ids[0]}"


def _hub_token(settings: Settings) -> str | None:
    return settings.hf_token.get_secret_value() if settings.hf_token else None
