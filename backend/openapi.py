"""The OpenAPI description that the backend serves of itself, made from the models that check its requests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from backend.studio_keys import WEBHOOK_HEADER
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

_INTRODUCTION = (
    "Label Studio's ML backend protocol, and pages that say how the judge stands. Bodies are JSON in UTF-8. "
    'Every error is `{"error": "a sentence"}`; every answer carries `X-Request-Id`, which the log names too.'
)
_TAGS = (
    {"name": "protocol", "description": "What Label Studio asks."},
    {"name": "pages", "description": "How the judge stands."},
)
_ONE_OF: list[Json] = [{"basic": []}, {}]
"""Name and password, or nothing where none are set."""
_ONE_OF_WEBHOOK: list[Json] = [{"basic": []}, {"webhookSecret": []}, {}]

_REFUSALS = {
    400: "The body is not what the protocol says, or the label config cannot be filled.",
    401: "Name and password, or the webhook's secret, are missing or wrong.",
    403: "Only this machine is served while no name and password are set.",
    404: "No webhook secret looks like this: it begins with a slash or holds a line break.",
    413: "The body is larger than `VLM_JUDGE_MAX_REQUEST_BYTES`.",
    503: "Too many tasks wait, or the store is away; `Retry-After` says when to come back.",
}
_DOOR = (401, 403)
_BODY = (400, *_DOOR, 413)
_WAIT = (*_BODY, 503)
_EXTRA_HEADERS: Mapping[int, Json] = {
    401: {
        "WWW-Authenticate": {
            "description": "How to authorize.",
            "required": True,
            "schema": {"type": "string", "pattern": "^Basic "},
        }
    },
    503: {
        "Retry-After": {
            "description": "In seconds.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": 120},
        }
    },
}

_CONFIG = (
    '<View><Image name="image" value="$image"/><Text name="caption" value="$caption"/>'
    '<Rating name="text_accuracy" toName="image"/><Choices name="verdict" toName="image">'
    '<Choice value="accept"/><Choice value="fix"/><Choice value="reject"/></Choices></View>'
)
_UID, _FINGERPRINT = "3.1795361354", "demo-25ecc01df3e7"
_TASK = {"id": 17, "data": {"image": "https://example.org/cat.jpg", "caption": "A black cat on a red chair."}}
_REGIONS = [
    {
        "id": "badad4957f",
        "from_name": "text_accuracy",
        "to_name": "image",
        "type": "rating",
        "value": {"rating": 4},
        "meta": {
            "judge": {
                "expected": 4.1,
                "probs": {"1": 0.02, "2": 0.03, "3": 0.15, "4": 0.43, "5": 0.37},
                "label_mass": 0.999,
            }
        },
    },
    {
        "id": "0f5d1b0c3e",
        "from_name": "verdict",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": ["fix"]},
    },
]
_EXAMPLES: Mapping[type[Message], Mapping[str, Json]] = {
    SetupRequest: {"a project": {"project": _UID, "schema": _CONFIG}},
    SetupAnswer: {"all filled": {"model_version": _FINGERPRINT, "unfilled": []}},
    PredictRequest: {
        "two tasks, one without an image": {
            "project": _UID,
            "label_config": _CONFIG,
            "tasks": [_TASK, {"id": 18, "data": {"caption": "A dog."}}],
        },
        "an annotator's own request": {
            "project": _UID,
            "label_config": _CONFIG,
            "tasks": [_TASK | {"drafts": []}],
            "params": {"context": {"result": []}},
        },
    },
    PredictAnswer: {
        "two tasks, one without an image": {
            "results": [{"result": _REGIONS, "score": 0.81, "model_version": _FINGERPRINT}, []]
        },
        "an annotator's own request that cannot be judged": {"results": [{"result": [], "score": None}]},
    },
    WebhookRequest: {
        "an annotation was made": {
            "action": "ANNOTATION_CREATED",
            "project": {"id": 3, "created_at": "2026-11-22T09:49:14.000001Z"},
            "task": {"id": 17},
            "annotation": {"id": 9, "task": 17, "updated_at": "2026-11-26T10:00:00.5Z", "result": _REGIONS},
        },
        "annotations were deleted": {
            "action": "ANNOTATIONS_DELETED",
            "project": {"id": 3, "created_at": "2026-11-22T09:49:14.000001Z"},
            "annotations": [{"id": 9}],
        },
    },
    WebhookAnswer: {"heard": {"status": "ok", "action": "ANNOTATION_CREATED"}},
    HealthAnswer: {
        "ready": {
            "status": "UP",
            "model_class": "vlm-judge demo",
            "judge": "demo",
            "engine": "ready",
            "detail": None,
            "waiting": 0,
        },
        "to whom it may not be told": {"status": "UP"},
    },
    ErrorAnswer: {"a sentence": {"error": "`tasks` must be a list of task objects"}},
}


@cache
def description() -> Json:
    """The document, OpenAPI 3.1."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "VLM Judge for Label Studio", "version": "1", "description": _INTRODUCTION},
        "tags": list(_TAGS),
        "paths": {**_protocol(), **_pages()},
        "components": {
            "schemas": definitions["$defs"],
            "headers": {
                "X-Request-Id": {
                    "description": "The request's own where it brought one of letters, digits, `.`, `_` and `-`.",
                    "required": True,
                    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
                }
            },
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "`VLM_JUDGE_BASIC_AUTH_USER` and `VLM_JUDGE_BASIC_AUTH_PASSWORD`. "
                    "Without them only this machine is served, and asked for nothing but the webhook secret.",
                },
                "webhookSecret": {
                    "type": "apiKey",
                    "in": "header",
                    "name": WEBHOOK_HEADER,
                    "description": "`VLM_JUDGE_WEBHOOK_SECRET`.",
                },
            },
        },
    }


