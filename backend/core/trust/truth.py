"""What people say of a task when several of them said something: the one answer that the judge is held against.

A person has one say, the latest of theirs; a skip says nothing. Labels come in order of time, as in `LabelledTask`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from backend.core.changes import same_value
from backend.core.deciding import deciding_control, verdict_of
from backend.core.label_config import Control, LabelConfig
from backend.core.trust.labels import Said
from backend.core.types import Value

UNDECIDED = "undecided"
"""What a Pairwise control says that was left empty: Label Studio has no word for it."""
_EMPTY: Mapping[str, Value] = {"Pairwise": UNDECIDED, "Taxonomy": ()}


def consolidated(labels: Sequence[Said], config: LabelConfig) -> Said | None:
    """The one answer of all who labelled a task; None where they have none, which a certificate has to count as wrong.

    On a form that decides, by `deciding_control`: what more than half of those say who decided, in the words of the
    latest of these; None for a tie and where nobody decided. On any other form the latest label that is not a skip.
    """
    own = tuple(one for one in latest_of_each(labels) if not one.skipped)
    deciding = config.control(deciding_control(config))
    if deciding is None:
        return own[-1] if own else None
    decided = [(one, said) for one in own if (said := decision_of(one.values, config)) is not None]
    count = Counter(said for _, said in decided)
    return next((one for one, said in reversed(decided) if 2 * count[said] > len(decided)), None)


def decision_of(values: Mapping[str, Value] | None, config: LabelConfig) -> str | None:
    """What the deciding control says: as `verdict_of`, but an empty Pairwise is `undecided`.

    None where the form has no such control, where it was left empty, and for no values at all.
    """
    deciding = config.control(deciding_control(config))
    if deciding is None or values is None:
        return None
    value = value_in(values, deciding)
    return verdict_of({deciding.name: value}, deciding.name) if value is not None else None


def consolidated_value(labels: Sequence[Said], control: Control) -> Value | None:
    """What all who labelled a task say in one control; None where nobody filled it in.

    That is what more than half of those say who filled it in, else the latest. Unlike `consolidated` it breaks ties,
    for it measures how people and judge answer, and promises nothing.
    """
    return most_said([value for one in latest_of_each(labels) if (value := value_of(one, control)) is not None])


def most_said(values: Sequence[Value]) -> Value | None:
    """What more than half of these values are, else the last; None for none."""
    if len(values) > 1:
        for value in reversed(values):
            if 2 * sum(same_value(value, other) for other in values) > len(values):
                return value
    return values[-1] if values else None


def value_of(said: Said, control: Control) -> Value | None:
    """What one person says in a control; None for a skip and for a control left empty, unless that says something."""
    return None if said.skipped else value_in(said.values, control)


def value_in(values: Mapping[str, Value], control: Control) -> Value | None:
    """What a person's values say in a control.

    Left empty, a Pairwise says `undecided` and a control of which several or none may be chosen says none; any other
    control, and one that is shown only under a condition, says nothing.
    """
    if control.name in values:
        return values[control.name]
    return None if control.shown_when else _EMPTY.get(control.tag, () if control.multiple else None)


def latest_of_each(labels: Iterable[Said]) -> tuple[Said, ...]:
    """The latest label of every person, in order of time."""
    latest: dict[str, Said] = {}
    for one in labels:
        latest.pop(one.annotator, None)
        latest[one.annotator] = one
    return tuple(latest.values())
