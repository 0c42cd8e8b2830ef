"""The store as a whole: one database and its books."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from backend.errors import StoreError
from backend.store.database import Database
from backend.store.feedback import FeedbackBook
from backend.store.jobs import JobBook
from backend.store.statements import StatementBook
from backend.store.verdicts import VerdictBook
from backend.store.withheld import WithheldBook

ALONE_S = 60.0
"""How long to wait for another process that writes to the same project."""


class Store:
    """Safe to use from several threads and processes."""

    def __init__(self, where: str | Path) -> None:
        """Open or create it: the path of a SQLite file or a `postgresql://` URL. Raises SettingsError."""
        self._database = Database(str(where))
        self.verdicts = VerdictBook(self._database)
        self.jobs = JobBook(self._database)
        self.feedback = FeedbackBook(self._database)
        self.withheld = WithheldBook(self._database)
        self.statements = StatementBook(self._database)

    @property
    def shown(self) -> str:
        """Where it is, for people: without a password."""
        return self._database.shown

    def alone(self, project: str) -> AbstractContextManager[bool]:
        """Hold a project among all that share the store; False when another process or thread holds it.

        Whoever writes predictions of a project holds it meanwhile, so that nobody writes the same ones.
        """
        return self._database.alone(f"project-{project}")

    @contextmanager
    def held(self, project: str, told: Callable[[str], None] = lambda text: None) -> Iterator[None]:
        """Hold a project, after waiting a while for whoever holds it. Raises StoreError when they do not let go.

        `project` is its number and creation time, as Label Studio puts them together.
        """
        until_s, number = time.monotonic() + ALONE_S, project.partition(".")[0]
        with ExitStack() as stack:
            while not stack.enter_context(self.alone(project)):
                stack.pop_all().close()
                if time.monotonic() > until_s:
                    raise StoreError(
                        f"another process that shares the store {self.shown} writes to project {number}; wait until it "
                        "is done, or stop it"
                    )
                told(f"another process writes to project {number}; waiting for it")
                time.sleep(2)
            yield

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()
