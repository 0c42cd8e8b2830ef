"""Puts the rows of a finished output into a Label Studio project, as tasks with their predictions, each once."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from backend.batch.fields import HELD, HeldImages, Row
from backend.batch.judgement import ROW
from backend.batch.output import JudgedBatch, JudgedRow
from backend.core.sample import data_value, role_of
from backend.errors import BatchError, ImageError, StudioError
from backend.images import FORMATS, ImageLoader
from backend.settings import Settings
from backend.studio import Project, Studio

Json = Mapping[str, Any]

TASKS_AT_ONCE = 500
BYTES_AT_ONCE = 32 * 2**20
"""Of tasks in one request; Label Studio takes 250 MiB."""
LOCAL_FILES = "/data/local-files/?d="


@dataclass(frozen=True, slots=True)
class ImagesFolder:
    """Where images that lie in their rows are put for Label Studio to show."""

    folder: Path
    document_root: Path
    """What Label Studio serves local files from; the folder lies below it."""

    def put(self, content: bytes, ending: str) -> str:
        """Write an image, unless it is there; its address. Raises BatchError."""
        path = self.folder / f"{hashlib.sha256(content).hexdigest()}{ending}"
        try:
            if not path.exists():
                fresh = path.with_name(f".{path.name}.{os.getpid()}")
                fresh.write_bytes(content)
                os.replace(fresh, path)
            inside = path.relative_to(self.document_root).as_posix()
        except (OSError, ValueError) as exc:
            raise BatchError(f"cannot put images into {self.folder}, below {self.document_root}: {exc}") from exc
        return f"{LOCAL_FILES}{quote(inside)}"


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it; `rows == imported + already + left_out`."""

    rows: int
    imported: int
    completed: int
    """Of those already there, tasks that got the prediction they had not."""
    already: int
    left_out: int
    """Rows that lack an image or a text that the label config shows."""

    def summary(self) -> str:
        """The balance in one line."""
        completed = f" ({self.completed} of them without their prediction, which they have now)"
        return (
            f"{self.rows} rows = {self.imported} imported + {self.already} there before"
            f"{completed if self.completed else ''} + {self.left_out} left out, which lack an image or text"
        )


def import_batch(
    studio: Studio,
    settings: Settings,
    batch: JudgedBatch,
    project: Project,
    files: ImagesFolder | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Import every row that is not in the project yet; a row is known again by its id, `judge_row`.

    Without `files`, an image that lies in its row becomes a data URI. Can be broken off and begun again. Raises
    BatchError and StudioError.
    """
    run = _Import(studio, settings, batch, project, files)
    run.read_present()
    for done, judged in enumerate(batch.rows(), 1):
        run.take(judged)
        report(done, batch.count)
    run.send()
    run.check()
    studio.use_model_version(project.id, batch.manifest.fingerprint)
    return Imported(done if batch.count else 0, run.imported, run.completed, run.already, run.left_out)


@dataclass(slots=True)
class _Import:
    """An import as it goes."""

    studio: Studio
    settings: Settings
    batch: JudgedBatch
    project: Project
    files: ImagesFolder | None
    present: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """By row, the task that is there, and whether it has its prediction."""
    waiting: list[Json] = field(default_factory=list)
    waiting_bytes: int = 0
    lacking: list[Json] = field(default_factory=list)
    """Predictions for tasks that are there without."""
    before: int = 0
    imported: int = 0
    completed: int = 0
    already: int = 0
    left_out: int = 0
    _images: HeldImages = field(init=False)
    _needed: tuple[str, ...] = field(init=False)
    """Keys that a task must have for Label Studio to take it."""
    _optional: tuple[str, ...] = field(init=False)
    """Of these, what may be empty."""

    def __post_init__(self) -> None:
        config = self.batch.config
        self._images = HeldImages(ImageLoader(self.settings), self.batch.manifest.root, self.settings.max_image_bytes)
        self._needed = tuple(item.key for item in (*config.images, *config.texts) if item.key)
        self._optional = tuple(text.key for text in config.texts if text.key and role_of(text.name) == "requested")

    def read_present(self) -> None:
        """Learn which rows are there. Raises BatchError when the project has one twice."""
        for page in self.studio.pages(self.project.id):
            self.before += len(page)
            for task in page:
                row = task.data.get(ROW)
                if not isinstance(row, str):
                    continue
                if row in self.present:
                    raise BatchError(
                        f"project {self.project.id} has the row {row} twice, as tasks {self.present[row][0]} and "
                        f"{task.id}; delete one of them, and give the command again"
                    )
                self.present[row] = (task.id, self.batch.manifest.fingerprint in task.model_versions)

    def take(self, judged: JudgedRow) -> None:
        """Send a row when enough wait, unless it is there or cannot be shown."""
        there = self.present.get(judged.row.id)
        if there is not None:
            self.already += 1
            if not there[1] and judged.prediction is not None:
                self.lacking.append({"task": there[0], **judged.prediction})
            return
        data = self._data(judged.row)
        if data is None:
            self.left_out += 1
            return
        task = {"data": data, **({"predictions": [judged.prediction]} if judged.prediction else {})}
        self.waiting.append(task)
        self.waiting_bytes += len(json.dumps(task, ensure_ascii=False))
        if len(self.waiting) >= TASKS_AT_ONCE or self.waiting_bytes >= BYTES_AT_ONCE:
            self.send()

    def send(self) -> None:
        """Import what waits. Raises StudioError."""
        if self.waiting:
            self.imported += len(self.studio.import_tasks(self.project.id, self.waiting))
            self.waiting, self.waiting_bytes = [], 0

    def check(self) -> None:
        """Store the predictions that are lacking, and see that all is there. Raises StudioError."""
        if self.lacking:
            self.completed = self.studio.import_predictions(self.project.id, self.lacking).stored
        there, wanted = self.studio.project(self.project.id).task_count, self.before + self.imported
        if there != wanted:
            raise StudioError(
                f"project {self.project.id} has {there} tasks and should have {wanted}; look whether somebody else "
                "imports into it, and give the command again"
            )

    def _data(self, row: Row) -> dict[str, Any] | None:
        """The row's data for Label Studio; None where the label config shows what it does not have."""
        data = {**row.data, **{key: row.data.get(key) or "" for key in self._optional}}
        if any(data_value(data, key) in (None, []) for key in self._needed):
            return None
        self._images.hold(row)
        try:
            return {**{key: self._shown(row.id, value) for key, value in data.items()}, ROW: row.id}
        except ImageError:
            return None
        finally:
            self._images.drop(row.id)

    def _shown(self, row: str, value: Any) -> Any:
        """A value of the row; of an image that lies in it, an address that Label Studio can show. Raises ImageError."""
        if isinstance(value, list):
            return [self._shown(row, item) for item in value]
        if not isinstance(value, str) or not value.startswith(HELD):
            return value
        content = self._images.read(value, row)
        kind = _kind_of(content)
        if self.files is not None:
            return self.files.put(content, f".{kind}")
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _kind_of(content: bytes) -> str:
    """The image's format as media types say it. Raises ImageError."""
    import io

    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return str(image.format).lower()
    except (UnidentifiedImageError, OSError) as exc:
        raise ImageError("these bytes are no image") from exc
