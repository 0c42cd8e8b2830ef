"""For a sample that alone exhausts the memory: the size of image at which it would fit, found by trying."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from backend.engines.backbones import Grid
from backend.engines.base import JudgeRequest, WriteRequest

SMALLEST = 16 * 28 * 28
"""Pixels of the smallest image that is tried: 16 tokens in most families."""

_REMEMBERED = 100
_OTHERWISE = "run a smaller model (VLM_JUDGE_MODEL), or one on a machine with more memory"

Request = TypeVar("Request", JudgeRequest, WriteRequest)


@dataclass(frozen=True, slots=True)
class Load:
    """What a pass over one sample takes its memory for."""

    tokens: int
    patches: int
    """Of all its images."""
    largest: int
    """Patches of its largest image, all of which look at each other."""

    def within(self, other: Load) -> bool:
        """Whether it is no larger than another in any respect, and so fits where that one does."""
        return self.tokens <= other.tokens and self.patches <= other.patches and self.largest <= other.largest


def load_of(tokens: int, grids: tuple[Grid, ...]) -> Load:
    """The load of a row with these images."""
    patches = [time * height * width for time, height, width in grids]
    return Load(tokens, sum(patches), max(patches, default=0))


class Tries:
    """Remembers which loads went through and which did not, so that a search is not done again for every sample."""

    def __init__(self) -> None:
        self._went: deque[Load] = deque(maxlen=_REMEMBERED)
        self._failed: deque[Load] = deque(maxlen=_REMEMBERED)

    def went(self, load: Load, attempt: Callable[[], bool]) -> bool:
        """What is known of this load from one that is no smaller, or no larger; else what `attempt` says."""
        if any(load.within(known) for known in self._went):
            return True
        if any(known.within(load) for known in self._failed):
            return False
        went = attempt()
        (self._went if went else self._failed).append(load)
        return went


def too_large(request: Request, area: int, try_it: Callable[[Request], bool]) -> str:
    """Why a sample that does not fit has no answer, and what would help.

    `area` is that of its largest image as the model sees it, in pixels; 0 without images. `try_it`
    says whether the request fits at the `max_pixels` it comes with.
    """
    if area == 0:
        return (
            f"the sample's texts, {len(request.fields)} characters, do not fit into memory: shorten them, "
            f"or {_OTHERWISE}"
        )
    budget = next((budget for budget in budgets(area) if try_it(replace(request, max_pixels=budget))), None)
    if budget is None:
        return (
            f"the sample does not fit into memory, even at {min(area, SMALLEST)} pixels an image: shorten its texts, "
            f"show fewer images, or {_OTHERWISE}"
        )
    setting = (
        f"VLM_JUDGE_MAX_PIXELS={budget}" if request.max_pixels is None else f"`max_pixels: {budget}` in its rubric"
    )
    return f"the sample does not fit into memory at {area} pixels an image; {budget} would fit: set {setting}"


def budgets(area: int) -> Iterator[int]:
    """Half an area, a quarter and so on, and at last the smallest that is tried; nothing below that."""
    while area > SMALLEST:
        area = max(area // 2, SMALLEST)
        yield area
