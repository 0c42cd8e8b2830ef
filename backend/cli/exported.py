"""What came of an export, for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporters.files.written import WrittenConfig
    from exporters.hub.plan import PushPlan
    from exporters.summary import ExportSummary


def export_as_data(summary: ExportSummary) -> dict[str, Any]:
    """The balance of tasks and rows, each config, and the push; tasks are named by their ids."""
    counts = summary.counts
    return {
        "folder": summary.folder,
        "tasks_in": counts.tasks_in,
        "tasks_out": counts.tasks_out,
        "rows_out": counts.rows_out,
        "left_out": counts.left_out,
        "decided_by": counts.decided_by,
        "several_annotations": counts.several,
        "disagreeing": counts.disagreeing,
        "missing_text": counts.missing_text,
        "missing_images": counts.missing_images,
        "images": summary.pictures,
        "configs": [_of_config(config) for config in (*summary.configs, *summary.empty)],
        "notes": summary.notes,
        "push": _of_push(summary),
    }


def _of_config(config: WrittenConfig) -> dict[str, Any]:
    splits = {split.name: split.rows for split in config.splits}
    return {"name": config.name, "rows_out": config.rows_out, "splits": splits, "left_out": config.left_out}


def _of_push(summary: ExportSummary) -> dict[str, Any] | None:
    """None where no push was asked for; `done` is False for a dry run and where nothing has changed."""
    pushed = summary.pushed
    if pushed is not None:
        done = bool(pushed.plan.changes)
        return {**_of_plan(pushed.plan), "done": done, "pull_request": pushed.pull_request}
    return {**_of_plan(summary.plan), "done": False, "pull_request": None} if summary.plan else None


def _of_plan(plan: PushPlan) -> dict[str, Any]:
    changes = [{"path": one.path, "change": one.change, "bytes": one.size} for one in plan.changes]
    return {"repo": plan.target.repo_id, "address": plan.address, "private": plan.target.private, "changes": changes}
