"""Projects as this product wants them: settings, tabs, tasks and files, made once and completed when half there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.audit_slice import HAS_PREDICTIONS, Draw, hold_to, must_be_unseen, planned, remembered, settle
from backend.core.audit import AuditPlan, with_plan
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.sample import role_of
from backend.errors import SettingsError, VlmJudgeError
from backend.store import Store
from backend.studio import Project, Studio, Tab

Json = Mapping[str, Any]

_SHOWN = ("tasks:id", "tasks:predictions_score", "tasks:total_annotations", "tasks:completed_at")
"""Columns of our tabs that are visible at first, beside the images and texts that the label config shows."""
_IMAGE_PX, _TEXTS_PX = 130, 560
"""Width of an image's column, and of all text columns together."""

_NO_PREDICTION = {"filter": "filter:tasks:total_predictions", "operator": "equal", "type": "Number", "value": 0}
"""Tasks that failed have no prediction; why they failed stands in the backend's log and on its status page."""
_SHOWS_NOTHING = {
    "filter": "filter:tasks:predictions_results",
    "operator": "not_contains",
    "type": "String",
    "value": "from_name",
}
DECISION_TEXTS = ("accept", "fix", "reject")


@dataclass(frozen=True, slots=True)
class ProjectSpec:
    """What a project shall be. Its title is its identity: making it again completes it.

    The settings that the review needs are set again, whatever people made of them; tabs stay as they are.
    """

    title: str
    label_config: str
    tasks: tuple[Json, ...] = ()
    """`{"data": {...}}` each; those whose data is already in the project are not imported again."""
    model_version: str | None = None
    """The judge's fingerprint; None leaves it as it is."""
    description: str = ""
    local_files: Path | None = None
    """A folder below the document root of a Label Studio on this machine, whose files tasks show."""
    audit: Draw | None = None
    """How to draw the blind slice; None leaves the one there is, or has none."""
    filled: tuple[Json, ...] = ()
    """Of the tasks that `fill` puts in, the data by which they are drawn."""


def create_project(
    studio: Studio, spec: ProjectSpec, fill: Callable[[Project], None] | None = None, store: Store | None = None
) -> Project:
    """The project of this title, made or completed: settings, tabs, storage, missing tasks. Raises StudioError.

    `fill` may put more tasks into it, before its tabs are made by the columns that it has then. `store` is where
    verdicts are kept that annotators must not see; it is needed to draw a blind slice. Raises TrustError when that
    would not be blind, and StoreError while another process judges a project whose slice changes, because that process
    would go on showing what is drawn.

    Uncertainty sampling and the score column go by `model_version`. A new project takes any; an existing one only a
    version that it has predictions of, and keeps its own until `Studio.use_model_version` is called after judging.
    """
    spec = replace(spec, title=spec.title.strip())  # as Label Studio does, so that it is found again
    project = studio.find_project(spec.title)
    before, plan = _plans(studio, spec, project, store)
    with store.held(project.uid) if project and store and plan != before else nullcontext():
        made = _with_settings(studio, spec, project, with_plan(spec.label_config, plan) if plan else spec.label_config)
        if store:
            hold_to(store, made.uid, plan)
        if spec.local_files is not None:
            studio.serve_local_files(made.id, str(spec.local_files), spec.local_files.name)
        config = parse_label_config(made.label_config)
        import_missing(studio, made.id, with_optional_keys(spec.tasks, config))
        if fill is not None:
            fill(made)
        if plan and store and studio.count(made.id, (HAS_PREDICTIONS,)):
            settle(studio, store, made, plan)
    put_tabs(studio, made.id, config)
    return studio.project(made.id)


