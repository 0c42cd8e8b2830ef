"""Makes tasks of the rows of anybody's dataset that has an image and a text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from backend.batch.arriving import Arrival
from backend.batch.fields import Row, RowReader
from backend.batch.parts import Chunk
from backend.core.label_config import LabelConfig
from backend.core.sample import candidate_object, role_of
from backend.errors import BatchError

IMAGE_COLUMNS = ("image", "img", "photo", "picture", "jpg", "png", "image_url", "url")
"""Columns that hold the image, the first that is there, when none is typed as one and none is named."""
TEXT_COLUMNS = ("caption", "text", "description", "alt_text", "sentence", "answer", "txt")
"""Columns that hold the text, the first that is there, when none is named."""


class OtherRows:
    """Turns stored rows into tasks; columns with a single value each ride along, so that groups can be told by them."""

    def __init__(self, config: LabelConfig, schema: Any, name: str, columns: Mapping[str, str]) -> None:
        """`columns` says for keys of the task's data which columns they are; the others are guessed.

        `name` is the dataset's, for messages. Raises BatchError naming the columns that there are.
        """
        import pyarrow

        bound = _bound(config, schema, name, columns)
        kept = [field for field in schema if field.name in bound.values() or _is_single(field.type)]
        renamed = {key: column for key, column in bound.items() if key != column}
        self._reader = RowReader(config, pyarrow.schema(kept), renamed)
        self._classes = _classes(schema)

    def arrivals(self, chunks: Iterable[Chunk]) -> Iterator[Arrival]:
        """The rows in order."""
        for chunk in chunks:
            for row in self._reader.rows(chunk):
                yield Arrival(self._with_names(row))

    def _with_names(self, row: Row) -> Row:
        """The row with the names of classes in the place of their numbers."""
        data = dict(row.data)
        for key, names in self._classes.items():
            number = data.get(key)
            if isinstance(number, int) and 0 <= number < len(names):
                data[key] = names[number]
        return replace(row, data=data)


def _bound(config: LabelConfig, schema: Any, name: str, columns: Mapping[str, str]) -> dict[str, str]:
    """For every key that the label config shows and the dataset has, its column."""
    absent = [column for column in columns.values() if column not in schema.names]
    if absent:
        raise BatchError(f"{name} has no column {', '.join(absent)}, only {', '.join(schema.names)}")
    images, candidate = [item.key for item in config.images], candidate_object(config)
    guesses = {images[0]: _image_column(schema)} if images else {}
    if candidate is not None and candidate.key:
        guesses[candidate.key] = next((column for column in TEXT_COLUMNS if _is_text(schema, column)), None)
    bound = dict(columns)
    for item in (*config.images, *config.texts):
        guess = item.key if item.key in schema.names else guesses.get(item.key)
        if item.key in bound:
            continue
        if guess is not None:
            bound[item.key] = guess
        elif role_of(item.name) != "requested":
            raise BatchError(_not_found(item.key, name, schema, images, candidate.key if candidate else None))
    for key in (text.key for text in config.texts if text.key in bound and role_of(text.name) != "requested"):
        if not _is_text(schema, bound[key]):
            kind = schema.field(bound[key]).type
            raise BatchError(f"the column {bound[key]} of {name} holds no texts but {kind}; choose another for {key}")
    return bound


def _not_found(key: str, name: str, schema: Any, images: list[str], candidate: str | None) -> str:
    option = f"--column {key}=COLUMN"
    if key == candidate:
        option = "--text-column"
    elif images and key == images[0]:
        option = "--image-column"
    return (
        f"the label config shows {key}, and {name} has no column that is known for it, only {', '.join(schema.names)}; "
        f"name it with {option}, or give another label config by --config"
    )


def _image_column(schema: Any) -> str | None:
    typed = [field.name for field in schema if _is_image(field.type)]
    return next((column for column in (*typed, *IMAGE_COLUMNS) if column in schema.names), None)


def _is_image(kind: Any) -> bool:
    """Whether a column holds images as `datasets` stores them."""
    import pyarrow

    return pyarrow.types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}


def _is_text(schema: Any, column: str) -> bool:
    import pyarrow

    if column not in schema.names:
        return False
    kind = schema.field(column).type
    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _is_single(kind: Any) -> bool:
    import pyarrow

    return not (pyarrow.types.is_nested(kind) or pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _classes(schema: Any) -> dict[str, list[str]]:
    """The columns whose numbers stand for names, as `datasets` says in the schema's metadata."""
    told = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(told)["info"]["features"]
        return {
            name: list(map(str, feature["names"]))
            for name, feature in features.items()
            if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError):
        return {}
