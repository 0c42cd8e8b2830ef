"""Settings from a file: which one is read, what wins over it, and what is wrong with it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.cli import main
from backend.engines.factory import make_engine
from backend.errors import SettingsError
from backend.settings import Settings, load_settings, read_settings
from tests.docs_made.settings import SAMPLE_FILE


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("VLM_JUDGE_", "LABEL_STUDIO_", "HF_TOKEN"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def refusal(text: str) -> str:
    write(Path("vlm-judge.toml"), text)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    return str(refused.value)


def test_an_option_wins_over_the_environment_that_over_the_file_and_that_over_the_default(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'engine = "local"\nport = 9101\nconcurrency = 3\nservers = ["http://a:1", "http://b:2"]\n'
    write(here / "vlm-judge.toml", text + 'label_studio_url = "http://file"\nlabel_studio_api_key = "planted-key"\n')
    monkeypatch.setenv("VLM_JUDGE_ENGINE", "remote")
    monkeypatch.setenv("VLM_JUDGE_PORT", "9102")
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://environment")
    given = read_settings(port=9103, host=None)
    found = given.settings
    assert (found.port, found.engine, found.concurrency, found.host) == (9103, "remote", 3, "127.0.0.1")
    assert (found.servers, found.label_studio_url) == (("http://a:1", "http://b:2"), "http://environment")
    assert found.label_studio_api_key is not None
    assert found.label_studio_api_key.get_secret_value() == "planted-key"
    assert found.config_file == Path("vlm-judge.toml")
    assert given.sources == {
        "port": "option",
        "engine": "environment",
        "label_studio_url": "environment",
        "concurrency": "file",
        "servers": "file",
        "label_studio_api_key": "file",
    }


def test_without_a_file_nothing_changes() -> None:
    assert load_settings() == Settings()
    assert read_settings().sources == {}


def test_a_file_may_begin_with_the_mark_of_utf_8() -> None:
    """As Windows' editor writes it."""
    Path("vlm-judge.toml").write_bytes(b"\xef\xbb\xbfport = 9100\n")
    assert load_settings().port == 9100


def test_the_file_that_the_settings_page_shows_makes_a_judge() -> None:
    write(Path("vlm-judge.toml"), SAMPLE_FILE)
    given = read_settings()
    assert set(given.sources.values()) == {"file"}
    assert make_engine(given.settings).identity.name == "Qwen2.5-VL-3B-Instruct"


def test_a_file_that_is_named_takes_the_place_of_the_usual_one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here / "vlm-judge.toml", "port = 1\nconcurrency = 1\n")
    write(here / "second.toml", "port = 2\n")
    write(here / "third.toml", "port = 3\n")
    monkeypatch.setenv("VLM_JUDGE_CONFIG", "second.toml")
    assert (load_settings().port, load_settings().concurrency) == (2, 64)
    by_option = load_settings(config_file=Path("third.toml"))
    assert (by_option.port, by_option.config_file) == (3, Path("third.toml"))
    monkeypatch.setenv("VLM_JUDGE_CONFIG", "")
    assert load_settings().port == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 9100", "vlm-judge.toml: unknown key 'prot'; did you mean 'port'?"),
        ("VLM_JUDGE_PORT = 9100", "vlm-judge.toml: unknown key 'VLM_JUDGE_PORT'; did you mean 'port'?"),
        ('max-pixels = "1"', "vlm-judge.toml: unknown key 'max-pixels'; did you mean 'max_pixels'?"),
        ("[judge]\nport = 1", "vlm-judge.toml: unknown key 'judge'; known are annotator_key, api_key, "),
        ('config_file = "other.toml"', "vlm-judge.toml: unknown key 'config_file'; known are annotator_key, "),
        ('port = "many"', "vlm-judge.toml, port: Input should be a valid integer"),
        ("model = 7", "vlm-judge.toml, model: Input should be a valid string"),
        ("port =", "vlm-judge.toml is not valid TOML: Invalid value (at end of document); write a line like engine = "),
    ],
)
def test_what_is_wrong_is_told_with_the_file_the_key_and_what_to_write(text: str, said: str) -> None:
    assert refusal(text).startswith(said)


def test_a_wrong_value_is_told_where_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("vlm-judge.toml"), "port = 70000\n")
    monkeypatch.setenv("VLM_JUDGE_CONCURRENCY", "0")
    with pytest.raises(SettingsError) as refused:
        load_settings(batch_size=0)
    assert str(refused.value) == (
        "--batch-size: Input should be greater than or equal to 1; "
        "VLM_JUDGE_CONCURRENCY: Input should be greater than or equal to 1; "
        "vlm-judge.toml, port: Input should be less than or equal to 65535"
    )


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLM_JUDGE_CONFIG", "gone.toml")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == (
        "cannot read the settings in gone.toml: No such file or directory; name a file with --config-file or "
        "VLM_JUDGE_CONFIG"
    )


