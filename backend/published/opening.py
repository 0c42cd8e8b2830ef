"""Opens a published dataset: which config and splits it has, and their rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from backend.batch.datasets_reader import stream_source
from backend.batch.parquet import parquet_files, parquet_source
from backend.batch.parts import Source
from backend.batch.sources import SAVED, SourceOptions, open_source, require_libraries
from backend.errors import BatchError
from backend.hub_faults import hub_fault
from backend.published.names import WHOLE, is_ours

_DEFAULT = "default"
FORM = "label_config.xml"
"""In a dataset of ours, the label config that it was exported with."""
_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dataset, and what of it."""

    location: str
    """A folder or file of this machine, or `user/name` or `user/name@revision` of the Hub."""
    config: str | None = None
    """None takes everything where we exported it, else the one there is, or the one named `default`."""
    split: str | None = None
    """None takes all."""
    text_column: str | None = None
    """In a folder of images, the column that the texts in `.txt` files become."""
    max_image_bytes: int = 50 * 2**20
    token: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A dataset that has been opened."""

    name: str
    """As messages say it."""
    config: str | None
    """None where it has none."""
    sources: tuple[Source, ...]
    """One per split, in the dataset's order."""

    @property
    def schema(self) -> Any:
        """The columns, which all splits have alike, as a `pyarrow.Schema`."""
        return self.sources[0].reader.schema

    @property
    def rows(self) -> int | None:
        """How many there are; None while that is not known."""
        counts = [source.rows for source in self.sources]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def is_ours(self) -> bool:
        """Whether this product exported it, with who decided what."""
        return is_ours(self.schema.names)


def open_published(wanted: Wanted) -> Published:
    """Raises BatchError, naming what there is where something is not."""
    require_libraries(f"opening {wanted.location}")
    path = Path(wanted.location)
    hub = _HUB_ID.fullmatch(wanted.location)
    if path.is_dir() and not any((path / name).exists() for name in SAVED) and parquet_files(path):
        found = _configured(str(path.absolute()), None, wanted)
    elif not path.exists() and hub:
        found = _configured(hub[1], hub[2], wanted)
    else:
        found = _plain(path, wanted)
    first, *others = found.sources
    for other in others:
        if set(other.reader.schema.names) != set(first.reader.schema.names):
            raise BatchError(f"the splits of {found.name} have different columns; choose one with --split")
    return found


def published_form(wanted: Wanted) -> str | None:
    """The label config that lies in a dataset of ours; None where there is none, as in older ones.

    Raises BatchError.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    path, hub = Path(wanted.location), _HUB_ID.fullmatch(wanted.location)
    try:
        if hub and not path.exists():
            path = Path(hf_hub_download(hub[1], FORM, repo_type="dataset", revision=hub[2], token=_key(wanted)))
        else:
            path = path / FORM
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, EntryNotFoundError) as exc:
        if not isinstance(exc, LocalEntryNotFoundError):  # which says that the Hub cannot be reached
            return None
        raise BatchError(f"cannot read {FORM} of {wanted.location}: {exc}") from exc
    except (OSError, ValueError, hub_fault()) as exc:
        raise BatchError(
            f"cannot read {FORM} of {wanted.location} ({exc}); give the label config by --config instead"
        ) from exc


def _plain(path: Path, wanted: Wanted) -> Published:
    """What has no configs: one file, a folder of images, or what `save_to_disk` wrote."""
    if wanted.config is not None:
        raise BatchError(f"{wanted.location} has no configs; leave --config-name out")
    splits = _saved_splits(path) if path.is_dir() else ()
    if wanted.split is not None and not splits:
        raise BatchError(f"{wanted.location} has no splits; leave --split out")
    chosen = _chosen(wanted, splits) if splits else ("train",)
    options = [SourceOptions(split, wanted.text_column, wanted.max_image_bytes, token=wanted.token) for split in chosen]
    return Published(wanted.location, None, tuple(open_source(wanted.location, option) for option in options))


def _saved_splits(path: Path) -> tuple[str, ...]:
    """Of a folder that `save_to_disk` wrote the splits of; empty where it has none."""
    import json

    try:
        found = json.loads((path / "dataset_dict.json").read_text(encoding="utf-8"))
        return tuple(map(str, found["splits"]))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise BatchError(f"cannot open the dataset {path}: {exc}") from exc


def _configured(place: str, revision: str | None, wanted: Wanted) -> Published:
    """What `datasets` finds by the card or the names of files: configs with their splits."""
    names = _configs(place, revision, wanted)
    if wanted.config is None and WHOLE in names and len(names) > 1:
        whole = _opened(place, revision, WHOLE, wanted)
        if whole.is_ours or _DEFAULT not in names:
            return whole
    config = wanted.config or (names[0] if len(names) == 1 else _DEFAULT)
    if config not in names:
        raise BatchError(
            f"{wanted.location} has {'no config ' + config if wanted.config else 'several configs'}, "
            f"{'only ' if wanted.config else ''}{', '.join(names)}; choose one with --config-name"
        )
    return _opened(place, revision, config, wanted)


def _configs(place: str, revision: str | None, wanted: Wanted) -> tuple[str, ...]:
    import datasets

    try:
        found = datasets.get_dataset_config_names(place, revision=revision, token=_key(wanted))
    except (OSError, ValueError, hub_fault(), datasets.exceptions.DatasetsError) as exc:
        raise BatchError(f"cannot open the dataset {wanted.location}: {exc}") from exc
    return tuple(map(str, found))


def _opened(place: str, revision: str | None, config: str, wanted: Wanted) -> Published:
    import datasets

    try:
        builder = datasets.load_dataset_builder(place, config, revision=revision, token=_key(wanted))
    except (OSError, ValueError, hub_fault(), datasets.exceptions.DatasetsError) as exc:
        raise BatchError(f"cannot open the dataset {wanted.location}, config {config}: {exc}") from exc
    files: Mapping[str, Sequence[str]] = builder.config.data_files or {}
    if not files:
        raise BatchError(f"{wanted.location} holds no files of data; look whether it is the right dataset")
    sources = tuple(
        _source(place, config, split, builder, files[split], wanted) for split in _chosen(wanted, tuple(files))
    )
    return Published(wanted.location, config, sources)


def _source(place: str, config: str, split: str, builder: Any, files: Sequence[str], wanted: Wanted) -> Source:
    is_here = Path(place).is_dir()
    base = place if is_here else str(builder.base_path)
    if type(builder).__module__.endswith("packaged_modules.parquet.parquet"):
        prefix = f"{base.rstrip('/')}/"
        return parquet_source(wanted.location, tuple(map(str, files)), prefix, prefix, wanted.token)
    if is_here or builder.hash is None:
        raise BatchError(f"the files of {wanted.location}, config {config}, are no Parquet; give a config that is")
    return stream_source(place, split, builder.hash, wanted.token, None if config == _DEFAULT else config)


def _chosen(wanted: Wanted, splits: tuple[str, ...]) -> tuple[str, ...]:
    named = tuple(map(str, splits))
    if wanted.split is None:
        return named
    if wanted.split not in named:
        raise BatchError(f"{wanted.location} has no split {wanted.split}, only {', '.join(named)}; choose with --split")
    return (wanted.split,)


def _key(wanted: Wanted) -> str | None:
    return wanted.token.get_secret_value() if wanted.token else None
