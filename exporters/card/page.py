"""Computes the dataset card from the data and from what was measured; nothing in it is left to be filled in.

It has the parts of the Hub's template, and no date but those of the data: the same data give the same card.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from backend.core.kinds import Kind as TaskKind
from backend.core.label_config import Control, LabelConfig
from backend.trust.report.words import counted
from exporters.card.metadata import metadata
from exporters.card.notes import by_number, citation, language, licence, limits, named, told
from exporters.card.plots import ABOUT, PlotFile
from exporters.card.sheet import Sheet
from exporters.card.sizes import Sizes
from exporters.card.trust import trust_parts
from exporters.card.words import code, listed, one_line, prose, shortened, table
from exporters.files.written import WrittenConfig, loading
from exporters.records.tally import Counts
from exporters.schema.features import Kind

if TYPE_CHECKING:
    from jinja2 import Template

    from backend.core.rubric import Rubric
    from backend.trust.report.facts import Report

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
    "probs": "list of {value, prob}",
    "messages": "list of {role, content}, content a list of {type, text}",
    "criteria": "list of {criterion, question, scale, decides, human, judge, judge_probs, judge_expected, "
    "judge_label_mass}",
}
SAMPLES: dict[TaskKind, str] = {
    "image-text": "images with a text about each",
    "question-answer": "images with a question about each and its answer",
    "document": "images of documents with the text that stands in them",
    "chart": "charts with what is said of them",
    "checklist": "images with what they were asked to show",
    "preference-pair": "images with texts that compete, of which the better one is told",
    "several-images": "groups of images with a text about each group",
}
USES = {
    "default": "use the results: every row was found good or mended, by a person or, where none decided, by the judge",
    "all": "look into everything, the rejected rows too",
    "sft": "fine-tune vision-language models; TRL's `SFTTrainer` takes it as it is",
    "preference": "train on preferences; TRL's `DPOTrainer` takes it as it is",
    "judgements": "train and test judges against people, criterion by criterion",
}
_FINGERPRINT = re.compile(r"(.+)-([0-9a-f]{12})")
_CLOSED = frozenset({"Rating", "Number", "Choices", "Taxonomy", "Pairwise"})
_MOST_TEXT = 240
"""Characters of a text in the table of some rows."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card is computed from."""

    title: str
    counts: Counts
    configs: tuple[WrittenConfig, ...]
    """Those that hold rows, at least one; the first is loaded when none is named."""
    several: str
    """The policy for tasks with several annotations."""
    load_from: str
    """What the reader passes to `load_dataset`: the repository's name, or the folder."""
    images: str
    """What was done to the bytes of the images."""
    kind: TaskKind = "image-text"
    form: LabelConfig | None = None
    """What judge and people filled in; None says nothing of the criteria."""
    rubric: Rubric | None = None
    """The one that the rows were judged by; None where that is not known, and then the form's words stand for it."""
    sizes: Sizes = field(default_factory=dict)
    """Of every split of every config; without them the metadata say nothing of columns and sizes."""
    sheet: Sheet | None = None
    """The picture of some rows; None where images are not to be shown."""
    plots: tuple[PlotFile, ...] = ()
    """Those of what was measured."""
    trust: Report | None = None
    """What was measured of the judge; None where nothing was."""
    licence: str | None = None
    """As the person who exports says it, instead of what the rows say."""


