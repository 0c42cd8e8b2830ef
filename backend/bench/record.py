"""What a measurement leaves behind: its rows with the machine, the versions, the command and the day, as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles

Cell = str | int | float | None
"""None where nothing was measured: an empty cell."""

_PACKAGES = ("torch", "transformers", "label-studio", "ray")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    key: str
    """Of the rows' mapping."""
    heading: str
    digits: int = 0
    """Behind the point, of a float."""


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement as a table."""

    title: str
    command: str
    """What anyone would type to measure it again."""
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Cell], ...]
    notes: tuple[str, ...]
    """Sentences that a reader of the table needs."""
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    date: str
    """Of the measurement, UTC, as 2026-11-26."""


def record(
    title: str,
    command: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Cell]],
    notes: Sequence[str] = (),
    machine: Mapping[str, str] | None = None,
) -> Record:
    """A measurement made here and now; `machine` adds to what is read off this one, a GPU's name for example."""
    about = {**this_machine(), **(machine or {})}
    return Record(
        title,
        command,
        tuple(columns),
        tuple(rows),
        tuple(notes),
        about,
        _versions(),
        datetime.now(UTC).date().isoformat(),
    )


def save(record: Record, path: Path) -> None:
    """Write it as JSON. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> Record:
    """What `save` wrote. Raises OSError, ValueError and TypeError for another file."""
    found = json.loads(path.read_text(encoding="utf-8"))
    found["columns"] = tuple(Column(**column) for column in found["columns"])
    return Record(**{**found, "rows": tuple(found["rows"]), "notes": tuple(found["notes"])})


def as_markdown(record: Record) -> str:
    """The table, and under it the notes, the machine, the versions, the command and the day."""
    lines = [
        "| " + " | ".join(column.heading for column in record.columns) + " |",
        "|" + "|".join(" --- " if _is_text(record, column) else " ---: " for column in record.columns) + "|",
    ]
    lines += ["| " + " | ".join(shown(row.get(c.key), c.digits) for c in record.columns) + " |" for row in record.rows]
    about = ", ".join(f"{value}" for value in record.machine.values())
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    lines += ["", *(f"{note}\n" for note in record.notes), f"`{record.command}`, {record.date}: {about}; {versions}."]
    return "\n".join(lines)


def shown(cell: Cell, digits: int) -> str:
    """A cell as text; numbers with thousands apart."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.{digits}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def middle_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The median, and half the distance between the quartiles as a share of it; 0 for a single value."""
    middle = median(values)
    if len(values) < 2 or not middle:
        return middle, 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return middle, (high - low) / 2 / middle


def this_machine() -> dict[str, str]:
    """Processor, how many cores this process may use, memory and system."""
    return {
        "processor": _processor(),
        "cores": f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _is_text(record: Record, column: Column) -> bool:
    return any(isinstance(row.get(column.key), str) for row in record.rows)
