"""Which fields of the tasks' data are about the task rather than judged, and which groups they part the tasks into."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.core.label_config import LabelConfig
from backend.core.sample import data_value
from backend.core.trust.bias.shares import Index
from backend.core.trust.labels import LabelledProject

MOST_VALUES = 30
"""A field with more different values makes no groups, unless it is asked for."""
MOST_NUMBERS = 12
"""Numbers with more different values are cut into quarters; months are not."""
NOT_GIVEN = "not given"


@dataclass(frozen=True, slots=True, eq=False)
class Parting:
    """A field's groups."""

    field: str
    names: tuple[str, ...]
    """The largest group first, quarters from low to high; tasks without a value are the last group."""
    index: Index
    """One group's number per task of the project; -1 for a task that is in none."""
    quarters: bool = False
    """Whether numbers were cut, at their quartiles, into groups named by their least and greatest."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A field that was not looked at, and why."""

    field: str
    reason: str


def partings(project: LabelledProject, fields: Sequence[str] = ()) -> tuple[tuple[Parting, ...], tuple[LeftOut, ...]]:
    """The groups of every field that makes some, in alphabetical order, and the other fields.

    What the label config shows is judged or helps to judge, so it is no field. `fields` are looked at in any case: also
    a shown one, one within others (`meta.source`), and one with many values, of which the 29 commonest are kept and the
    others put together.
    """
    shown = _shown(project.config)
    names = {str(key) for task in project.tasks for key in task.data}
    found = [_parting(project, field, asked=field in fields) for field in sorted({*fields, *(names - shown)}) if field]
    return (
        tuple(one for one in found if isinstance(one, Parting)),
        tuple(one for one in found if isinstance(one, LeftOut)),
    )


def quarters(field: str, numbers: Sequence[float | None]) -> Parting | None:
    """Numbers, one per task, cut at their quartiles; equal ones stay together. None where they are all the same."""
    known = np.array([math.nan if number is None else number for number in numbers], dtype=np.float64)
    given = ~np.isnan(known)
    if not given.any() or np.ptp(known[given]) == 0:
        return None
    cuts = np.unique(np.quantile(known[given], (0.25, 0.5, 0.75), method="inverted_cdf"))
    place = np.searchsorted(cuts, known, side="left")
    _, place = np.unique(np.where(given, place, len(cuts) + 1), return_inverse=True)
    parts = int(place[given].max()) + 1
    labels = [_range(known[given & (place == part)]) for part in range(parts)]
    return Parting(field, (*labels, *([NOT_GIVEN] if not given.all() else [])), place.astype(np.intp), quarters=True)


def members(parting: Parting) -> Iterator[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]]:
    """Each group's name, and which tasks are in it."""
    for number, name in enumerate(parting.names):
        yield name, parting.index == number


def shortened(name: str, most: int = 60) -> str:
    """A group's name in a sentence."""
    line = " ".join(name.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _shown(config: LabelConfig) -> set[str]:
    keys = {item.key for item in config.objects if item.key}
    return keys | {re.split(r"[.\[]", key)[0] for key in keys}


def _parting(project: LabelledProject, field: str, *, asked: bool) -> Parting | LeftOut:
    values = [_scalar(data_value(task.data, field)) for task in project.tasks]
    if any(isinstance(value, _Other) for value in values):
        return LeftOut(field, "its values are lists or objects")
    known = [value for value in values if value is not None]
    names = [_name(value) if value is not None else NOT_GIVEN for value in values]
    distinct = len({_name(value) for value in known})
    if not known:
        return LeftOut(field, "no task has a value there")
    if distinct > MOST_NUMBERS and all(isinstance(value, int | float) for value in known):
        numbers = [float(value) if isinstance(value, int | float) else None for value in values]
        return quarters(field, numbers) or LeftOut(field, "all values are the same")
    if len(set(names)) == 1:
        return LeftOut(field, f"all tasks have the value “{shortened(names[0])}”")
    if not asked and distinct > MOST_VALUES:
        return LeftOut(field, f"{distinct:,} different values, more than {MOST_VALUES}")
    if not asked and 2 * distinct > len(known):
        return LeftOut(field, "nearly every task has a value of its own")
    return _by_name(field, names)


def _by_name(field: str, names: Sequence[str]) -> Parting:
    count = Counter(names)
    without = count.pop(NOT_GIVEN, 0)
    ordered = sorted(count, key=lambda name: (-count[name], name))
    if len(ordered) > MOST_VALUES:
        kept = ordered[: MOST_VALUES - 1]
        rest = f"{len(ordered) - len(kept)} other values"
        numbers = {name: min(at, len(kept)) for at, name in enumerate(ordered)}
        ordered = [*kept, rest]
    else:
        numbers = {name: at for at, name in enumerate(ordered)}
    numbers[NOT_GIVEN] = len(ordered)
    index = np.array([numbers[name] for name in names], dtype=np.intp)
    return Parting(field, (*ordered, *([NOT_GIVEN] if without else [])), index)


class _Other:
    """A value that names no group."""


def _scalar(value: Any) -> str | int | float | bool | _Other | None:
    """None for what is missing, empty or no number."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, str):
        return value if value.strip() else None
    return value if isinstance(value, int | float) else _Other()


def _name(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _range(numbers: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    low, high = (f"{value:.6g}" for value in (numbers.min(), numbers.max()))
    return low if low == high else f"{low} to {high}"
