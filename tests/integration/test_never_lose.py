"""Nothing that was asked for is lost and nothing stored twice, against a real Label Studio, whatever is killed."""

from __future__ import annotations

import logging
import multiprocessing
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.core.rubric import Rubric, load_rubric
from backend.core.types import Answer
from backend.engines.base import JudgeRequest
from backend.errors import EngineDead, EngineError, StudioAway
from backend.interfaces import rubric_file
from backend.judge import RunOptions, Told, judge_project, preview_project
from backend.label_studio_server import LabelStudioProcess
from backend.patience import Stop
from backend.running import Running
from backend.service import Failure
from backend.studio import Studio
from backend.studio_types import Project
from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.running_backend import running_backend
from tests.slow_judge import SlowEngine, kill_target, make_project, predictions, slow_service

KILLED_TASKS = 1200


@pytest.fixture
def studio(label_studio: LabelStudioProcess) -> Studio:
    return Studio(label_studio.url, label_studio.token)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubts pass sooner, so that the tests do."""
    monkeypatch.setattr("backend.writeback.DOUBT_S", 2.0)
    monkeypatch.setattr("backend.delivery.ANSWER_GRACE_S", 1.0)
    monkeypatch.setattr("backend.writeback.WRITE_EVERY_S", 1.0)
    monkeypatch.setattr("backend.delivery.LOOK_EVERY_S", 0.5)
    monkeypatch.setattr("backend.delivery.PAUSE_S", 0.5)


@contextmanager
def backend(
    studio_url: str, token: str, store: Path, seconds: float, deadline_s: float, rubric: Rubric | None = None
) -> Iterator[tuple[str, Running]]:
    """A backend in this process whose judge needs so many seconds a sample."""
    engine = SlowEngine(seconds)
    with running_backend(studio_url, token, store, engine, deadline_s=deadline_s, rubric=rubric) as served:
        yield served


def fingerprint(running: Running, project: Project) -> str:
    from backend.core.label_config import parse_label_config

    return running.service.judging(parse_label_config(project.label_config)).fingerprint


def whole(studio: Studio, project: Project) -> dict[int, dict[str, Any]]:
    """Every task with all that Label Studio has of it."""
    return {task["id"]: dict(task) for page in studio.annotated_tasks(project.id) for task in page}


def wait_until_nothing_is_owed(running: Running, timeout_s: float = 90.0) -> None:
    until = time.monotonic() + timeout_s
    while running.service.store.jobs.counts():
        assert time.monotonic() < until, running.service.store.jobs.counts()
        time.sleep(0.2)


def test_more_than_a_request_can_judge_arrives_all_the_same_once_each(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Late", 150)
    with backend(label_studio.url, label_studio.token, tmp_path / "s.sqlite", 0.04, 2.0) as (url, running):
        studio.connect_backend(project.id, url, "Slow judge")
        began = time.monotonic()
        studio.retrieve_predictions(project.id)
        assert time.monotonic() - began < 20
        first = sum(map(len, predictions(studio, project).values()))
        assert 0 < first < 150
        studio.retrieve_predictions(project.id)  # an impatient person presses again
        wait_until_nothing_is_owed(running)
        assert set(map(tuple, predictions(studio, project).values())) == {(fingerprint(running, project),)}
        engine = running.service.engine
        assert isinstance(engine, SlowEngine)
        assert len(engine.judged) == len(set(engine.judged)) == 150
        assert studio.project(project.id).model_version == fingerprint(running, project)


def test_what_no_answer_held_is_owed_no_longer_than_until_it_is_written(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Owed", 120)
    with backend(label_studio.url, label_studio.token, tmp_path / "s.sqlite", 0.06, 1.0) as (url, running):
        studio.connect_backend(project.id, url, "Slow judge")
        began = time.monotonic()
        studio.retrieve_predictions(project.id)
        until = time.monotonic() + 60
        while not all(predictions(studio, project).values()):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert time.monotonic() - began > 6.0, "too young to be owed for long"
        wait_until_nothing_is_owed(running, 2.0)
        assert set(map(len, predictions(studio, project).values())) == {1}


class Holding(FaultProxy):
    """The backend's predictions reach Label Studio later than they were given."""

    held_s = 4.0

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        answer = super().forward(method, path, headers, body)
        if path == "/predict":
            time.sleep(self.held_s)
        return answer


