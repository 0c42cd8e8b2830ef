"""The engine is the one asked for, and no setting goes unheeded."""

from __future__ import annotations

import pytest
from PIL import Image

from backend.core.types import Option, Question
from backend.core.writing import text_writing
from backend.engines.base import JudgeRequest, WriteRequest
from backend.engines.factory import make_engine
from backend.engines.scripted import ScriptedEngine
from backend.errors import SettingsError
from backend.settings import Settings, load_settings


@pytest.mark.parametrize("engine", ["demo", "scripted"])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VLM_JUDGE_MODEL", "some/model", "--model (VLM_JUDGE_MODEL)"),
        ("VLM_JUDGE_REVISION", "main", "VLM_JUDGE_REVISION"),
        ("VLM_JUDGE_DEVICE", "cpu", "VLM_JUDGE_DEVICE"),
        ("VLM_JUDGE_MAX_PIXELS", "100000", "VLM_JUDGE_MAX_PIXELS"),
    ],
)
def test_what_only_the_local_engine_heeds_is_refused_with_another(
    monkeypatch: pytest.MonkeyPatch, engine: str, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        make_engine(load_settings(engine=engine))
    assert str(caught.value) == (
        f"{said}: the {engine} engine has a judge of its own; add --engine local, or leave it out"
    )


@pytest.mark.parametrize(("engine", "begins"), [("demo", "demo"), ("scripted", "scripted")])
def test_the_defaults_are_no_setting(engine: str, begins: str) -> None:
    assert make_engine(load_settings(engine=engine, model=None)).identity.name.startswith(begins)


def test_the_local_engine_heeds_them() -> None:
    settings = load_settings(engine="local", model="some/model", revision="v2", device="cpu", max_pixels=100_000)
    identity = make_engine(settings).identity
    assert identity.name == "model"
    assert {name: identity.details[name] for name in ("model", "dtype", "max_pixels")} == {
        "model": "some/model@v2",
        "dtype": "float32",
        "max_pixels": "100000",
    }


def test_the_scripted_engine_of_a_server_holds_on_to_no_pictures() -> None:
    """In a test it remembers what it was asked; the pictures of a day's requests would fill the memory."""
    engine = make_engine(Settings(engine="scripted"))
    assert isinstance(engine, ScriptedEngine)
    request = JudgeRequest((Image.new("RGB", (8, 8)),), "", "", (Question("q", "?", (Option("yes", "Yes"),)),))
    engine.answer([request])
    engine.write([WriteRequest(request.images, "", "", text_writing("t", "Write."))])
    assert (engine.asked, engine.wrote) == ([], [])
    told = ScriptedEngine(remembered=2)
    for _ in range(3):
        told.answer([request])
    assert told.asked == [request, request]
