"""What a webhook says that people did, as feedback for the store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from backend.store import Feedback, FeedbackBook
from backend.wire import WebhookRequest

log = logging.getLogger(__name__)

TOLD = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED")
DELETED = "ANNOTATIONS_DELETED"


def keep(told: WebhookRequest, book: FeedbackBook) -> int:
    """Keep what the webhook tells of annotations; how many it told of. Raises StoreError.

    Anything else that happens in a project, and what lacks the numbers to tell whose it is, is passed over.
    """
    uid = project_uid(told.project or {})
    if uid is None or told.action not in (*TOLD, DELETED):
        return 0
    if told.action == DELETED:
        numbers = [number for entry in told.annotations or [] if (number := _number(entry.get("id"))) is not None]
        book.delete(uid, numbers)
        return len(numbers)
    entries = list(feedback_of(uid, told.annotation))
    book.put(entries)
    return len(entries)


def project_uid(project: Mapping[str, Any]) -> str | None:
    """Number and creation time of a project, as Label Studio itself puts them together; None where one is missing."""
    created = _moment(project.get("created_at"))
    number = _number(project.get("id"))
    return f"{number}.{int(created.timestamp())}" if number is not None and created else None


def feedback_of(uid: str, annotations: object) -> Iterator[Feedback]:
    """The annotations of a project, one or a list, in Label Studio's form; what cannot be told apart is left out."""
    for entry in annotations if isinstance(annotations, list) else [annotations]:
        if not isinstance(entry, Mapping):
            continue
        number, task, changed = _number(entry.get("id")), _number(entry.get("task")), _moment(entry.get("updated_at"))
        if number is not None and changed is not None:
            yield Feedback(uid, number, task, changed, entry)


def _moment(value: object) -> datetime | None:
    """The moment in UTC; None where there is none, or one that is not in UTC's calendar."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None