def _with_settings(studio: Studio, spec: ProjectSpec, project: Project | None, label_config: str) -> Project:
    """The project with this label config, made or changed where it differs."""
    settings: dict[str, object] = {
        "show_collab_predictions": True,
        "sampling": "Uncertainty sampling",
        "show_skip_button": True,
        "enable_empty_annotation": False,
    }
    if spec.description:
        settings["description"] = spec.description
    if project is None:
        chosen = {"model_version": spec.model_version} if spec.model_version else {}
        return studio.create_project(spec.title, label_config, **settings, **chosen)
    differs = project.label_config.strip() != label_config.strip()
    changed = studio.update_project(project.id, **settings, **({"label_config": label_config} if differs else {}))
    if spec.model_version:
        studio.use_model_version(project.id, spec.model_version)
    return changed


def _plans(
    studio: Studio, spec: ProjectSpec, project: Project | None, store: Store | None
) -> tuple[AuditPlan | None, AuditPlan | None]:
    """The plan that the label config has, and the one to come: the one asked for, else the one that there was.

    Raises TrustError when its slice would not be blind.
    """
    config = parse_label_config(spec.label_config)
    before = parse_label_config(project.label_config).audit if project else None
    lost = remembered(store, project.uid) if project and store and before is None else None
    if spec.audit is None:
        plan = before or lost or config.audit
    else:
        data = _data_of(studio, spec, project, config) if spec.audit.by else ()
        plan = planned(spec.audit, data, before or lost)
    if project and plan and plan not in (before, lost):
        must_be_unseen(studio, project, plan)
    return before, plan


def _data_of(studio: Studio, spec: ProjectSpec, project: Project | None, config: LabelConfig) -> tuple[Json, ...]:
    """The data of all tasks that there will be."""
    there = [task.data for page in studio.pages(project.id, fields="data") for task in page] if project else []
    known = {_data_key(each) for each in there}
    new = (task["data"] for task in with_optional_keys(spec.tasks, config))
    return (*there, *(each for each in new if _data_key(each) not in known), *spec.filled)


def read_tasks(path: Path) -> tuple[Json, ...]:
    """Tasks from a JSON list or JSON lines, each `{"data": {...}}` or the bare data. Raises SettingsError."""
    text = read_text(path)
    lines = (line for line in text.split("\n") if line.strip())  # not splitlines: texts may hold U+2028 and the like
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in lines]
    except ValueError as exc:
        raise SettingsError(f"{path} is neither a JSON list of tasks nor JSON lines: {exc}") from exc
    for number, item in enumerate(found, 1):
        if not isinstance(item, dict) or not isinstance(item.get("data", item), dict):
            raise SettingsError(f'{path}, task {number}: expected {{"data": {{...}}}}, found {str(item)[:60]!r}')
    return tuple(item if "data" in item else {"data": item} for item in found)


def read_text(path: Path) -> str:
    """A file in UTF-8, with or without a byte order mark. Raises SettingsError naming the file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{path} is not in UTF-8 (byte {exc.start + 1}); save it as UTF-8") from exc
    except OSError as exc:
        raise SettingsError(f"cannot read {path}: {exc.strerror}") from exc


def read_json_lines(path: Path, error: type[VlmJudgeError]) -> Iterator[dict[str, Any]]:
    """The objects of a JSON lines file. Raises SettingsError as `read_text` does, and `error` naming a wrong line."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as exc:
            raise error(f"{path}, line {number} is not JSON: {exc}") from exc
        if not isinstance(row, dict):
            raise error(f"{path}, line {number}: expected an object, found {line.strip()[:60]!r}")
        yield row


def import_missing(studio: Studio, project_id: int, tasks: tuple[Json, ...]) -> int:
    """Import the tasks whose data is not in the project yet; how many went in."""
    if not tasks:
        return 0
    present = {_data_key(task.data) for page in studio.pages(project_id, fields="data") for task in page}
    missing = [task for task in tasks if _data_key(task["data"]) not in present]
    return len(studio.import_tasks(project_id, missing)) if missing else 0


def with_optional_keys(tasks: Sequence[Json], config: LabelConfig) -> tuple[Json, ...]:
    """The tasks, with an empty text where they ask for no features: Label Studio wants all keys of the label config."""
    optional = {text.key: "" for text in config.texts if text.key and role_of(text.name) == "requested"}
    return tuple({**task, "data": {**optional, **task["data"]}} for task in tasks)


