"""One sample with everything that decides how it is judged."""

from __future__ import annotations

from dataclasses import dataclass

from backend.core.choices import Explain
from backend.core.examples import Examples
from backend.core.form import Form
from backend.core.rubric import Rubric
from backend.core.types import Sample


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """How much is done for a sample beyond asking the rubric's questions."""

    explain: Explain = "flagged"
    """For which samples boxes and a corrected text are written: those that are doubtful or found wanting, all, none."""
    reliance: bool = False
    """Whether every sample is judged once more behind a blank image, to see how much the image matters."""
    examples: Examples | None = None
    """What is shown before every sample of a project of their kind; None shows nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a flow needs to know."""

    sample: Sample
    rubric: Rubric
    form: Form
    options: JudgeOptions
    fingerprint: str
    judge_model: str
    """The judging model's name, to tell whether it wrote the text itself."""
    asks_criteria: bool = True
    """Whether the label config has a control for anything the rubric finds out."""
