"""The store as a whole: one database and its books."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from backend.store.database import Database
from backend.store.feedback import FeedbackBook
from backend.store.jobs import JobBook
from backend.store.statements import StatementBook
from backend.store.verdicts import VerdictBook
from backend.store.withheld import WithheldBook


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

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()
