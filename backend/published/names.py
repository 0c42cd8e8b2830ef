"""Which columns a dataset of ours has and what each is for, as `exporters.schema.columns` names them. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from backend.core.deciding import deciding_control
from backend.core.label_config import LabelConfig
from backend.core.sides import compares

WHOLE = "all"
"""The config that has every row and every value."""
_MARKS = frozenset({"task_id", "decided_by", "saw_prediction", "audit", "corrected_controls", "fingerprint"})
"""Columns that no other dataset has together, and without which nothing can be brought back."""
_OUTCOME = ("final_text", "final_text_source", "decided_by", "saw_prediction", "audit", "corrected_controls")
_PAIR = ("rejected", "tie")
_JUDGE = ("judge_confidence", "judge_flags", "judge_reliance", "judge_features", "fingerprint")
_PEOPLE = ("annotator", "annotators", "annotation_id", "annotation_count", "verdicts_agree", "lead_time_s")
TOLD = ("generator", "source", "licence")
"""What the task's data said of where text and image come from."""
CRITERIA = "criteria"
"""In the config `judgements`: the same once more, by criterion."""
_SAID = ("human_", "judge_")


@dataclass(frozen=True, slots=True)
class ControlColumns:
    """Where a control's values are."""

    human: str
    judge: str
    probs: str | None
    """Of the judge's answers; None for controls that have none."""


@dataclass(frozen=True, slots=True)
class OurColumns:
    """What the columns of a dataset exported under a label config are for."""

    inputs: dict[str, str]
    """By key of the task's data, the column; texts and images."""
    digests: frozenset[str]
    """Columns that follow from the images."""
    controls: dict[str, ControlColumns]
    """By control."""
    fixed: frozenset[str]
    """All that are there under every label config of the kind, in some config of the dataset."""

    @property
    def known(self) -> frozenset[str]:
        """All of them."""
        said = (name for each in self.controls.values() for name in (each.human, each.judge, each.probs) if name)
        return self.fixed | self.digests | frozenset(self.inputs.values()) | frozenset(said)


def is_ours(names: Collection[str]) -> bool:
    """Whether a dataset with these columns is one that this product exported, with who decided what."""
    return frozenset(names) >= _MARKS


def our_columns(config: LabelConfig) -> OurColumns:
    """The columns under a label config."""
    fixed = frozenset((*_OUTCOME, *(_PAIR if compares(config) else ()), *_JUDGE, *_PEOPLE, *TOLD, "task_id"))
    taken = set(fixed)
    controls = {}
    for control in config.controls:
        has_probs = control.tag == "Rating" or control.name == deciding_control(config)
        controls[control.name] = ControlColumns(
            _after(f"human_{control.name}", taken),
            _after(f"judge_{control.name}", taken),
            _after(f"judge_{control.name}_probs", taken) if has_probs else None,
        )
    images = {key: _before(key, taken) for key in dict.fromkeys(item.key for item in config.images)}
    digests = {_before(f"{name}_sha256", taken) for name in images.values()}
    taken |= {*images.values(), *digests}
    texts = {key: _before(key, taken) for key in dict.fromkeys(item.key for item in config.texts)}
    return OurColumns({**images, **texts}, frozenset(digests), controls, fixed | {CRITERIA})


def without_control(names: Collection[str], ours: OurColumns) -> tuple[str, ...]:
    """Columns with what somebody said in a control that the label config has not, by name."""
    return tuple(sorted(name for name in names if name.startswith(_SAID) and name not in ours.known))


def _after(name: str, taken: set[str]) -> str:
    """The name, or with `_` behind it where it is taken; it is taken then."""
    while name in taken:
        name = f"{name}_"
    taken.add(name)
    return name


def _before(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"input_{name}"
    return name