def card(facts: CardFacts) -> str:
    """The whole README.md: valid metadata and the text."""
    counts = facts.counts
    names = {column.name for config in facts.configs for column in config.columns}
    first = facts.configs[0]
    judges = [_judge(name, rows) for name, rows in counts.fingerprints.items()]
    text = _template().render(
        metadata=metadata(facts).rstrip(),
        title=prose(facts.title) or "Dataset",
        opening=_opening(facts, judges),
        counts=counts,
        several=facts.several,
        images=facts.images,
        judges=judges,
        trust=trust_parts(facts.trust, names) if facts.trust is not None else None,
        plots=_plots(facts.plots),
        sheet=_sheet(facts.sheet),
        criteria=_criteria(facts),
        columns=_columns(facts.configs),
        config_table=_config_table(facts),
        uses=[(config.name, USES[config.name]) for config in facts.configs if config.name in USES],
        has_splits=any(len(config.splits) > 1 for config in facts.configs),
        call=loading(facts.load_from, facts.configs, first, first.splits[0]),
        generators=named(counts.generators),
        datasets=named(counts.sources),
        licence=licence(facts),
        language=language(counts),
        limits=limits(facts),
        citation=citation(facts),
        **_tables(counts),
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _opening(facts: CardFacts, judges: list[_Judge]) -> str:
    """What it is, in a sentence or two."""
    counts = facts.counts
    models = listed(list(dict.fromkeys(judge.model for judge in judges)))
    by = f", judged by {models}" if judges else ""
    known = counted(counts.annotators, "person", "people") if counts.annotators else "people"  # users may be deleted
    people = f"reviewed by {known} in Label Studio"
    whole = f"{counted(counts.rows_out, 'row')}: {SAMPLES[facts.kind]}{by}"
    if not counts.seen:
        return f"{whole}. No person has reviewed them."
    each = "Each row says what the judge said, what the person said, and who decided."
    return f"{whole}{' and' if judges else ','} {people}. {each}"


def _tables(counts: Counts) -> dict[str, Any]:
    """What was counted; empty or None where nothing was."""
    left_out = [(f"{REASONS[reason]} ({code(reason)})", f"{len(ids):,}") for reason, ids in counts.left_out.items()]
    verdicts = [(prose(name), f"{number:,}") for name, number in counts.verdicts.items()]
    corrected = [(name, f"{number:,}") for name, number in by_number(counts.corrected)]
    return {
        "left_out": table(("left out because", "#tasks"), left_out) if left_out else "",
        "verdicts": table(("verdict", "#rows"), verdicts),
        "deciders": _told_table("decided_by", DECIDERS, counts.decided_by),
        "sources": _told_table("final_text_source", SOURCES, counts.text_sources),
        "corrected": table(("what people changed in the judge's answer", "#rows"), corrected) if corrected else "",
        "prefilled": _agreement_table(counts.prefilled),
        "unprefilled": _agreement_table(counts.unprefilled),
    }


def _told_table(column: str, words: Mapping[str, str], numbers: Mapping[str, int]) -> str:
    rows = [(code(name), text, f"{number:,}") for name, number, text in told(words, numbers)]
    return table((code(column), "meaning", "#rows"), rows) if rows else ""


@dataclass(frozen=True, slots=True)
class _Judge:
    """A judge as the page shows it."""

    model: str
    fingerprint: str
    """Whole; empty where it is nothing but the model's name."""
    rows: int


def _judge(fingerprint: str, rows: int) -> _Judge:
    found = _FINGERPRINT.fullmatch(fingerprint)
    model, whole = (found[1], code(fingerprint)) if found else (fingerprint, "")
    return _Judge(code(model), whole, rows)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a config as the page shows them."""

    name: str
    table: str
    """Those that no config before it has; empty where there are none."""
    told: str
    """Those that were told before, as code."""
    like: str
    """The config before it that has the same columns; empty where none has."""


def _columns(configs: tuple[WrittenConfig, ...]) -> list[_Columns]:
    found = []
    known: dict[str, str] = {}
    before: dict[tuple[str, ...], str] = {}
    for config in configs:
        names = tuple(column.name for column in config.columns)
        rows = {one.name: (code(one.name), TYPES[one.kind], _cell(one.meaning)) for one in config.columns}
        new = [row for name, row in rows.items() if known.get(name) != row[2]]
        told_before = [row[0] for name, row in rows.items() if known.get(name) == row[2]]
        text = table(("column", "type", "meaning"), new) if new else ""
        found.append(_Columns(config.name, text, ", ".join(told_before), before.get(names, "")))
        known.update({name: row[2] for name, row in rows.items()})
        before.setdefault(names, config.name)
    return found


def _cell(text: str) -> str:
    """A sentence of ours, with names of the project in it, as one cell."""
    return one_line(text).replace("|", "\\|").replace("<", "&lt;")


def _config_table(facts: CardFacts) -> str:
    rows = [
        (code(one.name), _cell(one.meaning), one.balance(), code(loading(facts.load_from, facts.configs, one, split)))
        for one in facts.configs
        for split in one.splits[:1]
    ]
    return table(("config", "what", "rows", "load it"), rows)


@dataclass(frozen=True, slots=True)
class _Table:
    """Human verdicts by judge verdicts."""

    text: str
    same: int
    total: int


def _agreement_table(pairs: Mapping[tuple[str, str], int]) -> _Table | None:
    if not pairs:
        return None
    humans, judges = _ordered(human for human, _ in pairs), _ordered(judge for _, judge in pairs)
    rows = [[prose(human), *(f"{pairs.get((human, judge), 0):,}" for judge in judges)] for human in humans]
    same = sum(count for (human, judge), count in pairs.items() if human == judge)
    titles = ["person \\ judge", *(f"#{prose(judge)}" for judge in judges)]
    return _Table(table(titles, rows), same, sum(pairs.values()))


def _ordered(verdicts: Iterable[str]) -> tuple[str, ...]:
    usual = ("accept", "fix", "reject")
    return tuple(sorted(set(verdicts), key=lambda name: (usual.index(name) if name in usual else len(usual), name)))


def _plots(plots: tuple[PlotFile, ...]) -> dict[str, list[str]]:
    """The images by what they are about, as Markdown."""
    found: dict[str, list[str]] = {about: [] for about in ABOUT}
    for plot in plots:
        found[plot.about].append(f"![{prose(shortened(plot.alt, 600))}]({plot.path})")
    return found


def _sheet(sheet: Sheet | None) -> str:
    if sheet is None:
        return ""
    rows = []
    for number, row in enumerate(sheet.rows, start=1):
        several = len(row.texts) > 1
        texts = [
            f"{code(key)} {prose(shortened(text, _MOST_TEXT))}" if several else prose(shortened(text, _MOST_TEXT))
            for key, text in row.texts
        ]
        rows.append((str(number), "<br>".join(texts) or "–", prose(row.verdict or "none"), code(row.decided_by)))
    images = "image" if len(sheet.rows) == 1 else f"{len(sheet.rows)} images"
    picture = f"![The first {images} of the dataset, numbered; the table below has their texts]({sheet.path})"
    return f"{picture}\n\n{table(('no.', 'text before the review', 'verdict', 'decided by'), rows)}"


def _criteria(facts: CardFacts) -> str:
    """What was asked, control by control."""
    if facts.form is None:
        return ""
    asked = {one.id: one for one in facts.rubric.criteria} if facts.rubric is not None else {}
    rows = []
    for control in facts.form.controls:
        if control.scope != "task" or control.tag not in _CLOSED:
            continue
        criterion = asked.get(control.name)
        question = criterion.question if criterion else control.heading or control.hint
        scale = "; ".join(f"{one.value} = {one.means}" for one in criterion.levels) if criterion else _scale(control)
        rows.append((code(control.name), prose(shortened(question, 300)) or "–", prose(shortened(scale, 500)) or "–"))
    return table(("criterion", "question", "scale"), rows) if rows else ""


def _scale(control: Control) -> str:
    if control.tag == "Rating":
        return f"1 to {control.max_rating}"
    if control.tag == "Number":
        ends = [f"{end:g}" for end in (control.minimum, control.maximum) if end is not None]
        return " to ".join(ends) if len(ends) == 2 else "a number"
    return "left, right" if control.tag == "Pairwise" else ", ".join(control.labels)


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("exporters.card"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("card.md.j2")
