"""Whether the judge accepts, errs or is lenient differently from group to group, by every metadata field of the tasks.

Three things are compared, each on the tasks that it is known of: the share that the judge accepts (all tasks with a
verdict), the share that it is wrong about, and its leniency, which is acceptance less people's (both on blind labels).
A difference in acceptance alone may be the truth, for some generators write worse texts; one in error is the judge's.

All fields and all three are tested together, with p-values made good for their number (Benjamini and Yekutieli 2001,
which holds however the tests hang together). A test says that groups differ, not why: fields may go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.core.measures import Array
from backend.core.trust.bias.metadata import LeftOut, Parting, members, partings, shortened
from backend.core.trust.bias.opinions import Opinions, opinions_of
from backend.core.trust.bias.shares import (
    LEVEL,
    Index,
    Interval,
    Observed,
    Share,
    adjusted,
    difference,
    homogeneity,
    mean,
    more_or_fewer,
    net_share,
    percent,
    share,
)
from backend.core.trust.labels import LabelledProject

Compared = Literal["accepted", "wrong", "lenient"]

FEWEST_TASKS = 20
FEWEST_IMAGES = 10
"""A group with fewer is shown but not compared."""
NOTABLE = 0.03
"""Smaller differences are shown but not warned of: with many tasks everything is significant."""
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class GroupStats:
    """What is known of one group; None where nothing is."""

    name: str
    tasks: int
    images: int
    judged: int
    accepted: Share | None
    """By the judge, of the tasks that it gives a verdict on."""
    confidence: Share | None
    """The judge's mean one."""
    blind_labels: int
    """Tasks that the judge decides and people labelled who did not see that."""
    people_accept: Share | None
    """Of the tasks with a blind answer."""
    error: Share | None
    """Of the tasks with blind labels, those that the judge is wrong about; wrong also where people have no answer."""
    false_accept: Share | None
    """Of the tasks that people do not accept, those that the judge accepts."""
    false_reject: Share | None
    """Of the tasks that people accept, those that the judge does not."""
    leniency: Share | None
    """Acceptance by the judge less that by people, on the tasks with a blind answer, in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One thing compared over the groups of a field that are large enough."""

    of: Compared
    groups: tuple[str, ...]
    """The groups compared."""
    p: float | None = None
    adjusted_p: float | None = None
    """Made good for the number of all tests of the report."""
    method: str = ""
    highest: str = ""
    lowest: str = ""
    difference: Share | None = None
    """Highest less lowest, with an interval that holds for every two groups of the field at once (Bonferroni)."""
    refused: str | None = None
    """Why it is not tested."""


