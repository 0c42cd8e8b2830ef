from __future__ import annotations

from typing import Any

from flask import Flask, jsonify, request

from .model import LabelStudioMLBase
from .response import ModelResponse

_server = Flask(__name__)
MODEL_CLASS: type[LabelStudioMLBase] = LabelStudioMLBase


def init_app(model_class: type[LabelStudioMLBase]) -> Flask:
    global MODEL_CLASS
    if not issubclass(model_class, LabelStudioMLBase):
        raise ValueError("Inference class should be the subclass of LabelStudioMLBase")
    MODEL_CLASS = model_class
    return _server


@_server.post("/predict")
def _predict() -> Any:
    data = request.get_json()
    project_id = str(data.get("project")).split(".", 1)[0]
    params = data.get("params", {})
    context = params.pop("context", {})
    model = MODEL_CLASS(project_id=project_id, label_config=data.get("label_config"))
    response = model.predict(data.get("tasks"), context=context, **params)
    assert isinstance(response, ModelResponse)
    assert response.has_model_version()
    response.update_predictions_version()
    return jsonify({"results": response.model_dump()["predictions"]})


@_server.post("/setup")
def _setup() -> Any:
    data = request.get_json()
    model = MODEL_CLASS(project_id=data["project"].split(".", 1)[0], label_config=data.get("schema"))
    if extra_params := data.get("extra_params"):
        model.set_extra_params(extra_params)
    return jsonify({"model_version": model.get("model_version")})


@_server.post("/webhook")
def webhook() -> Any:
    data = request.get_json()
    event = data.pop("action")
    if event not in LabelStudioMLBase.TRAIN_EVENTS:
        return jsonify({"status": "Unknown event"}), 200
    model = MODEL_CLASS(str(data["project"]["id"]), label_config=data["project"]["label_config"])
    return jsonify({"result": model.fit(event, data), "status": "ok"}), 201


@_server.get("/health")
def health() -> Any:
    return jsonify({"status": "UP", "model_class": MODEL_CLASS.__name__})
