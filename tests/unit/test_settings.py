from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.errors import SettingsError
from backend.settings import load_settings


def test_the_environment_is_read_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLM_JUDGE_PORT", "9100")
    monkeypatch.setenv("VLM_JUDGE_ENGINE", "local")
    monkeypatch.setenv("VLM_JUDGE_IMAGE_HOSTS", "images.internal, 10.0.0.5")
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://studio")
    settings = load_settings(engine="scripted", model=None, store=Path("x.sqlite"))
    assert (settings.port, settings.engine, settings.model) == (9100, "scripted", "Qwen/Qwen2.5-VL-7B-Instruct")
    assert settings.image_hosts == ("images.internal", "10.0.0.5")
    assert (settings.label_studio_url, settings.store) == ("http://studio", "x.sqlite")


def test_an_unknown_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLM_JUDGE_PROT", "9100")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == "unknown setting VLM_JUDGE_PROT; did you mean VLM_JUDGE_PORT?"
    monkeypatch.setenv("VLM_JUDGE_XYZ", "1")
    with pytest.raises(SettingsError, match=r"unknown setting VLM_JUDGE_PROT, VLM_JUDGE_XYZ; known are .*_PORT"):
        load_settings()


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLM_JUDGE_PORT", "many")
    with pytest.raises(SettingsError, match="VLM_JUDGE_PORT: Input should be a valid integer"):
        load_settings()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "planted-key")
    monkeypatch.setenv("HF_TOKEN", "planted-token")
    monkeypatch.setenv("VLM_JUDGE_ANNOTATOR_KEY", "planted-words")
    settings = load_settings()
    assert settings.label_studio_api_key == SecretStr("planted-key")
    assert settings.annotator_key == SecretStr("planted-words")
    assert "planted" not in repr(settings)
