"""A downloaded project, ready to be exported: its tasks, its label config and what it is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import ExportError
from backend.settings import Settings
from exporters.downloaded.completing import complete, notes_of
from exporters.downloaded.file import Download, read_download
from exporters.downloaded.held import HeldTasks, held_tasks
from exporters.records.record import Policy

if TYPE_CHECKING:
    from backend.studio import Studio


@dataclass(frozen=True, slots=True)
class DownloadFacts:
    """What an export needs to know of it; see `exporters.export.ProjectFacts`."""

    id: int
    title: str
    """Without Label Studio its number, because the file does not say it."""
    label_config: str
    task_count: int


@dataclass(frozen=True, slots=True)
class DownloadedSource:
    """Its tasks by rising number, with whole predictions; see `backend.annotated.Source`."""

    facts: DownloadFacts
    notes: tuple[str, ...]
    """What is not as in the project, a line each."""
    _tasks: HeldTasks

    def annotated_tasks(self, project_id: int) -> Iterator[tuple[Mapping[str, Any], ...]]:
        """Pages of them, as often as they are asked for."""
        yield from self._tasks.pages()


@contextmanager
def downloaded(
    settings: Settings, path: Path, project_id: int | None, label_config: str | None, policy: Policy
) -> Iterator[DownloadedSource]:
    """The project in the file, for the time of the block; with None the file must say its number.

    Label Studio is asked where the settings have its address and a key. Raises ExportError and StudioError.
    """
    if not policy.annotator_key:
        raise ExportError(
            "annotators' pseudonyms need a key: set VLM_JUDGE_ANNOTATOR_KEY to a secret text of your own, or "
            "LABEL_STUDIO_API_KEY to the token that other exports were made with; the same key makes the same names"
        )
    with held_tasks() as tasks:
        found = read_download(path, tasks, project_id)
        studio = _studio(settings)
        facts, notes = _facts(found, len(tasks), studio, label_config)
        completed = complete(found, tasks, studio)
        yield DownloadedSource(facts, (*notes, *notes_of(found, completed, asked=studio is not None)), tasks)


def _studio(settings: Settings) -> Studio | None:
    from backend.studio import Studio

    if settings.label_studio_url is None or settings.label_studio_api_key is None:
        return None
    return Studio(settings.label_studio_url, settings.label_studio_api_key.get_secret_value())


def _facts(
    found: Download, count: int, studio: Studio | None, label_config: str | None
) -> tuple[DownloadFacts, tuple[str, ...]]:
    """The facts, and what there is to say of them. Raises ExportError and StudioError."""
    if studio is None:
        if label_config is None:
            raise ExportError(
                f"{found.name} does not hold the label config; give it with --label-config FILE, or set "
                f"LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to have it from project {found.project_id}"
            )
        return DownloadFacts(found.project_id, f"Project {found.project_id}", label_config, count), ()
    project = studio.project(found.project_id)
    few = f"the file holds {count} of the {project.task_count} tasks that the project has now"
    facts = DownloadFacts(project.id, project.title, label_config or project.label_config, count)
    return facts, (few,) if count < project.task_count else ()
