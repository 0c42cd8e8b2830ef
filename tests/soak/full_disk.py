"""The store's disk is full: judging goes on, and what is judged reaches Label Studio although it cannot be kept."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import httpx

from backend.studio_types import Project
from tests.backend_process import BackendProcess, judge_command, judge_environment, wait_until
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.small_disk import SmallDisk, small_disk
from tests.soak.ground import Ground, Notes, arrived, expect_once_each, open_store, wait_for_all
from tests.soak.serving import Button, serving

SECONDS = 0.05
DEADLINE_S = 5.0
DISK_BYTES = 8 * 2**20
"""SQLite lets its log grow to 4 MB before it moves what is in it."""
NOT_KEPT = "Verdicts are not kept"
MOST_REQUESTS_PER_S = 1.0
"""To Label Studio, of a backend that has nothing it could do."""


def full_and_with_room_again(ground: Ground, notes: Notes) -> None:
    """A disk of 8 MB that is full while requests are answered, late ones delivered, a project judged, a start tried."""
    try:
        with small_disk(ground.home / "disk", DISK_BYTES) as disk, fault_proxy(ground.label_studio.url) as proxy:
            on_disk = replace(ground, home=disk.folder)
            options = {"deadline_s": DEADLINE_S, "studio_url": proxy.url, "store": on_disk.store}
            with serving(ground, notes, SECONDS, **options) as backend:
                _fill(on_disk, notes, disk, backend, proxy)
    except PermissionError as exc:
        notes.left_out = f"no disk can be mounted here ({exc})"


def _fill(ground: Ground, notes: Notes, disk: SmallDisk, backend: BackendProcess, proxy: FaultProxy) -> None:
    before = _asked_for(ground, backend, "Room on the disk", 30)
    wait_for_all(ground, notes, before, 60)
    owed = _asked_for(ground, backend, "Owed as the disk fills", 300)
    disk.fill()
    notes.say(f"{disk.free_bytes} bytes free")
    _expect_all(ground, notes, owed, "of what was owed before the disk was full", 90)

    in_time = _asked_for(ground, backend, "In time on a full disk", 30)
    _expect_all(ground, notes, in_time, "of what was judged in time on the full disk", 30)
    notes.expect(NOT_KEPT in _status(backend), f"the status page does not say {NOT_KEPT!r}")

    late = _asked_for(ground, backend, "Late on a full disk", 300)
    _expect_all(ground, notes, late, "of what was late on the full disk", 90)
    asked = proxy.asked
    time.sleep(10)
    per_s = (proxy.asked - asked) / 10
    notes.say(f"{per_s:.1f} requests a second to Label Studio when all is delivered")
    notes.expect(per_s <= MOST_REQUESTS_PER_S, f"{per_s:.1f} requests a second to Label Studio for nothing")

    _judge(ground, notes)
    _start(ground, notes)

    disk.make_room()
    after = _asked_for(ground, backend, "Room again", 30)
    wait_for_all(ground, notes, after, 60)
    with open_store(ground.store) as store:
        try:
            wait_until(lambda: not store.jobs.counts(), 60)
        except TimeoutError:
            notes.expect(False, f"with room again these are still owed: {store.jobs.counts()}")
    notes.expect(NOT_KEPT not in _status(backend), f"with room again the status page still says {NOT_KEPT!r}")
    judged = backend.metric("vlm_judge_samples_judged_total")
    _asked_for(ground, backend, "Room once more", 30, text="Room again")
    notes.expect(backend.metric("vlm_judge_samples_judged_total") == judged, "with room again verdicts are not kept")
    for project in (before, owed, in_time, late, after):
        expect_once_each(ground, notes, project)


def _asked_for(ground: Ground, backend: BackendProcess, title: str, tasks: int, text: str | None = None) -> Project:
    project = ground.project(title, tasks, text)
    ground.studio.connect_backend(project.id, backend.url, "Judge on a small disk")
    Button(ground, project.id).wait()
    return project


def _expect_all(ground: Ground, notes: Notes, project: Project, which: str, timeout_s: float) -> None:
    try:
        wait_until(lambda: arrived(ground.studio, project) == project.task_count, timeout_s)
    except TimeoutError:
        there = arrived(ground.studio, project)
        notes.expect(False, f"{there} of {project.task_count} {which} are there after {timeout_s:.0f} s")


def _status(backend: BackendProcess) -> str:
    return httpx.get(f"{backend.url}/status", timeout=10, trust_env=False).text


def _judge(ground: Ground, notes: Notes) -> None:
    """`judge` with the store that cannot be written."""
    project = ground.project("Judged on a full disk", 60)
    arguments = ("judge", "--project", str(project.id), "--engine", "scripted", "--failures", os.devnull)
    done = _run(ground, *arguments, store=ground.store)
    notes.expect("Traceback" not in done.stderr, f"`judge` on a full disk: {done.stderr[-300:]}")
    if done.returncode:
        notes.expect(done.stderr.startswith("Error: "), f"`judge` on a full disk: {done.stderr[-300:]}")
        notes.say(f"`judge` refuses the full disk: {done.stderr.strip()[:150]}")
        return
    notes.say("`judge` goes on")
    expect_once_each(ground, notes, project)


def _start(ground: Ground, notes: Notes) -> None:
    """`serve` with a store that cannot even be made."""
    fresh = ground.store.with_name("fresh.sqlite")
    done = _run(ground, "serve", "--port", "0", "--engine", "scripted", store=fresh)
    plain = done.stderr.startswith(f"Error: cannot keep verdicts in {fresh}") and len(done.stderr.splitlines()) == 1
    notes.expect(done.returncode == 1 and plain, f"`serve` with a new store on a full disk: {done.stderr[-300:]}")


def _run(ground: Ground, *arguments: str, store: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        judge_command(*arguments, seconds=0.0),
        env=judge_environment(ground.label_studio.url, ground.label_studio.token, STORE=str(store)),
        capture_output=True,
        text=True,
        timeout=180,
    )
