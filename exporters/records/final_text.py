"""Which text of a task is the one to use, whose it is, and which of several it was preferred to. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from backend.annotated import AnnotatedTask
from backend.core.deciding import deciding_control, verdict_of
from backend.core.label_config import LabelConfig, ObjectTag
from backend.core.sample import data_value, role_of
from backend.core.sides import chosen_text, compares, competing
from backend.core.types import ControlValue, Value
from exporters.records.record import TextSource

CORRECTED_TEXT = "corrected_text"
"""Name of the control that carries the corrected text."""
_MISSING: TextSource = "missing"


@dataclass(frozen=True, slots=True)
class Settled:
    """What an answer makes of the task's texts; see the fields of `exporters.records.record.Record`."""

    final: str | None
    source: TextSource
    original: str | None
    rejected: tuple[str, ...]
    tie: bool | None


def settled(
    task: AnnotatedTask,
    config: LabelConfig,
    decided: Mapping[str, ControlValue],
    *,
    own_text: bool,
    by_person: bool,
) -> Settled:
    """What follows from the answer that decides; `own_text` is whether a person wrote its corrected text."""
    preferred = _preferred(config, decided) if compares(config) else None
    original = _original(task, config, preferred)
    # Without a verdict or a person nobody has said that any text will do.
    is_open = not by_person and verdict_of(_values(decided), deciding_control(config)) is None
    final, source = (None, _MISSING) if is_open else _final(original, decided, own_text=own_text)
    others = [text for text in competing(config) if text != preferred] if preferred else []
    return Settled(final, source, original, _present(task, others), _tie(config, decided, preferred))


def text_of(value: object) -> str | None:
    """A value of the task's data as text; what is neither text nor missing as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _final(
    original: str | None, decided: Mapping[str, ControlValue], *, own_text: bool
) -> tuple[str | None, TextSource]:
    """The text to train on, and whose it is.

    A rejected pair has none, whatever stands in the form. A person's own correction wins over everything
    else. The judge's proposal counts where it was left in place and the verdict is not `accept`, which takes
    the text as it is. `fix` without a correction has no text yet: the original is known to be wrong, so it
    is not passed off as final. Where several texts compete, the preferred one is the original, if any is.
    """
    verdict, text = verdict_of(_values(decided)), _correction(decided)
    if verdict == "reject":
        return None, "rejected"
    if text is not None and (own_text or verdict != "accept"):
        return text, "human" if own_text else "judge"
    if verdict == "fix":
        return None, "missing"
    return original, "missing" if original is None else "original"


def _correction(values: Mapping[str, ControlValue]) -> str | None:
    found = values.get(CORRECTED_TEXT)
    return found.value if found is not None and isinstance(found.value, str) else None


def _preferred(config: LabelConfig, decided: Mapping[str, ControlValue]) -> ObjectTag | None:
    return next((text for value in decided.values() if (text := chosen_text(value, config)) is not None), None)


def _original(task: AnnotatedTask, config: LabelConfig, preferred: ObjectTag | None) -> str | None:
    """The task's text that was judged; where several compete, the preferred one, or None."""
    if compares(config):
        candidates = [preferred] if preferred else []
    else:
        candidates = [item for item in config.texts if role_of(item.name) == "candidate"]
    texts = (text_of(data_value(task.data, item.key)) for item in candidates)
    return next((text for text in texts if text is not None), None)


def _present(task: AnnotatedTask, others: list[ObjectTag]) -> tuple[str, ...]:
    texts = (text_of(data_value(task.data, item.key)) for item in others)
    return tuple(text for text in texts if text is not None)


def _tie(config: LabelConfig, decided: Mapping[str, ControlValue], preferred: ObjectTag | None) -> bool | None:
    if not compares(config) or deciding_control(config) not in decided:
        return None
    return preferred is None


def _values(values: Mapping[str, ControlValue]) -> dict[str, Value]:
    return {name: value.value for name, value in values.items()}
