"""A file with the tasks that could not be judged: a JSON object a line, written as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.errors import SettingsError
from backend.service import Failure


class FailureFile:
    """Lists failures by task and reason; there is no file while there are none, also not one of an earlier run."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError when it could not be written, so that this is known before anything is judged."""
        self.path = path
        self.count = 0
        with _told(path):
            path.open("a").close()
            if path.is_file():  # a pipe or a device stays
                path.unlink()

    def add(self, failure: Failure) -> None:
        """Write one more. Raises SettingsError."""
        line = json.dumps({"task": failure.task, "reason": failure.reason}, ensure_ascii=False)
        # A half of a character, which UTF-8 has no bytes for, becomes the escape that JSON has for it.
        with _told(self.path), self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{line}\n")
        self.count += 1


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise SettingsError(
            f"cannot write the failures to {path}: {exc.strerror}; name another with --failures"
        ) from exc
