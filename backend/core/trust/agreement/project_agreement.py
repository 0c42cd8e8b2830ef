"""How well the judge agrees with people, and people with each other, in every control of a form with fixed answers.

Labels of people who could not see the judge's answer and of people who could are never mixed. The judge is held
against one answer per task: what most people say in the control, else the latest, by `consolidated_value`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from backend.core.kinds import Kind
from backend.core.label_config import Control
from backend.core.measures import Array, NotComputable, Outcome
from backend.core.trust.agreement.answers import Item, Measured, NotMeasured, item_of, measured_as, scale_of
from backend.core.trust.agreement.raters import (
    Category,
    Confusion,
    Level,
    Ratings,
    Weights,
    alpha_of_numbers,
    cohen_kappa,
    confusion,
    gwet_ac,
    krippendorff_alpha,
    mean_over_units,
)
from backend.core.trust.agreement.resampling import honest_at_the_ends
from backend.core.trust.labels import LabelledProject
from backend.core.trust.slices import Slice, judges_value, slice_of
from backend.core.trust.truth import most_said, value_of

RESAMPLES = 500
"""Enough for two digits of an interval, and few enough for a hundred thousand tasks."""
MOST_ANSWERS = 30
"""With more different answers than this a table of all pairs of them says nothing, and no coefficient is made."""
JUDGE = "the judge"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two or more raters agree in one control; 'cannot be computed' always says why."""

    tasks: int
    """That were rated by two, or by the judge and somebody."""
    images: int
    raters: int
    percent: Outcome
    """Of pairs of raters of a task, how many say the same, in [0, 1]. A near miss is a miss."""
    overlap: Outcome
    """For sets: the mean of what both chose over what either chose (Jaccard 1912); 1 where both chose nothing."""
    kappa: Outcome
    """Cohen's, of two raters; on steps with quadratic weights."""
    alpha: Outcome
    """Krippendorff's: nominal for answers, ordinal for steps, interval for numbers."""
    ac: Outcome
    """Gwet's AC1 for answers, AC2 with quadratic weights for steps."""
    confusion: Confusion | NotComputable
    """Rows are the judge's answers, or those of the first of two people by name; counts of tasks, never weighted."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The judge beside people, and people beside each other, on the same tasks."""

    judge: Agreement
    people: Agreement


@dataclass(frozen=True, slots=True)
class ControlAgreement:
    """Agreement in one control."""

    control: str
    tag: str
    measured_as: Measured
    blind: Compared
    shown: Compared


@dataclass(frozen=True, slots=True)
class ProjectAgreement:
    """Agreement in every control that has a fixed set of answers."""

    kind: Kind
    controls: tuple[ControlAgreement, ...]
    """In the form's order."""
    not_measured: tuple[NotMeasured, ...]
    weighted: bool
    """Whether tasks were drawn into the blind slice with unequal probability: then every number of the blind labels but
    the table and the counts is weighted by one over it, and holds for the project; else each task counts the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What raters said, one row of two or more per task."""

    items: tuple[tuple[Item, ...], ...]
    raters: frozenset[str]
    clusters: NDArray[np.intp]
    """The number of each task's image."""
    weights: tuple[float, ...] | None


def agreement_of(project: LabelledProject) -> ProjectAgreement:
    """Agreement in every control of the project that has a fixed set of answers."""
    blind, shown = slice_of(project, "blind"), slice_of(project, "shown")
    controls = []
    not_measured = []
    for control in project.config.controls:
        measured = measured_as(control)
        if isinstance(measured, NotMeasured):
            not_measured.append(measured)
            continue
        sides = [_compared(side, control, measured) for side in (blind, shown)]
        controls.append(ControlAgreement(control.name, control.tag, measured, *sides))
    return ProjectAgreement(project.kind, tuple(controls), tuple(not_measured), blind.weights is not None)


def judge_and_people(labelled: Slice, control: Control, measured: Measured) -> Rows:
    """The judge's answer and that of people, per task that has both."""
    numbers, items = [], []
    for number, (task, labels) in enumerate(zip(labelled.tasks, labelled.labels, strict=True)):
        ours = None if task.judge is None else judges_value(task.judge, control)
        if ours is None:
            continue
        theirs = most_said([value for one in labels if (value := value_of(one, control)) is not None])
        if theirs is not None:
            numbers.append(number)
            items.append((item_of(ours, measured), item_of(theirs, measured)))
    return _rows(labelled, numbers, items, frozenset({JUDGE, "people"}))


def people_and_people(labelled: Slice, control: Control, measured: Measured) -> Rows:
    """The answers of all people, per task that two or more answered; in the order of their names."""
    numbers, items = [], []
    names: set[str] = set()
    for number, labels in enumerate(labelled.labels):
        if len(labels) < 2:
            continue
        said = [(one.annotator, value) for one in labels if (value := value_of(one, control)) is not None]
        if len(said) > 1:
            said.sort(key=_name)
            numbers.append(number)
            items.append(tuple(item_of(value, measured) for _, value in said))
            names.update(name for name, _ in said)
    return _rows(labelled, numbers, items, frozenset(names))


