"""Layers that torch fuses: the answers stay, and where it cannot, everything else does too."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from backend.core.writing import box_writing
from backend.engines.base import WriteRequest
from backend.engines.fast import layers_of
from backend.engines.local import LocalEngine
from backend.engines.prefill import branch_logits
from tests.tiny_models import save_tiny_model
from tests.unit.test_backbones import REQUESTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("fast"), "qwen2_5_vl")


@pytest.fixture(scope="module")
def plain(folder: Path) -> LocalEngine:
    return LocalEngine(str(folder), device="cpu")


def is_fused(engine: LocalEngine) -> set[bool]:
    return {layer._compiled_call_impl is not None for layer in layers_of(engine.loaded().model)}


def logits(engine: LocalEngine) -> Any:
    return branch_logits(engine.loaded(), [engine.pack(request) for request in REQUESTS])


def test_fused_layers_answer_and_write_alike(folder: Path, plain: LocalEngine) -> None:
    fused = LocalEngine(str(folder), device="cpu", compiled=True)
    assert is_fused(fused) == {shutil.which("g++") is not None}
    assert float((logits(fused) - logits(plain)).abs().max()) < 1e-4
    writing = [WriteRequest(REQUESTS[0].images, "", REQUESTS[0].fields, box_writing("box", "Where?\n"))]
    assert fused.write(writing) == plain.write(writing)


def test_what_cannot_be_fused_is_said_and_judged_all_the_same(
    folder: Path, plain: LocalEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from torch._inductor import config

    torch.compiler.reset()
    monkeypatch.setattr(config.cpp, "cxx", ("there-is-no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    monkeypatch.setattr(config, "force_disable_caches", True)
    engine = LocalEngine(str(folder), device="cpu", compiled=True)
    with caplog.at_level(logging.WARNING, logger="backend.engines.fast"):
        engine.load()
    said = [record.getMessage() for record in caplog.records if record.name == "backend.engines.fast"]
    assert [line.split(": ")[:2] for line in said] == [
        ["the model's layers are not fused, so judging is slower", "InductorError"]
    ]
    assert is_fused(engine) == {False}
    assert bool((logits(engine) == logits(plain)).all())