@dataclass(frozen=True, slots=True)
class FieldGroups:
    """A field with its groups and how they compare."""

    field: str
    quarters: bool
    """Whether its numbers were cut at their quartiles."""
    groups: tuple[GroupStats, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupReport:
    """All fields that were looked at, also those in which nothing was found."""

    fields: tuple[FieldGroups, ...]
    left_out: tuple[LeftOut, ...]
    tests: int
    """P-values were made good for so many."""
    warnings: tuple[str, ...]
    """Every field's, in their order."""


def group_report(project: LabelledProject, fields: Sequence[str] = ()) -> GroupReport:
    """The groups of every metadata field; `fields` are looked at in any case, as `partings` says."""
    opinions = opinions_of(project)
    parted, left_out = partings(project, fields)
    compared = [compare(opinions, parting) for parting in parted]
    ps = iter(adjusted([one.p for each in compared for one in each if one.p is not None]))
    reported = []
    for parting, each in zip(parted, compared, strict=True):
        groups = describe(opinions, parting)
        fair = tuple(one if one.p is None else replace(one, adjusted_p=next(ps)) for one in each)
        said = tuple(sentence for one in fair if (sentence := _warning(parting.field, one, groups)))
        reported.append(FieldGroups(parting.field, parting.quarters, groups, fair, said))
    tests = sum(one.p is not None for each in compared for one in each)
    return GroupReport(tuple(reported), left_out, tests, tuple(said for one in reported for said in one.warnings))


def describe(opinions: Opinions, parting: Parting) -> tuple[GroupStats, ...]:
    """What is known of each group."""
    return tuple(_stats(opinions, name, inside) for name, inside in members(parting))


def compare(opinions: Opinions, parting: Parting) -> tuple[Comparison, ...]:
    """The groups held against each other, with p-values as they are; nothing for what is known of no task."""
    outcomes: tuple[tuple[Compared, Array, Interval], ...] = (
        ("accepted", opinions.accepted, share),
        ("wrong", opinions.wrong, share),
        ("lenient", opinions.lenient, net_share),
    )
    return tuple(
        _comparison(of, opinions, values, interval, parting)
        for of, values, interval in outcomes
        if not np.isnan(values).all()
    )


def _stats(opinions: Opinions, name: str, inside: NDArray[np.bool_]) -> GroupStats:
    def some(values: Array, interval: Interval, *, blind: bool = True) -> Share | None:
        chosen = np.where(inside, values, np.nan)
        seen = opinions.of_slice(chosen) if blind else opinions.of_project(chosen)
        return interval(seen, LEVEL) if len(seen.values) else None

    people, accepted = opinions.people_accept, opinions.accepted
    return GroupStats(
        name=name,
        tasks=int(inside.sum()),
        images=len(np.unique(opinions.images[inside])),
        judged=int((~np.isnan(opinions.confidence[inside])).sum()),
        accepted=some(accepted, share, blind=False),
        confidence=some(opinions.confidence, mean, blind=False),
        blind_labels=int((~np.isnan(opinions.wrong[inside])).sum()),
        people_accept=some(people, share),
        error=some(opinions.wrong, share),
        false_accept=some(np.where(people == 0, accepted, np.nan), share),
        false_reject=some(np.where(people == 1, 1 - accepted, np.nan), share),
        leniency=some(opinions.lenient, net_share),
    )


def _comparison(of: Compared, opinions: Opinions, values: Array, interval: Interval, parting: Parting) -> Comparison:
    known = ~np.isnan(values)
    large = [
        number
        for number, (_, inside) in enumerate(members(parting))
        if (chosen := inside & known).sum() >= FEWEST_TASKS and len(np.unique(opinions.images[chosen])) >= FEWEST_IMAGES
    ]
    names = tuple(parting.names[number] for number in large)
    if len(large) < 2:
        return Comparison(of, names, refused=f"fewer than two groups have {FEWEST_TASKS} tasks it is known of")
    chosen = known & np.isin(parting.index, large)
    weights = np.ones(len(values)) if of == "accepted" else opinions.weights
    observed = Observed(values[chosen], opinions.images[chosen], weights[chosen])
    groups: Index = np.searchsorted(np.array(large), parting.index[chosen])
    parts = [observed.where(groups == number) for number in range(len(large))]
    high, low, gap = _largest(parts, interval)
    tested = homogeneity(observed, groups)
    if isinstance(tested, str):
        return Comparison(of, names, None, None, "", names[high], names[low], gap, tested)
    return Comparison(of, names, tested.p, None, tested.method, names[high], names[low], gap)


def _largest(parts: Sequence[Observed], interval: Interval) -> tuple[int, int, Share]:
    order = sorted(range(len(parts)), key=lambda number: (-parts[number].mean, number))
    high, low = order[0], order[-1]
    pairs = len(list(combinations(parts, 2)))
    return high, low, difference(parts[high], parts[low], interval, 1 - (1 - LEVEL) / pairs)


def _warning(field: str, one: Comparison, groups: Sequence[GroupStats]) -> str | None:
    """A sentence where the groups differ surely and by something; None else."""
    gap = one.difference
    if one.adjusted_p is None or one.adjusted_p > ALPHA or gap is None or gap.value < NOTABLE:
        return None
    by_name = {group.name: group for group in groups}
    high, low = by_name[one.highest], by_name[one.lowest]
    said = {"accepted": _of_acceptance, "wrong": _of_error, "lenient": _of_leniency}[one.of](high, low)
    apart = f"{round(100 * gap.value)} points apart, {round(100 * gap.low)} to {round(100 * gap.high)}"
    return f"{field}: the judge {said.format(high=_quoted(high), low=_quoted(low), apart=apart)}"


def _of_acceptance(high: GroupStats, low: GroupStats) -> str:
    said = f"accepts {percent(high.accepted)} of the tasks with {{high}} and {percent(low.accepted)} of those with "
    said += "{low} ({apart}); "
    enough = all(one is not None and one.of >= FEWEST_TASKS for one in (high.people_accept, low.people_accept))
    if not enough:
        return f"{said}there are too few blind labels to say whether people would too."
    return f"{said}people who labelled blind accept {percent(high.people_accept)} and {percent(low.people_accept)}."


def _of_error(high: GroupStats, low: GroupStats) -> str:
    said = f"is wrong about {percent(high.error)} of the tasks with {{high}} and {percent(low.error)} of those with "
    times = (
        f", {high.error.value / low.error.value:.2g} times as often"
        if high.error and low.error and low.error.value > 0
        else ""
    )
    return f"{said}{{low}}{times} ({{apart}})."


def _of_leniency(high: GroupStats, low: GroupStats) -> str:
    return (
        f"accepts {more_or_fewer(high.leniency)} than people who labelled blind of the tasks with {{high}}, and "
        f"{more_or_fewer(low.leniency)} of those with {{low}} ({{apart}})."
    )


def _quoted(group: GroupStats) -> str:
    return f"“{shortened(group.name)}”"
