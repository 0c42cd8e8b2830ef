"""Two `judge` commands at once on one project, and a backend that delivers to it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from backend.label_studio_server import stop_group
from tests.backend_process import judge_command, judge_environment
from tests.soak.ground import Ground, Notes, expect_once_each, wait_for_all
from tests.soak.serving import Button, serving

SECONDS = 0.05


class JudgeCommand:
    """`vlm-judge judge` at work."""

    def __init__(self, ground: Ground, project: int, store: Path, name: str) -> None:
        self.log = ground.home / f"{name}.log"
        failures = ground.home / f"{name}.failures.jsonl"
        arguments = ("judge", "--project", str(project), "--engine", "scripted", "--failures", str(failures))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                judge_command(
                    *arguments, seconds=SECONDS, constants=("writeback.SMALLEST_WRITE=50", "writeback.FULL_WRITES=1000")
                ),
                env=judge_environment(ground.label_studio.url, ground.label_studio.token, STORE=str(store)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def expect_good(self, notes: Notes, timeout_s: float) -> str:
        """Its last line; it has to end by itself and well."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            stop_group(self.process)
            notes.expect(False, f"`judge` did not end within {timeout_s:.0f} s")
            return ""
        said = self.log.read_text().strip()
        notes.expect(code == 0 and "Traceback" not in said, f"`judge` ended with {code}: {said[-400:]}")
        return said


def sharing_a_store(ground: Ground, notes: Notes) -> None:
    """The second waits for the first; what the backend owes besides is not written twice."""
    project = ground.project("One store", ground.tasks_for(SECONDS, 0.3, most=800))
    with serving(ground, notes, SECONDS, deadline_s=6.0) as backend:
        ground.studio.connect_backend(project.id, backend.url, "Judge")
        button = Button(ground, project.id)
        time.sleep(3)
        first = JudgeCommand(ground, project.id, ground.store, "first")
        time.sleep(4)
        second = JudgeCommand(ground, project.id, ground.store, "second")
        limit_s = 3 * project.task_count * SECONDS + 120
        first_said, second_said = first.expect_good(notes, limit_s), second.expect_good(notes, limit_s)
        button.wait()
        wait_for_all(ground, notes, project, limit_s)
        waited = "another process writes to project" in first_said + second_said
        notes.say(f"{project.task_count} tasks; {_balance(first_said)}; {_balance(second_said)}")
        notes.expect(waited, "neither waited for the other")
    expect_once_each(ground, notes, project)


def each_with_its_own_store(ground: Ground, notes: Notes) -> None:
    """They cannot know of each other; the one that ends last leaves no doubles."""
    project = ground.project("Two stores", ground.tasks_for(SECONDS, 0.4, most=300))
    with serving(ground, notes, SECONDS, deadline_s=6.0) as backend:
        ground.studio.connect_backend(project.id, backend.url, "Judge")
        button = Button(ground, project.id)
        commands = [
            JudgeCommand(ground, project.id, ground.home / f"{name}.sqlite", name) for name in ("first", "second")
        ]
        # each double is deleted by a request of its own, which takes a busy Label Studio a third of a second
        limit_s = 3 * project.task_count * SECONDS + project.task_count + 120
        said = [each.expect_good(notes, limit_s) for each in commands]
        button.wait()
        wait_for_all(ground, notes, project, limit_s)
        notes.say(f"{project.task_count} tasks; " + "; ".join(map(_balance, said)))
    expect_once_each(ground, notes, project)


def _balance(said: str) -> str:
    """`800 tasks = 300 judged and stored + 500 judged before`, without who did it."""
    return said.splitlines()[-1].split(" (judge")[0] if said else "nothing said"
