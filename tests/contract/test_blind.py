"""A verdict of the blind slice is in no answer and in no project, whatever the store does; and it is not lost."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.audit_slice import Draw, Settled, hide, hold_to, settle
from backend.core.audit import AuditPlan, blind_prediction, with_plan
from backend.core.label_config import parse_label_config
from backend.errors import LabelConfigError, StoreError, TrustError
from backend.interfaces import default_label_config
from backend.judge import RunOptions, judge_project, preview_project
from backend.label_studio_server import LabelStudioProcess
from backend.projects import ProjectSpec, create_project
from backend.running import Running
from backend.service import JudgeService
from backend.store import Store
from backend.studio import Studio
from backend.studio_types import Project
from tests.backend_process import wait_until
from tests.running_backend import running_backend
from tests.slow_judge import SlowEngine, make_project, slow_service, tiny_picture

PLAN = AuditPlan(0.1, "0123456789abcdef")
"""Of the tasks 1 and 2 the second is in the slice."""
XML = with_plan(default_label_config(), PLAN)
NOWHERE = "http://127.0.0.1:9"
TASKS = [
    {"id": number, "data": {"image": tiny_picture(), "caption": f"Dog {number}.", "requested": ""}} for number in (1, 2)
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def backend(place: Path) -> Iterator[tuple[str, Running]]:
    with running_backend(NOWHERE, "0" * 40, place, SlowEngine(0.0)) as backend:
        yield backend


@contextmanager
def nothing_withheld(place: Path) -> Iterator[None]:
    """A store that takes everything but verdicts of blind tasks."""
    refuse = (
        "CREATE TRIGGER refuse BEFORE INSERT ON withheld BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    )
    with closing(sqlite3.connect(place)) as store:
        store.execute(refuse)
        store.commit()
        yield
        store.execute("DROP TRIGGER refuse")
        store.commit()


def withheld(place: Path) -> dict[int, dict[str, Any]]:
    with closing(sqlite3.connect(place)) as store:
        rows = store.execute("SELECT task, prediction FROM withheld").fetchall()
    return {task: json.loads(made) for task, made in rows}


def ask(url: str, tasks: list[dict[str, Any]] = TASKS, xml: str = XML, **more: Any) -> list[Any]:
    body = {"tasks": tasks, "label_config": xml, **more}
    answer = httpx.post(f"{url}/predict", json=body, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    results: list[Any] = answer.json()["results"]
    return results


INTERACTIVE: dict[str, Any] = {"params": {"context": {"result": []}}}


@pytest.mark.parametrize("more", [{}, INTERACTIVE], ids=["button", "interactive"])
def test_while_its_verdict_cannot_be_kept_a_blind_task_has_no_answer(
    backend: tuple[str, Running], place: Path, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    url, running = backend
    shown, made = ask(url, xml=default_label_config())
    assert shown["result"]
    with nothing_withheld(place):
        assert ask(url, **more) == [shown, {"result": [], "score": None} if more else []]
    assert "task 2 is kept blind, and its verdict cannot be stored: cannot write to the store" in caplog.text
    assert withheld(place) == {}
    assert ask(url, **more) == [shown, PLAN.blind(2, {}, made["model_version"])]
    assert withheld(place) == {2: made}
    assert running.vitals.snapshot().judged == 2, "nothing was judged again"


@pytest.mark.parametrize("number", ["2", None, 2.5, True, -2, 2**63])
@pytest.mark.parametrize("more", [{}, INTERACTIVE], ids=["button", "interactive"])
def test_a_task_that_cannot_be_told_from_blind_ones_shows_nothing(
    backend: tuple[str, Running], place: Path, number: object, more: dict[str, Any]
) -> None:
    url, _ = backend
    [made] = ask(url, [TASKS[1]], default_label_config())
    task = {**TASKS[1], "id": number}
    nothing = {"result": [], "score": 0.0, "model_version": made["model_version"]}
    assert ask(url, [task, {"data": task["data"]}], **more) == [nothing, nothing]
    assert withheld(place) == {}
    assert [answer["result"] for answer in ask(url, [task], default_label_config())] == [made["result"]]


def test_a_label_config_that_lost_its_slice_is_refused_on_every_request(
    backend: tuple[str, Running], place: Path
) -> None:
    url, running = backend
    uid, bare = "3.1795361354", default_label_config()
    hold_to(running.service.store, uid, PLAN)
    other = with_plan(bare, AuditPlan(0.1, "fedcba9876543210"))
    for xml in (bare, other):
        for path, body in (
            ("setup", {"schema": xml, "project": uid}),
            ("predict", {"label_config": xml, "project": uid, "tasks": TASKS}),
            ("predict", {"label_config": xml, "project": uid, "tasks": TASKS, **INTERACTIVE}),
        ):
            answer = httpx.post(f"{url}/{path}", json=body, timeout=30, trust_env=False)
            assert (answer.status_code, answer.json()) == (
                400,
                {
                    "error": "the label config has lost the blind slice of project 3, and judging would show what "
                    "people must not see; put this back into its outermost tag: "
                    'auditShare="0.1" auditKey="0123456789abcdef"'
                },
            )
    [_, made] = ask(url, xml=bare, project="4.1795361354")
    assert made["result"]
    larger = AuditPlan(0.2, PLAN.key)
    [_, blind] = ask(url, xml=with_plan(bare, larger), project=uid)
    assert blind == larger.blind(2, {}, made["model_version"])


@pytest.mark.parametrize("more", [{}, INTERACTIVE], ids=["button", "interactive"])
def test_an_accepted_task_that_people_look_at_again_stays_blind_when_it_is_judged_anew(
    backend: tuple[str, Running], place: Path, more: dict[str, Any]
) -> None:
    url, running = backend
    outside = (n for n in count(1) if PLAN.drawn_with(n, {}) is None)
    looked_at = next(n for n in outside if PLAN.place_again(n) is not None)
    task = {**TASKS[0], "id": looked_at}
    [made] = ask(url, [task])
    assert made["result"], "before acceptance it is a task like others"
    running.service.store.withheld.put(PLAN.key, {looked_at: {**made, "model_version": "an earlier judge"}})
    place_again = PLAN.place_again(looked_at)
    assert place_again is not None
    assert ask(url, [task], **more) == [blind_prediction(place_again, made["model_version"])]
    kept = running.service.store.withheld.get(PLAN.key, (looked_at,))[looked_at]
    assert [one["model_version"] for one in kept] == ["an earlier judge", made["model_version"]]


def test_the_slice_of_a_label_config_is_remembered_from_the_first_request_on(backend: tuple[str, Running]) -> None:
    url, _ = backend
    ask(url, project="5.1795361354")
    body = {"tasks": TASKS, "label_config": default_label_config(), "project": "5.1795361354"}
    answer = httpx.post(f"{url}/predict", json=body, timeout=30, trust_env=False)
    assert answer.status_code == 400
    assert "has lost the blind slice of project 5" in answer.json()["error"]


class TestInLabelStudio:
    PLAN = AuditPlan(0.5, "0123456789abcdef")

    @pytest.fixture
    def studio(self, label_studio: LabelStudioProcess) -> Studio:
        return Studio(label_studio.url, label_studio.token)

    def project(self, studio: Studio, title: str) -> Project:
        made = make_project(studio, title, 12)
        return studio.update_project(made.id, label_config=with_plan(default_label_config(), self.PLAN))

    def drawn(self, studio: Studio, project: Project) -> set[int]:
        numbers = {task.id for page in studio.pages(project.id) for task in page}
        drawn = {number for number in numbers if self.PLAN.drawn_with(number, {})}
        assert set() < drawn < numbers
        return drawn

    def shown(self, studio: Studio, project: Project) -> dict[int, list[bool]]:
        """Of every task, whether its predictions show something."""
        tasks = (task for page in studio.annotated_tasks(project.id) for task in page)
        return {task["id"]: [bool(made["result"]) for made in task["predictions"]] for task in tasks}

    def check(self, studio: Studio, project: Project, place: Path) -> None:
        drawn = self.drawn(studio, project)
        shown = self.shown(studio, project)
        assert shown == {task: [task not in drawn] for task in shown}
        kept = withheld(place)
        assert kept.keys() == drawn
        assert all(made["result"] for made in kept.values())

    def test_what_is_late_comes_blind_and_not_before_its_verdict_can_be_kept(
        self, studio: Studio, label_studio: LabelStudioProcess, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for constant, seconds in (("ANSWER_GRACE_S", 0.5), ("LOOK_EVERY_S", 0.3), ("PAUSE_S", 0.3)):
            monkeypatch.setattr(f"backend.delivery.{constant}", seconds)
        monkeypatch.setattr("backend.writeback.WRITE_EVERY_S", 0.5)
        project = self.project(studio, "Late and blind")
        drawn = self.drawn(studio, project)
        engine = SlowEngine(0.2)
        with running_backend(label_studio.url, label_studio.token, place, engine, deadline_s=0.5) as (url, running):
            studio.connect_backend(project.id, url, "Slow judge")
            with nothing_withheld(place):
                studio.retrieve_predictions(project.id)
                wait_until(lambda: len(engine.judged) >= 12, 30, 0.1)
                wait_until(
                    lambda: running.delivery is not None and running.delivery.state().state == "waiting", 20, 0.1
                )
                assert not any(shown for task, shown in self.shown(studio, project).items() if task in drawn)
            wait_until(lambda: not running.service.store.jobs.counts(), 60, 0.2)
            assert running.vitals.snapshot().delivered > 0
            self.check(studio, project, place)
            studio.retrieve_predictions(project.id)
            self.check(studio, project, place)

    def test_judge_stores_nothing_while_verdicts_cannot_be_kept_and_all_afterwards(
        self, studio: Studio, place: Path
    ) -> None:
        project, service = self.project(studio, "Judged and blind"), slow_service(place, 0.0)
        previewed = preview_project(studio, service, project.id, 12, RunOptions())
        drawn = self.drawn(studio, project)
        assert {one.task.id for one in previewed} == self.shown(studio, project).keys() - drawn
        with nothing_withheld(place), pytest.raises(StoreError, match="cannot write to the store"):
            judge_project(studio, service, project.id)
        assert set(map(tuple, self.shown(studio, project).values())) == {()}
        assert judge_project(studio, service, project.id).stored == 12
        self.check(studio, project, place)
        service.close()

    def test_judge_goes_by_the_label_config_that_is_there_when_its_turn_comes(
        self, studio: Studio, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The slice is drawn while it waits for whoever draws it."""
        made, service = make_project(studio, "Drawn meanwhile", 12), slow_service(place, 0.0)
        with service.store.held(made.uid):
            judging = threading.Thread(target=judge_project, args=(studio, service, made.id))
            judging.start()
            judging.join(1.0)
            assert judging.is_alive()
            project = studio.update_project(made.id, label_config=with_plan(default_label_config(), self.PLAN))
        judging.join(60)
        self.check(studio, project, place)
        studio.update_project(project.id, label_config=default_label_config())
        for call in (judge_again, preview):
            with pytest.raises(LabelConfigError, match=r"has lost the blind slice of project \d+"):
                call(studio, service, project.id)
        service.close()

    def spec(self, title: str, **more: Any) -> ProjectSpec:
        return ProjectSpec(title, default_label_config(), **more)

    def test_no_slice_is_drawn_while_another_process_goes_by_the_label_config_of_before(
        self, studio: Studio, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.store.store.ALONE_S", 0.0)
        made, store = make_project(studio, "Judged while drawn", 12), Store(place)
        spec = self.spec(made.title, audit=Draw(0.5))
        with store.held(made.uid), pytest.raises(StoreError, match=rf"writes to project {made.id}; wait until it is"):
            create_project(studio, spec, store=store)
        assert studio.project(made.id).label_config == made.label_config
        drawn = create_project(studio, spec, store=store)
        with store.held(made.uid):
            assert create_project(studio, self.spec(made.title), store=store) == drawn, "the slice stays as it was"
        store.close()

    def test_a_slice_that_got_lost_is_put_back_by_making_the_project_again(self, studio: Studio, place: Path) -> None:
        made, store = make_project(studio, "Lost and found", 12), Store(place)
        plan = plan_of(create_project(studio, self.spec(made.title, audit=Draw(0.5)), store=store))
        studio.update_project(made.id, label_config=default_label_config())
        assert plan_of(create_project(studio, self.spec(made.title), store=store)) == plan
        studio.update_project(made.id, label_config=default_label_config())
        grown = plan_of(create_project(studio, self.spec(made.title, audit=Draw(0.6)), store=store))
        assert plan is not None
        assert grown == AuditPlan(0.6, plan.key)
        store.close()

    def test_a_slice_that_a_label_config_brings_along_must_be_unseen_too(self, studio: Studio, place: Path) -> None:
        made, service = make_project(studio, "Seen before", 12), slow_service(place, 0.0)
        judge_project(studio, service, made.id)
        [first, *_] = sorted(self.drawn(studio, made))
        studio.annotate(first, {"result": []})
        spec = ProjectSpec(made.title, with_plan(default_label_config(), self.PLAN))
        with pytest.raises(TrustError, match=rf"1 tasks of such a slice .* judge's answer \(tasks {first}\)"):
            create_project(studio, spec, store=service.store)
        assert plan_of(studio.project(made.id)) is None
        service.close()

    def test_what_people_look_at_again_stays_blind_when_the_project_is_made_again(
        self, studio: Studio, place: Path
    ) -> None:
        made, service = make_project(studio, "Looked at again", 12), slow_service(place, 0.0)
        tasks = [task for page in studio.pages(made.id) for task in page]
        plan, again = key_with_again([task.id for task in tasks])
        xml = with_plan(default_label_config(), plan)
        spec = ProjectSpec(made.title, xml)
        create_project(studio, spec, store=service.store)
        judge_project(studio, service, made.id)
        [raw] = [task for page in studio.annotated_tasks(made.id) for task in page if task["id"] == again]
        place_again = plan.place_again(again)
        assert place_again is not None
        [shown] = raw["predictions"]
        hide(studio, service.store, plan, again, shown, blind_prediction(place_again, shown["model_version"]))
        before = self.shown(studio, made)
        assert before == {task: [task != again and plan.drawn_with(task, {}) is None] for task in before}
        create_project(studio, spec, store=service.store)
        assert self.shown(studio, made) == before
        smaller = AuditPlan(plan.share / 1e6, plan.key)
        settle(studio, service.store, studio.project(made.id), smaller)
        assert self.shown(studio, made) == {task: [task != again] for task in before}
        service.close()

    def test_predictions_without_a_version_are_made_blind_as_well(self, studio: Studio, place: Path) -> None:
        made, store = make_project(studio, "Of nobody knows whom", 12), Store(place)
        numbers = [task.id for page in studio.pages(made.id) for task in page]
        choice = {"from_name": "verdict", "to_name": "caption", "type": "choices", "value": {"choices": ["fix"]}}
        result = [{**choice, "id": "v"}]
        studio.import_predictions(made.id, [{"task": number, "result": result} for number in numbers])
        create_project(studio, ProjectSpec(made.title, with_plan(default_label_config(), self.PLAN)), store=store)
        self.check(studio, made, place)
        assert {made["result"][0]["value"]["choices"][0] for made in withheld(place).values()} == {"fix"}
        tiny = AuditPlan(1e-9, self.PLAN.key)
        done = settle(studio, store, made, tiny)
        assert done == Settled(revealed=len(withheld(place)))
        assert set(map(tuple, self.shown(studio, made).values())) == {(True,)}
        store.close()


def plan_of(project: Project) -> AuditPlan | None:
    return parse_label_config(project.label_config).audit


def key_with_again(tasks: list[int]) -> tuple[AuditPlan, int]:
    """A plan by which some of the tasks are in the slice, and one that is not is looked at again."""
    for number in count():
        plan = AuditPlan(0.5, f"{number:016x}")
        again = [task for task in tasks if plan.place_again(task) is not None and plan.drawn_with(task, {}) is None]
        if again and any(plan.drawn_with(task, {}) for task in tasks):
            return plan, again[0]
    raise AssertionError("there is always one")


def judge_again(studio: Studio, service: JudgeService, project: int) -> None:
    judge_project(studio, service, project)


def preview(studio: Studio, service: JudgeService, project: int) -> None:
    preview_project(studio, service, project, 3, RunOptions())
