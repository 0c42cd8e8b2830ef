"""The commands: a module each, gathered here."""

from backend.cli import bench, doctor, evaluation, exporting, generation, judging, projects, rubrics, serving, trust
from backend.cli.root import main

__all__ = [
    "bench",
    "doctor",
    "evaluation",
    "exporting",
    "generation",
    "judging",
    "main",
    "projects",
    "rubrics",
    "serving",
    "trust",
]
