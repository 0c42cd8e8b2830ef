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
AGAIN_SHARE = 0.03
"""Of the accepted, how many people look at again."""
_FIRST = 1e-6
"""Blind predictions have scores below this, so that they come before all others."""
_HEAD = re.compile(r"\ufeff?(?>\s+|<\?.*?\?>|<!--.*?-->)*+<[A-Za-z][\w.-]*", re.DOTALL)
"""What stands before the outermost tag, as a byte order mark may, and its name; possessive, so that it takes no time
where there is no tag."""
_ATTRIBUTES = re.compile(r"""(?:[^"'>]|"[^"]*"|'[^']*')*+""")
_ATTRIBUTE = re.compile(r"""\s+([^\s=]+)\s*=\s*(?:"[^"]*"|'[^']*')""")


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

    def place_again(self, task: int) -> float | None:
        """Where an accepted task stands among those that people look at again, in [0, 1); None where it is not one."""
        place = fraction(self.key + CONTINUING, task) / AGAIN_SHARE
        return place if place < 1 else None

    def _share(self, data: Mapping[str, Any]) -> float:
        return dict(self.shares).get(group_of(data, self.by), self.share) if self.by else self.share


def blind_prediction(position: float, model_version: str) -> dict[str, Any]:
    """A prediction without a result; its score says where it stands among the blind ones, in [0, 1)."""
    return {"result": [], "score": position * _FIRST, "model_version": model_version}


def is_blind(result: Sequence[object]) -> bool:
    """Whether a prediction with this result shows nothing, as those of the slice do."""
    return not result


def fraction(key: str, task: int) -> float:
    """A number in [0, 1) that follows from key and task alone: the first 53 bits of BLAKE2b, keyed."""
    digest = hashlib.blake2b(str(task).encode(), digest_size=8, key=key.encode()).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def number_of(task: Mapping[str, Any]) -> int | None:
    """The task's number in Label Studio; None where it has none."""
    number = task.get("id")
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**63 else None


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
        shares = json.loads(attributes.get(SHARES) or "{}").items()
    except (ValueError, AttributeError, RecursionError) as exc:
        raise LabelConfigError(
            f"{SHARES} of the label config must be a JSON object of shares, not {attributes[SHARES]!r}: put back what "
            "was there"
        ) from exc
    each = tuple(sorted((name, _share(SHARES, value)) for name, value in shares))
    return AuditPlan(_share(SHARE, attributes.get(SHARE, "")), key, by, each)


def attributes_of(plan: AuditPlan) -> dict[str, str]:
    """The attributes that say this plan."""
    said = {SHARE: repr(plan.share), KEY: plan.key}
    return said | {BY: plan.by, SHARES: json.dumps(dict(plan.shares))} if plan.by else said


def spelled(plan: AuditPlan) -> str:
    """The attributes as they stand in a tag, with a blank before each."""
    return "".join(f" {name}={quoteattr(value)}" for name, value in attributes_of(plan).items())


def with_plan(xml: str, plan: AuditPlan) -> str:
    """The label config with this plan in it, and no other; all else stays as it is. Raises LabelConfigError."""
    bare = without_plan(xml)
    head = _HEAD.match(bare)
    if head is None:
        raise LabelConfigError("the label config does not begin with a tag; take away what stands before it")
    return bare[: head.end()] + spelled(plan) + bare[head.end() :]


def without_plan(xml: str) -> str:
    """The label config without a plan."""
    head = _HEAD.match(xml)
    inside = _ATTRIBUTES.match(xml, head.end()) if head else None
    if head is None or inside is None:
        return xml
    others = _ATTRIBUTE.sub(lambda one: "" if one[1] in (SHARE, KEY, BY, SHARES) else one[0], inside[0])
    return xml[: head.end()] + others + xml[inside.end() :]


def _share(name: str, value: object) -> float:
    try:
        share = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        share = 0.0
    if not 0 < share <= 1:
        raise LabelConfigError(
            f"{name} of the label config must be above 0 and at most 1, not {value!r}: put back what was there"
        )
    return share
