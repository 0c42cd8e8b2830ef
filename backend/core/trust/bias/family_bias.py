"""Whether the judge likes texts that a model of its own family wrote."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.core.families import family, same_family
from backend.core.trust.accepted import gives_verdicts
from backend.core.trust.bias.association import partial_p, slope
from backend.core.trust.bias.groups import FEWEST_TASKS, GroupStats, describe
from backend.core.trust.bias.metadata import Parting
from backend.core.trust.bias.opinions import Opinions
from backend.core.trust.bias.shares import Index, Share, difference, more_or_fewer, net_share
from backend.core.trust.labels import LabelledProject

_DIGEST = re.compile(r"-[0-9a-f]{12}$")


@dataclass(frozen=True, slots=True)
class FamilyBias:
    """Whether the judge accepts more of its own family's texts than people do, by the tasks' `generator`."""

    judge_model: str
    families: tuple[GroupStats, ...] = ()
    """By model family, the largest first."""
    own: GroupStats | None = None
    others: GroupStats | None = None
    difference: Share | None = None
    """The judge's acceptance less people's, of its own family's texts less of the others'."""
    at_same_answer: Share | None = None
    """How much more of its own family's texts the judge accepts among those that people answer alike.

    A judge that accepts too much of everything is more lenient with whoever writes worse; this is not moved by that.
    """
    p: float | None = None
    """That `at_same_answer` is 0."""
    adjusted_p: float | None = None
    refused: str | None = None
    """Why it is not tested."""
    warning: str | None = None


def family_bias(project: LabelledProject, opinions: Opinions) -> FamilyBias:
    """Own family against all others, on blind labels."""
    judge = judge_model(project.fingerprint)
    if not gives_verdicts(project.config):
        return FamilyBias(judge, refused="the form asks for no verdict")
    generators = [str(task.data.get("generator") or "") for task in project.tasks]
    if not any(generators):
        return FamilyBias(judge, refused="no task says in `generator` which model wrote its text")
    lines = {name: family(name) if name else None for name in set(generators)}
    side = {name: int(same_family(name, judge)) if name else -1 for name in lines}
    families = _parting([lines[name] for name in generators])
    sides = np.array([side[name] for name in generators], dtype=np.intp)
    others, own = describe(opinions, Parting("family", ("other families", "own family"), sides))
    found = FamilyBias(judge, describe(opinions, families), own, others)
    return _compared(found, opinions, sides)


def family_warning(found: FamilyBias, notable: float) -> str | None:
    """A sentence where own texts are judged otherwise by something; whether surely is for the caller to say."""
    same, own, others = found.at_same_answer, found.own, found.others
    if same is None or own is None or others is None or abs(same.value) < notable:
        return None
    word, low, high = "more" if same.value > 0 else "fewer", round(100 * same.low), round(100 * same.high)
    return (
        f"generator family: of texts that people answer alike, the judge ({found.judge_model}) accepts "
        f"{abs(round(100 * same.value))} points {word} by its own family ({low} to {high}); "
        f"it accepts {more_or_fewer(own.leniency)} of its own family's texts than people do, and "
        f"{more_or_fewer(others.leniency)} of the others'."
    )


def judge_model(fingerprint: str) -> str:
    """The judge's model, which a fingerprint starts with, without the digest that ends it."""
    return _DIGEST.sub("", fingerprint)


def _compared(found: FamilyBias, opinions: Opinions, sides: Index) -> FamilyBias:
    lenient = opinions.lenient
    known = ~np.isnan(lenient) & (sides >= 0)
    counts = [int((known & (sides == side)).sum()) for side in (1, 0)]
    if min(counts) < FEWEST_TASKS:
        return replace(
            found,
            refused=f"{FEWEST_TASKS} blind answers are needed on texts of its own family and of others; there are "
            f"{counts[0]} and {counts[1]}",
        )
    own, others = (opinions.of_slice(np.where(known & (sides == side), lenient, np.nan)) for side in (1, 0))
    columns = (
        opinions.accepted[known],
        sides[known].astype(np.float64),
        opinions.people_accept[known],
        opinions.images[known],
        opinions.weights[known],
    )
    return replace(
        found,
        difference=difference(own, others, net_share),
        at_same_answer=slope(*columns),
        p=partial_p(*columns),
    )


def _parting(families: Sequence[str | None]) -> Parting:
    ordered = [name for name, _ in Counter(name for name in families if name is not None).most_common()]
    numbers = {name: number for number, name in enumerate(ordered)}
    index = np.array([-1 if name is None else numbers[name] for name in families], dtype=np.intp)
    return Parting("family", tuple(ordered), index)
