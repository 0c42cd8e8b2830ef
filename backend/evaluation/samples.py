"""Labelled data as the evaluation sees them, whatever file or format they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.core.types import TextField

LABELLED_BLIND = "labelled blind"
"""Kind of exported rows whose person did not see the judge's answer."""
OVERALL_RATING = "rating"
"""Name of a rating of the whole sample; any other name is that of a criterion."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Where one image of a row is to be had; exactly one of the three is set."""

    content: bytes | None = None
    path: Path | None = None
    address: str | None = None
    """A data URI, a web address, or a path on a Label Studio."""


@dataclass(frozen=True, slots=True)
class LabelledSample:
    """An image with a text, and what people said of it."""

    name: str
    kind: str
    """What the sample is grouped by, such as its task kind; empty when the data name none."""
    pictures: tuple[Picture, ...]
    texts: tuple[TextField, ...]
    good: bool | None
    """Whether people would accept it; None when they only rated it."""
    ratings: Mapping[str, float]
    """From 1, the worst, to 5, by criterion; `rating` for the whole."""
    id: str = ""
    """What the data call it, such as the task's id; empty where they do not."""

    @property
    def length(self) -> int:
        """Characters of the text that is judged."""
        return sum(len(text.value) for text in self.texts if text.role == "candidate")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One side of a pair."""

    text: str
    pictures: tuple[Picture, ...] = ()
    """Images of its own, where what is compared has any."""


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two candidates for the same image, and which of them people prefer."""

    name: str
    kind: str
    pictures: tuple[Picture, ...]
    """What both candidates are about; may be empty when they bring images of their own."""
    context: str
    """A question or request that both answer; empty when there is none."""
    first: Candidate
    second: Candidate
    preferred: float
    """1 the first, 0 the second, 0.5 neither."""
    id: str = ""
    """As in `LabelledSample`."""


Labelled = LabelledSample | LabelledPair