def test_an_answer_that_is_stored_later_than_we_wait_leaves_no_doubles(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(studio, "Slow to store", 20)
    with backend(label_studio.url, label_studio.token, tmp_path / "s.sqlite", 0.0, 5.0) as (url, running):
        proxy = Holding(url)
        proxy.start()
        studio.connect_backend(project.id, proxy.url, "Judge")
        with caplog.at_level(logging.INFO, "backend"):
            studio.retrieve_predictions(project.id)
            wait_until_nothing_is_owed(running)
        proxy.stop()
    told = [message for message in caplog.messages if "had two predictions" in message]
    assert len(told) == 20, "all were written, because they were not there when that was looked at first"
    assert set(map(len, predictions(studio, project).values())) == {1}


def test_two_rubrics_on_one_store_do_not_take_over_each_other_s_jobs(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    rubric = load_rubric(rubric_file("image-text"))
    first, *others = rubric.criteria
    stricter = first.model_copy(update={"question": f"{first.question} Be strict."})
    rubric = rubric.model_copy(update={"criteria": (stricter, *others)})
    ours, theirs = make_project(studio, "Usual rubric", 40), make_project(studio, "Own rubric", 40)
    store, at = tmp_path / "s.sqlite", (label_studio.url, label_studio.token)
    with backend(*at, store, 0.03, 0.5) as (url, usual), backend(*at, store, 0.03, 0.5, rubric) as (own_url, own):
        for project, address in ((ours, url), (theirs, own_url)):
            studio.connect_backend(project.id, address, "Judge")
            studio.retrieve_predictions(project.id)
        assert sum(usual.service.store.jobs.counts().values()) > 20, "nothing is left that could be taken over"
        wait_until_nothing_is_owed(usual)
        marks = fingerprint(usual, ours), fingerprint(own, theirs)
        assert marks[0] != marks[1]
        for project, mark in zip((ours, theirs), marks, strict=True):
            assert set(map(tuple, predictions(studio, project).values())) == {(mark,)}


def test_what_was_owed_before_the_rubric_was_changed_is_delivered_by_the_new_one(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.store.claims.ABANDONED_S", 2.0)
    project = make_project(studio, "Changed rubric", 10)
    service = slow_service(tmp_path / "s.sqlite", 0.0)
    service.store.jobs.owe(project.uid, f"{service.name}-0123456789ab", sorted(predictions(studio, project)), 0.0)
    service.close()
    with backend(label_studio.url, label_studio.token, tmp_path / "s.sqlite", 0.0, 5.0) as (_, running):
        wait_until_nothing_is_owed(running)
        mark = fingerprint(running, project)
    assert set(map(tuple, predictions(studio, project).values())) == {(mark,)}


def test_a_task_that_fails_is_named_and_the_others_arrive(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "One bad", 5)
    [bad] = studio.import_tasks(
        project.id, [{"data": {"image": "data:image/png;base64,AAAA", "caption": "No picture.", "requested": ""}}]
    )
    with backend(label_studio.url, label_studio.token, tmp_path / "s.sqlite", 0.0, 20.0) as (url, running):
        studio.connect_backend(project.id, url, "Judge")
        studio.retrieve_predictions(project.id)
        wait_until_nothing_is_owed(running)
        found = predictions(studio, project)
        assert found.pop(bad) == []
        assert set(map(tuple, found.values())) == {(fingerprint(running, project),)}
        [note] = running.vitals.snapshot().failures
        assert note.reason.startswith(f"task {bad}, `image`: the data URI data:image/png;base64,AAAA is not an image")


def test_what_a_killed_backend_owed_is_delivered_by_the_next(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.store.claims.ABANDONED_S", 2.0)
    project = make_project(studio, "Killed backend", 40)
    tasks = sorted(predictions(studio, project))
    service = slow_service(tmp_path / "s.sqlite", 0.0)
    from backend.core.label_config import parse_label_config

    judging = service.judging(parse_label_config(project.label_config))
    service.store.jobs.owe(project.uid, judging.fingerprint, tasks, 0.0)  # as a request left it
    service.store.jobs.owe("77.1", judging.fingerprint, [1, 2], 0.0)  # of a project that is gone
    service.close()
    with backend(label_studio.url, label_studio.token, tmp_path / "s.sqlite", 0.0, 5.0) as (_, running):
        wait_until_nothing_is_owed(running)
    assert set(map(tuple, predictions(studio, project).values())) == {(judging.fingerprint,)}


def test_deliveries_wait_for_a_label_studio_that_is_away_and_look_before_they_write_again(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Away", 30)
    tasks = sorted(predictions(studio, project))
    with (
        fault_proxy(label_studio.url) as proxy,
        backend(proxy.url, label_studio.token, tmp_path / "s.sqlite", 0.0, 5.0) as (_, running),
    ):
        proxy.fault = "away"
        jobs = running.service.store.jobs
        jobs.owe(project.uid, fingerprint(running, project), tasks, 0.0)
        until = time.monotonic() + 20
        while running.delivery is not None and running.delivery.state().state != "waiting":
            assert time.monotonic() < until
            time.sleep(0.1)
        assert jobs.counts() == {project.uid: 30}
        proxy.fault, proxy.only_writes, proxy.times = "answer lost", True, 1
        wait_until_nothing_is_owed(running)
        assert proxy.times == 0
    assert set(map(len, predictions(studio, project).values())) == {1}


def test_an_annotator_s_own_request_is_not_stored(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Interactive", 1)
    [task] = predictions(studio, project)
    with backend(label_studio.url, label_studio.token, tmp_path / "s.sqlite", 0.0, 5.0) as (url, running):
        connection = studio.connect_backend(project.id, url, "Judge", interactive=True)
        answer = httpx.post(
            f"{label_studio.url}/api/ml/{connection.id}/interactive-annotating",
            json={"task": task, "context": {"result": []}},
            headers={"Authorization": f"Token {label_studio.token}"},
            timeout=30,
        )
        assert answer.json()["data"]["model_version"] == fingerprint(running, project)
        assert running.service.store.jobs.counts() == {}
    assert predictions(studio, project) == {task: []}


def test_judging_that_is_killed_fifty_times_loses_nothing_and_stores_nothing_twice(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Killed", KILLED_TASKS)
    store = str(tmp_path / "s.sqlite")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["backend.judge", "tests.slow_judge", "label_studio_sdk.base_client"])
    dice = random.Random(7)
    ended: list[int | None] = []
    for kill in range(50):
        began = context.Event()
        target = context.Process(
            target=kill_target,
            args=(label_studio.url, label_studio.token, project.id, store, 0.02, began),
            kwargs={"writeback__SMALLEST_WRITE": 10, "writeback__FULL_WRITES": 120, "writeback__DOUBT_S": 2.0},
        )
        target.start()
        if kill % 5:  # every fifth is killed at any moment from its start
            began.wait(60)
        target.join(dice.uniform(0.0, 1.2))
        target.kill()
        target.join()
        ended.append(target.exitcode)
    assert ended.count(-9) >= 45, "the kills came too late to mean anything"
    assert any(predictions(studio, project).values()), "the kills came too early to mean anything"
    service = slow_service(store, 0.0)
    run = judge_project(studio, service, project.id, RunOptions(batch_size=4))
    assert run.tasks == KILLED_TASKS == run.stored + run.already
    assert run.failures == ()
    assert set(map(tuple, predictions(studio, project).values())) == {(run.fingerprint,)}
    assert service.store.jobs.counts() == {}
    again = judge_project(studio, service, project.id)
    assert (again.tasks, again.stored, again.already) == (KILLED_TASKS, 0, KILLED_TASKS)
    service.close()


def test_a_write_whose_answer_is_lost_is_not_repeated(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Lost answers", 60)
    service = slow_service(tmp_path / "s.sqlite", 0.0)
    said: list[str] = []
    with fault_proxy(label_studio.url) as proxy:
        proxy.fault, proxy.only_writes, proxy.times = "answer lost", True, 2
        through = Studio(proxy.url, label_studio.token)
        run = judge_project(through, service, project.id, RunOptions(), Told(said=said.append))
        assert (run.tasks, run.stored, run.already, run.unaccounted) == (60, 60, 0, 0)
        assert proxy.met == 1, "what was written was seen, and not written again"
        assert "trying again" in said[0]
    assert set(map(tuple, predictions(studio, project).values())) == {(run.fingerprint,)}
    service.close()


def test_judging_waits_for_a_label_studio_that_is_away(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.writeback.SMALLEST_WRITE", 10)
    project = make_project(studio, "Comes and goes", 60)
    service = slow_service(tmp_path / "s.sqlite", 0.01)
    with fault_proxy(label_studio.url) as proxy:
        stop = threading.Event()

        def flicker() -> None:
            faults: tuple[Fault, ...] = ("away", "none", "failing", "none")
            for fault in faults:
                proxy.fault = fault
                stop.wait(0.8)

        thread = threading.Thread(target=flicker)
        thread.start()
        run = judge_project(Studio(proxy.url, label_studio.token), service, project.id)
        stop.set()
        thread.join()
        assert proxy.met > 0
        assert (run.tasks, run.stored, run.unaccounted) == (60, 60, 0)
        proxy.fault = "away"
        with pytest.raises(StudioAway, match="nothing answers at"):
            judge_project(Studio(proxy.url, label_studio.token), service, project.id, RunOptions(patience_s=0.2))
    assert set(map(len, predictions(studio, project).values())) == {1}
    service.close()


def test_a_task_deleted_while_it_is_judged_does_not_keep_the_others_from_being_stored(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Deleted meanwhile", 12)
    tasks = sorted(predictions(studio, project))
    service = slow_service(tmp_path / "s.sqlite", 0.0)

    def delete(done: int, total: int) -> None:
        if done == 6:
            studio._access.call("DELETE", f"api/tasks/{tasks[2]}/", "delete a task")

    run = judge_project(studio, service, project.id, told=Told(progress=delete))
    assert run.failures == (
        Failure(str(tasks[2]), f"task {tasks[2]}: Label Studio refuses it, it was deleted meanwhile"),
    )
    assert (run.tasks, run.stored) == (12, 11)
    assert set(map(len, predictions(studio, project).values())) == {1}
    service.close()


def test_doubles_that_another_writer_left_are_deleted(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Doubles", 6)
    service = slow_service(tmp_path / "s.sqlite", 0.0)
    run = judge_project(studio, service, project.id)
    tasks = whole(studio, project)
    again = [
        {"task": number, **{key: task["predictions"][0][key] for key in ("result", "score", "model_version")}}
        for number, task in list(tasks.items())[:3]
    ]
    studio.import_predictions(project.id, again)
    assert sorted(map(len, predictions(studio, project).values())) == [1, 1, 1, 2, 2, 2]
    second = judge_project(studio, service, project.id)
    assert (second.tasks, second.stored, second.already) == (6, 0, 6)
    kept = {number: task["predictions"] for number, task in whole(studio, project).items()}
    assert kept == {number: task["predictions"] for number, task in tasks.items()}
    assert run.fingerprint == second.fingerprint
    service.close()


def test_filters_limits_and_previews_judge_no_more_than_they_say(studio: Studio, tmp_path: Path) -> None:
    from backend.filters import parse_filter

    project = make_project(studio, "Some of them", 20)
    tasks = sorted(predictions(studio, project))
    service = slow_service(tmp_path / "s.sqlite", 0.0)
    shown = preview_project(studio, service, project.id, 3, RunOptions())
    assert [each.task.id for each in shown] == tasks[:3]
    assert set(map(len, predictions(studio, project).values())) == {0}
    chosen = (parse_filter("data.caption ~ number 1"), parse_filter(f"id > {tasks[4]}"))
    run = judge_project(studio, service, project.id, RunOptions(filters=chosen, limit=4))
    assert (run.tasks, run.stored, run.already) == (4, 4, 0)
    assert [task for task, versions in sorted(predictions(studio, project).items()) if versions] == tasks[10:14]
    rest = judge_project(studio, service, project.id, RunOptions(filters=chosen))
    assert (rest.tasks, rest.stored, rest.already) == (10, 6, 4)
    service.close()


def test_watching_judges_what_comes_later(studio: Studio, tmp_path: Path) -> None:
    project = make_project(studio, "Watched", 3)
    service = slow_service(tmp_path / "s.sqlite", 0.0)
    stop = Stop()

    def told(now: int, total: int) -> None:
        if now == 3:
            threading.Timer(0.2, add).start()
        stop.asked = now == 5

    def add() -> None:
        from tests.slow_judge import tiny_picture

        entry: dict[str, Any] = {"image": tiny_picture(), "requested": ""}
        studio.import_tasks(project.id, [{"data": {**entry, "caption": f"Late {number}."}} for number in range(2)])

    run = judge_project(studio, service, project.id, RunOptions(watch_s=0.3), Told(progress=told), stop)
    assert run.interrupted
    assert (run.tasks, run.stored, run.already) == (5, 5, 0)
    assert set(map(len, predictions(studio, project).values())) == {1}
    service.close()


def test_both_a_judge_and_the_button_at_once_store_one_prediction_a_task(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Both at once", 60)
    store = tmp_path / "s.sqlite"
    with backend(label_studio.url, label_studio.token, store, 0.02, 6.0) as (url, running):
        studio.connect_backend(project.id, url, "Judge")
        button = threading.Thread(target=studio.retrieve_predictions, args=(project.id,))
        button.start()
        time.sleep(0.5)
        service = slow_service(store, 0.0)
        run = judge_project(studio, service, project.id)
        button.join()
        service.close()
        assert (run.tasks, run.unaccounted, run.failures) == (60, 0, ())
        wait_until_nothing_is_owed(running)
        assert set(map(tuple, predictions(studio, project).values())) == {(run.fingerprint,)}


def test_a_run_that_is_stopped_stores_what_is_judged_and_the_next_goes_on(studio: Studio, tmp_path: Path) -> None:
    project = make_project(studio, "Stopped", 80)
    service = slow_service(tmp_path / "s.sqlite", 0.01)
    stop = Stop()

    def told(done: int, total: int) -> None:
        stop.asked = done >= 20

    run = judge_project(studio, service, project.id, RunOptions(batch_size=4), Told(progress=told), stop)
    assert run.interrupted
    assert (run.already, run.failures, run.unaccounted) == (0, (), 0)
    assert 20 <= run.stored < 80
    assert sum(map(len, predictions(studio, project).values())) == run.stored
    rest = judge_project(studio, service, project.id)
    assert (rest.tasks, rest.stored, rest.already) == (80, 80 - run.stored, run.stored)
    assert set(map(tuple, predictions(studio, project).values())) == {(run.fingerprint,)}
    service.close()


def test_a_dead_engine_ends_the_run_with_what_was_judged_stored(studio: Studio, tmp_path: Path) -> None:
    class Dying(SlowEngine):
        def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
            if len(self.judged) >= 8:
                raise EngineDead("CUDA error: an illegal memory access was encountered")
            return super().answer(requests)

    project = make_project(studio, "Dying", 20)
    service = slow_service(tmp_path / "s.sqlite", 0.0)
    service.engine = Dying(0.0)
    with pytest.raises(EngineError, match=r"CUDA error: .*; start again, what is judged is kept"):
        judge_project(studio, service, project.id, RunOptions(batch_size=4))
    stored = sum(map(len, predictions(studio, project).values()))
    assert 0 < stored < 20
    service.engine = SlowEngine(0.0)
    rest = judge_project(studio, service, project.id)
    assert (rest.tasks, rest.stored, rest.already) == (20, 20 - stored, stored)
    service.close()


def test_an_engine_that_fails_for_a_moment_leaves_no_task_behind(studio: Studio, tmp_path: Path) -> None:
    class Moody(SlowEngine):
        left = 6

        def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
            if self.left:
                self.left -= 1
                raise EngineError("out of sorts")
            return super().answer(requests)

    project = make_project(studio, "Moody", 12)
    service = slow_service(tmp_path / "s.sqlite", 0.0)
    service.engine = Moody(0.0)
    run = judge_project(studio, service, project.id, RunOptions(batch_size=4))
    assert (run.tasks, run.stored, run.failures) == (12, 12, ())
    service.close()


def test_one_project_that_cannot_be_opened_holds_up_no_other(
    label_studio: LabelStudioProcess, studio: Studio, tmp_path: Path
) -> None:
    project = make_project(studio, "Held up by none", 3)
    tasks = sorted(predictions(studio, project))
    with (
        fault_proxy(label_studio.url) as proxy,
        backend(proxy.url, label_studio.token, tmp_path / "s.sqlite", 0.0, 5.0) as (_, running),
    ):
        proxy.fault, proxy.only = "failing", "/api/projects/999999"
        jobs, judge = running.service.store.jobs, fingerprint(running, project)
        jobs.owe("999999.1", judge, [1], 0.0)
        jobs.owe(project.uid, judge, tasks, 0.0)
        until = time.monotonic() + 30
        while project.uid in jobs.counts():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert jobs.counts() == {"999999.1": 1}
        assert running.delivery is not None
        while running.delivery.state().state != "waiting":
            assert time.monotonic() < until
            time.sleep(0.1)
    assert set(map(len, predictions(studio, project).values())) == {1}
