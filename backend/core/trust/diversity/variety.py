"""How various a project's samples are: texts, images, requested features and metadata.

These describe the tasks as they are, all of them, so they have no intervals. Distinct-n falls and the effective numbers
rise with the size of a project: compare projects of like size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from backend.core.trust.bias.metadata import NOT_GIVEN, LeftOut, Parting, partings
from backend.core.trust.bias.texts import judged_texts, words_of
from backend.core.trust.diversity.features import Requested, requested_features
from backend.core.trust.diversity.repeats import ImageRepeats, TextRepeats, image_repeats, plain_form, text_repeats
from backend.core.trust.labels import LabelledProject

RARE = 0.01
"""A group with a smaller share of the tasks is named."""
NOTABLE_REPEATS = 0.05
_OPENING = 3
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_LANGUAGE_FIELDS = ("language", "lang", "locale")


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the texts are."""

    mean: float
    quantiles: tuple[int, ...]
    """The least, 5 %, 25 %, 50 %, 75 %, 95 % and the greatest."""


@dataclass(frozen=True, slots=True)
class TextDiversity:
    """How various the judged texts are."""

    texts: int
    words: int
    vocabulary: int
    distinct_1: float
    """Different words over words (type-token ratio), as distinct-1 in Li et al. 2016 (arXiv 1510.03055)."""
    distinct_2: float
    """Different pairs of neighbouring words over pairs: distinct-2 there. 0 where there are no pairs."""
    effective_texts: float
    """So many equally common texts would be as various, by `effective_number`; case and spaces do not count."""
    effective_openings: float
    """The same of the first three words of each text."""
    commonest_opening: str
    commonest_opening_share: float
    characters: Lengths
    word_counts: Lengths
    repeats: TextRepeats


@dataclass(frozen=True, slots=True)
class Spread:
    """How the tasks are spread over the groups of a metadata field."""

    field: str
    counts: tuple[tuple[str, int], ...]
    """Tasks by group, as in `Parting`; those without a value are not among them."""
    not_given: int
    """Tasks without a value."""
    effective_groups: float
    """So many equally large groups would be as various, by `effective_number`."""
    rare: tuple[str, ...]
    """Groups of less than 1 % of the tasks."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """All of it."""

    tasks: int
    texts: TextDiversity | None
    """None where no text is judged."""
    images: ImageRepeats
    requested: Requested | None
    """None where nothing is requested."""
    languages: Spread | None
    """Of the field `language`, `lang` or `locale`, the first that the tasks have; None where they have none."""
    fields: tuple[Spread, ...]
    left_out: tuple[LeftOut, ...]
    """Fields that make no groups."""
    warnings: tuple[str, ...]


def diversity(
    project: LabelledProject,
    fields: Sequence[str] = (),
    *,
    looks: Mapping[str, tuple[str, str]] | None = None,
) -> Diversity:
    """How various the project's samples are.

    `looks` is as in `image_repeats`, `fields` as in `partings`.
    """
    parted, left_out = partings(project, fields)
    spreads = tuple(map(spread, parted))
    texts, images = _texts(project), image_repeats(project, looks)
    languages = next((one for name in _LANGUAGE_FIELDS for one in spreads if one.field == name), None)
    said = (*_of_texts(texts), *_of_images(images))
    requested = requested_features(project)
    return Diversity(len(project.tasks), texts, images, requested, languages, spreads, left_out, said)


def effective_number(counts: Iterable[int]) -> float:
    """The exponential of Shannon's entropy of the shares: Hill's number of order 1 (Hill 1973; Jost 2006).

    k groups of one size have k; uneven ones fewer. 0 for none.
    """
    found = np.array([count for count in counts if count], dtype=np.float64)
    shares = found / found.sum() if len(found) else found
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(found) else 0.0


def spread(parting: Parting) -> Spread:
    """How the tasks are spread over a field's groups."""
    counts = [int((parting.index == number).sum()) for number in range(len(parting.names))]
    by_name = dict(zip(parting.names, counts, strict=True))
    not_given = by_name.pop(NOT_GIVEN, 0)
    rare = tuple(name for name, count in by_name.items() if count < RARE * sum(counts))
    return Spread(parting.field, tuple(by_name.items()), not_given, effective_number(by_name.values()), rare)


def _texts(project: LabelledProject) -> TextDiversity | None:
    repeats = text_repeats(project)
    if repeats is None:
        return None
    texts = [text for _, text in judged_texts(project)]
    words, pairs = Counter[str](), Counter[tuple[str, str]]()
    openings, sizes = Counter[str](), []
    for text in texts:
        cut = words_of(text)
        words.update(cut)
        pairs.update(pairwise(cut))
        openings[" ".join(cut[:_OPENING])] += 1
        sizes.append(len(cut))
    opening, count = openings.most_common(1)[0]
    return TextDiversity(
        texts=len(texts),
        words=words.total(),
        vocabulary=len(words),
        distinct_1=len(words) / max(words.total(), 1),
        distinct_2=len(pairs) / max(pairs.total(), 1),
        effective_texts=effective_number(Counter(map(plain_form, texts)).values()),
        effective_openings=effective_number(openings.values()),
        commonest_opening=opening,
        commonest_opening_share=count / len(texts),
        characters=_lengths([len(text) for text in texts]),
        word_counts=_lengths(sizes),
        repeats=repeats,
    )


def _lengths(sizes: Sequence[int]) -> Lengths:
    found = np.quantile(np.array(sizes), _QUANTILES, method="inverted_cdf")
    return Lengths(float(np.mean(sizes)), tuple(int(size) for size in found))


def _of_texts(texts: TextDiversity | None) -> tuple[str, ...]:
    if texts is None or texts.repeats.repeated < NOTABLE_REPEATS:
        return ()
    repeats = texts.repeats
    return (
        f"texts: {repeats.texts - repeats.kept:,} of {repeats.texts:,} ({100 * repeats.repeated:.0f} %) repeat another "
        f"text, {repeats.texts - repeats.distinct:,} of them to the letter.",
    )


def _of_images(images: ImageRepeats) -> tuple[str, ...]:
    if not images.alike or images.alike < NOTABLE_REPEATS * images.compared:
        return ()
    return (
        f"images: {images.alike:,} of {images.compared:,} ({100 * images.alike / images.compared:.0f} %) look like "
        "another image under another address.",
    )
