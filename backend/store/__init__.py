"""What must outlive the process: verdicts by content, what is owed to Label Studio, and what people said.

One database: a SQLite file by default, PostgreSQL by URL for several backends that share it.
"""

from backend.store.feedback import Feedback, FeedbackBook
from backend.store.jobs import Job, JobBook
from backend.store.store import Store
from backend.store.verdicts import VerdictBook, verdict_from_json, verdict_to_json

__all__ = [
    "Feedback",
    "FeedbackBook",
    "Job",
    "JobBook",
    "Store",
    "VerdictBook",
    "verdict_from_json",
    "verdict_to_json",
]
