"""The commands of trust at the shell: what they refuse before anything is asked for, and how they say so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.cli import main

NOWHERE = {"LABEL_STUDIO_URL": "http://127.0.0.1:9", "LABEL_STUDIO_API_KEY": "0" * 40}
COMMANDS = (
    ("sweep",),
    ("calibrate",),
    ("certify",),
    ("accept",),
    ("accept", "--take-back"),
    ("report", "--json"),
)


def run(*words: str, store: Path | None = None) -> Result:
    env = {**NOWHERE, "VLM_JUDGE_STORE": str(store)} if store else {}
    return CliRunner().invoke(main, words, env=env, prog_name="vlm-judge")


def last_line(done: Result) -> str:
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_needs_a_project(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.exit_code, last_line(done)) == (2, "Error: Missing option '--project'.")


def test_one_promise_at_a_time() -> None:
    done = run("certify", "--project", "1", "--max-error", "0.05", "--max-bad-accepted", "0.05")
    assert (done.exit_code, last_line(done)) == (
        2,
        "Error: choose one of --max-error and --max-bad-accepted; they promise different things",
    )


def test_a_report_goes_somewhere() -> None:
    done = run("report", "--project", "1")
    assert (done.exit_code, last_line(done)) == (
        2,
        "Error: say where the page goes with --out report.html, or ask for --json",
    )


@pytest.mark.parametrize("option", ["--max-error", "--max-bad-accepted", "--confidence"])
@pytest.mark.parametrize("value", ["0", "1", "5", "-0.1", "five"])
def test_a_promise_is_a_share_between_none_and_all(option: str, value: str) -> None:
    done = run("certify", "--project", "1", option, value)
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in last_line(done)


@pytest.mark.parametrize("value", ["0", "1.1"])
def test_a_calibration_takes_a_share_of_the_labels(value: str) -> None:
    done = run("calibrate", "--project", "1", "--share", value)
    assert done.exit_code == 2
    assert "Invalid value for '--share'" in last_line(done)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("missing", ["scipy", "sklearn", "krippendorff"])
def test_without_the_libraries_for_statistics_it_says_what_to_install(
    words: tuple[str, ...], missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    done = run(*words, "--project", "1", store=tmp_path / "store.db")
    assert (done.exit_code, last_line(done)) == (
        1,
        "Error: statistics are not installed; run: pip install 'vlm-judge-label-studio[trust]'",
    )
    assert not list(tmp_path.iterdir()), "nothing was made"


@pytest.mark.parametrize("words", [("certify",), ("report", "--json")], ids=" ".join)
def test_a_label_studio_that_is_not_there_is_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*words, "--project", "1", store=tmp_path / "store.db")
    assert done.exit_code == 1
    assert last_line(done).startswith("Error: ")
    assert "127.0.0.1:9" in done.output
    assert "Traceback" not in done.output
