"""Which control of a form decides, what it says, and whether the judge and a person decide alike."""

from __future__ import annotations

from collections.abc import Mapping

from backend.core.changes import same_value
from backend.core.label_config import LabelConfig
from backend.core.sides import compares, says_preference
from backend.core.types import Value

VERDICT = "verdict"
"""Name of the control that carries the verdict."""
_CLOSED = frozenset({"Choices", "Taxonomy", "Rating", "Number", "Pairwise"})
_NEEDS_A_PERSON = "fix"


def deciding_control(config: LabelConfig) -> str:
    """The control that decides: `verdict`, or where there is none the one that says which text is preferred."""
    names = (control.name for control in config.controls if says_preference(control, config))
    return VERDICT if config.control(VERDICT) else next(names, VERDICT)


def verdict_of(values: Mapping[str, Value] | None, control: str = VERDICT) -> str | None:
    """The verdict among a person's or a judge's values."""
    value = (values or {}).get(control)
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, str) else None


def decides_alike(judge: Mapping[str, Value], human: Mapping[str, Value], config: LabelConfig) -> bool:
    """Whether the judge is right, by what this person says.

    That is the same verdict or preference; on a form without one, the same value in every control with a fixed set of
    answers that the judge has filled in.
    """
    deciding = _deciding(config)
    if deciding is not None:
        return verdict_of(judge, deciding) == verdict_of(human, deciding)
    filled = [name for name in _closed(config) if name in judge]
    return bool(filled) and all(same_value(judge[name], human.get(name)) for name in filled)


def can_stand_alone(judge: Mapping[str, Value], config: LabelConfig) -> bool:
    """Whether a person may be spared this answer at all, however sure it is.

    Not without a decision or a preferred text; not `fix`, because a text that nobody has read would become the final
    one; and on a form of one's own, not while a control with a fixed set of answers is empty.
    """
    deciding = _deciding(config)
    if deciding is None:
        closed = _closed(config)
        return bool(closed) and all(name in judge for name in closed)
    verdict = verdict_of(judge, deciding)
    return verdict is not None and (compares(config) or verdict != _NEEDS_A_PERSON)


def _deciding(config: LabelConfig) -> str | None:
    """The deciding control where it can hold a decision; somebody's own Rating may bear that name."""
    control = config.control(deciding_control(config))
    return control.name if control is not None and control.tag in ("Choices", "Pairwise") else None


def _closed(config: LabelConfig) -> tuple[str, ...]:
    return tuple(control.name for control in config.controls if control.tag in _CLOSED and control.scope == "task")
