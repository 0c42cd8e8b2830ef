"""Takes into the store what people said in a project, whether or not its webhooks told of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backend.store import Feedback, FeedbackBook
from backend.studio import Project, Studio
from backend.webhook import feedback_of

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Swept:
    """What the store had missed."""

    annotations: int
    """In the project, skips among them."""
    added: int
    changed: int
    deleted: int

    def summary(self) -> str:
        """In one line."""
        return (
            f"{self.annotations} annotations: {self.added} were new to the store, {self.changed} had changed, "
            f"{self.deleted} more are deleted"
        )


@dataclass(slots=True)
class Sweep:
    """A sweep that goes on while somebody else reads the project's pages. Sweeping again changes nothing."""

    book: FeedbackBook
    uid: str
    """The project's number and creation time."""
    _known: dict[int, datetime] = field(init=False)
    _seen: set[int] = field(default_factory=set)
    _added: int = 0
    _changed: int = 0

    def __post_init__(self) -> None:
        self._known = {one.annotation: one.updated_at for one in self.book.of(self.uid) if one.deleted_at is None}

    def take(self, page: tuple[Json, ...]) -> None:
        """Keep the annotations of these tasks as far as they are not known. Raises StoreError."""
        entries = [entry for task in page for entry in _of_task(self.uid, task)]
        self._seen |= {entry.annotation for entry in entries}
        new = [entry for entry in entries if entry.annotation not in self._known]
        changed = [entry for entry in entries if self._known.get(entry.annotation, entry.updated_at) < entry.updated_at]
        self.book.put([*new, *changed])
        self._added += len(new)
        self._changed += len(changed)

    def finish(self) -> Swept:
        """Mark as deleted what is not there any more; to be called when every page has been taken."""
        gone = self._known.keys() - self._seen
        self.book.delete(self.uid, gone)
        return Swept(len(self._seen), self._added, self._changed, len(gone))


def sweep(studio: Studio, book: FeedbackBook, project: Project) -> Swept:
    """Sweep a whole project. Raises StudioError and StoreError."""
    going = Sweep(book, project.uid)
    for page in studio.annotated_tasks(project.id):
        going.take(page)
    return going.finish()


def _of_task(uid: str, task: Json) -> Iterator[Feedback]:
    yield from feedback_of(uid, [{**entry, "task": task["id"]} for entry in task.get("annotations") or ()])