@pytest.mark.parametrize(
    ("text", "mode", "warned"),
    [
        ('hf_token = "planted"\n', 0o644, True),
        ('hf_token = "planted"\n', 0o640, True),
        ('hf_token = "planted"\n', 0o600, False),
        ("port = 9100\n", 0o644, False),
    ],
)
def test_a_secret_that_others_may_read_is_warned_of_once(
    here: Path, text: str, mode: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(here / "shared.toml", text)
    file.chmod(mode)
    with caplog.at_level(logging.WARNING):
        load_settings(config_file=file)
        load_settings(config_file=file)
    said = f"{file} holds hf_token and other people may read it; run: chmod 600 {file}"
    assert caplog.messages == ([said] if warned else [])


class TestCommand:
    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["settings", *words], prog_name="vlm-judge")

    def test_each_setting_is_shown_with_where_it_comes_from_and_no_secret(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(Path("vlm-judge.toml"), 'hf_token = "planted-token"\nservers = ["http://me:planted-word@a:1"]\n')
        monkeypatch.setenv("VLM_JUDGE_STORE", "postgresql://me:planted-pass@db/judge")
        done = self.run("--engine", "local", "--given")
        assert done.exit_code == 0
        assert [line.split() for line in done.stdout.splitlines()] == [
            ["engine", "local", "--engine"],
            ["servers", "http://***@a:1", "file"],
            ["store", "postgresql://***@db/judge", "VLM_JUDGE_STORE"],
            ["hf_token", "***", "file"],
            ["File", "of", "settings:", "vlm-judge.toml"],
        ]

    @pytest.mark.parametrize("sign", ["/", "#", "?", " ", "'", "%40", ":", "x/y"])
    @pytest.mark.parametrize("program", ["", "--json"])
    def test_no_sign_in_a_password_shows_it(self, monkeypatch: pytest.MonkeyPatch, sign: str, program: str) -> None:
        """Short ones too, which are not looked for by themselves; SQLAlchemy reads a password up to the @."""
        monkeypatch.setenv("VLM_JUDGE_STORE", f"postgresql+psycopg://me:p{sign}w@db:5432/judge")
        done = self.run("--given", *program.split())
        assert (done.exit_code, f"p{sign}w" in done.stdout) == (0, False)
        assert "postgresql+psycopg://***@db:5432/judge" in done.stdout

    def test_a_login_is_masked_in_every_address_and_an_empty_secret_is_shown_as_empty(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VLM_JUDGE_SERVERS", "me:pw@a:1, http://me:pw@b:1, c:8000")
        monkeypatch.setenv("LABEL_STUDIO_URL", "me:pw@studio:8080")
        monkeypatch.setenv("HF_TOKEN", "")
        found = json.loads(self.run("--json").stdout)["settings"]
        assert found["servers"]["value"] == ["***@a:1", "http://***@b:1", "c:8000"]
        assert (found["label_studio_url"]["value"], found["hf_token"]["value"]) == ("***@studio:8080", "")

    def test_for_programs_numbers_are_numbers_and_what_is_not_set_is_null(self) -> None:
        write(Path("mine.toml"), "port = 9100\n")
        found = json.loads(self.run("--config-file", "mine.toml", "--json").stdout)
        assert found["config_file"] == "mine.toml"
        assert list(found["settings"]) == [name for name in Settings.model_fields if name != "config_file"]
        assert found["settings"]["port"] == {"value": 9100, "from": "file", "variable": "VLM_JUDGE_PORT"}
        assert found["settings"]["servers"] == {"value": [], "from": "default", "variable": "VLM_JUDGE_SERVERS"}
        assert found["settings"]["hf_token"] == {"value": None, "from": "default", "variable": "HF_TOKEN"}

    def test_the_file_is_named_after_any_command(self) -> None:
        write(Path("mine.toml"), "prot = 1\n")
        for words in (["sweep", "--project", "1"], ["judge", "--project", "1"], ["serve"], ["settings"]):
            done = CliRunner().invoke(main, [*words, "--config-file", "mine.toml"], prog_name="vlm-judge")
            said = "Error: mine.toml: unknown key 'prot'; did you mean 'port'?\n"
            assert (done.exit_code, done.stderr) == (1, said), words
