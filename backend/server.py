"""Label Studio's ML backend protocol over HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, wait
from typing import TYPE_CHECKING, Any

from backend.core.judging import Judging
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.predictions import FAILED, PENDING
from backend.core.types import Verdict
from backend.errors import LabelConfigError, VlmJudgeError
from backend.service import Failure, JudgeService, Prepared
from backend.settings import Settings
from backend.worker import Worker

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger(__name__)


class BadRequest(VlmJudgeError):
    """The request is not what the protocol says; answered with 400."""


def create_app(service: JudgeService, worker: Worker, settings: Settings) -> Flask:
    """The Flask application. The worker must have been started."""
    from flask import Flask, jsonify, request

    app = Flask("vlm-judge", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_bytes
    app.json.ensure_ascii = False  # type: ignore[attr-defined]

    def body() -> dict[str, Any]:
        data = request.get_json(silent=True, force=True)
        if not isinstance(data, dict):
            raise BadRequest("the request body must be a JSON object")
        return data

    @app.get("/")
    @app.get("/health")
    def health() -> Any:
        return jsonify(
            status="UP",
            model_class=f"vlm-judge {settings.engine}",
            judge=service.name,
            engine="failed" if worker.failure else "ready" if worker.ready else "loading",
            detail=worker.failure,
            waiting=worker.waiting,
        )

    @app.post("/setup")
    def setup() -> Any:
        judging = service.judging(label_config(body(), "schema"))
        for entry in judging.form.unfilled:
            log.info("the judge leaves `%s` empty: %s", entry.control, entry.reason)
        return jsonify(model_version=judging.fingerprint, unfilled=list(judging.unfilled))

    @app.post("/predict")
    def predict() -> Any:
        data = body()
        config = label_config(data, "label_config")
        results = predict_tasks(service, worker, tasks_of(data), config, settings.predict_deadline_s)
        return jsonify(results=results)

    @app.post("/webhook")
    def webhook() -> Any:
        action = body().get("action")
        if not isinstance(action, str):
            raise BadRequest("a webhook needs an `action`, such as ANNOTATION_CREATED")
        log.info("webhook %s", action)
        return jsonify(status="ok", action=action)

    _answer_errors(app)
    return app


def _answer_errors(app: Flask) -> None:
    """Every error is a JSON object with a sentence, never a page or a traceback."""
    from flask import jsonify, request
    from werkzeug.exceptions import HTTPException

    @app.errorhandler(BadRequest)
    @app.errorhandler(LabelConfigError)
    def refuse(error: VlmJudgeError) -> Any:
        return jsonify(error=str(error)), 400

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Any:
        return jsonify(error=f"{error.name}: {request.method} {request.path}"), error.code or 500

    @app.errorhandler(Exception)
    def defect(error: Exception) -> Any:
        log.exception("%s %s failed", request.method, request.path)
        return jsonify(error="internal error; the backend's log has the details"), 500


def label_config(data: dict[str, Any], key: str) -> LabelConfig:
    """The label config in a request body. Raises BadRequest when it is missing."""
    xml = data.get(key)
    if not isinstance(xml, str) or not xml.strip():
        raise BadRequest(f"`{key}` must hold the project's label config")
    return parse_label_config(xml)


def tasks_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks in a request body. Raises BadRequest when they are not a list of objects."""
    tasks = data.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise BadRequest("`tasks` must be a list of task objects")
    return tasks


def predict_tasks(
    service: JudgeService, worker: Worker, tasks: list[dict[str, Any]], config: LabelConfig, deadline_s: float
) -> list[dict[str, Any]]:
    """One entry per task, in order, by the deadline.

    A task that cannot be judged gets an entry that says why, and whose model version ends in
    "-failed". One that is not judged in time gets an empty entry that ends in "-pending" and goes
    on in the background. Label Studio asks for both again; what was judged is then in the store.
    """
    until = time.monotonic() + deadline_s
    judging = service.judging(config)
    prepared = _prepared(service, tasks, config, until)
    ready = [item for item in prepared if isinstance(item, Prepared)]
    known = service.known(ready)
    missing = list({item.key: item for item in ready if item.key not in known}.values())
    futures = dict(zip((item.key for item in missing), worker.submit(missing), strict=True))
    entries = []
    for item in prepared:
        verdict: Verdict | None = None
        if isinstance(item, Failure):
            verdict = judging.failed(item.reason)
        elif item is not None:
            verdict = known.get(item.key) or _judged(judging, futures[item.key], until)
        entries.append(judging.prediction(verdict) if verdict else _pending(judging))
    _log_outcome(entries, [item for item in prepared if isinstance(item, Failure)])
    return entries


def _prepared(
    service: JudgeService, tasks: list[dict[str, Any]], config: LabelConfig, until: float
) -> list[Prepared | Failure | None]:
    """The tasks with their images; None where an image has not come by the deadline."""
    futures = service.prepare_each(tasks, config)
    wait(futures, timeout=max(0.0, until - time.monotonic()))
    return [None if future.cancel() or not future.done() else future.result() for future in futures]


def _judged(judging: Judging, future: Future[Verdict | Failure] | None, until: float) -> Verdict | None:
    if future is None:
        return None
    try:
        result = future.result(timeout=max(0.0, until - time.monotonic()))
    except (TimeoutError, CancelledError):
        return None
    return judging.failed(result.reason) if isinstance(result, Failure) else result


def _pending(judging: Judging) -> dict[str, Any]:
    return {"result": [], "score": 0.0, "model_version": judging.fingerprint + PENDING}


def _log_outcome(entries: Sequence[dict[str, Any]], unreadable: Sequence[Failure]) -> None:
    for failure in unreadable:
        log.warning("not judged: %s", failure.reason)
    failed = sum(str(entry["model_version"]).endswith(FAILED) for entry in entries)
    pending = sum(str(entry["model_version"]).endswith(PENDING) for entry in entries)
    log.info("answered %d tasks, %d of them failed, %d pending", len(entries), failed, pending)
