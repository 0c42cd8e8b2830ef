"""The metadata of the card, by which the Hub lists, shows and loads the dataset; names are those that the Hub knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from backend.core.kinds import Kind
from exporters.card.sizes import Sizes
from exporters.card.words import one_line
from exporters.files.written import WrittenConfig
from exporters.records.tally import Counts
from exporters.schema.features import features_of

if TYPE_CHECKING:
    from exporters.card.page import CardFacts

TASKS: dict[Kind, tuple[str, ...]] = {
    "image-text": ("image-to-text", "image-text-to-text"),
    "question-answer": ("visual-question-answering", "image-text-to-text"),
    "document": ("image-to-text",),
    "chart": ("image-to-text", "image-text-to-text"),
    "checklist": ("text-to-image",),
    "preference-pair": ("image-text-to-text",),
    "several-images": ("image-text-to-text",),
}
_POWERS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
_ADDRESS = re.compile(r"https?://([^?#]+)", re.IGNORECASE)
_MOST_LICENCE = 40
"""Characters of a licence's name that is made of its address."""
_THREE_LETTERS = re.compile(r"[a-z]{3}")


@cache
def _names(file: str) -> frozenset[str]:
    """What is listed in a file of names; lines that begin with # say where they are from."""
    lines = files("exporters.card").joinpath(f"templates/{file}").read_text(encoding="ascii").splitlines()
    return frozenset(name for line in lines if not line.startswith("#") for name in line.split())


def metadata(facts: CardFacts) -> str:
    """The YAML between the dashes."""
    from huggingface_hub import DatasetCardData

    counts = facts.counts
    data = DatasetCardData(
        pretty_name=one_line(facts.title),
        language=list(languages(counts)) or None,
        annotations_creators=_creators(counts),
        task_categories=list(TASKS[facts.kind]),
        tags=_tags(facts),
        size_categories=[size_category(counts.rows_out)],
        source_datasets=list(counts.sources) or None,
    )
    for name, value in _licence_fields(facts.licence or licence_of(counts)).items():
        data[name] = value
    if facts.sizes:
        data["dataset_info"] = [_info(config, facts.sizes) for config in facts.configs]
    data["configs"] = [_files(config, is_first=config == facts.configs[0]) for config in facts.configs]
    return str(data.to_yaml())


def size_category(rows: int) -> str:
    """The Hub's name for the order of magnitude."""
    place = next((at for at in range(len(_POWERS)) if rows < 10 ** (at + 3)), len(_POWERS))
    if place == 0:
        return "n<1K"
    return f"n>{_POWERS[-1]}" if place == len(_POWERS) else f"{_POWERS[place - 1]}<n<{_POWERS[place]}"


def languages(counts: Counts) -> tuple[str, ...]:
    """The ISO 639 codes among what tasks say of their language, `de` for `de-AT`; in alphabetical order."""
    known = _names("iso_639_1.txt")
    codes = {re.split("[-_]", said.lower())[0] for said in counts.languages}
    return tuple(sorted(code for code in codes if code in known or _THREE_LETTERS.fullmatch(code)))


def licence_of(counts: Counts) -> str | None:
    """The licence that every row has; None where rows differ, or one does not say."""
    if len(counts.licences) != 1:
        return None
    ((licence, rows),) = counts.licences.items()
    return licence if rows == counts.rows_out else None


def _licence_fields(licence: str | None) -> dict[str, str]:
    """The Hub's identifier, or `other` with the name for what the Hub does not know, and the link if it is one."""
    if licence is None:
        return {}
    if address := _ADDRESS.match(licence):
        words = re.findall(r"[a-z0-9.]+", address[1].lower().removeprefix("www."))
        short = "-".join(words)[:_MOST_LICENCE].strip("-.")
        return {"license": "other", "license_name": short or "other", "license_link": one_line(licence)}
    name = "-".join(one_line(licence).lower().split())
    return {"license": name} if name in _names("hub_licences.txt") else {"license": "other", "license_name": name}


def _creators(counts: Counts) -> list[str]:
    """Who annotated: the Hub has no word for people of whom it is not known whether they are experts or a crowd."""
    people = ["other"] if counts.seen else []
    return [*(["machine-generated"] if counts.fingerprints else []), *people]


def _tags(facts: CardFacts) -> list[str]:
    names = {config.name for config in facts.configs}
    return [
        "image-text",
        "label-studio",
        "vlm-judge",
        *(["human-feedback"] if facts.counts.seen else []),
        *(["preference"] if "preference" in names else []),
        *(["trl"] if names & {"sft", "preference"} else []),
    ]


def _info(config: WrittenConfig, sizes: Sizes) -> dict[str, Any]:
    """The entry by which the Hub and `datasets` know columns and sizes without opening a file."""
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    found = [(split, sizes[config.name, split.name]) for split in config.splits]
    info = DatasetInfo(
        features=features_of(config.columns),
        splits=[{"name": split.name, "num_bytes": size.num_bytes, "num_examples": split.rows} for split, size in found],
        download_size=sum(size.file_bytes for _, size in found),
        dataset_size=sum(size.num_bytes for _, size in found),
        config_name=config.name,
    )
    data = DatasetCardData()
    DatasetInfosDict({config.name: info}).to_dataset_card_data(data)
    entry: Mapping[str, Any] = data["dataset_info"]
    return {"config_name": config.name, **{key: value for key, value in entry.items() if key != "config_name"}}


def _files(config: WrittenConfig, *, is_first: bool) -> dict[str, object]:
    """The entry by which `load_dataset` and the Hub's viewer find a config's files."""
    files = [{"split": split.name, "path": split.pattern} for split in config.splits]
    return {"config_name": config.name, "data_files": files, **({"default": True} if is_first else {})}
