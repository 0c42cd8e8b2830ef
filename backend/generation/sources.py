"""Where base images come from: a folder, a list of addresses, or a Hugging Face dataset."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backend.errors import GenerationError
from backend.hub_faults import hub_fault
from backend.projects import read_json_lines, read_text

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".mpo", ".ppm", ".pgm", ".avif", ".jp2")
)
"""Files of a folder that count as images."""
ADDRESS_COLUMNS = ("image", "url", "image_url", "address")
"""Columns that hold addresses, the first that is there, when none is named."""
LICENCE_COLUMNS = ("licence", "license")
"""Columns that hold an image's licence, the first that is there, when none is named."""

_LISTS = {".csv": ",", ".tsv": "\t"}
_ARCHIVES = ("zip://", "tar://")
_SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+|[\w-]+")

Kind = Literal["folder", "list", "dataset"]


@dataclass(frozen=True, slots=True)
class BaseImage:
    """One image that was named, and how to get at its bytes: exactly one of `content`, `file` and `address` is set."""

    source: str
    """Its name in the manifest: an address, a path from the folder on, or dataset, split and row."""
    licence: str = ""
    """Empty when not known."""
    content: bytes | None = None
    file: str | None = None
    """A path, or a file inside a dataset as fsspec names it (`hf://...`)."""
    address: str | None = None


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read the images."""

    image_column: str | None = None
    """Column of a list or dataset; None takes the usual one."""
    licence_column: str | None = None
    licence: str = ""
    """Licence of images that come with none."""
    split: str = "train"
    """Part of the dataset."""
    hf_token: str | None = None
    besides: tuple[Path, ...] = ()
    """Folders whose files are no base images: our own output."""


def kind_of(images: str) -> Kind:
    """What the argument names. Raises GenerationError when it can be nothing of the three."""
    path = Path(images)
    if path.is_dir():
        is_dataset = any((path / name).exists() for name in _SAVED) or any(path.rglob("*.parquet"))
        return "dataset" if is_dataset else "folder"
    if path.is_file():
        return "dataset" if path.suffix == ".parquet" else "list"
    if _HUB_ID.fullmatch(images):
        return "dataset"
    raise GenerationError(
        f"{images} is not there; give a folder of images, a list of addresses (text, CSV or JSON lines), "
        "a dataset's folder or parquet file, or a dataset's name on the Hub"
    )


def base_images(images: str, options: SourceOptions) -> Iterator[BaseImage]:
    """Every image that `images` names, in order. Raises GenerationError, also while iterating."""
    kind = kind_of(images)
    if kind == "folder":
        return _folder(Path(images), options)
    return _list(Path(images), options) if kind == "list" else _dataset(images, options)


def _folder(folder: Path, options: SourceOptions) -> Iterator[BaseImage]:
    besides = [path.resolve() for path in options.besides]
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if not any(path.resolve().is_relative_to(other) for other in besides):
            inside = path.relative_to(folder).as_posix()
            yield BaseImage(f"{folder.resolve().name}/{inside}", options.licence, file=str(path))


def _list(path: Path, options: SourceOptions) -> Iterator[BaseImage]:
    suffix = path.suffix.lower()
    if suffix in _LISTS:
        rows: Iterable[Mapping[str, Any]] = csv.DictReader(io.StringIO(read_text(path)), delimiter=_LISTS[suffix])
    elif suffix in (".jsonl", ".ndjson"):
        rows = read_json_lines(path, GenerationError)
    elif suffix == ".json":
        raise GenerationError(f"{path}: addresses are read from JSON lines, text or CSV; write one object per line")
    else:
        lines = (line.strip() for line in read_text(path).split("\n"))
        found = (BaseImage(line, options.licence, address=line) for line in lines if line and line[0] != "#")
        yield from found
        return
    for number, row in enumerate(rows, 1):
        column = _column(row, options.image_column, ADDRESS_COLUMNS)
        if column is None:
            wanted = options.image_column or ", ".join(ADDRESS_COLUMNS)
            raise GenerationError(
                f"{path}, row {number} has no {wanted}, only {', '.join(map(str, row))}; name the column of the "
                "addresses with --image-column"
            )
        address = str(row[column] or "").strip()
        yield BaseImage(address or f"{path.name}, row {number}", _licence(row, options), address=address)


def _column(row: Iterable[str], named: str | None, usual: Iterable[str]) -> str | None:
    """The column of that name, or the first of the usual ones; None when it is not there."""
    names = list(row)
    return next((name for name in ((named,) if named else usual) if name in names), None)


def _licence(row: Mapping[str, Any], options: SourceOptions) -> str:
    column = _column(row, options.licence_column, LICENCE_COLUMNS)
    return str((row[column] if column else None) or options.licence).strip()


def _dataset(images: str, options: SourceOptions) -> Iterator[BaseImage]:
    try:
        import datasets
    except ImportError as exc:
        raise GenerationError(
            "datasets is not installed; install it with: pip install 'vlm-judge-label-studio[generate]'"
        ) from exc
    local = Path(images).exists()
    name = Path(images).resolve().name if local else images
    try:
        rows, column = _rows(_opened(images, options), images, options)
        for number, row in enumerate(rows):
            yield _from_row(f"{name}/{options.split}/{number}", row, column, options, local)
    except (OSError, ValueError, KeyError, hub_fault(), datasets.exceptions.DatasetsError) as exc:
        raise GenerationError(f"cannot read the dataset {images}, split {options.split}: {exc}") from exc


def _opened(images: str, options: SourceOptions) -> Any:
    from datasets import DatasetDict, load_dataset, load_from_disk

    path = Path(images)
    if path.is_dir() and any((path / name).exists() for name in _SAVED):
        saved = load_from_disk(images)
        if not isinstance(saved, DatasetDict):
            return saved
        if options.split not in saved:
            raise GenerationError(
                f"the dataset {images} has no split {options.split}, only {', '.join(saved)}; choose with --split"
            )
        return saved[options.split]
    if path.suffix == ".parquet" and path.is_file():
        return load_dataset("parquet", data_files={options.split: images}, split=options.split, streaming=True)
    return load_dataset(images, split=options.split, streaming=True, token=options.hf_token)


def _rows(dataset: Any, images: str, options: SourceOptions) -> tuple[Iterable[Mapping[str, Any]], str]:
    """The rows with their images as bytes or addresses, and the column these are in."""
    dataset = _undecoded(dataset)
    first: Mapping[str, Any] = next(iter(dataset), {})
    names = list(first) or list(dataset.column_names or ())
    of_images = [
        name for name, value in first.items() if isinstance(value, Mapping) and {"bytes", "path"} <= set(value)
    ]
    column = _column(names, options.image_column, (*of_images, *ADDRESS_COLUMNS))
    if column is None:
        raise GenerationError(
            f"the dataset {images} has no {options.image_column or 'column of images'}, only {', '.join(names)}; "
            "name the column with --image-column"
        )
    licence = _column(names, options.licence_column, LICENCE_COLUMNS)
    return dataset.select_columns([column, *([licence] if licence else [])]), column


def _undecoded(dataset: Any) -> Any:
    """The dataset with its images as they are stored."""
    from datasets import Image, IterableDataset

    if isinstance(dataset, IterableDataset):
        return dataset.decode(False)
    for name, feature in dataset.features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(name, Image(decode=False))
    return dataset


def _from_row(source: str, row: Mapping[str, Any], column: str, options: SourceOptions, local: bool) -> BaseImage:
    value, licence = row[column], _licence(row, options)
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return BaseImage(source, licence, content=value)
    value = str(value or "")
    is_address = value.startswith(("http://", "https://"))
    if value and not is_address and _in_dataset(value, local):
        return BaseImage(source, licence, file=value)
    return BaseImage(value if is_address else source, licence, address=value)


def _in_dataset(value: str, local: bool) -> bool:
    """Whether a file is one of the dataset's own: strangers may not name files of this machine or of other servers."""
    *archives, place = value.split("::")
    is_here = "://" not in place and local
    return (is_here or place.startswith("hf://datasets/")) and all(part.startswith(_ARCHIVES) for part in archives)
