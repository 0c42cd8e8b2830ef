"""What a check comes to, and how a check waits for what it needs.

A check is a generator: it yields a Finding per line of the report and returns what later checks need, or Lacking.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal, TypeVar

from backend.errors import VlmJudgeError

State = Literal["ok", "warning", "failed", "skipped"]

A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    check: str
    state: State
    detail: str
    remedy: str = ""
    """What to type or set; there with every warning and failure."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """Something that later checks need is not to be had."""

    reason: str


Checking = Generator[Finding, None, R]


def failed(check: str) -> Lacking:
    """What a check returns that failed; names it to those that are skipped for it."""
    return Lacking(f"`{check}` failed")


def after(check: str, needed: A | Lacking, look: Callable[[A], Checking[R | Lacking]]) -> Checking[R | Lacking]:
    """Look when what is needed is there; otherwise the check is skipped and says why."""
    if isinstance(needed, Lacking):
        yield Finding(check, "skipped", needed.reason)
        return needed
    return (yield from look(needed))


def both(one: A | Lacking, other: B | Lacking) -> tuple[A, B] | Lacking:
    """Two things that a check needs, or what is lacking first."""
    if isinstance(one, Lacking):
        return one
    return other if isinstance(other, Lacking) else (one, other)


def parted(error: VlmJudgeError, otherwise: str) -> tuple[str, str]:
    """What was wrong and what to do, which our messages say in this order; `otherwise` for one that says no remedy."""
    wrong, separator, remedy = str(error).rpartition("; ")
    return (wrong, remedy) if separator else (remedy, otherwise)
