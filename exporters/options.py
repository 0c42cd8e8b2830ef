"""How an export is to be made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from backend.errors import ExportError
from exporters.exits.writing import ExitKind
from exporters.images.pictures import PictureOptions
from exporters.records.splits import WHOLE, Share
from exporters.schema.configs import CONFIGS, ConfigName


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the person who exports may choose beside the policy."""

    configs: tuple[ConfigName, ...] = CONFIGS
    splits: tuple[Share, ...] = WHOLE
    stratify: str | None = None
    """The column within whose groups the shares are to hold to the image; see `exporters.records.splits`."""
    prompt: str | None = None
    """Instead of what `exporters.schema.prompts` would ask."""
    pictures: PictureOptions = field(default_factory=PictureOptions)
    cache: Path | None = None
    """Where fetched images are kept for an export that breaks off; see `exporters.images.kept`."""
    also: tuple[ExitKind, ...] = ()
    """Forms to write beside Parquet."""
    licence: str | None = None
    """Of the whole dataset, instead of what its rows say."""
    show_rows: bool = True
    """Whether the card shows a picture of some rows."""


USUAL = ExportOptions()


def parse_configs(text: str) -> tuple[ConfigName, ...]:
    """Names of configs, comma separated. Raises ExportError for one that is none."""
    wanted = [name.strip() for name in text.split(",")]
    unknown = [name for name in wanted if name not in CONFIGS]
    if unknown:
        raise ExportError(f"{unknown[0]!r} is no config; choose among {', '.join(CONFIGS)}")
    return tuple(name for name in CONFIGS if name in wanted)
