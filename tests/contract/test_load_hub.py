"""A model is loaded by its name from a Hub, by the real client, once the Hub has all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.engines.demo.engine import MODEL
from backend.engines.local import LocalEngine
from backend.errors import EngineError
from tests.contract.hub_emulator import HubFile, HubRepo


def test_a_model_the_hub_did_not_have_is_loaded_when_asked_again(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client reads its address and its cache's folder at its import, so both are put in place here."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", hub.address)
    template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    files = {path.name: HubFile(path.read_bytes(), path.suffix == ".safetensors") for path in MODEL.iterdir()}
    weights = files.pop("model.safetensors")

    engine = LocalEngine("me/judge", device="cpu")
    with pytest.raises(EngineError, match="cannot load the model me/judge: me/judge is not a local folder"):
        engine.load()
    hub.repos["me/judge"] = repo = HubRepo(False, files)
    with pytest.raises(EngineError, match=r"cannot load the model me/judge: .* pytorch_model.bin or model.safetensors"):
        engine.load()
    repo.files["model.safetensors"] = weights
    repo.commits.append("the weights")
    engine.load()
    assert engine.parameters == 3_098_624
