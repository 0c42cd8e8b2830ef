"""What the scenarios came to, as lines and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """Of one scenario."""

    name: str
    took_s: float
    said: tuple[str, ...]
    wrong: tuple[str, ...]
    left_out: str = ""
    """Why it could not be run here; empty where it was."""

    @property
    def is_good(self) -> bool:
        """Whether it was run, and everything held that must hold."""
        return not self.wrong and not self.left_out

    @property
    def outcome(self) -> tuple[str, ...]:
        """In words."""
        if self.wrong:
            return self.wrong
        return (f"not run: {self.left_out}" if self.left_out else "ok",)


def line(result: Result) -> str:
    """One scenario, as it is printed when it is done."""
    verdict = ("WRONG: " if result.wrong else "") + "; ".join(result.outcome)
    return f"{result.name}: {'; '.join(result.said) or 'nothing said'} ({result.took_s:.0f} s) {verdict}"


def table(results: Sequence[Result]) -> str:
    """All of them, how many are good, and how many were not run."""
    width = max(len(result.name) for result in results)
    rows = [f"{'scenario':{width}}  {'seconds':>7}  outcome"]
    for result in results:
        first, *rest = result.outcome
        rows.append(f"{result.name:{width}}  {result.took_s:>7.0f}  {first}")
        rows += [f"{'':{width}}  {'':>7}  {other}" for other in rest]
    good, left_out = sum(result.is_good for result in results), sum(bool(result.left_out) for result in results)
    rows.append(f"{good} of {len(results)} scenarios held" + (f", {left_out} could not be run" if left_out else ""))
    return "\n".join(rows)
