"""How long people need per task, without and with the judge's answer before them.

The time is how long a task was open, so a tab left open over lunch counts as an hour. Nothing is cut off for that:
medians and quartiles hardly move for a few of them, and a mean, which would, is not given.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.core.measures import Outcome
from backend.core.trust.agreement.project_agreement import RESAMPLES
from backend.core.trust.agreement.spread import Spread, median_and_ratio, spread_of
from backend.core.trust.labels import LabelledProject
from backend.core.trust.slices import Seen, slice_of


@dataclass(frozen=True, slots=True)
class Seconds:
    """Seconds per label, of one side."""

    spread: Spread | None
    """None where no label has a time."""
    without_time: int
    """Labels that have none; they are left out."""
    median: Outcome
    """With its interval; images are drawn as wholes."""


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """Seconds per label, blind and shown; skips are not among them, and no label is weighted."""

    blind: Seconds
    shown: Seconds
    ratio: Outcome
    """Median shown over median blind; below 1 where the judge saves time."""


def time_spent(project: LabelledProject) -> TimeSpent:
    """What the labels of a project say of the time they took."""
    blind, shown = _times(project, "blind"), _times(project, "shown")
    medians = median_and_ratio(blind[0], shown[0], (blind[1], shown[1]), resamples=RESAMPLES)
    sides = [
        Seconds(spread_of(seconds), without, median)
        for (seconds, _, without), median in zip((blind, shown), medians[:2], strict=True)
    ]
    return TimeSpent(sides[0], sides[1], medians[2])


def _times(project: LabelledProject, seen: Seen) -> tuple[list[float], list[int], int]:
    """Seconds and image number of every label that has a time, and how many have none."""
    side = slice_of(project, seen)
    labels = [
        (one.seconds, int(image))
        for image, own in zip(side.images, side.labels, strict=True)
        for one in own
        if not one.skipped
    ]
    timed = [(seconds, image) for seconds, image in labels if seconds is not None]
    return [seconds for seconds, _ in timed], [image for _, image in timed], len(labels) - len(timed)
