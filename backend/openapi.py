"""The OpenAPI description that the backend serves of itself, made from the models that check its requests."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from backend.wire import (
    ErrorAnswer,
    HealthAnswer,
    Message,
    PredictAnswer,
    PredictRequest,
    SetupAnswer,
    SetupRequest,
    WebhookAnswer,
    WebhookRequest,
)

Json = dict[str, Any]

_MODELS = (
    ErrorAnswer,
    HealthAnswer,
    PredictAnswer,
    PredictRequest,
    SetupAnswer,
    SetupRequest,
    WebhookAnswer,
    WebhookRequest,
)
_REFUSALS = {
    400: "The body is not what the protocol says, or the label config cannot be filled.",
    401: "Name and password, or the webhook's secret, are missing or wrong.",
    403: "Only this machine is served while no name and password are set.",
    413: "The body is too large.",
    503: "Too many tasks wait, or the store is away; `Retry-After` says when to come back.",
}


@cache
def description() -> Json:
    """The document, OpenAPI 3.1."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "VLM Judge for Label Studio",
            "version": "1",
            "description": "Label Studio's ML backend protocol, and pages that say how the judge stands.",
        },
        "security": [{}, {"basic": []}],
        "paths": {
            "/health": {"get": _page("Whether the server is there", "health", HealthAnswer)},
            "/setup": {"post": _call("Take a project on", "setup", SetupRequest, SetupAnswer)},
            "/predict": {"post": _call("Judge tasks", "predict", PredictRequest, PredictAnswer)},
            "/webhook": {"post": _call("Hear what people did", "webhook", WebhookRequest, WebhookAnswer)},
            "/webhook/{secret}": {
                "post": _call("The same, without a header", "webhook_by_secret", WebhookRequest, WebhookAnswer),
                "parameters": [
                    {
                        "name": "secret",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "minLength": 1},
                    }
                ],
            },
            "/status": {"get": _text("How the judge stands, for people", "status", "text/html")},
            "/metrics": {"get": _text("How the judge stands, for Prometheus", "metrics", "text/plain")},
            "/openapi.json": {"get": _text("This description", "openapi", "application/json")},
        },
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    }


def _call(summary: str, name: str, body: type[Message], answer: type[Message]) -> Json:
    return {
        "summary": summary,
        "operationId": name,
        "requestBody": {"required": True, "content": _json(body)},
        "responses": {"200": {"description": summary, "content": _json(answer)}, **_refusals(*_REFUSALS)},
    }


def _page(summary: str, name: str, answer: type[Message]) -> Json:
    responses = {"200": {"description": summary, "content": _json(answer)}, **_refusals(401, 403)}
    return {"summary": summary, "operationId": name, "responses": responses}


def _text(summary: str, name: str, kind: str) -> Json:
    responses = {"200": {"description": summary, "content": {kind: {}}}, **_refusals(401, 403)}
    return {"summary": summary, "operationId": name, "responses": responses}


def _refusals(*statuses: int) -> Json:
    return {str(status): {"description": _REFUSALS[status], "content": _json(ErrorAnswer)} for status in statuses}


def _json(model: type[Message]) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
