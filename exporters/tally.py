"""Counts what goes into an export and what stays out, while it streams by. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from exporters.consolidate import LeftOut, Record


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of a finished export; `tasks_in` is `rows_out` plus all that was left out."""

    tasks_in: int
    rows_out: int
    left_out: Mapping[str, tuple[int, ...]]
    """Task ids by reason."""
    decided_by: Mapping[str, int]
    text_sources: Mapping[str, int]
    prefilled: Mapping[tuple[str, str], int]
    """Rows by (human verdict, judge verdict) where the person started from the judge's answer."""
    unprefilled: Mapping[tuple[str, str], int]
    """The same where the person did not."""
    verdicts: Mapping[str, int]
    """Rows by the verdict that decides: the person's, else the judge's; `none` where there is none."""
    corrected: Mapping[str, int]
    """Rows in which a person changed the control."""
    fingerprints: Mapping[str, int]
    annotators: int
    several: int
    """Rows with more than one annotation."""
    disagreeing: int
    """Rows whose annotations give different verdicts."""
    missing_text: tuple[int, ...]
    """Tasks whose fix nobody has written, that only a judge saw and gave no verdict, or without a (preferred) text."""
    missing_images: tuple[int, ...]


@dataclass(slots=True)
class Tally:
    """Grows with each task; `counts` closes it."""

    left_out: dict[str, list[int]] = field(default_factory=dict)
    missing_text: list[int] = field(default_factory=list)
    missing_images: list[int] = field(default_factory=list)
    annotators: set[str] = field(default_factory=set)
    _counters: dict[str, Counter[str]] = field(default_factory=dict)
    _pairs: dict[bool, Counter[tuple[str, str]]] = field(default_factory=lambda: {True: Counter(), False: Counter()})

    def add(self, outcome: Record | LeftOut) -> None:
        """Count one task."""
        if isinstance(outcome, LeftOut):
            self.left_out.setdefault(outcome.reason, []).append(outcome.task_id)
            return
        self._count("decided_by", outcome.decided_by)
        self._count("text_sources", outcome.final_text_source)
        self._count("fingerprints", outcome.fingerprint)
        deciding = outcome.judge_verdict if outcome.human is None else outcome.human_verdict
        self._count("verdicts", deciding or "none")
        for control in outcome.corrected_controls or ():
            self._count("corrected", control)
        if outcome.annotation_count > 1:
            self._count("several", "disagree" if outcome.verdicts_agree is False else "agree")
        if outcome.human_verdict and outcome.judge_verdict:
            self._pairs[outcome.decided_by != "human"][outcome.human_verdict, outcome.judge_verdict] += 1
        if outcome.final_text_source == "missing":
            self.missing_text.append(outcome.task_id)
        self.annotators.update(outcome.annotators)

    def counts(self) -> Counts:
        """What has been counted."""
        rows = sum(self._counter("decided_by").values())
        several = self._counter("several")
        return Counts(
            tasks_in=rows + sum(len(ids) for ids in self.left_out.values()),
            rows_out=rows,
            left_out=MappingProxyType({reason: tuple(ids) for reason, ids in sorted(self.left_out.items())}),
            decided_by=self._frozen("decided_by"),
            text_sources=self._frozen("text_sources"),
            prefilled=MappingProxyType(dict(self._pairs[True])),
            unprefilled=MappingProxyType(dict(self._pairs[False])),
            verdicts=self._frozen("verdicts"),
            corrected=self._frozen("corrected"),
            fingerprints=self._frozen("fingerprints"),
            annotators=len(self.annotators),
            several=sum(several.values()),
            disagreeing=several["disagree"],
            missing_text=tuple(self.missing_text),
            missing_images=tuple(self.missing_images),
        )

    def _counter(self, name: str) -> Counter[str]:
        return self._counters.setdefault(name, Counter())

    def _count(self, name: str, key: str | None) -> None:
        if key is not None:
            self._counter(name)[key] += 1

    def _frozen(self, name: str) -> Mapping[str, int]:
        return MappingProxyType(dict(sorted(self._counter(name).items())))
