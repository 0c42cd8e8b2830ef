"""Counts what goes into an export and what stays out, while it streams by. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from backend.annotated import AnnotatedTask
from exporters.records.consolidate import Outcome
from exporters.records.record import LeftOut, Record

_LANGUAGE_FIELDS = ("language", "lang", "locale")
"""Where tasks say their language; the first that one has."""
_HUB = re.compile(r"(?:hf://datasets/|https://huggingface\.co/datasets/)([\w.-]+/[\w.-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of a finished export; `tasks_in` is `tasks_out` plus all that was left out."""

    tasks_in: int
    tasks_out: int
    """Tasks that have rows; one row each unless all annotations are kept."""
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
    blind: int = 0
    """Rows decided by a person who could not see the judge's answer."""
    audit: int = 0
    """Rows of tasks that were drawn at random to be labelled so."""
    flags: Mapping[str, int] = field(default_factory=dict)
    """Rows by what is to be known before trusting the judge's verdict."""
    generators: Mapping[str, int] = field(default_factory=dict)
    """Rows by the model that wrote their text, as far as the data say; so are the next three."""
    licences: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    """Only datasets of the Hub, as user/name."""
    languages: Mapping[str, int] = field(default_factory=dict)
    """Tasks that have rows, by language."""
    newest: datetime | None = None
    """When the last of the answers was given that tasks with rows have."""

    @property
    def seen(self) -> int:
        """Rows that a person decided."""
        return sum(self.decided_by.get(name, 0) for name in ("confirmed", "corrected", "human"))

    def balance(self) -> str:
        """Tasks in, rows out and what was left out, in one line."""
        of = "" if self.tasks_out == self.rows_out else f" of {self.tasks_out} tasks"
        left_out = "".join(f" + {len(ids)} left out ({reason})" for reason, ids in self.left_out.items())
        return f"{self.tasks_in} tasks = {self.rows_out} rows{of}{left_out}"


@dataclass(slots=True)
class Tally:
    """Grows with each task; `counts` closes it."""

    left_out: dict[str, list[int]] = field(default_factory=dict)
    missing_text: list[int] = field(default_factory=list)
    missing_images: list[int] = field(default_factory=list)
    annotators: set[str] = field(default_factory=set)
    tasks_out: int = 0
    newest: datetime | None = None
    _seen: dict[int, tuple[str | None, datetime | None]] = field(default_factory=dict)
    _counters: dict[str, Counter[str]] = field(default_factory=dict)
    _pairs: dict[bool, Counter[tuple[str, str]]] = field(default_factory=lambda: {True: Counter(), False: Counter()})

    def see(self, task: AnnotatedTask) -> None:
        """Note what a record does not carry; before the task is counted, which may be some tasks later."""
        language = next((said for key in _LANGUAGE_FIELDS if (said := task.data.get(key))), None)
        times = [one.updated_at or one.created_at for one in task.annotations]
        times += [one.created_at for one in task.predictions]
        newest = max((time for time in times if time is not None), default=None)
        self._seen[task.id] = (language.strip() if isinstance(language, str) else None, newest)

    def add(self, outcome: Outcome) -> None:
        """Count one task."""
        task = outcome.task_id if isinstance(outcome, LeftOut) else outcome[0].task_id
        language, newest = self._seen.pop(task, (None, None))
        if isinstance(outcome, LeftOut):
            self.left_out.setdefault(outcome.reason, []).append(outcome.task_id)
            return
        self.tasks_out += 1
        self._count("languages", language or None)
        self.newest = max((time for time in (self.newest, newest) if time is not None), default=None)
        for record in outcome:
            self._add(record)
        if any(record.final_text_source == "missing" for record in outcome):
            self.missing_text.append(outcome[0].task_id)
        self.annotators.update(outcome[0].annotators)

    def _add(self, record: Record) -> None:
        self._count("decided_by", record.decided_by)
        self._count("text_sources", record.final_text_source)
        self._count("fingerprints", record.fingerprint)
        self._count("verdicts", record.verdict or "none")
        for control in record.corrected_controls or ():
            self._count("corrected", control)
        self._add_origin(record)
        if record.annotation_count > 1:
            self._count("several", "disagree" if record.verdicts_agree is False else "agree")
        if record.human_verdict and record.judge_verdict:
            self._pairs[record.decided_by != "human"][record.human_verdict, record.judge_verdict] += 1

    def _add_origin(self, record: Record) -> None:
        came = record.provenance
        self._count("generators", came.generator)
        self._count("licences", came.licence)
        self._count("sources", _dataset(came.source))
        for flag in record.details[record.deciding].flags if record.deciding in record.details else ():
            self._count("flags", flag)
        self._count("audit", "yes" if record.audit else None)
        self._count("blind", "yes" if record.saw_prediction is False else None)

    def counts(self) -> Counts:
        """What has been counted."""
        rows = sum(self._counter("decided_by").values())
        several = self._counter("several")
        return Counts(
            tasks_in=self.tasks_out + sum(len(ids) for ids in self.left_out.values()),
            tasks_out=self.tasks_out,
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
            blind=self._counter("blind")["yes"],
            audit=self._counter("audit")["yes"],
            flags=self._frozen("flags"),
            generators=self._frozen("generators"),
            licences=self._frozen("licences"),
            sources=self._frozen("sources"),
            languages=self._frozen("languages"),
            newest=self.newest,
        )

    def _counter(self, name: str) -> Counter[str]:
        return self._counters.setdefault(name, Counter())

    def _count(self, name: str, key: str | None) -> None:
        if key is not None:
            self._counter(name)[key] += 1

    def _frozen(self, name: str) -> Mapping[str, int]:
        return MappingProxyType(dict(sorted(self._counter(name).items())))


def _dataset(source: str | None) -> str | None:
    """The dataset of the Hub that a source is in; None for any other."""
    found = _HUB.match(source or "")
    return found[1] if found else None
