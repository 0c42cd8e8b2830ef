"""Label Studio's ML backend protocol over HTTP, and the pages that say how the backend stands."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from backend.admission import Busy
from backend.audit_slice import hold_to
from backend.core.label_config import LabelConfig, parse_label_config
from backend.doors import lock, shown_path
from backend.errors import LabelConfigError, StoreError, VlmJudgeError
from backend.metrics import exposition
from backend.openapi import description
from backend.outcomes import Deadline
from backend.predicting import predict_tasks
from backend.running import Running
from backend.status import render
from backend.webhook import keep
from backend.wire import BadRequest, HealthAnswer, PredictRequest, SetupAnswer, SetupRequest, WebhookRequest, cut, read

if TYPE_CHECKING:
    from flask import Flask, Request

log = logging.getLogger(__name__)

MOST_ERROR_CHARS = 2_000
"""Of a sentence in an answer; a label config of thousands of controls could name them all."""


def create_app(running: Running) -> Flask:
    """The Flask application of a backend that has been started."""
    from flask import Flask

    app = Flask("vlm-judge", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = running.settings.max_request_bytes
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    lock(app, running.settings)
    _serve_protocol(app, running)
    _serve_pages(app, running)
    _answer_errors(app, running)
    return app


def _serve_protocol(app: Flask, running: Running) -> None:
    from flask import jsonify, request

    @app.post("/setup")
    def setup() -> Any:
        body = read(SetupRequest, _content(request))
        judging = running.service.judging(_config(running, body))
        running.saw(_name(body.project), judging)
        for entry in judging.form.unfilled:
            log.info("the judge leaves `%s` empty: %s", entry.control, entry.reason)
        answer = SetupAnswer(model_version=judging.fingerprint, unfilled=list(judging.unfilled))
        return jsonify(answer.model_dump())

    @app.post("/predict")
    def predict() -> Any:
        body = read(PredictRequest, _content(request))
        with running.admission.admitted(len(body.tasks)):
            results = _predict(running, body)
        running.vitals.requested("answered")
        return jsonify(results=results)

    @app.post("/webhook")
    @app.post("/webhook/<path:secret>")
    def webhook(secret: str = "") -> Any:
        body = read(WebhookRequest, _content(request))
        count = keep(body, running.service.store.feedback)
        log.info("webhook %s, %d annotations", body.action, count)
        return jsonify(status="ok", action=body.action)


def _predict(running: Running, body: PredictRequest) -> list[Any]:
    config = _config(running, body)
    running.saw(_name(body.project), running.service.judging(config))
    deadline = Deadline(running.settings.predict_deadline_s, running.draining)
    project = _name(body.project)
    interactive = body.is_interactive
    entries = predict_tasks(
        running.service,
        running.worker,
        body.tasks,
        config,
        deadline,
        vitals=running.vitals,
        # an annotator's own request is not stored by Label Studio, and must not be stored by us
        delivery=None if interactive or body.uid is None else running.delivery,
        project=project,
    )
    return [entry or {"result": [], "score": None} for entry in entries] if interactive else entries


def _config(running: Running, body: SetupRequest | PredictRequest) -> LabelConfig:
    """The label config that came. Raises LabelConfigError, also when the project's blind slice has got lost in it."""
    config = parse_label_config(body.label_config)
    hold_to(running.service.store, _name(body.project), config.audit)
    return config


def _serve_pages(app: Flask, running: Running) -> None:
    from flask import Response, g, jsonify, request

    @app.get("/")
    @app.get("/health")
    def health() -> Any:
        if not g.authorized:
            return jsonify(status="UP")
        answer = HealthAnswer(
            status="UP",
            model_class=f"vlm-judge {running.settings.engine}",
            judge=running.service.name,
            engine="failed" if running.worker.failure else "ready" if running.worker.ready else "loading",
            detail=running.worker.failure,
            waiting=running.worker.waiting,
        )
        return jsonify(answer.model_dump())

    @app.get("/status")
    def status() -> Any:
        return Response(render(running.view()), mimetype="text/html")

    @app.get("/metrics")
    def metrics() -> Any:
        body, content_type = exposition(running.view(), request.headers.get("Accept"))
        return Response(body, content_type=content_type)

    @app.get("/openapi.json")
    def openapi() -> Any:
        return jsonify(description())


def _answer_errors(app: Flask, running: Running) -> None:
    """Every error is a JSON object with a sentence, never a page or a traceback."""
    from flask import jsonify, request
    from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

    def counted(outcome: str) -> None:
        if request.path == "/predict":
            running.vitals.requested(outcome)

    @app.errorhandler(BadRequest)
    @app.errorhandler(LabelConfigError)
    def refuse(error: VlmJudgeError) -> Any:
        counted("refused")
        return jsonify(error=cut(str(error), MOST_ERROR_CHARS)), 400

    @app.errorhandler(Busy)
    def busy(error: Busy) -> Any:
        counted("busy")
        return jsonify(error=str(error)), 503, {"Retry-After": str(error.retry_after_s)}

    @app.errorhandler(StoreError)
    def store_away(error: StoreError) -> Any:
        counted("failed")
        log.error("%s %s: %s", request.method, shown_path(request), error)
        return jsonify(error=str(error)), 503, {"Retry-After": "30"}

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(error: RequestEntityTooLarge) -> Any:
        counted("refused")
        limit = f"{running.settings.max_request_bytes:,} bytes (VLM_JUDGE_MAX_REQUEST_BYTES)"
        return jsonify(error=f"the request body is larger than {limit}; send fewer tasks at a time"), 413

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Any:
        counted("refused")
        answer = jsonify(error=f"{error.name}: {request.method} {shown_path(request)}")
        answer.status_code = error.code or 500
        answer.headers.extend((name, value) for name, value in error.get_headers() if name.lower() == "allow")
        return answer

    @app.errorhandler(Exception)
    def defect(error: Exception) -> Any:
        counted("failed")
        log.exception("%s %s failed", request.method, shown_path(request))
        return jsonify(error="internal error; the backend's log has the details"), 500


def _content(request: Request) -> bytes:
    """The request's body. Raises BadRequest for one that is broken, cut off, or compressed, which nothing unpacks."""
    from gunicorn.http.errors import ParseException
    from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

    coding = request.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise BadRequest(f"a body with the Content-Encoding {cut(coding, 40)!r} is not read; send it uncompressed")
    try:
        content = request.get_data()
    except ParseException as exc:
        raise BadRequest(f"the request body is broken: {cut(str(exc), 100)}") from exc
    except ClientDisconnected as exc:
        raise BadRequest("the request body ended, or nothing more came, before it was complete") from exc
    if request.content_length is None and len(content) >= (request.max_content_length or float("inf")):
        raise RequestEntityTooLarge  # a body in chunks is cut at the limit without a word
    return content


def _name(project: str | int | None) -> str:
    """The project as Label Studio names it; empty where it does not."""
    return "" if project is None else str(project)
