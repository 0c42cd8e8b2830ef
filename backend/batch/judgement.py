"""What the judge says of one row, as it is written down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

ROW, DECISION, CONFIDENCE = "judge_row", "judge_decision", "judge_confidence"
PREDICTION, FINGERPRINT, FAILURE = "judge_prediction", "judge_fingerprint", "judge_failure"
COLUMNS = (ROW, DECISION, CONFIDENCE, PREDICTION, FINGERPRINT, FAILURE)
"""What stands behind a row's own columns."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A row's prediction, or why there is none."""

    row: str
    decision: str | None = None
    """accept, fix or reject, or the preferred text's name; None where nothing was decided."""
    confidence: float | None = None
    prediction: str | None = None
    """`{"result", "score", "model_version"}` as JSON, as Label Studio takes it."""
    failure: str | None = None
    """Why it could not be judged; None where it was."""

    def columns(self, fingerprint: str) -> tuple[Any, ...]:
        """The values of `COLUMNS`; `fingerprint` is the judge's, also where it failed."""
        return (self.row, self.decision, self.confidence, self.prediction, fingerprint, self.failure)

    def line(self) -> str:
        """As a line of JSON."""
        return json.dumps([self.row, self.decision, self.confidence, self.prediction, self.failure]) + "\n"


def from_line(line: str) -> Judgement:
    """What `Judgement.line` wrote. Raises ValueError and TypeError for anything else."""
    return Judgement(*json.loads(line))


def judge_fields() -> list[Any]:
    """The `pyarrow` fields of `COLUMNS`."""
    import pyarrow

    text = pyarrow.string()
    return [pyarrow.field(name, pyarrow.float64() if name == CONFIDENCE else text) for name in COLUMNS]