def _protocol() -> Json:
    heard = {
        "summary": "Hear what people did",
        "description": "Annotations are kept as feedback, each in its newest form.",
    }
    return {
        "/setup": {
            "post": _call(
                "setup",
                "Take a project on",
                "Says under which fingerprint the project's tasks will be judged, and what will stay empty.",
                SetupRequest,
                SetupAnswer,
                _BODY,
            )
        },
        "/predict": {
            "post": _call(
                "predict",
                "Judge tasks",
                "One entry per task, in order, by `VLM_JUDGE_PREDICT_DEADLINE_S`. What is not judged by then has an "
                "empty list: it is written to the project later, or is there when asked for again.",
                PredictRequest,
                PredictAnswer,
                _WAIT,
            )
        },
        "/webhook": {
            "post": _call("webhook", **heard, body=WebhookRequest, answer=WebhookAnswer, refusals=_WAIT)
            | {"security": _ONE_OF_WEBHOOK}
        },
        "/webhook/{secret}": {
            "post": _call(
                "webhook_by_secret", **heard, body=WebhookRequest, answer=WebhookAnswer, refusals=(*_WAIT, 404)
            ),
            "parameters": [
                {
                    "name": "secret",
                    "in": "path",
                    "required": True,
                    "description": "`VLM_JUDGE_WEBHOOK_SECRET`, for a Label Studio that sends no headers.",
                    "schema": {"type": "string", "pattern": r"^[^/\n][^\n]*$"},
                    "example": "the-secret",
                }
            ],
        },
    }


def _pages() -> Json:
    health = {"application/json": _example(HealthAnswer)}
    return {
        "/health": {"get": _page("health", "Whether the server is there", health)},
        "/": {"get": _page("root", "The same, under the address that Label Studio is given", health)},
        "/status": {"get": _page("status", "How the judge stands, for people", _text("text/html"))},
        "/metrics": {"get": _page("metrics", "How the judge stands, for Prometheus", _text("text/plain"))},
        "/openapi.json": {
            "get": _page("openapi", "This description", {"application/json": {"schema": {"type": "object"}}})
        },
    }


def _call(
    name: str, summary: str, description: str, body: type[Message], answer: type[Message], refusals: tuple[int, ...]
) -> Json:
    return {
        "operationId": name,
        "tags": ["protocol"],
        "summary": summary,
        "description": description,
        "security": _ONE_OF,
        "requestBody": {"required": True, "content": {"application/json": _example(body)}},
        "responses": _responses(summary, {"application/json": _example(answer)}, refusals),
    }


def _page(name: str, summary: str, content: Json) -> Json:
    return {
        "operationId": name,
        "tags": ["pages"],
        "summary": summary,
        "security": _ONE_OF,
        "responses": _responses(summary, content, _DOOR),
    }


def _responses(summary: str, content: Json, refusals: tuple[int, ...]) -> Json:
    errors = {"application/json": _example(ErrorAnswer)}
    return {
        "200": {"description": summary, "headers": _headers(), "content": content},
        **{
            str(status): {"description": _REFUSALS[status], "headers": _headers(status), "content": errors}
            for status in refusals
        },
    }


def _headers(status: int = 200) -> Json:
    return {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}, **_EXTRA_HEADERS.get(status, {})}


def _text(kind: str) -> Json:
    return {kind: {"schema": {"type": "string"}}}


def _example(model: type[Message]) -> Json:
    examples = {name: {"value": value} for name, value in _EXAMPLES[model].items()}
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}, "examples": examples}
