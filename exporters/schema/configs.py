"""The configs of the dataset: which rows each takes, and in which form.

| config | rows | for |
|---|---|---|
| `default` | whose deciding verdict accepts, or whose fix is written: those with a final text; of pairs, those with a \
preferred one | using the texts |
| `all` | every row | looking into everything |
| `sft` | those with a final text and all images | supervised fine-tuning; TRL's `SFTTrainer` takes it as it is |
| `preference` | pairs of texts, of which one was preferred or corrects the other | TRL's `DPOTrainer` |
| `judgements` | those with a person's answer | training and testing judges |

A row whose deciding verdict is the judge's own, because no person decided, is taken like any other; `decided_by` tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from backend.core.deciding import VERDICT
from backend.core.label_config import LabelConfig
from backend.core.sample import role_of
from backend.core.sides import compares
from exporters.records.record import Record
from exporters.schema.columns import columns_of, input_columns, provenance_columns
from exporters.schema.criteria import criteria_column
from exporters.schema.features import Column, Pictures, stored_image
from exporters.schema.prompts import Prompt, prompt_for

ConfigName = Literal["default", "all", "sft", "preference", "judgements"]
CONFIGS: tuple[ConfigName, ...] = get_args(ConfigName)
"""In the order in which they are listed; the first is what is loaded when none is named."""

_NO_TEXT = "no final text"
_NO_IMAGE = "an image is missing"
_ACCEPT = "accept"

Selected = tuple[Record, ...] | str
"""The records that a config makes of one, or why it makes none."""


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """One config of the dataset."""

    name: ConfigName
    meaning: str
    """One sentence for the dataset card."""
    columns: tuple[Column, ...]
    select: Callable[[Record, Pictures], Selected]


def configs_of(
    config: LabelConfig, names: Sequence[ConfigName] = CONFIGS, prompt: str | None = None
) -> tuple[DatasetConfig, ...]:
    """The configs of these names, in the order of CONFIGS. Raises ExportError; see `prompt_for`."""
    ask = prompt_for(config, prompt)
    every = columns_of(config)
    made = (
        DatasetConfig("default", _meaning_of_default(config), every, _usable(config)),
        DatasetConfig("all", "Every row.", every, lambda record, _: (record,)),
        _sft(config, every, ask),
        _preference(every, ask),
        _judgements(config, every),
    )
    return tuple(one for one in made if one.name in names)


def _has_text(config: LabelConfig) -> bool:
    return compares(config) or any(role_of(item.name) == "candidate" for item in config.texts)


def _meaning_of_default(config: LabelConfig) -> str:
    if compares(config):
        return "Rows of which one text is preferred."
    if _has_text(config):
        return "Rows with a final text: accepted, or with the fix written."
    return "Rows that are accepted."


def _usable(config: LabelConfig) -> Callable[[Record, Pictures], Selected]:
    decides = config.control(VERDICT) is not None

    def with_text(record: Record, _: Pictures) -> Selected:
        return _NO_TEXT if record.final_text is None else (record,)

    def accepted(record: Record, _: Pictures) -> Selected:
        is_taken = record.verdict == _ACCEPT if decides else record.human is not None
        return (record,) if is_taken else "not accepted"

    return with_text if _has_text(config) else accepted


def _sft(config: LabelConfig, every: tuple[Column, ...], ask: Prompt) -> DatasetConfig:
    def messages(record: Record, pictures: Pictures) -> Any:
        return [*_user(record, pictures, ask), _assistant(record.final_text or "")]

    def select(record: Record, pictures: Pictures) -> Selected:
        if not (record.final_text or "").strip():
            return _NO_TEXT
        return (record,) if _is_whole(pictures) else _NO_IMAGE

    asked = "the question" if compares(config) or _asks(config) else "what to do"
    columns = (
        Column(
            "messages",
            "messages",
            f"A user's turn with the images and {asked}, and the assistant's with the final text; parts of type "
            "`image` stand for `images` in their order.",
            messages,
            needs_pictures=True,
        ),
        _images(),
        *_some(every, "final_text_source", "decided_by", "generator", "source", "licence", "annotation_id", "task_id"),
    )
    return DatasetConfig("sft", "Conversations for supervised fine-tuning, in the form of TRL.", columns, select)


def _preference(every: tuple[Column, ...], ask: Prompt) -> DatasetConfig:
    columns = (
        Column(
            "prompt",
            "messages",
            "The user's turn: parts of type `image`, which stand for `images` in their order, and the text.",
            lambda record, pictures: _user(record, pictures, ask),
            needs_pictures=True,
        ),
        Column("chosen", "messages", "The better answer.", lambda r, _: [_assistant(r.final_text or "")]),
        Column("rejected", "messages", "The worse answer.", lambda r, _: [_assistant(r.rejected[0])]),
        _images(),
        Column(
            "preference_source",
            "text",
            "`pair` (of competing texts, one was preferred) or `correction` (the chosen text corrects the rejected "
            "one).",
            lambda record, _: "correction" if record.tie is None else "pair",
        ),
        *_some(every, "final_text_source", "decided_by", "generator", "source", "licence", "annotation_id", "task_id"),
    )
    return DatasetConfig("preference", "Pairs of answers for preference training, in the form of TRL.", columns, _pairs)


def _pairs(record: Record, pictures: Pictures) -> Selected:
    """A record per text that another one was preferred to; the corrected text is preferred to what it corrects."""
    chosen, original = (record.final_text or "").strip(), (record.original or "").strip()
    is_correction = record.tie is None and record.final_text_source in ("human", "judge")
    worse = (original,) if is_correction else record.rejected
    pairs = tuple(replace(record, rejected=(text,)) for text in worse if text.strip() not in ("", chosen))
    if not chosen or not pairs:
        return "nothing preferred or corrected"
    return pairs if _is_whole(pictures) else _NO_IMAGE


def _judgements(config: LabelConfig, every: tuple[Column, ...]) -> DatasetConfig:
    own = (
        criteria_column(config),
        *_some(every, "decided_by", "saw_prediction", "audit"),
        *provenance_columns(),
    )
    inputs = input_columns(config, [column.name for column in own])
    return DatasetConfig(
        "judgements",
        "What judge and person answered, criterion by criterion, for training and testing judges.",
        (*inputs, *own),
        lambda record, _: "no person's answer" if record.human is None else (record,),
    )


def _asks(config: LabelConfig) -> bool:
    return any(role_of(item.name) == "context" for item in config.texts)


def _some(every: tuple[Column, ...], *names: str) -> tuple[Column, ...]:
    return tuple(column for column in every if column.name in names)


def _images() -> Column:
    return Column(
        "images",
        "images",
        "All images of the task.",
        lambda _, pictures: [*map(stored_image, _all(pictures))],
        needs_pictures=True,
    )


def _user(record: Record, pictures: Pictures, ask: Prompt) -> list[dict[str, Any]]:
    count = len(_all(pictures))
    said = {"type": "text", "text": ask(record, count)}
    return [{"role": "user", "content": [*({"type": "image", "text": None} for _ in range(count)), said]}]


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def _all(pictures: Pictures) -> list[Any]:
    return [picture for several in pictures.values() for picture in several]


def _is_whole(pictures: Pictures) -> bool:
    """Whether there is an image, and none is missing."""
    every = _all(pictures)
    return bool(every) and None not in every
