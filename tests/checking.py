"""What the doctor's tests share."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from backend.doctor import Finding

R = TypeVar("R")


def seen(checking: Generator[Finding, None, R]) -> tuple[list[Finding], R]:
    """All findings of a check, and what it returns."""
    findings: list[Finding] = []
    while True:
        try:
            findings.append(next(checking))
        except StopIteration as end:
            return findings, end.value
