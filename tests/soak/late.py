"""More tasks at once than a request has time for: the answer comes in time, and every prediction arrives."""

from __future__ import annotations

import time

from tests.soak.ground import Ground, Notes, arrived, expect_once_each, wait_for_all
from tests.soak.serving import Button, Pulse, serving

SECONDS = 0.2
DEADLINE_S = 60.0
"""The default of `VLM_JUDGE_PREDICT_DEADLINE_S`."""
STUDIO_GIVES_S = 100.0
"""How long Label Studio waits for a backend."""


def more_than_a_request_can_judge(ground: Ground, notes: Notes) -> None:
    """Label Studio's button on up to 5,000 tasks that need 0.2 s each, with the deadline that is the default."""
    project = ground.project("Late", ground.tasks_for(SECONDS, 0.85))
    total = project.task_count
    with serving(ground, notes, SECONDS, deadline_s=DEADLINE_S) as backend, Pulse(backend.url) as pulse:
        ground.studio.connect_backend(project.id, backend.url, "Slow judge")
        began = time.monotonic()
        answered_s = Button(ground, project.id).wait()
        first = arrived(ground.studio, project)
        notes.say(f"{total} tasks, Label Studio done after {answered_s:.1f} s with {first}")
        expected = min(total, int(DEADLINE_S / SECONDS))
        notes.expect(first >= 0.8 * expected, f"only {first} came with the answer, which had time for {expected}")
        notes.expect(backend.metric("vlm_judge_requests_total") is not None, "no metrics")
        notes.expect(answered_s < STUDIO_GIVES_S + 0.02 * total, f"the answer took {answered_s:.0f} s")
        before_s = time.monotonic() - began
        took_s = before_s + wait_for_all(ground, notes, project, 2 * total * SECONDS + 240)
        notes.say(f"all there after {took_s:.0f} s, {total * SECONDS:.0f} s of them judging")
        judged = backend.metric("vlm_judge_samples_judged_total")
        notes.expect(judged == total, f"{judged} samples were judged for {total} tasks")
    pulse.expect_good(notes)
    expect_once_each(ground, notes, project)
