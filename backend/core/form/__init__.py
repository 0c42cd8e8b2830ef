"""The project's own controls: questions built from their tags, and what the answers put into them.

What can be chosen is asked in the same reading as the rubric's criteria; what has to be written is written afterwards,
and only where the form then shows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.core.flow import Flow, together
from backend.core.form.boxes import labels_beside
from backend.core.form.field import Field
from backend.core.form.fillable import why_not
from backend.core.form.filling import choose, compose, is_chosen, questions
from backend.core.label_config import Control, LabelConfig
from backend.core.types import Answer, Filled, FormEntry, Question, Sample, Unfilled

FORM_VERSION = "1"
"""Part of the fingerprint: raise it whenever the wording of a question or request changes."""

_NONE = LabelConfig((), ())
_NOT_UNDERSTOOD = "the judge understands no questions but those of its own rubric"
_HIDDEN = "the form does not show it for these answers"
_NOTHING_DRAWN = "there was nothing to draw"


@dataclass(frozen=True, slots=True)
class Form:
    """The controls that are filled by what their tags say rather than by the rubric."""

    controls: tuple[Control, ...]
    unfilled: tuple[Unfilled, ...] = ()
    """Those that stay empty in every task, and why."""
    config: LabelConfig = _NONE

    @property
    def hash(self) -> str:
        """SHA-256 over the controls and the objects they belong to, 64 hex digits."""
        parts = [FORM_VERSION, *(repr(item) for item in (*self.controls, *self.config.objects) if self.controls)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def questions(self, sample: Sample) -> tuple[Question, ...]:
        """What can be asked in the first reading of the sample."""
        return tuple(question for field in self.fields(sample) for question in questions(field))

    def fields(self, sample: Sample) -> tuple[Field, ...]:
        """The controls in one task."""
        return tuple(Field(control, self.config, sample) for control in self.controls)


def make_form(config: LabelConfig, bound: frozenset[str], *, only_wording: bool = False) -> Form:
    """The form of a label config; `bound` names the controls that the rubric fills.

    `only_wording` says that the judge understands nothing but its rubric: it would answer, but mean nothing by it.
    """
    own = [control for control in (*config.controls, *config.others) if control.name not in bound]
    reasons = [_NOT_UNDERSTOOD if only_wording else why_not(control, config, bound) for control in own]
    return Form(
        tuple(control for control, reason in zip(own, reasons, strict=True) if reason is None),
        tuple(Unfilled(control.name, reason) for control, reason in zip(own, reasons, strict=True) if reason),
        config,
    )


def fill_form(form: Form, sample: Sample, answers: Mapping[str, Answer]) -> Flow[tuple[FormEntry, ...]]:
    """What goes into every control, in the form's order; asks further where the first answers are not enough."""
    fields = form.fields(sample)
    chosen = yield from together([choose(field, answers) for field in fields if is_chosen(field.control)])
    entries = {_name(entry): entry for found in chosen for entry in found}
    hidden = _hidden(form.controls, entries)
    written = yield from together([compose(field) for field in fields if _is_written(field, hidden)])
    entries |= {_name(entry): entry for found in written for entry in found}
    entries |= {name: Unfilled(name, _HIDDEN) for name in hidden}
    return tuple(entries.get(control.name, Unfilled(control.name, _NOTHING_DRAWN)) for control in form.controls)


def confidence(entries: Iterable[FormEntry]) -> float:
    """The probability of the least sure entry that was chosen, in [0, 1]; 0 when none was."""
    probs = [entry.prob for entry in entries if isinstance(entry, Filled) and entry.prob is not None]
    return min(probs, default=0.0)


def _is_written(field: Field, hidden: frozenset[str]) -> bool:
    """A Rectangle is drawn by the Labels beside it, where there are any."""
    control = field.control
    drawn = control.tag == "Rectangle" and labels_beside(control, field.config) is not None
    return not is_chosen(control) and not drawn and control.name not in hidden


def _hidden(controls: tuple[Control, ...], entries: Mapping[str, FormEntry]) -> frozenset[str]:
    """Names of the controls that the form does not show beside these answers; an answer that is hidden is none."""
    chosen = {name: _choices(entry.value.value) for name, entry in entries.items() if isinstance(entry, Filled)}
    hidden: frozenset[str] = frozenset()
    for _ in controls:
        seen = {name: values for name, values in chosen.items() if name not in hidden}
        hidden = frozenset(
            control.name for control in controls if not all(condition.holds(seen) for condition in control.shown_when)
        )
    return hidden


def _choices(value: Any) -> tuple[str, ...]:
    """What a condition can ask for in a value: its choices, and those on the way to them."""
    if not isinstance(value, tuple):
        return ()
    return tuple(item for part in value for item in ((part,) if isinstance(part, str) else part))


def _name(entry: FormEntry) -> str:
    return entry.value.control if isinstance(entry, Filled) else entry.control
