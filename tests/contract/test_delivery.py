"""What a backend notes of its answers, and that it stands by what it owes, also where the store fails for a while."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backend.core.label_config import parse_label_config
from backend.delivery import Delivery
from backend.images import ImageLoader
from backend.interfaces import default_label_config
from backend.label_studio_server import LabelStudioProcess
from backend.service import JudgeService
from backend.settings import Settings
from backend.store import Store
from backend.studio import Studio
from backend.vitals import VitalSigns
from backend.worker import Worker
from tests.backend_process import wait_until
from tests.contract.replay import STUDIO, Replay, replaying, said
from tests.slow_judge import SlowEngine, slow_service

PROJECT, MARK, OTHER = "3.1795361354", "scripted-0123456789ab", "scripted-ba9876543210"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeService]:
    monkeypatch.setattr("backend.store.database.BUSY_TIMEOUT_S", 0.1)
    service = slow_service(tmp_path / "s.sqlite", 0.0)
    yield service
    service.close()


@pytest.fixture
def delivery(service: JudgeService) -> Iterator[Delivery]:
    """Its Label Studio is not there."""
    delivery = Delivery(lambda: Studio("http://127.0.0.1:9", "key"), service, Worker(service, 1), VitalSigns())
    yield delivery
    delivery.stop()


def states(tmp_path: Path) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(tmp_path / "s.sqlite")) as connection:
        return list(connection.execute("SELECT task, state FROM jobs ORDER BY task"))


def test_what_became_of_a_request_is_noted_before_its_answer_leaves(delivery: Delivery, tmp_path: Path) -> None:
    assert delivery.asked(PROJECT, MARK, {1, 2, 3}, 60.0) == {1, 2, 3}
    delivery.answered(PROJECT, MARK, given={1}, late={2}, failed={3})
    assert states(tmp_path) == [(1, "given"), (2, "open")]
    assert delivery.asked(PROJECT, MARK, {1, 2, 3}, 60.0) == {3}


def test_what_an_answer_holds_is_noted_later_where_the_store_failed(
    delivery: Delivery, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    delivery.asked(PROJECT, MARK, {1, 2}, 60.0)
    with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        delivery.answered(PROJECT, MARK, given={1, 2}, late=(), failed=())
        other.execute("ROLLBACK")
    assert states(tmp_path) == [(1, "open"), (2, "open")]
    [said] = caplog.messages
    assert said.startswith("that an answer holds 2 predictions is not noted: cannot write to the store")
    delivery.start()
    wait_until(lambda: states(tmp_path) == [(1, "given"), (2, "given")], 5, 0.05)


def test_a_backend_stands_by_what_it_owes_as_long_as_it_is_there(
    delivery: Delivery, service: JudgeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.delivery.CLAIM_EVERY_S", 0.1)
    monkeypatch.setattr("backend.store.claims.ABANDONED_S", 1.0)
    delivery.asked(PROJECT, MARK, {1, 2}, 60.0)
    delivery.start()
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        assert service.store.jobs.renew(PROJECT, service.name, OTHER) == 0
        time.sleep(0.1)
    delivery.stop()
    wait_until(lambda: service.store.jobs.renew(PROJECT, service.name, OTHER) == 2, 5, 0.1)


def test_a_project_with_another_label_config_is_claimed_under_that_alone(
    delivery: Delivery, service: JudgeService
) -> None:
    delivery.asked(PROJECT, MARK, {1}, 60.0)
    delivery.asked(PROJECT, OTHER, {2}, 60.0)
    assert service.store.jobs.renew(PROJECT, service.name, OTHER) == 1
    assert [job.task for job in service.store.jobs.all_of(PROJECT, OTHER)] == [1, 2]


def delivering_to(replay: Replay, service: JudgeService) -> Delivery:
    return Delivery(lambda: Studio(replay.url, "key"), service, Worker(service, 1), VitalSigns())


def test_what_is_owed_to_a_project_that_is_gone_is_forgotten_also_where_it_was_never_noted(
    service: JudgeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("backend.delivery.LOOK_EVERY_S", 0.05)
    gone = said(404, "No Project matches the given query.")
    with replaying({**STUDIO, "GET /api/projects/3": gone}) as replay:
        delivery = delivering_to(replay, service)
        delivery.remember(PROJECT, {1, 2})
        delivery.start()
        wait_until(lambda: "2 predictions are not delivered to project 3" in caplog.text, 5, 0.02)
        before = len(replay.asked)
        time.sleep(0.5)  # ten rounds
        delivery.stop()
        assert len(replay.asked) == before, "Label Studio is asked again for a project that is gone"


def test_what_was_never_noted_and_cannot_be_judged_for_now_is_noted_to_be_tried_again(
    label_studio: LabelStudioProcess, tmp_path: Path
) -> None:
    studio = Studio(label_studio.url, label_studio.token)
    project = studio.create_project("An image is away", default_label_config())
    data = {"image": "http://127.0.0.1:9/a.png", "caption": "A dog.", "requested": ""}
    [task] = studio.import_tasks(project.id, [{"data": data}])
    settings = Settings(engine="scripted", image_hosts=("127.0.0.1",))
    service = JudgeService(SlowEngine(0.0), ImageLoader(settings), Store(tmp_path / "s.sqlite"))
    mark = service.judging(parse_label_config(project.label_config)).fingerprint
    delivery = Delivery(lambda: studio, service, Worker(service, 1), VitalSigns())
    delivery.remember(project.uid, {task})
    delivery.start()
    wait_until(lambda: any(job.attempts for job in service.store.jobs.all_of(project.uid, mark)), 20, 0.05)
    delivery.stop()
    [job] = service.store.jobs.all_of(project.uid, mark)
    assert (job.task, job.sent) == (task, False)
    assert job.reason is not None
    assert job.reason.startswith(f"task {task}, `image`: cannot fetch http://127.0.0.1:9/a.png")
    service.close()
