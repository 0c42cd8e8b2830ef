"""The checks of time: how long one sample takes, what a request can hold, and whether late verdicts come through."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Mapping
from typing import Any

from backend.core.label_config import LabelConfig, parse_label_config
from backend.doctor.findings import Checking, Finding, Lacking
from backend.doctor.label_studio import SignedIn
from backend.errors import VlmJudgeError
from backend.interfaces import default_label_config
from backend.service import Failure, JudgeService
from backend.settings import Settings

TIME, LATE = "time-outs", "late verdicts"
STUDIO_WAITS_S = 100
"""How long Label Studio waits for an answer to a request for predictions (ML_TIMEOUT_PREDICT)."""
_AGAIN_BELOW_S = 10.0
"""A sample that takes no longer is judged once more, because the first one warms the model up."""
_GREY = (128, 128, 128)


def check_time(
    service: JudgeService, config: LabelConfig, task: Mapping[str, Any], deadline_s: float, project: int | None
) -> Checking[None]:
    """Judge one task, as the backend would without its queue, and time it."""
    [prepared] = service.prepare([task], config)
    if isinstance(prepared, Failure):
        yield _not_judged(prepared.reason)
        return
    took_s = 0.0
    for _ in range(2):
        started_s = time.monotonic()
        try:
            [result] = service.judge_each([prepared])
        except VlmJudgeError as exc:
            yield _not_judged(str(exc))
            return
        took_s = time.monotonic() - started_s
        if isinstance(result, Failure):
            yield _not_judged(result.reason)
            return
        if took_s > _AGAIN_BELOW_S:
            break
    yield time_finding(took_s, deadline_s, project)


def time_finding(took_s: float, deadline_s: float, project: int | None) -> Finding:
    """What a request can hold, by the time that one sample took."""
    takes = f"one sample takes {took_s:.2g} s" if took_s < 10 else f"one sample takes {took_s:.0f} s"
    if took_s > deadline_s:
        detail = f"{takes}, longer than the {deadline_s:g} s in which a request is answered: every verdict comes late"
        remedy = "set VLM_JUDGE_PREDICT_DEADLINE_S (at most 95), a smaller VLM_JUDGE_MAX_PIXELS or "
        remedy += f"VLM_JUDGE_EXPLAIN=never, or use `vlm-judge judge --project {project or 'N'}`, which has no deadline"
        return Finding(TIME, "warning", detail, remedy)
    held = int(deadline_s / max(took_s, 1e-3))
    detail = f"{takes}, so a request holds about {held} tasks in its {deadline_s:g} s; the others are delivered later"
    return Finding(TIME, "ok", f"{detail} (Label Studio itself waits {STUDIO_WAITS_S} s)")


def check_write_back(settings: Settings, signed: SignedIn | Lacking) -> Checking[None]:
    """Whether verdicts that come after their request was answered can be written back."""
    if isinstance(signed, Lacking):
        if settings.label_studio_url and settings.label_studio_api_key:
            yield Finding(LATE, "skipped", signed.reason)
            return
        detail = f"verdicts that come after the deadline cannot be written back: {signed.reason}"
        remedy = "export LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY for the backend"
        yield Finding(LATE, "warning", detail, remedy)
        return
    detail = f"written back as {signed.email} when the backend has this LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"
    yield Finding(LATE, "ok", detail)


def grey_task() -> tuple[LabelConfig, dict[str, Any]]:
    """A sample to time where no project gives one, and the label config it fits."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (224, 224), _GREY).save(buffer, "PNG")
    image = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    data = {"image": image, "caption": "A plain grey surface.", "requested": ""}
    return parse_label_config(default_label_config()), {"id": "doctor", "data": data}


def _not_judged(reason: str) -> Finding:
    return Finding(TIME, "failed", f"a sample could not be judged: {reason}", "see `load` and `images` above")
