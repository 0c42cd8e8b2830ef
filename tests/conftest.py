from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before torch is imported: two of its threads on two cores wait for each other whenever a server works beside them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from backend.engines.demo.engine import RUBRIC
from backend.label_studio_server import LabelStudioOptions, LabelStudioProcess, free_port
from backend.settings import PREFIX
from tests.road import Road, open_road


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests reaches them."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of the embedded judge's shape, tokenizer and image processor."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    from backend.core.rubric import load_rubric
    from backend.engines.demo.architecture import (
        build_config,
        build_image_processor,
        build_tokenizer,
        training_texts,
    )

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    tokenizer = build_tokenizer(training_texts(load_rubric(RUBRIC), seed=0, count=300))
    model: Any = Qwen2_5_VLForConditionalGeneration(build_config(tokenizer))
    torch.nn.init.normal_(model.model.language_model.embed_tokens.weight, std=0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    build_image_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioProcess]:
    """One real Label Studio for the whole run, on a free port, with data folders of its own.

    LABEL_STUDIO_EXECUTABLE names another version's executable, for `make test-1.20`.
    """
    home = tmp_path_factory.mktemp("label-studio")
    options = LabelStudioOptions(
        data_dir=home / "data",
        document_root=home / "files",
        port=free_port(),
        log=home / "label-studio.log",
        email="tests@example.org",
        password=secrets.token_hex(12),
        executable=Path(other) if (other := os.environ.get("LABEL_STUDIO_EXECUTABLE")) else None,
    )
    server = LabelStudioProcess(options)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def road(label_studio: LabelStudioProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """The sample's files, our backend with the embedded judge, and the commands, for all tests of the whole road."""
    with open_road(label_studio, tmp_path_factory.mktemp("road")) as road:
        yield road
