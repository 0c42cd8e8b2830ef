"""The commands: a module each, gathered here."""

from backend.cli import (
    bench,
    completion,
    doctor,
    evaluation,
    exporting,
    generation,
    interfaces,
    judging,
    projects,
    rubrics,
    serving,
    settings,
    trust,
)
from backend.cli.root import main

__all__ = [
    "bench",
    "completion",
    "doctor",
    "evaluation",
    "exporting",
    "generation",
    "interfaces",
    "judging",
    "main",
    "projects",
    "rubrics",
    "serving",
    "settings",
    "trust",
]