def agreed_share(row: Sequence[Item]) -> float:
    """Of the pairs of raters, how many say the same."""
    if len(row) == 2:
        return float(row[0] == row[1])
    return sum(times * (times - 1) for times in Counter(row).values()) / (len(row) * (len(row) - 1))


def _name(said: tuple[str, object]) -> str:
    return said[0]


def _rows(labelled: Slice, numbers: Sequence[int], items: Sequence[tuple[Item, ...]], names: frozenset[str]) -> Rows:
    weights = labelled.weights
    own = None if weights is None else tuple(weights[number] for number in numbers)
    return Rows(tuple(items), names, labelled.images[np.array(numbers, dtype=np.intp)], own)


def _compared(labelled: Slice, control: Control, measured: Measured) -> Compared:
    judge, people = (rows(labelled, control, measured) for rows in (judge_and_people, people_and_people))
    return Compared(
        _agreement(judge, control, measured, "no task with an answer of the judge and of people"),
        _agreement(people, control, measured, "no task with the answers of two people"),
    )


def _agreement(rows: Rows, control: Control, measured: Measured, empty: str) -> Agreement:
    counts = (len(rows.items), len(np.unique(rows.clusters)), len(rows.raters))
    if not rows.items:
        why = NotComputable(empty, 0)
        return Agreement(*counts, why, why, why, why, why, why)

    def mean(of: Callable[[tuple[Item, ...]], float]) -> Outcome:
        values = np.array([of(row) for row in rows.items])
        return mean_over_units(values, rows.clusters, _scaled(rows), resamples=RESAMPLES)

    percent = honest_at_the_ends(mean(agreed_share))
    if measured == "sets":
        why = NotComputable("the answers are sets, of which there are too many for a coefficient", len(rows.items))
        return Agreement(*counts, percent, mean(_overlap), why, why, why, why)
    no_sets = NotComputable("only answers that are sets overlap in part", len(rows.items))
    if measured == "numbers":
        numbers = [[float(x) for x in row if isinstance(x, int | float)] for row in rows.items]
        alpha = alpha_of_numbers(numbers, rows.clusters, rows.weights, resamples=RESAMPLES)
        why = NotComputable("numbers have no fixed set of answers: read alpha", len(rows.items))
        return Agreement(*counts, percent, no_sets, why, alpha, why, why)
    kappa, alpha, ac, table = _of_categories(rows, control, measured)
    return Agreement(*counts, percent, no_sets, kappa, alpha, ac, table)


def _of_categories(
    rows: Rows, control: Control, measured: Measured
) -> tuple[Outcome, Outcome, Outcome, Confusion | NotComputable]:
    """Kappa, alpha, AC and the table."""
    scale = scale_of(control, [item for row in rows.items for item in row if not isinstance(item, frozenset)])
    if not 2 <= len(scale) <= MOST_ANSWERS:
        too = "there is only one answer to give" if len(scale) < 2 else f"there are more than {MOST_ANSWERS} answers"
        why = NotComputable(too, len(rows.items))
        return why, why, why, why
    given = _ratings(rows, scale)
    weights: Weights = "quadratic" if measured == "steps" else "identity"
    level: Level = "ordinal" if measured == "steps" else "nominal"
    alpha = krippendorff_alpha(given, level, resamples=RESAMPLES)
    ac = gwet_ac(given, weights, resamples=RESAMPLES)
    if len(rows.raters) != 2:
        why = NotComputable(f"it is for two raters, and these are {len(rows.raters)}", len(rows.items))
        return why, alpha, ac, why
    return cohen_kappa(given, weights, resamples=RESAMPLES), alpha, ac, confusion(given)


def _ratings(rows: Rows, scale: Sequence[Category]) -> Ratings:
    """Places on the scale; a row is as long as the most people who said something of one task."""
    place: Mapping[Item, float] = {category: float(number) for number, category in enumerate(scale)}
    lengths = np.fromiter(map(len, rows.items), np.intp, len(rows.items))
    places = np.full((len(rows.items), int(lengths.max())), np.nan)
    places[np.arange(places.shape[1]) < lengths[:, None]] = [place[item] for row in rows.items for item in row]
    return Ratings(tuple(scale), places, rows.clusters, _scaled(rows))


def _scaled(rows: Rows) -> Array | None:
    return None if rows.weights is None else np.array(rows.weights) / np.mean(rows.weights)


def _overlap(row: tuple[Item, ...]) -> float:
    pairs = [(one, other) for one, other in combinations(row, 2) if isinstance(one, frozenset)]
    return sum(_jaccard(one, other) for one, other in pairs if isinstance(other, frozenset)) / len(pairs)


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0
