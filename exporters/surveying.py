"""The first pass over a project, where splits need one; see `exporters.records.splits`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from backend.core.label_config import LabelConfig
from backend.errors import ExportError
from exporters.images.pictures import PictureReader
from exporters.options import ExportOptions
from exporters.records.consolidate import Outcome
from exporters.records.record import LeftOut, Record
from exporters.records.splits import Splits, Survey
from exporters.schema.columns import columns_of
from exporters.schema.features import Pictures

_GROUPING = frozenset({"text", "flag", "stars", "count"})
"""Kinds of columns that can tell groups."""


def needs_survey(config: LabelConfig, options: ExportOptions) -> bool:
    """Whether all images must be known before the first row is written."""
    several = len({image.key for image in config.images}) > 1 or any(image.several for image in config.images)
    return len(options.splits) > 1 and (several or options.stratify is not None)


def surveyed(
    outcomes: Iterable[Outcome], pictures: PictureReader, config: LabelConfig, options: ExportOptions
) -> Splits:
    """The splits after a first pass. Raises ExportError."""
    survey, group = Survey(), grouping(config, options)
    for outcome, found in pictures.read_all(outcomes):
        if not isinstance(outcome, LeftOut):
            survey.add(identities(found), min(map(group, outcome)))
    return Splits(options.splits, survey.placed(options.splits, exact=options.stratify is not None))


def grouping(config: LabelConfig, options: ExportOptions) -> Callable[[Record], str]:
    """What tells the group of a row. Raises ExportError when no column does, or there is nothing to split."""
    if options.stratify is None:
        return lambda record: ""
    if len(options.splits) < 2:
        raise ExportError("--stratify is about splits; say which with --splits train=0.9,test=0.1")
    told = (column for column in columns_of(config) if not column.needs_pictures)
    known = {column.name: column for column in told if column.kind in _GROUPING}
    column = known.get(options.stratify)
    if column is None:
        raise ExportError(
            f"--stratify {options.stratify} is no column that tells groups; choose among {', '.join(known)}"
        )
    return lambda record: str(column.read(record, {}))


def identities(pictures: Pictures) -> tuple[str, ...]:
    """What tells the images of a row from others; see `Picture.identity`."""
    return tuple(picture.identity for several in pictures.values() for picture in several if picture is not None)
