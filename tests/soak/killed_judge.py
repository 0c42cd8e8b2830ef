"""`judge` is killed again and again: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import multiprocessing
import time

from backend.judge import RunOptions, judge_project
from tests.slow_judge import kill_target, slow_service
from tests.soak.ground import Ground, Notes, arrived, expect_once_each

SECONDS = 0.02


def killed_at_random_moments(ground: Ground, notes: Notes) -> None:
    """SIGKILL after 0.3 to 3 s as often as the time allows, then once to the end."""
    project = ground.project("Killed judge", ground.tasks_for(1.2 * SECONDS))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["backend.judge", "tests.slow_judge", "label_studio_sdk.base_client"])
    kills = ends = 0
    until = time.monotonic() + 0.6 * ground.budget_s
    while time.monotonic() < until and not ends:
        target = context.Process(
            target=kill_target,
            args=(ground.label_studio.url, ground.label_studio.token, project.id, str(ground.store), SECONDS),
            kwargs={"writeback__SMALLEST_WRITE": 20, "writeback__FULL_WRITES": 60, "writeback__DOUBT_S": 2.0},
        )
        target.start()
        target.join(ground.dice.uniform(0.3, 3.0))
        target.kill()
        target.join()
        kills, ends = kills + (target.exitcode == -9), ends + (target.exitcode != -9)
    before = arrived(ground.studio, project)
    service = slow_service(ground.store, 0.0)
    try:
        run = judge_project(ground.studio, service, project.id, RunOptions(batch_size=4))
        left = service.store.jobs.counts()
        again = judge_project(ground.studio, service, project.id)
    finally:
        service.close()
    notes.say(f"{kills} kills at {project.task_count} tasks, {before} there after the last, then {run.stored} more")
    notes.expect(kills > 0, "nothing was killed")
    notes.expect(before > 0, "nothing was there after the last kill, so that none can have met a write")
    notes.expect(run.unaccounted == 0 and not run.failures, f"the balance: {run.summary()}")
    notes.expect(run.tasks == project.task_count, f"{run.tasks} tasks were seen, {project.task_count} are there")
    notes.expect(not left, f"still owed: {left}")
    notes.expect(again.stored == 0, f"a second run stored {again.stored}")
    expect_once_each(ground, notes, project)
