"""What must outlive the process.

Verdicts by content, and those kept from annotators; what is owed to Label Studio; what people said; what has been
stated about the judge. One database: a SQLite file by default, PostgreSQL by URL for several backends that share it.
"""

from backend.store.feedback import Feedback, FeedbackBook
from backend.store.jobs import Job, JobBook
from backend.store.statements import Statement, StatementBook
from backend.store.store import Store
from backend.store.verdicts import VerdictBook, verdict_from_json, verdict_to_json
from backend.store.withheld import WithheldBook

__all__ = [
    "Feedback",
    "FeedbackBook",
    "Job",
    "JobBook",
    "Statement",
    "StatementBook",
    "Store",
    "VerdictBook",
    "WithheldBook",
    "verdict_from_json",
    "verdict_to_json",
]
