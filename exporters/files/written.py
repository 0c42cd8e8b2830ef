"""What an export has written: its configs, their splits, and what each left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from exporters.schema.features import Column


@dataclass(frozen=True, slots=True)
class WrittenSplit:
    """One split of one config; it has rows."""

    name: str
    rows: int
    pattern: str
    """Which files of the folder hold them."""


@dataclass(frozen=True, slots=True)
class WrittenConfig:
    """One config: `rows_in` of the export are those it has taken plus all that it left out."""

    name: str
    meaning: str
    """One sentence for the dataset card."""
    columns: tuple[Column, ...]
    rows_in: int
    left_out: Mapping[str, int]
    """Rows of the export by the reason for which they are not in this config."""
    splits: tuple[WrittenSplit, ...]
    """In the order asked for, without empty ones; none where the config would be empty."""

    @property
    def rows_taken(self) -> int:
        """Rows of the export that are in it."""
        return self.rows_in - sum(self.left_out.values())

    @property
    def rows_out(self) -> int:
        """Its own rows: one row of the export may make several pairs."""
        return sum(split.rows for split in self.splits)

    def balance(self) -> str:
        """Its rows by split and what is left out, in one line."""
        parts = [f"{split.rows} {split.name}" for split in self.splits]
        parts += [f"{count} left out ({reason})" for reason, count in self.left_out.items()]
        of = "" if self.rows_out == self.rows_taken else f", of {self.rows_taken} of them"
        return f"{self.rows_in} rows = {' + '.join(parts)}{of}"


def loading(name: str, configs: tuple[WrittenConfig, ...], config: WrittenConfig, split: WrittenSplit) -> str:
    """The call that loads a split; `configs` are all that were written, of which the first one needs no name."""
    subset = "" if config == configs[0] else f', "{config.name}"'
    return f'load_dataset({json.dumps(name, ensure_ascii=False)}{subset}, split="{split.name}")'
