"""The blind slice of a project: which tasks are in it, and how a verdict is kept from the annotator.

What decides stands in the label config, as attributes of its outermost tag, because that alone comes along on every
road from Label Studio to the judge: `<View auditShare="0.1" auditKey="4f1c...">`. Annotators see nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from backend.errors import LabelConfigError

SHARE, KEY, BY, SHARES = "auditShare", "auditKey", "auditBy", "auditShares"
"""The attributes: the share of tasks, the key of the draw, and where groups have shares of their own, the field of the
data that tells the group, and their shares as a JSON object."""
CONTINUING = "/continuing"
"""Ends the key by which accepted tasks are drawn that people look at again."""
_FIRST = 1e-6
"""Blind predictions have scores below this, so that they come before all others."""
_HEAD = re.compile(r"(?:\s|<\?.*?\?>|<!--.*?-->)*<[A-Za-z][\w.-]*", re.DOTALL)
_ATTRIBUTE = r"""\s+{name}\s*=\s*(?:"[^"]*"|'[^']*')"""


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """Which tasks are kept blind."""

    share: float
    """Of all tasks, above 0 and at most 1; of each group's where `by` is set and it has no share of its own."""
    key: str
    """Makes the draw, and names the project's slice in the store."""
    by: str = ""
    """The key in the task's data that tells its group; empty where the draw is the same for all."""
    shares: tuple[tuple[str, float], ...] = ()

    def position(self, task: int) -> float:
        """Where a task stands in the draw, in [0, 1): those below its share are in the slice.

        By BLAKE2b of the task's number under the key: the same everywhere, and nobody's choice.
        """
        return fraction(self.key, task)

    def drawn_with(self, task: int, data: Mapping[str, Any]) -> float | None:
        """The probability with which it was drawn into the slice; None where it was not drawn."""
        share = self._share(data)
        return share if self.position(task) < share else None

    def blind(self, task: int, data: Mapping[str, Any], model_version: str) -> dict[str, Any]:
        """What Label Studio is given instead of a prediction: nothing to see, and its place in the order of the draw.

        Who labels from the front therefore always has a random draw labelled, however far they come.
        """
        return blind_prediction(self.position(task) / self._share(data), model_version)

    def _share(self, data: Mapping[str, Any]) -> float:
        return dict(self.shares).get(group_of(data, self.by), self.share) if self.by else self.share


def blind_prediction(position: float, model_version: str) -> dict[str, Any]:
    """A prediction without a result; its score says where it stands among the blind ones, in [0, 1)."""
    return {"result": [], "score": position * _FIRST, "model_version": model_version}


def is_blind(result: Sequence[object]) -> bool:
    """Whether a prediction with this result shows nothing, as those of the slice do."""
    return not result


def fraction(key: str, task: int) -> float:
    """A number in [0, 1) that follows from key and task alone: 64 bits of BLAKE2b, keyed."""
    digest = hashlib.blake2b(str(task).encode(), digest_size=8, key=key.encode()).digest()
    return int.from_bytes(digest) / 2**64


def group_of(data: Mapping[str, Any], field: str) -> str:
    """The group that the task's data name; empty where they name none."""
    value = data.get(field)
    return "" if value is None else str(value)


def read_plan(attributes: Mapping[str, str]) -> AuditPlan | None:
    """The plan in the outermost tag's attributes; None where there is none. Raises LabelConfigError."""
    if not any(name in attributes for name in (SHARE, KEY, BY, SHARES)):
        return None
    key = attributes.get(KEY, "")
    if not 8 <= len(key.encode()) <= 40:
        raise LabelConfigError(f"{KEY} of the label config must have 8 to 40 characters: put back what was there")
    by = attributes.get(BY, "")
    try:
        shares = json.loads(attributes.get(SHARES) or "{}")
        each = tuple(sorted((str(name), _share(value)) for name, value in shares.items()))
    except (ValueError, AttributeError) as exc:
        raise LabelConfigError(f"{SHARES} of the label config must be a JSON object of shares: {exc}") from exc
    return AuditPlan(_share(attributes.get(SHARE, "")), key, by, each)


def with_plan(xml: str, plan: AuditPlan) -> str:
    """The label config with this plan in it, and no other; all else stays as it is. Raises LabelConfigError."""
    bare = without_plan(xml)
    head = _HEAD.match(bare)
    if head is None:
        raise LabelConfigError("the label config does not begin with a tag")
    said = {SHARE: f"{plan.share:g}", KEY: plan.key}
    if plan.by:
        said |= {BY: plan.by, SHARES: json.dumps(dict(plan.shares))}
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in said.items())
    return bare[: head.end()] + attributes + bare[head.end() :]


def without_plan(xml: str) -> str:
    """The label config without a plan."""
    head = _HEAD.match(xml)
    if head is None:
        return xml
    end = re.compile(r"""(?:[^"'>]|"[^"]*"|'[^']*')*""").match(xml, head.end())
    stop = end.end() if end else head.end()
    inside = xml[head.end() : stop]
    for name in (SHARE, KEY, BY, SHARES):
        inside = re.sub(_ATTRIBUTE.format(name=name), "", inside)
    return xml[: head.end()] + inside + xml[stop:]


def _share(value: object) -> float:
    try:
        share = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        share = 0.0
    if not 0 < share <= 1:
        raise LabelConfigError(f"the share of the blind slice must be above 0 and at most 1, not {value!r}")
    return share
