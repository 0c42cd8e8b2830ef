"""A store that keeps nothing: the output of a batch is its own memory, and a billion verdicts have no second place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.core.types import Verdict
from backend.store import Store
from backend.store.verdicts import VerdictBook


class NoVerdicts(VerdictBook):
    """Knows none, and takes what it is given without a word."""

    def __init__(self) -> None:
        """Without a database."""

    def get(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """None of them."""
        return {}

    def put(self, verdicts: Mapping[str, Verdict]) -> None:
        """Nothing is kept."""


class Forgetful(Store):
    """Has verdicts only, and of those none; the jobs and feedback of a project have no part in a batch."""

    def __init__(self) -> None:
        """Without a database."""
        self.verdicts = NoVerdicts()

    def close(self) -> None:
        """Nothing is open."""
