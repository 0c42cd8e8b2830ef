"""What a model would be asked so that a task's text is the answer: the user's turn of a training example. Pure.

| the project's texts | prompt |
|---|---|
| one that names a question, prompt or instruction, filled in for the task | that text |
| images and a text | `Describe this image.` or `Describe these images.` |
| a chart and a text | `Describe this chart.` |
| a document and its transcription | `Transcribe the text in this image.` or `Transcribe the text in these images.` |

`--prompt TEXT` is used instead for every row; `$key` in it is the task's text of that key.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from backend.core.kinds import Kind, kind_of
from backend.core.label_config import REFERENCE, LabelConfig
from backend.errors import ExportError
from exporters.records.record import Record

ASKING = ("question", "prompt", "instruction")
"""Names of text objects that hold what was asked, the first that is filled in."""

Prompt = Callable[[Record, int], str]
"""What is asked about a record with so many images."""

_ONE: dict[Kind, str] = {"document": "Transcribe the text in this image.", "chart": "Describe this chart."}
_MANY: dict[Kind, str] = {"document": "Transcribe the text in these images.", "chart": "Describe these charts."}


def prompt_for(config: LabelConfig, given: str | None = None) -> Prompt:
    """How to ask in this project. Raises ExportError when `given` names a key that is no text of the label config."""
    if given is not None:
        return _given(config, given)
    kind = kind_of(config)
    names = {text.name.lower(): text.key for text in config.texts}
    keys = [names[name] for name in ASKING if name in names]

    def ask(record: Record, images: int) -> str:
        asked = (record.texts.get(key) for key in keys)
        usual = _ONE.get(kind, "Describe this image.") if images == 1 else _MANY.get(kind, "Describe these images.")
        return next((text.strip() for text in asked if text and text.strip()), usual)

    return ask


def _given(config: LabelConfig, text: str) -> Prompt:
    keys = sorted((item.key for item in config.texts), key=len, reverse=True)
    known = re.compile(rf"\$({'|'.join(map(re.escape, keys))})(?!\w)") if keys else re.compile(r"(?!)")
    if unknown := REFERENCE.search(known.sub("", text)):
        raise ExportError(
            f"--prompt refers to ${unknown[1].rstrip('.')}, and the project's texts are "
            f"{', '.join(sorted(keys)) or 'none'}; write one of these after the $"
        )
    return lambda record, images: known.sub(lambda found: record.texts.get(found[1]) or "", text).strip()
