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

    @property
    def is_good(self) -> bool:
        """Whether everything held that must hold."""
        return not self.wrong


def line(result: Result) -> str:
    """One scenario, as it is printed when it is done."""
    verdict = "ok" if result.is_good else "WRONG: " + "; ".join(result.wrong)
    return f"{result.name}: {'; '.join(result.said) or 'nothing said'} ({result.took_s:.0f} s) {verdict}"


def table(results: Sequence[Result]) -> str:
    """All of them, and how many are good."""
    width = max(len(result.name) for result in results)
    rows = [f"{'scenario':{width}}  {'seconds':>7}  outcome"]
    for result in results:
        first, *rest = result.wrong or ("ok",)
        rows.append(f"{result.name:{width}}  {result.took_s:>7.0f}  {first}")
        rows += [f"{'':{width}}  {'':>7}  {other}" for other in rest]
    good = sum(result.is_good for result in results)
    return "\n".join([*rows, f"{good} of {len(results)} scenarios held"])
