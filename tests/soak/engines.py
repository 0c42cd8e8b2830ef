"""An engine that fails, throws and hangs: what can be judged arrives, what never can be is named."""

from __future__ import annotations

from tests.moody_engine import MoodyEngine
from tests.running_backend import running_backend
from tests.slow_judge import predictions, tiny_picture
from tests.soak.ground import Ground, Notes, expect_once_each, patched, wait_for_all
from tests.soak.serving import Button, Pulse

SECONDS = 0.02
NEVER = ("This one is never readable.", "This one is always a defect.")


def failing_at_random(ground: Ground, notes: Notes) -> None:
    """A fifth of all batches fails in one of six ways, some hang for 10 s, and two samples fail always."""
    project = ground.project("Moody engine", ground.tasks_for(6 * SECONDS, most=1500))
    picture = tiny_picture()
    tasks = [{"data": {"image": picture, "caption": caption, "requested": ""}} for caption in NEVER]
    bad = ground.studio.import_tasks(project.id, tasks)
    project = ground.studio.project(project.id)
    engine = MoodyEngine(SECONDS, ground.dice, throws=0.2, hangs=0.01, hang_s=10.0)
    studio = ground.label_studio
    with (
        patched({"delivery.PAUSE_S": 0.5}),
        running_backend(studio.url, studio.token, ground.store, engine, deadline_s=8.0) as (url, running),
        Pulse(url) as pulse,
    ):
        ground.studio.connect_backend(project.id, url, "Moody judge")
        Button(ground, project.id).wait()
        wait_for_all(ground, notes, project, 4 * project.task_count * SECONDS + 300, missing=len(bad))
        named = {note.task: note.reason for note in running.vitals.snapshot().failures}
        notes.say(f"{project.task_count} tasks, " + ", ".join(f"{what} {n}x" for what, n in sorted(engine.met.items())))
        notes.expect(set(map(str, bad)) <= set(named), f"never judged: {bad}, named: {sorted(named)}")
        notes.expect("cannot read this one" in named.get(str(bad[0]), ""), f"task {bad[0]}: {named.get(str(bad[0]))}")
        notes.expect("ValueError" in named.get(str(bad[1]), ""), f"task {bad[1]}: {named.get(str(bad[1]))}")
    pulse.expect_good(notes)
    expect_once_each(ground, notes, project, without=bad)
    notes.expect(len(predictions(ground.studio, project)) == project.task_count, "tasks are gone")
