"""Describes an export in Croissant 1.0, the JSON-LD in which dataset searches and training tools read datasets.

Per config there is a set of files and a set of records with a field per column; the split of a row is a field too, read
off its file's path. Paths are from the folder on that `croissant.json` lies in. For a dataset on the Hub the Hub makes
such a file of its own, with addresses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.errors import ExportError
from exporters.exits.writing import ExportedSplit, is_image
from exporters.files.folder import CARD

FILE = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
SPLIT = "split"
_PARQUET = "application/x-parquet"
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As the specification gives it, word for word."""


def write_croissant(folder: Path, splits: Sequence[ExportedSplit]) -> None:
    """Write the description. Raises ExportError and OSError."""
    text = json.dumps(croissant(folder, splits), ensure_ascii=False, indent=2)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def croissant(folder: Path, splits: Sequence[ExportedSplit]) -> dict[str, Any]:
    """The description, as JSON-LD."""
    configs: dict[str, list[ExportedSplit]] = {}
    for split in splits:
        configs.setdefault(split.config, []).append(split)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        **_told_by_card(folder),
        "distribution": [_files_of(folder, config, of_it) for config, of_it in configs.items()],
        "recordSet": [_records_of(config, of_it) for config, of_it in configs.items()],
    }


def _told_by_card(folder: Path) -> dict[str, str]:
    """Name, description and licence, as the card says them; the folder's name where it has no other."""
    card = folder / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    headed = text.startswith("---\n") and text.count("---\n") > 1
    _, metadata, body = text.split("---\n", 2) if headed else ("", "", text)
    title = re.search(r"^# (.+)$", body, re.MULTILINE)
    said = body[title.end() :].strip().split("\n\n", 1)[0] if title else ""
    told = _metadata(metadata)
    name = told.get("pretty_name") or (title[1].strip() if title else folder.name)  # the heading is escaped
    licence = told.get("license")
    return {
        "name": str(name),
        **({"description": " ".join(said.split())} if said and not said.startswith(("#", "|", "`")) else {}),
        **({"license": str(licence)} if licence else {}),
    }


def _metadata(metadata: str) -> Mapping[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(metadata) or {}
    except yaml.YAMLError as exc:
        raise ExportError(f"the metadata at the head of the card are no YAML: {exc}") from exc
    return found if isinstance(found, Mapping) else {}


def _files_of(folder: Path, config: str, splits: Sequence[ExportedSplit]) -> dict[str, Any]:
    """Every split's files, each by a pattern that no other's fit."""
    places = {split.name: split.files[0].relative_to(folder).parent.as_posix() for split in splits}
    return {
        "@type": "cr:FileSet",
        "@id": f"files-{config}",
        "name": f"files-{config}",
        "description": f"The Parquet files of the config `{config}`.",
        "encodingFormat": _PARQUET,
        "includes": [f"{place}/{name}-?????-of-*.parquet" for name, place in places.items()],
    }


def _records_of(config: str, splits: Sequence[ExportedSplit]) -> dict[str, Any]:
    names = ", ".join(f"`{split.name}`" for split in splits)
    of_file = {"fileSet": {"@id": f"files-{config}"}, "extract": {"fileProperty": "fullpath"}}
    split_field = {
        "@type": "cr:Field",
        "@id": f"{config}/{_free(SPLIT, splits[0].schema().names)}",
        "dataType": "sc:Text",
        "description": "The split that the row is in.",
        "source": {**of_file, "transform": {"regex": r"(?:.*/)?(.+?)-\d{5}-of-[^/]*\.parquet$"}},
    }
    fields = [_field(config, (column.name,), column.type) for column in splits[0].schema()]
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "description": f"The config `{config}`, with the splits {names}.",
        "field": [split_field, *(field for field in fields if field is not None)],
    }


def _field(config: str, path: tuple[str, ...], kind: Any) -> dict[str, Any] | None:
    """A column, or what it holds inside; None for lists of objects inside of others, for which there are no words."""
    import pyarrow

    inner = kind.value_type if pyarrow.types.is_list(kind) else kind
    while pyarrow.types.is_list(inner):
        inner = inner.value_type
    is_object = pyarrow.types.is_struct(inner) and not is_image(inner)
    is_listed = pyarrow.types.is_list(kind)
    if is_object and is_listed and len(path) > 1:
        return None
    base: dict[str, Any] = {"@type": "cr:Field", "@id": "/".join((config, *path))}
    base |= {"repeated": True} if is_listed else {}
    if is_object:
        inside = [_field(config, (*path, member.name), member.type) for member in inner]
        return {**base, "subField": [field for field in inside if field is not None]}
    steps = [*path[1:], *(["bytes"] if is_image(inner) else [])]
    transform = {"transform": {"jsonPath": ".".join(steps)}} if steps else {}
    source = {"fileSet": {"@id": f"files-{config}"}, "extract": {"column": path[0]}, **transform}
    return {**base, "dataType": _data_type(inner), "source": source}


def _data_type(kind: Any) -> str:
    import pyarrow

    if is_image(kind):
        return "sc:ImageObject"
    for holds, name in (
        (pyarrow.types.is_boolean, "sc:Boolean"),
        (pyarrow.types.is_integer, "sc:Integer"),
        (pyarrow.types.is_floating, "sc:Float"),
        (pyarrow.types.is_date, "sc:Date"),
        (pyarrow.types.is_timestamp, "sc:DateTime"),
    ):
        if holds(kind):
            return name
    return "sc:Text"


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name = f"{name}_"
    return name
