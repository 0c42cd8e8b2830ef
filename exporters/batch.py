"""Reads the output of `vlm-judge judge --source` as a project whose tasks no person has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.batch.fields import HeldImages, Row
from backend.batch.output import JudgedBatch, JudgedRow
from backend.errors import ExportError
from backend.images import ImageLoader
from backend.settings import Settings


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What an export needs to know of it; see `exporters.export.ProjectFacts`."""

    id: int
    title: str
    label_config: str
    task_count: int


class BatchSource:
    """Its rows as tasks, numbered from 1, and their images; see `backend.annotated.Source`."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Raises BatchError when it is no finished output, and ExportError when nothing in it was judged."""
        self._batch = JudgedBatch(folder)
        if not self._batch.judged:
            raise ExportError(f"no row of {folder} could be judged; the column judge_failure of its files says why")
        manifest = self._batch.manifest
        self.images = HeldImages(ImageLoader(settings), manifest.root, settings.max_image_bytes)
        """Where the images of the task at hand come from; see `exporters.images.pictures.ImageSource`."""
        is_of_hub = (manifest.root or "").startswith("hf://")
        title = manifest.source if is_of_hub else Path(manifest.source).stem  # a path here is nobody's business
        self.facts = BatchFacts(0, title, manifest.label_config, self._batch.count)

    def annotated_tasks(self, project_id: int) -> Iterator[tuple[Mapping[str, Any], ...]]:
        """Pages of one task each, whose images are there until it is released."""
        for number, judged in enumerate(self._batch.rows(), 1):
            name = str(number)
            self.images.hold(Row(name, judged.row.data, judged.row.held))
            yield (_task(number, judged),)

    def release(self, task: int) -> None:
        """Let go of a task's images."""
        self.images.drop(str(task))


def _task(number: int, judged: JudgedRow) -> dict[str, Any]:
    predictions = [] if judged.prediction is None else [{"id": number, **judged.prediction}]
    return {"id": number, "data": judged.row.data, "annotations": [], "predictions": predictions}
