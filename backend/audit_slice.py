"""The blind slice of a project in Label Studio: how it is drawn, and how predictions there are made to fit the draw."""

from __future__ import annotations

import json
import logging
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isclose
from typing import Any

from backend.annotated import read_task
from backend.authorship import is_accepted
from backend.core.audit import AuditPlan, attributes_of, blind_prediction, group_of, is_blind, read_plan, spelled
from backend.core.label_config import parse_label_config
from backend.errors import LabelConfigError, StoreError, TrustError
from backend.store import Store
from backend.studio import Project, Studio

log = logging.getLogger(__name__)

Json = Mapping[str, Any]

HAS_PREDICTIONS: Json = {
    "filter": "filter:tasks:total_predictions",
    "operator": "greater",
    "type": "Number",
    "value": 0,
}
_NAMED = 5
_KIND = "slice"
"""Of the statement in the store that says how a project's slice is drawn."""
_MOST_UID_CHARS = 64
"""What names a project in a request may be anything."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What somebody who makes a project asks for."""

    share: float
    by: str = ""
    """The key in the tasks' data whose groups shall be drawn to about equal numbers; empty draws all alike."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What was changed so that predictions fit the draw."""

    blinded: int = 0
    """Predictions that were shown and are kept in the store now."""
    revealed: int = 0
    """Predictions that were kept and are shown now."""
    deleted: int = 0
    """Blind predictions outside the slice whose verdict is not in this store; the tasks are judged again."""


def planned(draw: Draw, data: Sequence[Json], before: AuditPlan | None) -> AuditPlan:
    """The plan for tasks with these data; the key of a plan that is there stays, so that a draw only grows or shrinks.

    Raises TrustError for a share that is none, and for a field that no task has.
    """
    if not 0 < draw.share <= 1:
        raise TrustError(f"--audit is the share of tasks to keep blind, above 0 and at most 1, not {draw.share:g}")
    key = before.key if before else secrets.token_hex(8)
    if not draw.by:
        return AuditPlan(draw.share, key)
    sizes = Counter(group_of(each, draw.by) for each in data)
    if set(sizes) <= {""}:
        raise TrustError(
            f"no task has `{draw.by}` in its data; name a key that tells the group, or leave --audit-by out"
        )
    return AuditPlan(draw.share, key, draw.by, even_shares(sizes, draw.share))


def even_shares(sizes: Mapping[str, int], share: float) -> tuple[tuple[str, float], ...]:
    """The share of each group so that about as many come from each, and `share` of all together.

    A small group is taken whole, and what it lacks comes from the others.
    """
    left, total = dict(sizes), share * sum(sizes.values())
    shares: dict[str, float] = {}
    while left:
        each = total / len(left)
        whole = [name for name, size in left.items() if size <= each]
        if not whole:
            return tuple(sorted((shares | {name: each / size for name, size in left.items()}).items()))
        for name in whole:
            total -= left.pop(name)
            shares[name] = 1.0
    return tuple(sorted(shares.items()))


def remembered(store: Store, uid: str) -> AuditPlan | None:
    """The plan that the project of this number and creation time had when it was last seen. Raises StoreError."""
    said = store.statements.last(uid, "", _KIND)
    return read_plan(json.loads(said.body)) if said else None


def must_have_its_slice(store: Store, uid: str, plan: AuditPlan | None) -> None:
    """Raise LabelConfigError when a project's label config says no slice, or another, where it had one.

    Whoever edits it in Label Studio can paste over it, and the next predictions would show what is kept blind. What the
    store cannot tell is taken as said.
    """
    before = None
    try:
        before = remembered(store, uid)
    except StoreError as exc:
        log.warning("whether project %s has lost its blind slice cannot be told: %s", uid.partition(".")[0], exc)
    if before and (plan is None or plan.key != before.key):
        raise LabelConfigError(
            f"the label config has lost the blind slice of project {uid.partition('.')[0]}, and judging would show "
            f"what people must not see; put this back into its outermost tag:{spelled(before)}"
        )


def hold_to(store: Store, uid: str, plan: AuditPlan | None) -> None:
    """The same for a label config that Label Studio itself has told; and remember what it says."""
    must_have_its_slice(store, uid, plan)
    with suppress(StoreError):  # said above; the next request tries again
        if plan and 0 < len(uid) <= _MOST_UID_CHARS and plan != remembered(store, uid):
            store.statements.put(uid, "", _KIND, json.dumps(attributes_of(plan)))


