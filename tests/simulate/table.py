"""From many simulated projects to the table in docs/trust.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from backend.bench.record import Cell, Column, Record, record
from backend.core.trust.acceptance.intervals import exact
from tests.simulate.judges import EDGE, GOOD_SAMPLES, JUDGES, TASKS, Judge
from tests.simulate.trial import AUDITED, CERTIFIED_ON, FITTED_ON, MAX_BAD, PROMISE, Trial, run

COLUMNS = (
    Column("judge", "Judge"),
    Column("right", "Right, %", 1),
    Column("certified", "Certified, % of projects", 1),
    Column("accepted", "Of them accepted, % of tasks", 1),
    Column("broken", "Promise broken, % of projects", 2),
    Column("broken_interval", "95 % interval"),
    Column("bad_accepted", "Accepted and wrong, % of tasks", 2),
    Column("covered", "Quality interval holds, %", 1),
    Column("covered_interval", "95 % interval"),
    Column("length", "Its length, labels alone = 100", 0),
    Column("later_wrong", "Later wrong among accepted, %", 1),
    Column("alarms", "Alarm, % of certified", 1),
    Column("alarm_at", "Alarm after so many checked", 0),
)


def simulate(projects: int, seed: int = 0) -> Record:
    """So many projects of each judge, the same for the same seed."""
    rows = tuple(row(judge, trials(judge, projects, seed + place)) for place, judge in enumerate(JUDGES))
    return record(
        "Simulated projects",
        f"python -m tests.simulate --projects {projects}",
        COLUMNS,
        rows,
        notes(projects),
    )


def trials(judge: Judge, projects: int, seed: int) -> list[Trial]:
    """One after the other."""
    rng = np.random.default_rng(seed)
    return [run(judge, rng) for _ in range(projects)]


def row(judge: Judge, done: Sequence[Trial]) -> dict[str, Cell]:
    """One judge's line, all in per cent."""
    certified = [trial for trial in done if trial.accepted is not None]
    alarms = [trial.alarm_at for trial in certified if trial.alarm_at is not None]
    broken, covered = sum(trial.broken for trial in done), sum(trial.covered for trial in done)
    return {
        "judge": f"{judge.name}: {judge.about}",
        "projects": len(done),
        "right": mean(trial.right for trial in done),
        "certified": percent(len(certified) / len(done)),
        "accepted": mean(trial.accepted for trial in certified) if certified else None,
        "broken": percent(broken / len(done)),
        "broken_interval": interval(broken, len(done)),
        "bad_accepted": mean(trial.bad_accepted for trial in done),
        "covered": percent(covered / len(done)),
        "covered_interval": interval(covered, len(done)),
        "length": mean(trial.length for trial in done),
        "later_wrong": mean(trial.later_wrong for trial in certified) if certified else None,
        "alarms": percent(len(alarms) / len(certified)) if certified else None,
        "alarm_at": float(np.median(alarms)) if alarms else None,
    }


def percent(share: float) -> float:
    """Of a share, to be written."""
    return round(100 * share, 3)


def mean(shares: Iterable[float | None]) -> float:
    """In per cent, of those that are there."""
    found = [share for share in shares if share is not None]
    return percent(sum(found) / len(found))


def interval(count: int, of: int) -> str:
    """The exact binomial one, in per cent."""
    found = exact(count, of)
    return f"{100 * found.low:.2f} - {100 * found.high:.2f}"


def notes(projects: int) -> tuple[str, ...]:
    """What the table is of."""
    return (
        f"{projects:,} projects per judge, of {TASKS:,} tasks, {100 * GOOD_SAMPLES:.0f} % of them good. Of the blind "
        f"slice, {FITTED_ON} labels fit the confidence (Platt) and {CERTIFIED_ON} others certify that at most "
        f"{100 * PROMISE.max_error:.0f} % of the accepted are wrong, at {100 * PROMISE.confidence:.0f} % confidence, "
        f"or keep what is accepted and wrong to {100 * MAX_BAD:.0f} % of all tasks on average; all of them measure "
        "the quality. A promise is broken when more of the accepted tasks are wrong than that, counted over the whole "
        f"project. Afterwards {TASKS:,} more tasks are accepted by the same threshold and {100 * AUDITED:.0f} % of "
        "those are looked at again.",
        f"The judge on the edge is the hardest case: {100 * EDGE:.1f} % of its verdicts are wrong at every threshold, "
        "so that nearly any certificate it gets is a broken promise.",
    )
