"""Opens a dataset: Parquet files, a folder of images, a saved dataset, or one of the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from backend.batch.datasets_reader import saved_source, stream_source
from backend.batch.folder import folder_source
from backend.batch.parquet import parquet_files, parquet_source
from backend.batch.parts import Source, as_text
from backend.errors import BatchError
from backend.hub_faults import hub_fault

NEEDS = "needs an extra; install it with: pip install 'vlm-judge-label-studio[batch]'"
SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")
_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to open it."""

    split: str = "train"
    """Part of a saved dataset or one of the Hub."""
    text_column: str | None = None
    """In a folder of images, the column that the texts in `.txt` files become."""
    max_image_bytes: int = 50 * 2**20
    token: SecretStr | None = None


def open_source(location: str, options: SourceOptions) -> Source:
    """The dataset at a path, or of the Hub by `user/name` or `user/name@revision`. Raises BatchError."""
    require_libraries("judging datasets")
    path = Path(location)
    if path.is_file() and path.suffix == ".parquet":
        folder = path.absolute().parent
        return parquet_source(location, parquet_files(path.absolute()), as_text(folder), str(folder))
    if path.is_dir():
        return _open_folder(location, path.absolute(), options)
    if not path.exists() and (named := _HUB_ID.fullmatch(location)):
        return _open_hub(named[1], named[2], options)
    raise BatchError(
        f"{location} is not there, or no data that can be judged; give a Parquet file or a folder of such, a folder of "
        "images, a folder that `save_to_disk` wrote, or a dataset of the Hub as user/name"
    )


def _open_folder(location: str, folder: Path, options: SourceOptions) -> Source:
    if any((folder / name).exists() for name in SAVED):
        return saved_source(str(folder), options.split)
    if files := parquet_files(folder):
        return parquet_source(location, files, as_text(folder), str(folder))
    return folder_source(folder, options.text_column, options.max_image_bytes)


def _open_hub(name: str, revision: str | None, options: SourceOptions) -> Source:
    """Parquet files are read as such, at the commit that they have now; anything else is streamed."""
    builder = _builder(name, revision, options)
    files = builder.config.data_files
    if not files or builder.hash is None or not str(builder.base_path).startswith("hf://"):
        raise BatchError(f"{name} holds no files of data; look at https://huggingface.co/datasets/{name}")
    if options.split not in files:
        raise BatchError(f"{name} has no split {options.split}, only {', '.join(map(str, files))}; choose with --split")
    shown = f"{name}@{revision}" if revision else name
    if type(builder).__module__.endswith("packaged_modules.parquet.parquet"):
        prefix = f"{builder.base_path}/"
        return parquet_source(shown, tuple(map(str, files[options.split])), prefix, prefix, options.token)
    return stream_source(name, options.split, builder.hash, options.token)


def _builder(name: str, revision: str | None, options: SourceOptions) -> Any:
    import datasets

    token = options.token.get_secret_value() if options.token else None
    try:
        return datasets.load_dataset_builder(name, revision=revision, token=token)
    except (OSError, ValueError, hub_fault(), datasets.exceptions.DatasetsError) as exc:
        raise BatchError(f"cannot open the dataset {name}: {exc}") from exc


def require_libraries(doing: str) -> None:
    """Raise BatchError unless datasets can be read; `doing` is what needs it."""
    try:
        import datasets  # noqa: F401 - brings pyarrow
    except ImportError as exc:
        raise BatchError(f"{doing} {NEEDS}") from exc