def put_tabs(studio: Studio, project_id: int, config: LabelConfig) -> None:
    """Make the review tabs; where one with the title exists it is left as people have arranged it."""
    existing = studio.tabs(project_id)
    for tab in review_tabs(config, studio.columns(project_id)):
        if tab.title not in existing:
            studio.put_tab(project_id, tab)


def review_tabs(config: LabelConfig, columns: Sequence[str] = ()) -> tuple[Tab, ...]:
    """The tabs in their order; `columns` are all that the Data Manager has. Without a verdict control there are three.

    "Judge and human disagree" is exact for one annotation and one prediction a task: some decision is in the
    annotation's result and not in the prediction's. The Data Manager cannot compare two columns, but a filter can carry
    a second condition of its own, so three pairs joined by "or" say the same. Where a task has several annotations (or
    predictions of several judges) it is listed when any annotation has a decision that no prediction has; an annotation
    that was skipped counts, because the filter cannot see that.

    Filters look for the decision as a choice (`"choices": ["reject"]`), not for the word, which a rationale may hold.
    """
    widths_px = _widths_px(config)
    shown = {*_SHOWN, *(name for name, _ in widths_px)}
    hidden = tuple(column for column in columns if column not in shown)
    ascending = ("tasks:predictions_score",)
    disagree = _disagree_seen() if config.audit else _disagree()
    rejects = (_result("predictions", "contains", "reject"),)
    decided = (
        Tab("Judge rejects", rejects, "and", ascending, hidden, widths_px),
        Tab("Judge and human disagree", disagree, "or", ascending, hidden, widths_px),
    )
    decides = any(set(DECISION_TEXTS) & set(control.labels) for control in config.controls if control.tag == "Choices")
    audit = Tab("Audit (blind)", (HAS_PREDICTIONS, _SHOWS_NOTHING), "and", ascending, hidden, widths_px)
    return (
        *((audit,) if config.audit else ()),
        Tab("Least sure first", (_annotations("equal", 0),), "and", ascending, hidden, widths_px),
        *(decided if decides else ()),
        Tab("Reviewed", (_annotations("greater", 0),), "and", ("tasks:id",), hidden, widths_px),
        Tab("Not judged", (_NO_PREDICTION,), "and", ("tasks:id",), hidden, widths_px),
    )


def _disagree() -> tuple[Json, ...]:
    return tuple(
        {
            **_result("annotations", "contains", decision),
            "child_filter": _result("predictions", "not_contains", decision),
        }
        for decision in DECISION_TEXTS
    )


def _disagree_seen() -> tuple[Json, ...]:
    """The same where some predictions are blind: only what the judge was seen to say can be disagreed with."""
    return tuple(
        {**_result("annotations", "contains", one), "child_filter": _result("predictions", "contains", other)}
        for one in DECISION_TEXTS
        for other in DECISION_TEXTS
        if one != other
    )


def _widths_px(config: LabelConfig) -> tuple[tuple[str, int], ...]:
    """The columns of what a task shows, and how wide they are at first; requested features stay hidden."""
    texts = [text.key for text in config.texts if text.key and role_of(text.name) != "requested"]
    return (
        ("tasks:id", 90),
        *((f"tasks:data.{image.key}", _IMAGE_PX) for image in config.images if image.key),
        *((f"tasks:data.{key}", _TEXTS_PX // len(texts)) for key in texts),
    )


def _annotations(operator: str, number: int) -> Json:
    return {"filter": "filter:tasks:total_annotations", "operator": operator, "type": "Number", "value": number}


def _result(of: str, operator: str, decision: str) -> Json:
    value = f'"choices": ["{decision}"]'
    return {"filter": f"filter:tasks:{of}_results", "operator": operator, "type": "String", "value": value}


def _data_key(data: Json) -> str:
    return json.dumps(data, sort_keys=True, ensure_ascii=False)
