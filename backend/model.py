"""The same judge as a `LabelStudioMLBase`, for those who host label-studio-ml themselves.

It fits the released 1.0.9 and the 2.x of the main branch. In a script of yours say `from backend.model import VlmJudge`
and hand that script to `label-studio-ml init`. label-studio-ml makes a new model object for every `/setup` (1.0.9) or
every request (2.x), and one more in a child process for every webhook (1.0.9); the judge itself is made once per
serving process, and its model is loaded when the first prediction is asked for.
"""

from __future__ import annotations

import atexit
import threading
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from backend.assemble import make_service
from backend.audit_slice import hold_to
from backend.core.judging import Judging
from backend.core.label_config import LabelConfig, parse_label_config
from backend.errors import LabelConfigError
from backend.outcomes import Deadline
from backend.predicting import predict_tasks
from backend.service import JudgeService
from backend.settings import Settings, load_settings
from backend.worker import Worker

try:
    from label_studio_ml.response import ModelResponse
except ImportError:  # 1.0.9 answers with plain lists
    ModelResponse = None


class SharedJudge:
    """The judge of this process; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: tuple[Settings, JudgeService] | None = None
        self._worker: Worker | None = None

    def made(self) -> tuple[Settings, JudgeService]:
        """The settings and the service, without a loaded model. Raises SettingsError."""
        with self._lock:
            if self._made is None:
                settings = load_settings()
                self._made = settings, make_service(settings)
            return self._made

    def worker(self) -> Worker:
        """The worker, started by the first call."""
        settings, service = self.made()
        with self._lock:
            if self._worker is None:
                self._worker = Worker(service, settings.batch_size)
                self._worker.start()
                atexit.register(self.stop)
            return self._worker

    def stop(self) -> None:
        """End the worker's thread and let go of the store; nothing can be judged afterwards."""
        if self._worker is not None:
            self._worker.stop()
        if self._made is not None:
            self._made[1].close()


JUDGE = SharedJudge()


class VlmJudge(LabelStudioMLBase):  # type: ignore[misc]
    """Answers `/predict` as our own server does; it learns nothing from annotations.

    With 1.0.9 one model serves all projects, that of the last `/setup`, so that a request is answered by the label
    config that it brings along, which alone says what must not be shown. `/setup` answers `INITIAL`, and Label Studio
    therefore asks anew for what is judged already; the entries carry the fingerprint all the same. 2.x answers
    `/setup` with the fingerprint.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Raises LabelConfigError when the project's label config has nothing that the judge can fill."""
        super().__init__(*args, **kwargs)
        if self.label_config:
            self._judging()

    def setup(self) -> None:
        """2.x calls it for every new model object."""
        if self.label_config:
            self.set("model_version", self._judging().fingerprint)

    def predict(self, tasks: list[dict[str, Any]], context: object = None, **kwargs: object) -> Any:
        """One entry per task, in order, an empty list where there is none: plain for 1.0.9, a ModelResponse for 2.x.

        Raises LabelConfigError when the project's label config has not come yet.
        """
        settings, service = JUDGE.made()
        deadline, config = Deadline(settings.predict_deadline_s), self._config(_of_the_request("label_config"))
        hold_to(service.store, _of_the_request("project"), config.audit)
        entries = predict_tasks(service, JUDGE.worker(), tasks, config, deadline)
        if ModelResponse is None:
            return entries
        return ModelResponse(model_version=service.judging(config).fingerprint, predictions=entries)

    def fit(self, *args: object, **kwargs: object) -> None:
        """Nothing is trained, so that 1.0.9 does not take a webhook for a new version of the model."""

    def _config(self, came: str = "") -> LabelConfig:
        xml = came or self.label_config
        if not xml:
            raise LabelConfigError("the project's label config has not come; connect the backend in Label Studio first")
        return parse_label_config(xml)

    def _judging(self) -> Judging:
        return JUDGE.made()[1].judging(self._config())


def _of_the_request(name: str) -> str:
    """What the request that is being answered says of this; empty where it says nothing, or no server runs this."""
    from flask import has_request_context, request

    body = request.get_json(silent=True) if has_request_context() else None
    came = body.get(name) if isinstance(body, dict) else None
    return came if isinstance(came, str) else ""
