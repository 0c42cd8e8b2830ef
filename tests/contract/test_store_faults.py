"""The store on a disk that is full, and a clock that jumps: what is judged reaches Label Studio all the same.

`python -m tests.soak` does the same for longer.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.errors import StoreError
from backend.interfaces import default_label_config
from backend.label_studio_server import LabelStudioProcess
from backend.store import Store
from backend.studio import Studio
from backend.studio_types import Project
from tests.backend_process import BackendProcess
from tests.fault_proxy import fault_proxy
from tests.jumpy_clock import JumpyClock
from tests.running_backend import running_backend
from tests.slow_judge import SlowEngine, make_project, predictions, tiny_picture
from tests.small_disk import small_disk
from tests.store_processes import verdict

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process's files")

NOT_KEPT = "Verdicts are not kept and will be judged again: "
QUICK = (
    *("delivery.ANSWER_GRACE_S=1", "delivery.LOOK_EVERY_S=0.5", "delivery.PAUSE_S=0.5"),
    *("writeback.DOUBT_S=1", "writeback.WRITE_EVERY_S=1"),
)
FULL = "disk I/O error; is the disk full, or the database away?"
"""As SQLite says it where the limit is on the size of files."""


@contextmanager
def serving(folder: Path, seconds: float = 0.0, **options: Any) -> Iterator[BackendProcess]:
    backend = BackendProcess(folder, seconds, **options)
    backend.start()
    try:
        yield backend
    finally:
        backend.stop()


def fill_disk(backend: BackendProcess) -> None:
    """Let the serving process write no file beyond 4 kB, which its store's log is longer than."""
    assert backend.server_pid is not None
    resource.prlimit(backend.server_pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


def make_room(backend: BackendProcess) -> None:
    assert backend.server_pid is not None
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(backend.server_pid, resource.RLIMIT_FSIZE, unlimited)


def ask(backend: BackendProcess, *captions: str) -> list[Any]:
    """What Label Studio would be answered."""
    data = [{"image": tiny_picture(), "caption": caption, "requested": ""} for caption in captions]
    tasks = [{"id": number, "data": entry} for number, entry in enumerate(data, 1)]
    body = {"tasks": tasks, "label_config": default_label_config(), "project": "1.1"}
    answer = httpx.post(f"{backend.url}/predict", json=body, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    results: list[Any] = answer.json()["results"]
    return results


def judged(backend: BackendProcess) -> float | None:
    return backend.metric("vlm_judge_samples_judged_total")


def page(backend: BackendProcess) -> str:
    return httpx.get(f"{backend.url}/status", timeout=10, trust_env=False).text


def wait_until_there(studio: Studio, project: Project, count: int, timeout_s: float) -> float:
    """Seconds until so many tasks have a prediction."""
    began = time.monotonic()
    while sum(bool(versions) for versions in predictions(studio, project).values()) < count:
        assert time.monotonic() - began < timeout_s, f"{predictions(studio, project)}"
        time.sleep(0.3)
    return time.monotonic() - began


def test_a_full_disk_keeps_nothing_from_being_answered_and_is_told(tmp_path: Path) -> None:
    with serving(tmp_path) as backend:
        [kept] = ask(backend, "A dog.")
        fill_disk(backend)
        [answered] = ask(backend, "A cat.")
        assert {region["from_name"] for region in answered["result"]} >= {"verdict", "rationale"}
        assert NOT_KEPT in page(backend)
        assert FULL in page(backend)
        assert ask(backend, "A dog.", "A cat.") == [kept, answered]
        assert judged(backend) == 3.0, "the cat was judged again, the dog was not"
        make_room(backend)
        assert ask(backend, "A cat.") == [answered]
        assert NOT_KEPT not in page(backend)
        assert ask(backend, "A cat.", "A dog.") == [answered, kept]
        assert judged(backend) == 4.0, "both are kept"
        assert "Traceback" not in backend.log.read_text()


def test_feedback_that_cannot_be_kept_is_to_be_sent_again(tmp_path: Path) -> None:
    with serving(tmp_path) as backend:
        ask(backend, "A dog.")
        fill_disk(backend)
        created = {"id": 7, "task": 3, "updated_at": "2026-01-02T03:04:05Z", "result": []}
        body = {
            "action": "ANNOTATION_CREATED",
            "project": {"id": 1, "created_at": "2026-01-01T00:00:00Z"},
            "annotation": created,
            "task": {"id": 3},
        }
        answer = httpx.post(f"{backend.url}/webhook", json=body, timeout=30, trust_env=False)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        assert answer.json() == {"error": f"cannot write to the store {tmp_path / 'store.sqlite'}: {FULL}"}


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("judge", "--project", "1")])
def test_a_store_that_cannot_be_made_for_want_of_room_is_told_plainly(tmp_path: Path, command: tuple[str, ...]) -> None:
    store = tmp_path / "store.sqlite"
    environment = BackendProcess(tmp_path, 0.0).environment | {"LABEL_STUDIO_URL": "http://127.0.0.1:9"}
    scripted = ("--engine", "scripted")
    done = subprocess.run(
        [*("sh", "-c", 'ulimit -f 0; exec "$@"', "sh"), sys.executable, "-m", "backend.cli", *command, *scripted],
        env=environment | {"LABEL_STUDIO_API_KEY": "0" * 40, "VLM_JUDGE_STORE": str(store)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    said = f"Error: cannot keep verdicts in {store}: disk I/O error; name another place with VLM_JUDGE_STORE\n"
    assert done.stderr == said


def test_a_disk_without_a_page_of_room_is_read_from_and_written_again_when_there_is_room(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk") as disk:
            store = Store(disk.folder / "store.sqlite")
            store.verdicts.put({"before": verdict()})
            disk.fill()
            long = {str(number): verdict("Long. " * 500) for number in range(100)}
            with pytest.raises(StoreError, match=r"^cannot write to the store .*: database or disk is full; is the"):
                store.verdicts.put(long)
            assert store.verdicts.get(["before"]) == {"before": verdict()}
            with store.alone("3.1") as mine:
                assert mine
            disk.make_room()
            store.verdicts.put({"after": verdict()})
            assert store.verdicts.get(["before", "after"]) == {"before": verdict(), "after": verdict()}
            store.close()
    except PermissionError as exc:
        pytest.skip(f"no disk can be mounted here: {exc}")


@pytest.mark.parametrize("when", ["before it is asked for", "while it is owed"])
def test_what_is_late_on_a_full_disk_arrives_once_and_label_studio_is_left_in_peace(
    label_studio: LabelStudioProcess, tmp_path: Path, when: str
) -> None:
    studio = Studio(label_studio.url, label_studio.token)
    project = make_project(studio, "Full disk", 40)
    with (
        fault_proxy(label_studio.url) as proxy,
        serving(
            tmp_path, 0.05, deadline_s=1.0, studio_url=proxy.url, token=label_studio.token,
            constants=QUICK,
        ) as backend,
    ):  # fmt: skip
        ask(backend, "A dog.")
        studio.connect_backend(project.id, backend.url, "Judge on a full disk")
        if when == "before it is asked for":
            fill_disk(backend)
        studio.retrieve_predictions(project.id)
        fill_disk(backend)
        wait_until_there(studio, project, 40, 30)
        asked = proxy.asked
        time.sleep(3)
        assert proxy.asked - asked <= 20, "Label Studio is asked again and again for what is there"
        make_room(backend)
        until = time.monotonic() + 90
        while backend.metric("vlm_judge_owed_predictions"):
            assert time.monotonic() < until, "with room again they are still owed"
            time.sleep(0.5)
    assert set(map(len, predictions(studio, project).values())) == {1}


def test_a_clock_that_jumps_ahead_does_not_make_us_write_what_label_studio_is_storing(
    label_studio: LabelStudioProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.writeback.DOUBT_S", 2.0)
    studio = Studio(label_studio.url, label_studio.token)
    project = make_project(studio, "The clock jumps ahead", 120)
    clock, engine, store = JumpyClock(), SlowEngine(0.0), tmp_path / "store.sqlite"
    with running_backend(label_studio.url, label_studio.token, store, engine, clock=clock) as (url, running):
        studio.connect_backend(project.id, url, "Judge")
        button = threading.Thread(target=studio.retrieve_predictions, args=(project.id,))
        button.start()
        while running.vitals.snapshot().requests != (("answered", 1),):
            time.sleep(0.01)
        clock.offset_s = 7200.0  # while Label Studio stores the answer
        button.join()
        until = time.monotonic() + 60
        while running.service.store.jobs.counts():
            assert time.monotonic() < until, running.service.store.jobs.counts()
            time.sleep(0.2)
    assert set(map(len, predictions(studio, project).values())) == {1}


def test_a_clock_that_is_set_back_does_not_keep_what_is_owed(label_studio: LabelStudioProcess, tmp_path: Path) -> None:
    studio = Studio(label_studio.url, label_studio.token)
    project = make_project(studio, "The clock is set back", 20)
    clock, engine, store = JumpyClock(), SlowEngine(0.0), tmp_path / "store.sqlite"
    with (
        running_backend(label_studio.url, label_studio.token, store, engine, clock=clock) as (url, _),
        fault_proxy(url) as proxy,
    ):
        studio.connect_backend(project.id, proxy.url, "Judge")
        proxy.fault, proxy.only = "answer lost", "/predict"
        studio.retrieve_predictions(project.id)
        clock.offset_s = -5400.0
        wait_until_there(studio, project, 20, 30)
    assert set(map(len, predictions(studio, project).values())) == {1}
