"""Computes the dataset card from the counts; nothing in it is left to be filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from exporters.columns import Column, Kind
from exporters.tally import Counts

if TYPE_CHECKING:
    from jinja2 import Template

REASONS = {
    "skipped": "every annotator skipped it",
    "empty": "it was submitted with nothing filled in",
    "unannotated": "nobody annotated it and no judge has answered",
}
DECIDERS = {
    "confirmed": "a person kept the judge's whole answer",
    "corrected": "a person changed the judge's answer",
    "human": "a person answered without starting from the judge's answer",
    "judge accepted": "no person decided; the judge's answer was taken by a certificate",
    "judge only": "no person decided",
}
SOURCES = {
    "human": "written by a person",
    "judge": "the judge's proposal, kept",
    "original": "the original text",
    "missing": "null: nobody has written the fix, the judge alone gave no verdict, or there is no (preferred) text",
    "rejected": "null: the pair was rejected",
}
TYPES: dict[Kind, str] = {
    "image": "image",
    "images": "list of image",
    "text": "string",
    "texts": "list of string",
    "stars": "int8",
    "count": "int32",
    "id": "int64",
    "real": "float64",
    "flag": "bool",
    "spans": "list of {start, end, text, label}",
    "boxes": "list of {x, y, width, height, label}",
    "page boxes": "list of {x, y, width, height, label, page}",
    "paths": "list of list of string",
}
_DEMO = "demo"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card is computed from."""

    title: str
    counts: Counts
    columns: tuple[Column, ...]
    several: str
    """The policy for tasks with several annotations."""
    load_from: str
    """What the reader passes to `load_dataset`: the repository's name, or the folder."""
    pattern: str
    """Which files of the folder hold the rows."""


def card(facts: CardFacts) -> str:
    """The whole README.md: valid metadata and the text."""
    counts = facts.counts
    return _template().render(
        metadata=_metadata(facts),
        title=_line(facts.title),
        counts=counts,
        columns=[(_line(column.name), TYPES[column.kind], _cell(column.meaning)) for column in facts.columns],
        several=facts.several,
        load_from=facts.load_from,
        left_out=[(reason, len(ids), REASONS[reason]) for reason, ids in counts.left_out.items()],
        deciders=[(name, counts.decided_by.get(name, 0), text) for name, text in DECIDERS.items()],
        sources=[(name, counts.text_sources.get(name, 0), text) for name, text in SOURCES.items()],
        corrected=sorted(counts.corrected.items(), key=lambda item: (-item[1], item[0])),
        prefilled=_table(counts.prefilled),
        unprefilled=_table(counts.unprefilled),
        fingerprints=[(_line(name), rows) for name, rows in counts.fingerprints.items()],
        demo=any(name.startswith(_DEMO) for name in counts.fingerprints),
        missing_images=len(counts.missing_images),
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """Human verdicts by judge verdicts."""

    judges: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    same: int
    total: int


def _table(pairs: Mapping[tuple[str, str], int]) -> _Table | None:
    if not pairs:
        return None
    humans, judges = _ordered(human for human, _ in pairs), _ordered(judge for _, judge in pairs)
    rows = tuple((human, tuple(pairs.get((human, judge), 0) for judge in judges)) for human in humans)
    same = sum(count for (human, judge), count in pairs.items() if human == judge)
    return _Table(judges, rows, same, sum(pairs.values()))


def _ordered(verdicts: Iterable[str]) -> tuple[str, ...]:
    usual = ("accept", "fix", "reject")
    return tuple(sorted(set(verdicts), key=lambda name: (usual.index(name) if name in usual else len(usual), name)))


def _metadata(facts: CardFacts) -> str:
    from huggingface_hub import DatasetCardData

    rows = facts.counts.rows_out
    return DatasetCardData(
        pretty_name=_line(facts.title),
        task_categories=["image-to-text"],
        tags=["image-text", "label-studio", "vlm-judge", "human-feedback"],
        size_categories=[next((name for limit, name in _SIZES if rows < limit), "n>1M")],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": facts.pattern}]}],
    ).to_yaml()


def _line(text: str) -> str:
    """Text from the project as one line that cannot break out of a heading, a table or a code span."""
    return _cell(text.replace("`", "'"))


def _cell(text: str) -> str:
    """Text as one line that cannot break out of a table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("exporters"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("card.md.j2")
