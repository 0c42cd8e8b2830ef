"""The checks of a project: that it is there, what the judge would fill, and whose predictions are shown."""

from __future__ import annotations

from backend.core.judging import Judging
from backend.core.label_config import parse_label_config
from backend.doctor.findings import Checking, Finding, Lacking, failed, parted
from backend.doctor.label_studio import SignedIn
from backend.errors import LabelConfigError, RubricError, StudioError
from backend.service import JudgeService
from backend.studio_access import StudioRefusal
from backend.studio_types import Project

PROJECT, CONFIG, VERSION = "project", "label config", "model version"


def open_project(signed: SignedIn, number: int) -> Checking[Project | Lacking]:
    """Whether the project is there and has tasks."""
    where = f"take the number from the project's address, {signed.studio.url}/projects/NUMBER/data"
    try:
        project = signed.studio.project(number)
    except StudioRefusal as exc:
        if exc.status == 404:
            yield Finding(PROJECT, "failed", f"{signed.email} can see no project {number}", where)
        else:
            yield Finding(PROJECT, "failed", *parted(exc, where))
        return failed(PROJECT)
    except StudioError as exc:
        yield Finding(PROJECT, "failed", *parted(exc, where))
        return failed(PROJECT)
    shown = f"{number}, {project.title!r}"
    if project.task_count:
        yield Finding(PROJECT, "ok", f"{shown}, has {project.task_count} tasks")
    else:
        remedy = "add some with its Import button, or by `vlm-judge project create --title TITLE --tasks FILE`"
        yield Finding(PROJECT, "warning", f"{shown}, has no tasks", remedy)
    return project


def check_label_config(project: Project, service: JudgeService) -> Checking[Judging | Lacking]:
    """What the judge would fill in this project, and what stays empty for which reason."""
    try:
        judging = service.judging(parse_label_config(project.label_config))
    except (LabelConfigError, RubricError) as exc:
        remedy = "change it under Settings > Labeling Interface; `label_config.xml` is one that fits"
        yield Finding(CONFIG, "failed", str(exc), remedy)
        return failed(CONFIG)
    empty = {entry.control: entry.reason for entry in judging.form.unfilled}
    filled = [control.name for control in judging.config.controls if control.name not in empty]
    left = "; ".join(f"leaves `{name}` empty: {reason}" for name, reason in empty.items())
    detail = f"the judge fills {', '.join(f'`{name}`' for name in filled)}"
    yield Finding(CONFIG, "ok", f"{detail}; {left}" if left else f"{detail}, which is all")
    return judging


def check_model_version(project: Project, judging: Judging, typed: str) -> Checking[None]:
    """Whether annotators see this judge's predictions; `typed` are the options that chose the judge."""
    remedy = f"vlm-judge judge --project {project.id}{typed}"
    if project.model_version == judging.fingerprint:
        yield Finding(VERSION, "ok", f"annotators see the predictions of {judging.fingerprint}, this judge")
    elif project.model_version:
        detail = f"annotators see the predictions of {project.model_version}; this judge is {judging.fingerprint}"
        yield Finding(VERSION, "warning", detail, remedy)
    else:
        detail = f"annotators see no predictions, because none are chosen; this judge is {judging.fingerprint}"
        yield Finding(VERSION, "warning", detail, remedy)
