"""Puts the rows of a finished output into a Label Studio project, as tasks with their predictions, each once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.batch.arriving import Arrival, Arrivals, ImagesFolder
from backend.batch.fields import HeldImages
from backend.batch.output import JudgedBatch, JudgedRow
from backend.images import ImageLoader
from backend.settings import Settings
from backend.store import Store
from backend.studio import Project, Studio

__all__ = ["ImagesFolder", "Imported", "import_batch"]


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
    *,
    store: Store | None = None,
) -> Imported:
    """Import every row that is not in the project yet; a row is known again by its id, `judge_row`.

    Without `files`, an image that lies in its row becomes a data URI. What the judge said of tasks of the project's
    blind slice goes into `store`, and is shown to nobody. Can be broken off and begun again. Raises BatchError,
    StoreError and StudioError.
    """
    images = HeldImages(ImageLoader(settings), batch.manifest.root, settings.max_image_bytes)
    arrivals = Arrivals(studio, project, batch.config, files, store)
    arrivals.read_present()
    for done, judged in enumerate(batch.rows(), 1):
        arrivals.take(_arrival(judged), images)
        report(done, batch.count)
    tally = arrivals.finish()
    studio.use_model_version(project.id, batch.manifest.fingerprint)
    return Imported(tally.rows, tally.imported, tally.completed, tally.already, tally.left_out)


def _arrival(judged: JudgedRow) -> Arrival:
    return Arrival(judged.row, predictions=(judged.prediction,) if judged.prediction is not None else ())