def must_be_unseen(studio: Studio, project: Project, plan: AuditPlan) -> None:
    """Raise TrustError when tasks of the slice were labelled with the judge's answer in sight, or accepted without any.

    They cannot be made blind any more, and leaving them out would leave no random draw. Nor can tasks leave the slice
    that people have labelled blind: shown their answers now, nobody could tell that these labels were blind.
    """
    seen, accepted, leaving = [], 0, []
    for task in _predicted(studio, project):
        if _is_drawn(plan, task):
            if _was_shown(task):
                accepted += (is_taken := _is_accepted(task))
                seen += [] if is_taken else [task["id"]]
        elif task.get("annotations") and any(_left(plan, task["id"], made) for made in task["predictions"]):
            leaving.append(task["id"])
    if leaving:
        raise TrustError(
            f"{len(leaving)} tasks that people have labelled blind would leave the slice (task {leaving[0]}, say), and "
            "their labels would no longer count as blind; keep the slice as large as it is"
        )
    if accepted:
        raise TrustError(
            f"{accepted} tasks of such a slice were accepted without a person; give them back first: "
            f"vlm-judge accept --project {project.id} --take-back"
        )
    if seen:
        named = ", ".join(map(str, seen[:_NAMED])) + (" ..." if len(seen) > _NAMED else "")
        raise TrustError(
            f"{len(seen)} tasks of such a slice have been labelled by people who could see the judge's answer (tasks "
            f"{named}), so it would not be blind; draw a slice before the review begins, or in a new project"
        )


def count_drawn(studio: Studio, project: Project) -> int:
    """How many of the project's tasks are in its slice."""
    plan = parse_label_config(project.label_config).audit
    tasks = (task for page in studio.pages(project.id, 5000, fields="data") for task in page)
    return 0 if plan is None else sum(plan.drawn_with(task.id, task.data) is not None for task in tasks)


def settle(studio: Studio, store: Store, project: Project, plan: AuditPlan) -> Settled:
    """Keep from annotators what is drawn and still shown, and show what is not drawn any more.

    Can be broken off and begun again. Raises StudioError and StoreError.
    """
    settled: Counter[str] = Counter()
    for task in _predicted(studio, project):
        for made in task["predictions"]:
            blind = is_blind(made.get("result") or ())
            if _is_drawn(plan, task) and not blind:
                version = made.get("model_version") or ""
                hide(studio, store, plan, task["id"], made, plan.blind(task["id"], task["data"], version))
                settled["blinded"] += 1
            elif blind and not _is_drawn(plan, task) and _left(plan, task["id"], made):
                settled[_show(studio, store, plan, task["id"], made)] += 1
    return Settled(**settled)


def hide(studio: Studio, store: Store, plan: AuditPlan, task: int, made: Json, blind: Json) -> None:
    """Keep a prediction that is in Label Studio in the store, and put the blind one in its place."""
    kept = {"result": made["result"], "score": made.get("score"), "model_version": made.get("model_version") or ""}
    store.withheld.put(plan.key, {task: kept})
    studio.change_prediction(made["id"], blind)


def _show(studio: Studio, store: Store, plan: AuditPlan, task: int, made: Json) -> str:
    kept = store.withheld.get(plan.key, (task,)).get(task, ())
    own = next((each for each in kept if each["model_version"] == (made.get("model_version") or "")), None)
    if own is None:
        studio.delete_prediction(made["id"])
        return "deleted"
    studio.change_prediction(made["id"], {name: own[name] for name in ("result", "score", "model_version")})
    return "revealed"


def _predicted(studio: Studio, project: Project) -> Iterator[Json]:
    for page in studio.annotated_tasks(project.id, filters=(HAS_PREDICTIONS,)):
        yield from page


def _is_drawn(plan: AuditPlan, task: Json) -> bool:
    return plan.drawn_with(task["id"], task["data"]) is not None


def _left(plan: AuditPlan, task: int, made: Json) -> bool:
    """Whether a prediction is blind because the slice was larger once."""
    return is_blind(made.get("result") or ()) and not _comes_again(plan, task, made)


def _comes_again(plan: AuditPlan, task: int, made: Json) -> bool:
    """Whether it was made blind for people to look again at what was accepted, and not by a slice that was larger."""
    place = plan.place_again(task)
    return place is not None and isclose(made.get("score") or 0.0, blind_prediction(place, "")["score"], rel_tol=1e-9)


def _is_accepted(task: Json) -> bool:
    return all(map(is_accepted, read_task(task).annotations))


def _was_shown(task: Json) -> bool:
    shown = any(not is_blind(made.get("result") or ()) for made in task["predictions"])
    return shown and bool(task.get("annotations"))
