"""docs/reference/dataset-columns.md, from what the exporter makes of the ready label configs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from backend.core.kinds import Kind
from backend.core.label_config import parse_label_config
from backend.interfaces import KINDS, label_config_of
from exporters.card.page import SAMPLES, TYPES, USES
from exporters.schema.configs import CONFIGS, ConfigName, configs_of
from exporters.schema.features import Column
from tests.docs_made.markdown import code, listed, said, table, whole_page

Row = tuple[str, str, str]
"""Name, type and meaning of a column."""

_TRAINING: tuple[ConfigName, ...] = ("sft", "preference", "judgements")


def dataset_columns_page() -> str:
    """The page."""
    rows = {config: _by_kind(config) for config in CONFIGS}
    assert rows["default"] == rows["all"], "the page says that they have the same columns"
    return whole_page(
        "Dataset columns",
        "`vlm-judge export` writes a dataset of up to five configs. This page has every config and every column, for "
        "the label configs that come along (`vlm-judge interface list`). With a label config of your own the columns "
        "follow in the same way from the names of its controls, and the dataset's own card lists them.",
        "This page is made from what the exporter makes of the ready label configs, and a test compares the two.",
        "## Configs",
        table(("Config", "Use it to", "Columns"), ((code(name), said(USES[name]), _where(name)) for name in CONFIGS)),
        "## Columns of `default` and `all`",
        "The two have the same columns.",
        *_config_section(rows["default"]),
        *(
            part
            for name in _TRAINING
            for part in (f"## Columns of `{name}`", *_config_section(rows[name], f"{name}: "))
        ),
    )


def _where(name: ConfigName) -> str:
    if name in _TRAINING:
        return f"[below](#columns-of-{name})"
    return "[below](#columns-of-default-and-all)"


def _by_kind(name: ConfigName) -> Mapping[Kind, tuple[Row, ...]]:
    """The columns of one config, by the kind of project."""
    return {kind: tuple(_row(column) for column in columns) for kind, columns in _columns(name)}


def _columns(name: ConfigName) -> Iterator[tuple[Kind, tuple[Column, ...]]]:
    for kind in KINDS:
        [made] = configs_of(parse_label_config(label_config_of(kind)), (name,))
        yield kind, made.columns


def _row(column: Column) -> Row:
    return column.name, TYPES[column.kind], column.meaning


def _config_section(rows: Mapping[Kind, tuple[Row, ...]], title: str = "") -> Iterator[str]:
    """What all kinds of projects share, and then what each adds, kinds that add the same together."""
    shared = [row for row in next(iter(rows.values())) if all(row in others for others in rows.values())]
    yield _table(shared)
    added: dict[tuple[Row, ...], list[Kind]] = {}
    for kind, columns in rows.items():
        added.setdefault(tuple(row for row in columns if row not in shared), []).append(kind)
    for columns, kinds in added.items():
        if columns:
            yield f"### {title}{listed(kinds, 'and')}"
            yield f"For {listed([SAMPLES[kind] for kind in kinds], 'and')}; beside those above:"
            yield _table(columns)


def _table(rows: Iterable[Row]) -> str:
    return table(("Column", "Type", "Meaning"), _lines(list(rows)))


def _lines(rows: list[Row]) -> Iterator[Row]:
    """A row of the table for each column; the same of person and judge share one."""
    judged = {name for name, _, _ in rows}
    for name, kind, meaning in rows:
        twin = name.replace("human_", "judge_", 1)
        if name.startswith("human_") and twin in judged:
            both = meaning.replace("The person's", "The person's and the judge's")
            yield f"{code(name)}<br>{code(twin)}", _type(kind), said(both)
        elif name.replace("judge_", "human_", 1) not in judged or not name.startswith("judge_"):
            yield code(name), _type(kind), said(meaning)


def _type(words: str) -> str:
    return code(words) if "{" in words else words
