"""Boxes as a model writes them, turned into Label Studio's percent."""

from __future__ import annotations

from backend.core.types import ImageArea, Reply, Unwritten


def area_of(reply: Reply, image: str, claim: str) -> ImageArea | None:
    """The area of a `box_writing` reply about the only image shown; None when there is no box with an extent.

    Coordinates are measured in `reply.frames[0]`; a box that leaves the image is clipped, and one whose corners are
    given the other way round is turned.
    """
    if isinstance(reply, Unwritten) or not reply.frames:
        return None
    width, height = reply.frames[0]
    x0, y0, x1, y1 = reply.value["bbox_2d"]
    left, right = sorted(_percent(x, width) for x in (x0, x1))
    top, bottom = sorted(_percent(y, height) for y in (y0, y1))
    if right - left <= 0 or bottom - top <= 0:
        return None
    return ImageArea(image, left, top, round(right - left, 4), round(bottom - top, 4), claim)


def _percent(value: float, extent: int) -> float:
    return round(min(100.0, max(0.0, 100 * value / extent)), 4)
