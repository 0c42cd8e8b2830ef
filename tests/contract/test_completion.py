"""Completion, by a real bash that reads the script as a user's does."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.cli import main

COMPLETE = """
set -e
PATH={folder}:$PATH
eval "$(vlm-judge completion bash)"
COMP_WORDS=({words})
COMP_CWORD={last}
$(complete -p vlm-judge | sed -E 's/.*-F ([^ ]+).*/\\1/') vlm-judge
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `vlm-judge` is found: the one of this environment, installed or not."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "vlm-judge"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m backend.cli "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (("vlm-judge", "cal"), ["calibrate"]),
        (("vlm-judge", "project", "c"), ["create", "connect"]),
        (("vlm-judge", "judge", "--eng"), ["--engine"]),
        (("vlm-judge", "judge", "--engine", "lo"), ["local"]),
        (("vlm-judge", "sweep", "--j"), ["--json"]),
        (("vlm-judge", "completion", ""), ["bash", "zsh", "fish"]),
    ],
    ids=" ".join,
)
def test_bash_completes_commands_options_and_their_values(
    folder: Path, typed: tuple[str, ...], offered: list[str]
) -> None:
    words = " ".join(map(shlex.quote, typed))
    script = COMPLETE.format(folder=folder, words=words, last=len(typed) - 1)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, env={**os.environ})
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == sorted(offered)


@pytest.mark.parametrize(("shell", "begins"), [("zsh", "#compdef vlm-judge\n"), ("fish", "function _vlm_judge_compl")])
def test_the_other_shells_get_their_scripts(shell: str, begins: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell], prog_name="vlm-judge")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(begins)
    assert f"_VLM_JUDGE_COMPLETE={shell}_complete" in done.stdout
