"""The judge's answers to tasks of the blind slice, which nobody who annotates may see."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from backend.store.database import Database
from backend.store.rows import chunks, upsert
from backend.store.tables import WITHHELD

Json = Mapping[str, Any]


class WithheldBook:
    """Predictions by audit key, task and fingerprint. Every method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, audit_key: str, predictions: Mapping[int, Json]) -> None:
        """Keep these predictions, whole as Label Studio would have them; a newer one of the same judge takes over."""
        now = datetime.now(UTC)
        rows = [
            {
                "audit_key": audit_key,
                "task": task,
                "fingerprint": made["model_version"],
                "prediction": json.dumps(made),
                "created_at": now,
            }
            for task, made in sorted(predictions.items())  # so that no two writers wait for each other
        ]
        if not rows:
            return
        insert = upsert(self._database, WITHHELD)
        statement = insert.on_conflict_do_update(
            index_elements=[WITHHELD.c.audit_key, WITHHELD.c.task, WITHHELD.c.fingerprint],
            set_={name: insert.excluded[name] for name in ("prediction", "created_at")},
        )
        with self._database.writing() as connection:
            connection.execute(statement, rows)

    def get(self, audit_key: str, tasks: Collection[int]) -> dict[int, tuple[Json, ...]]:
        """Those of these tasks, by task, the oldest first, each with the moment it was kept as `created_at`."""
        found: dict[int, tuple[Json, ...]] = {}
        columns = (WITHHELD.c.task, WITHHELD.c.prediction, WITHHELD.c.created_at)
        with self._database.reading() as connection:
            for part in chunks(sorted(tasks)):
                query = select(*columns).where(WITHHELD.c.audit_key == audit_key, WITHHELD.c.task.in_(part))
                for task, text, created_at in connection.execute(query.order_by(WITHHELD.c.created_at)):
                    made = {**json.loads(text), "created_at": created_at.isoformat()}
                    found[task] = (*found.get(task, ()), made)
        return found
