"""The backend's processes are killed or asked to end: everything that was asked for arrives, once each."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress

from tests.backend_process import BackendProcess, wait_until
from tests.soak.ground import Ground, Notes, arrived, expect_once_each, wait_for_all
from tests.soak.serving import Button, serving

SECONDS = 0.05
DEADLINE_S = 6.0


def killed_while_it_answers_and_while_it_delivers(ground: Ground, notes: Notes) -> None:
    """SIGKILL to all of it at random moments as often as the time allows; the button is pressed once in between."""
    project = ground.project("Killed backend", ground.tasks_for(2 * SECONDS))
    during: Counter[str] = Counter()
    with serving(ground, notes, SECONDS, deadline_s=DEADLINE_S) as backend:
        ground.studio.connect_backend(project.id, backend.url, "Slow judge")
        until = time.monotonic() + 0.7 * ground.budget_s
        button = Button(ground, project.id)
        while time.monotonic() < until and arrived(ground.studio, project) < project.task_count:
            time.sleep(ground.dice.uniform(0.5, 1.5 * DEADLINE_S))
            during[_at_work(backend)] += 1
            backend.kill()
            backend.start()
            if button.took_s is not None and during["a request"] < 4:
                button = Button(ground, project.id)
        button.wait()
        notes.say(
            f"{project.task_count} tasks, killed during " + ", ".join(f"{what} {n}x" for what, n in during.items())
        )
        notes.expect(during["a request"] > 0, "no kill met an open request")
        wait_for_all(ground, notes, project, 2 * project.task_count * SECONDS + 180)
    expect_once_each(ground, notes, project)


def ended_in_good_order(ground: Ground, notes: Notes) -> None:
    """SIGTERM while a request is open: it is answered with what there is, and the rest comes after the next start."""
    project = ground.project("Drained backend", ground.tasks_for(2 * SECONDS))
    with serving(ground, notes, SECONDS, deadline_s=60.0) as backend:
        ground.studio.connect_backend(project.id, backend.url, "Slow judge")
        button = Button(ground, project.id)
        wait_until(lambda: (backend.metric("vlm_judge_requests_open") or 0) > 0, 30, 0.1)
        time.sleep(4)
        began = time.monotonic()
        try:
            code = backend.terminate()
            notes.expect(code == 0, f"it ended with exit code {code}")
        except subprocess.TimeoutExpired:
            notes.expect(False, "it did not end within 60 s after SIGTERM")
            backend.kill()
        ended_s = time.monotonic() - began
        button.wait()
        first = arrived(ground.studio, project)
        notes.say(f"{project.task_count} tasks, ended in {ended_s:.1f} s, {first} came with the open request's answer")
        notes.expect(first > 0, "the open request got no answer")
        backend.start()
        wait_for_all(ground, notes, project, 2 * project.task_count * SECONDS + 180)
    expect_once_each(ground, notes, project)


def killed_serving_process(ground: Ground, notes: Notes) -> None:
    """SIGKILL to the process that serves, during a request and later: gunicorn starts another, which goes on."""
    project = ground.project("Killed worker", ground.tasks_for(2 * SECONDS))
    during: Counter[str] = Counter()
    with serving(ground, notes, SECONDS, deadline_s=DEADLINE_S) as backend:
        ground.studio.connect_backend(project.id, backend.url, "Slow judge")
        button = Button(ground, project.id)
        for pause_s in (3.0, 8.0, 4.0, 4.0):
            time.sleep(pause_s)
            during[_at_work(backend)] += 1
            _kill_server(backend, notes)
        button.wait()
        notes.say(
            f"{project.task_count} tasks, killed during " + ", ".join(f"{what} {n}x" for what, n in during.items())
        )
        wait_for_all(ground, notes, project, 2 * project.task_count * SECONDS + 180)
        notes.expect(backend.process.poll() is None, "gunicorn ended")
    expect_once_each(ground, notes, project)


def killed_first_process(ground: Ground, notes: Notes) -> None:
    """SIGKILL to gunicorn's first process only, during a request; another backend is started at once."""
    project = ground.project("Killed arbiter", ground.tasks_for(2 * SECONDS, most=400))
    with serving(ground, notes, SECONDS, deadline_s=DEADLINE_S) as backend:
        ground.studio.connect_backend(project.id, backend.url, "Slow judge")
        button = Button(ground, project.id)
        time.sleep(3)
        orphan = backend.server_pid
        backend.process.kill()
        backend.process.wait()
        began = time.monotonic()
        backend.start()
        notes.say(f"{project.task_count} tasks, another backend serves {time.monotonic() - began:.1f} s later")
        button.wait()
        wait_for_all(ground, notes, project, 2 * project.task_count * SECONDS + 180)
        notes.expect(orphan is None or not _lives(orphan), "the process that served before is still there")
    expect_once_each(ground, notes, project)


def lost_gpu(ground: Ground, notes: Notes) -> None:
    """The judge's GPU is lost again and again: the process ends by itself, and the next goes on."""
    project = ground.project("Lost GPU", ground.tasks_for(3 * SECONDS, most=400))
    deaths = 4
    with serving(ground, notes, SECONDS, deadline_s=DEADLINE_S, dies_after=project.task_count // deaths) as backend:
        ground.studio.connect_backend(project.id, backend.url, "Mortal judge")
        servers = {backend.server_pid}
        Button(ground, project.id).wait()

        def done() -> bool:
            servers.add(backend.server_pid)
            return arrived(ground.studio, project) == project.task_count

        with suppress(TimeoutError):
            wait_until(done, 4 * project.task_count * SECONDS + 240)
        wait_for_all(ground, notes, project, 60)
        served = len(servers - {None})
        notes.say(f"{project.task_count} tasks, {served} processes served one after the other")
        notes.expect(served >= deaths - 1, f"only {served} processes served")
    expect_once_each(ground, notes, project)


def _at_work(backend: BackendProcess) -> str:
    if backend.metric("vlm_judge_requests_open"):
        return "a request"
    return "deliveries" if backend.metric("vlm_judge_queue_samples") else "a rest"


def _kill_server(backend: BackendProcess, notes: Notes) -> None:
    pid = backend.server_pid
    if pid is None:
        notes.expect(False, "no process serves")
        return
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: backend.server_pid not in (None, pid), 30, 0.1)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
