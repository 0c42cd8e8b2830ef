"""Everything that the judge and a person were asked about a task, criterion by criterion, whatever the form."""

from __future__ import annotations

from typing import Any

from backend.core.deciding import deciding_control
from backend.core.label_config import Control, LabelConfig
from backend.core.types import Value
from exporters.records.record import Record
from exporters.schema.columns import probs_of
from exporters.schema.features import Column

_CLOSED = frozenset({"Rating", "Number", "Choices", "Taxonomy", "Pairwise"})


def criteria_column(config: LabelConfig) -> Column:
    """One entry per control that has a fixed set of answers, in the form's order; answers are texts."""
    controls = tuple(item for item in config.controls if item.tag in _CLOSED and item.scope == "task")
    deciding = deciding_control(config)
    return Column(
        "criteria",
        "criteria",
        "Per control of the form: `criterion`, its `question` and `scale` as annotators see them, whether it "
        "`decides`, the answers of `human` and `judge` (null where there is none), and of the judge the probability of "
        "every answer, their expected value, and the share of its probability that fell on the menu.",
        lambda record, _: [_criterion(control, record, decides=control.name == deciding) for control in controls],
    )


def _criterion(control: Control, record: Record, *, decides: bool) -> dict[str, Any]:
    detail = record.details.get(control.name)
    return {
        "criterion": control.name,
        "question": control.heading or control.hint or None,
        "scale": _scale(control),
        "decides": decides,
        "human": _answers((record.human or {}).get(control.name)),
        "judge": _answers((record.judge or {}).get(control.name)),
        "judge_probs": probs_of(record, control.name),
        "judge_expected": detail.expected if detail else None,
        "judge_label_mass": detail.label_mass if detail else None,
    }


def _scale(control: Control) -> list[str]:
    """The answers to choose from; empty where they are numbers without end or differ from task to task."""
    if control.tag == "Rating":
        return [str(star) for star in range(1, control.max_rating + 1)]
    return ["left", "right"] if control.tag == "Pairwise" else list(control.labels)


def _answers(value: Value | None) -> list[str] | None:
    if value is None:
        return None
    items = value if isinstance(value, tuple) else (value,)
    return [" / ".join(item) if isinstance(item, tuple) else _plain(item) for item in items]


def _plain(item: object) -> str:
    return str(int(item)) if isinstance(item, float) and item.is_integer() else str(item)
