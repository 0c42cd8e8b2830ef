"""The clock jumps by hours, forward and back, while predictions are delivered: nothing is lost or owed forever."""

from __future__ import annotations

import threading

from tests.fault_proxy import fault_proxy
from tests.jumpy_clock import JumpyClock
from tests.running_backend import running_backend
from tests.slow_judge import SlowEngine
from tests.soak.ground import Ground, Notes, expect_once_each, wait_for_all
from tests.soak.serving import Button

SECONDS = 0.05
JUMPS_H = (-240.0, -30.0, -3.0, -1.5, -0.9, -0.25, 0.25, 0.9, 1.5, 3.0, 30.0, 240.0)


def jumping_by_hours(ground: Ground, notes: Notes) -> None:
    """Jumps at random while the button is pressed and what is late is delivered."""
    project = ground.project("Jumping clock", ground.tasks_for(SECONDS, 0.4))
    clock, jumps, stop = JumpyClock(), list[float](), threading.Event()

    def jump() -> None:
        while not stop.wait(ground.dice.uniform(0.5, 4.0)):
            jumps.append(ground.dice.choice(JUMPS_H))
            clock.offset_s += 3600 * jumps[-1]

    studio = ground.label_studio
    engine = SlowEngine(SECONDS)
    with running_backend(studio.url, studio.token, ground.store, engine, deadline_s=6.0, clock=clock) as (url, _):
        ground.studio.connect_backend(project.id, url, "Judge with a jumping clock")
        thread = threading.Thread(target=jump, daemon=True)
        thread.start()
        button = Button(ground, project.id)
        thread.join(0.6 * ground.budget_s)
        stop.set()
        button.wait()
        took_s = wait_for_all(ground, notes, project, 2 * project.task_count * SECONDS + 180)
        notes.say(f"{project.task_count} tasks, {len(jumps)} jumps, all there {took_s:.0f} s after the last")
        notes.expect(len(set(engine.judged)) == project.task_count, "not all were judged")
    expect_once_each(ground, notes, project)


def set_once(ground: Ground, notes: Notes) -> None:
    """One jump right after an answer that got lost on its way to Label Studio: by 90 minutes back, by years ahead.

    The second is what a machine does that has no clock of its own and hears of the time after its start.
    """
    for hours in (-1.5, 24.0 * 365 * 50):
        project = ground.project(f"Clock set by {hours:.1f} h", 100)
        clock, studio, engine = JumpyClock(), ground.label_studio, SlowEngine(0.0)
        with (
            running_backend(studio.url, studio.token, ground.store, engine, deadline_s=4.0, clock=clock) as (url, _),
            fault_proxy(url) as proxy,
        ):
            ground.studio.connect_backend(project.id, proxy.url, "Judge whose clock is set")
            proxy.fault, proxy.only = "answer lost", "/predict"
            Button(ground, project.id).wait()
            clock.offset_s = hours * 3600
            took_s = wait_for_all(ground, notes, project, 90)
            notes.say(f"set by {hours:.1f} h, {project.task_count} tasks after {took_s:.0f} s")
        expect_once_each(ground, notes, project)
