"""What may sway the judge though it should not: length, its own family, the place of a text, not needing the image.

The tests of all of these are made good together for their number (Benjamini and Yekutieli 2001). What cannot be told
from a project says why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.core.measures import RESAMPLES
from backend.core.trust.bias.family_bias import FamilyBias, family_bias, family_warning
from backend.core.trust.bias.groups import ALPHA, NOTABLE
from backend.core.trust.bias.length_bias import UNITS, LengthBias, length_bias, length_warning
from backend.core.trust.bias.opinions import images_of, opinions_of
from backend.core.trust.bias.position_bias import PositionBias, position_bias, position_warning, sides_of
from backend.core.trust.bias.shares import Observed, Share, adjusted, share
from backend.core.trust.labels import LabelledProject

_IMAGE_INDEPENDENT = "image-independent"


@dataclass(frozen=True, slots=True)
class ImageReliance:
    """How often the judge would say the same without the image."""

    asked: int
    """Tasks that were also judged without the image."""
    independent: Share | None = None
    """Of those, the ones whose verdict would be the same."""
    mean: float | None = None
    """The mean distance between the verdicts with and without the image (total variation, in [0, 1])."""
    refused: str | None = None
    """Why it cannot be told."""


@dataclass(frozen=True, slots=True)
class Biases:
    """All of them."""

    length: tuple[LengthBias, ...]
    """In characters and in words; empty where no text is judged or more than two compete."""
    family: FamilyBias
    position: PositionBias | None
    """None where no texts compete."""
    reliance: ImageReliance
    tests: int
    """P-values were made good for so many."""
    warnings: tuple[str, ...]


def biases(project: LabelledProject, *, resamples: int = RESAMPLES) -> Biases:
    """Every bias that the project's data can show; correlations have bootstrap intervals from so many resamples."""
    opinions, sides = opinions_of(project), sides_of(project)
    found = (length_bias(project, opinions, sides, unit, resamples) for unit in UNITS)
    length = tuple(one for one in found if one is not None)
    of_family = family_bias(project, opinions)
    place = position_bias(project, sides) if sides else None
    ps = [*(one.p for one in length), of_family.p, place.p if place else None]
    fair = iter(adjusted([p for p in ps if p is not None]))
    corrected = [None if p is None else next(fair) for p in ps]
    return _told(length, of_family, place, image_reliance(project), corrected)


def image_reliance(project: LabelledProject) -> ImageReliance:
    """The share of verdicts that would be the same without the image, among those that were asked without it."""
    asked = [
        (task.judge.reliance, _IMAGE_INDEPENDENT in task.judge.flags, number)
        for task, number in zip(project.tasks, images_of(project), strict=True)
        if task.judge is not None and task.judge.reliance is not None
    ]
    if not asked:
        return ImageReliance(0, refused="no task was judged without its image too; that is a setting of the judge")
    distance, same, images = zip(*asked, strict=True)
    seen = Observed(np.array(same, dtype=np.float64), np.array(images), np.ones(len(asked)))
    return ImageReliance(len(asked), share(seen), float(np.mean(distance)))


def _told(
    length: tuple[LengthBias, ...],
    of_family: FamilyBias,
    place: PositionBias | None,
    reliance: ImageReliance,
    corrected: list[float | None],
) -> Biases:
    """With the p-values that were made good, and a warning where one is small; of length by its surer unit alone."""
    sure = [p is not None and p <= ALPHA for p in corrected]
    surest = min(length, key=lambda one: 1.0 if one.p is None else one.p, default=None)
    length = tuple(
        replace(one, adjusted_p=p, warning=length_warning(one) if is_sure and one is surest else None)
        for one, p, is_sure in zip(length, corrected, sure, strict=False)
    )
    family_said = family_warning(of_family, NOTABLE) if sure[-2] else None
    of_family = replace(of_family, adjusted_p=corrected[-2], warning=family_said)
    if place is not None:
        place_said = position_warning(place, NOTABLE) if sure[-1] else None
        place = replace(place, adjusted_p=corrected[-1], warning=place_said)
    said = (*(one.warning for one in length), of_family.warning, place.warning if place else None)
    tests = sum(p is not None for p in corrected)
    return Biases(length, of_family, place, reliance, tests, tuple(one for one in said if one))
