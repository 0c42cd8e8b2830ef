"""Keeps the tasks of a downloaded file on disk, so that they can be had in order, and more than once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from backend.errors import ExportError

Task = dict[str, Any]
"""In the form of Label Studio's API."""

_PAGE = 100


class HeldTasks:
    """Tasks by their number; only some at a time are in memory. Begins empty; see `held_tasks`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")

    def add(self, task: Task) -> bool:
        """Keep a task; False when there is one of this number already."""
        found = self._database.execute("INSERT OR IGNORE INTO tasks VALUES (?, ?)", (task["id"], _body(task)))
        return found.rowcount == 1

    def change(self, tasks: Iterable[Task]) -> None:
        """Put these in the place of those that have their numbers."""
        self._database.executemany(
            "UPDATE tasks SET body = ? WHERE id = ?", ((_body(task), task["id"]) for task in tasks)
        )

    def pages(self) -> Iterator[tuple[Task, ...]]:
        """All tasks by rising number, some at a time; pages that have been given may be changed meanwhile."""
        last = -1
        while True:
            found = self._database.execute(
                "SELECT id, body FROM tasks WHERE id > ? ORDER BY id LIMIT ?", (last, _PAGE)
            ).fetchall()
            if not found:
                return
            yield tuple(json.loads(body) for _, body in found)
            last = found[-1][0]

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM tasks").fetchone()[0])


@contextmanager
def held_tasks() -> Iterator[HeldTasks]:
    """A place for tasks that is gone with the block; it takes about as much disk as the file. Raises ExportError."""
    try:
        with (
            TemporaryDirectory(prefix="vlm-judge-export-") as folder,
            closing(sqlite3.connect(Path(folder) / "tasks.sqlite", isolation_level=None)) as database,
        ):
            database.execute("PRAGMA journal_mode = OFF")  # nothing has to outlive the block
            database.execute("PRAGMA synchronous = OFF")
            yield HeldTasks(database)
    except sqlite3.Error as exc:
        raise ExportError(
            f"the file's tasks cannot be kept in the folder for temporary files ({exc}); make room there, or name "
            "another folder by TMPDIR"
        ) from exc


def _body(task: Task) -> str:
    # Numbers that are not whole come as Decimal; lone surrogates, which JSON may hold, do not fit UTF-8.
    return json.dumps(task, ensure_ascii=True, default=float)
