"""What all scenarios stand on: a real Label Studio, projects in it, and a look at what arrived."""

from __future__ import annotations

import importlib
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.core.label_config import parse_label_config
from backend.interfaces import default_label_config
from backend.label_studio_server import LabelStudioProcess
from backend.store import Store
from backend.studio import Studio
from backend.studio_types import Project
from backend.writeback import judged_by
from tests.backend_process import wait_until
from tests.slow_judge import predictions, slow_service, tiny_picture

SETTLED_S = 180.0
"""Longer than this nobody should be told that predictions are to be written back that are there."""


@dataclass(slots=True)
class Notes:
    """What a scenario tells."""

    said: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    left_out: str = ""
    """Why it could not be run here; empty where it was."""

    def say(self, text: str) -> None:
        """Something that was done or measured."""
        self.said.append(text)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Something that must hold."""
        if not holds:
            self.wrong.append(otherwise)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a scenario takes place."""

    label_studio: LabelStudioProcess
    home: Path
    """A folder of its own."""
    budget_s: float
    """How long it should take, about."""
    dice: random.Random

    @property
    def studio(self) -> Studio:
        """The way to Label Studio on which nothing goes wrong."""
        return Studio(self.label_studio.url, self.label_studio.token)

    @property
    def store(self) -> Path:
        """Of the backend."""
        return self.home / "store.sqlite"

    def tasks_for(self, seconds: float, share: float = 0.5, least: int = 40, most: int = 5000) -> int:
        """How many tasks of so many seconds fill a share of the budget."""
        return max(least, min(most, int(self.budget_s * share / seconds)))

    def project(self, title: str, tasks: int, text: str | None = None) -> Project:
        """A project with so many tasks that all differ, also from those of projects with another text."""
        studio, picture = self.studio, tiny_picture()
        project = studio.create_project(title, default_label_config())
        captions = (f"{text or title}, number {number}." for number in range(tasks))
        entries = ({"image": picture, "caption": caption, "requested": ""} for caption in captions)
        studio.import_tasks(project.id, [{"data": entry} for entry in entries])
        return studio.project(project.id)


@cache
def _fingerprint(label_config: str) -> str:
    with TemporaryDirectory() as folder:
        service = slow_service(Path(folder) / "store.sqlite", 0.0)
        try:
            return service.judging(parse_label_config(label_config)).fingerprint
        finally:
            service.close()


def fingerprint_of(project: Project) -> str:
    """Under which our judge's predictions stand in the project."""
    return _fingerprint(project.label_config)


def arrived(studio: Studio, project: Project) -> int:
    """Tasks that have their prediction."""
    return studio.count(project.id, (judged_by(fingerprint_of(project)),))


@contextmanager
def patched(constants: Mapping[str, float]) -> Iterator[None]:
    """Other values for a while: `{"delivery.PAUSE_S": 0.5}` is that constant of `backend.delivery`."""
    with ExitStack() as stack:
        for name, value in constants.items():
            module, _, constant = name.rpartition(".")
            found = importlib.import_module(f"backend.{module}")
            stack.callback(setattr, found, constant, getattr(found, constant))
            setattr(found, constant, value)
        yield


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """The backend's store, looked at from another process."""
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def wait_for_all(ground: Ground, notes: Notes, project: Project, timeout_s: float, missing: int = 0) -> float:
    """Seconds until every task but so many has its prediction; soon after that nothing may be owed any more."""
    studio, wanted = ground.studio, project.task_count - missing
    took_s = timeout_s
    with open_store(ground.store) as store:
        try:
            took_s = wait_until(lambda: arrived(studio, project) >= wanted, timeout_s)
        except TimeoutError:
            there = arrived(studio, project)
            notes.expect(False, f"{there} of {wanted} are there after {timeout_s:.0f} s")
        try:
            settled_s = wait_until(lambda: not store.jobs.counts(), SETTLED_S)
            notes.say(f"nothing owed {settled_s:.0f} s after that")
        except TimeoutError:
            left = sum(store.jobs.counts().values())
            notes.expect(False, f"{left} are owed still {SETTLED_S:.0f} s after the last arrived")
    return took_s


def expect_once_each(ground: Ground, notes: Notes, project: Project, without: Collection[int] = ()) -> None:
    """Every task has one prediction of our judge and no other, those without have none."""
    found, fingerprint = predictions(ground.studio, project), fingerprint_of(project)
    counts = Counter(len(versions) for task, versions in found.items() if task not in without)
    strange = {version for versions in found.values() for version in versions} - {fingerprint}
    notes.expect(
        set(counts) == {1}, f"predictions per task, how many tasks have so many: {dict(sorted(counts.items()))}"
    )
    notes.expect(not strange, f"predictions of another judge: {sorted(strange)}")
    notes.expect(not any(found[task] for task in without), "tasks that cannot be judged have a prediction")
    if set(counts) == {1}:
        notes.say(f"{counts[1]} once each")
