"""Label Studio is away, slow, failing, frozen, or its answers get lost: what was asked for arrives, once each."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import get_args

from backend.judge import RunOptions, Told, judge_project
from backend.studio import Studio
from tests.backend_process import wait_until
from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.slow_judge import slow_service
from tests.soak.ground import Ground, Notes, arrived, expect_once_each, wait_for_all
from tests.soak.serving import Button, serving

SECONDS = 0.1
DEADLINE_S = 6.0
FAULTS: tuple[Fault, ...] = get_args(Fault)


def faults_while_it_delivers(ground: Ground, notes: Notes) -> None:
    """Faults on the way to Label Studio and on its way to us, at random; the button is pressed now and then."""
    project = ground.project("Away", ground.tasks_for(SECONDS, 0.5))
    pressed: list[Button] = []

    def press() -> None:
        if ground.dice.random() < 0.2:
            pressed.append(Button(ground, project.id))

    with (
        fault_proxy(ground.label_studio.url) as to_studio,
        serving(ground, notes, SECONDS, deadline_s=DEADLINE_S, studio_url=to_studio.url) as backend,
        fault_proxy(backend.url) as to_backend,
    ):
        ground.studio.connect_backend(project.id, to_backend.url, "Judge behind faults")
        pressed.append(Button(ground, project.id))
        # a button whose request never reaches the backend asks for nothing
        wait_until(lambda: (backend.metric("vlm_judge_requests_open") or 0) > 0, 60, 0.1)
        met = _disturb(ground, (to_studio, to_backend), 0.6 * ground.budget_s, press)
        for button in pressed:
            button.wait(400)
        wait_for_all(ground, notes, project, 2 * project.task_count * SECONDS + 240)
        notes.say(f"{project.task_count} tasks, {len(pressed)} presses, {_told(met)}")
        notes.expect(to_studio.met > 0, "no request to Label Studio met a fault")
    expect_once_each(ground, notes, project)


def one_project_fails(ground: Ground, notes: Notes) -> None:
    """Label Studio fails for one project all the time; what is owed to the others arrives all the same."""
    failing, fine = ground.project("Fails all the time", 20), ground.project("Fine", 20)
    with (
        fault_proxy(ground.label_studio.url) as to_studio,
        serving(ground, notes, SECONDS, deadline_s=0.5, studio_url=to_studio.url) as backend,
    ):
        to_studio.fault, to_studio.only = "failing", f"projects/{failing.id}"
        for project in (failing, fine):
            ground.studio.connect_backend(project.id, backend.url, "Judge")
            Button(ground, project.id).wait()
        first = arrived(ground.studio, failing)
        try:
            took_s = wait_until(lambda: arrived(ground.studio, fine) == fine.task_count, 60)
            notes.say(f"the other project has all {fine.task_count} after {took_s:.0f} s")
        except TimeoutError:
            there = arrived(ground.studio, fine)
            notes.expect(False, f"the other project has {there} of {fine.task_count} after 60 s")
        notes.expect(arrived(ground.studio, failing) == first, "the failing project did not fail")
        to_studio.fault = "none"
        wait_for_all(ground, notes, failing, 120)
    expect_once_each(ground, notes, failing)
    expect_once_each(ground, notes, fine)


def frozen_while_it_stores(ground: Ground, notes: Notes) -> None:
    """Label Studio is stopped for half a minute at a time in the middle of storing what a request was answered."""
    project = ground.project("Frozen", 300)
    frozen = 0
    with serving(ground, notes, 0.0, deadline_s=DEADLINE_S) as backend:
        ground.studio.connect_backend(project.id, backend.url, "Judge")
        button = Button(ground, project.id)
        for _ in range(3):
            time.sleep(ground.dice.uniform(1.0, 3.0))
            frozen += button.took_s is None
            _freeze(ground, 35.0)
        button.wait(400)
        wait_for_all(ground, notes, project, 240)
        notes.say(f"{project.task_count} tasks, frozen 3 x 35 s, {frozen}x while the button was pressed")
    expect_once_each(ground, notes, project)


def faults_while_it_is_judged_in_bulk(ground: Ground, notes: Notes) -> None:
    """The same for `judge`, which waits and goes on by itself."""
    project = ground.project("Bulk through faults", ground.tasks_for(SECONDS, 0.5))
    service = slow_service(ground.store, SECONDS)
    said: list[str] = []
    met: list[Counter[str]] = []
    with fault_proxy(ground.label_studio.url) as proxy:
        through = Studio(proxy.url, ground.label_studio.token)
        thread = threading.Thread(
            target=lambda: met.append(_disturb(ground, (proxy,), 0.6 * ground.budget_s, lambda: None)), daemon=True
        )
        thread.start()
        try:
            run = judge_project(through, service, project.id, RunOptions(batch_size=8), Told(said=said.append))
        finally:
            thread.join()
            service.close()
        notes.say(f"{project.task_count} tasks, {_told(met[0])}, waited {len(said)}x")
        notes.expect(proxy.met > 0, "no request met a fault")
    notes.expect(run.tasks == project.task_count and not run.failures, f"the balance: {run.summary()}")
    notes.expect(run.unaccounted == 0, f"the balance: {run.summary()}")
    expect_once_each(ground, notes, project)


def _disturb(
    ground: Ground, proxies: tuple[FaultProxy, ...], seconds: float, between: Callable[[], None]
) -> Counter[str]:
    """Change what goes wrong every few seconds; how often what did. At the end nothing does."""
    until, chosen = time.monotonic() + seconds, Counter[str]()
    while time.monotonic() < until:
        between()
        for proxy in proxies:
            proxy.slow_s = ground.dice.uniform(1.0, 8.0)
            proxy.fault = ground.dice.choice(FAULTS)
            chosen[proxy.fault] += 1
        if ground.dice.random() < 0.15:
            chosen["frozen"] += 1
            _freeze(ground, ground.dice.uniform(1.0, 20.0))
        time.sleep(ground.dice.uniform(0.5, 8.0))
    for proxy in proxies:
        proxy.fault = "none"
    return chosen


def _freeze(ground: Ground, seconds: float) -> None:
    group = ground.label_studio.pid
    os.killpg(group, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.killpg(group, signal.SIGCONT)


def _told(met: Counter[str]) -> str:
    return "faults: " + ", ".join(f"{fault} {times}x" for fault, times in sorted(met.items()) if fault != "none")
