"""Verdicts by content, so that the same images and texts are judged once, wherever they appear."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import delete, select

from backend.core.types import Verdict
from backend.errors import StoreError
from backend.store.database import Database
from backend.store.rows import chunks, insert_new
from backend.store.tables import VERDICTS

log = logging.getLogger(__name__)


class VerdictBook:
    """The verdicts. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """The verdicts that are there, by content key.

        One that cannot be read, because a version of the product that writes them differently kept it, is forgotten.
        """
        found: dict[str, Verdict] = {}
        unreadable: list[str] = []
        with self._database.reading() as connection:
            for part in chunks(keys):
                query = select(VERDICTS.c.content_key, VERDICTS.c.verdict).where(VERDICTS.c.content_key.in_(part))
                for key, text in connection.execute(query):
                    try:
                        found[key] = verdict_from_json(text)
                    except ValidationError:
                        unreadable.append(key)
        if unreadable:
            with suppress(StoreError):  # the next who looks for them tries again
                self._forget(unreadable)
        return found

    def put(self, verdicts: Mapping[str, Verdict]) -> None:
        """Keep the verdicts; a key that is there already stays as it is."""
        now = datetime.now(UTC)
        rows = [
            {"content_key": k, "fingerprint": v.fingerprint, "verdict": verdict_to_json(v), "created_at": now}
            for k, v in sorted(verdicts.items())  # so that no two writers wait for each other
        ]
        if rows:
            with self._database.writing() as connection:
                connection.execute(insert_new(self._database, VERDICTS), rows)

    def _forget(self, keys: Sequence[str]) -> None:
        log.warning("%d kept verdicts cannot be read by this version and are judged anew", len(keys))
        with self._database.writing() as connection:
            for part in chunks(sorted(keys)):
                connection.execute(delete(VERDICTS).where(VERDICTS.c.content_key.in_(part)))


_VERDICT = TypeAdapter(Verdict)


def verdict_to_json(verdict: Verdict) -> str:
    """The verdict as JSON; read back by `verdict_from_json` to an equal one."""
    return _VERDICT.dump_json(verdict).decode()


def verdict_from_json(text: str) -> Verdict:
    """A verdict from its JSON."""
    return _VERDICT.validate_json(text)
