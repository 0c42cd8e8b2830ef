"""What every command does alike: help with examples, `--json`, `--quiet`, colours, exit codes."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from backend.cli import main
from backend.cli.command import EXIT_CODES, Command, Group, first_sentence, plain
from backend.cli.exporting import _trust
from backend.core.audit import AuditPlan, with_plan
from backend.core.types import Evidence, Verdict
from backend.interfaces import default_label_config
from backend.judge import Preview
from backend.progress import note, plain_progress, progress_bar, quietly
from backend.service import Failure
from backend.settings import load_settings
from backend.studio_types import Connection, StudioTask
from tests.made_pictures import encoded

PAGES = {("serve",), ("demo",), ("completion",)}
"""Commands that serve or print a page for a shell, and have no result."""


def all_commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield (), main
    for name, command in main.commands.items():
        yield (name,), command
        if isinstance(command, click.Group):
            yield from (((name, inner), one) for inner, one in command.commands.items())


COMMANDS = dict(all_commands())
LEAVES = {words: command for words, command in COMMANDS.items() if not isinstance(command, click.Group)}


def run(*words: str, **more: Any) -> Result:
    return CliRunner().invoke(main, words, prog_name="vlm-judge", **more)


def of(words: tuple[str, ...]) -> str:
    return " ".join(("vlm-judge", *words))


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("VLM_JUDGE_", "LABEL_STUDIO_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class TestHelp:
    @pytest.mark.parametrize("words", COMMANDS, ids=of)
    def test_it_ends_with_examples_of_the_command(self, words: tuple[str, ...]) -> None:
        shown = run(*words, "--help").stdout
        examples = getattr(COMMANDS[words], "examples", ())
        title = "Examples" if len(examples) > 1 else "Example"
        block = f"\n\n{title}:\n" + "".join(f"  {example}\n" for example in examples)
        assert examples, "no example"
        assert (block in shown, shown.endswith(block)) == (True, words != ())
        assert [example for example in examples if not example.startswith(of(words))] == []
        assert "Example: " not in shown

    @pytest.mark.parametrize("example", sorted({one for each in COMMANDS.values() for one in each.examples}))  # type: ignore[attr-defined]
    def test_every_example_is_accepted(self, example: str, monkeypatch: pytest.MonkeyPatch) -> None:
        words = shlex.split(example.partition(" > ")[0])[1:]
        command: click.Command = main
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        for option in command.params:
            if isinstance(option.type, click.Path):
                monkeypatch.setattr(option.type, "exists", False)
        assert command.make_context("vlm-judge", words).args == []

    @pytest.mark.parametrize("width", [80, 100, 200])
    @pytest.mark.parametrize("words", COMMANDS, ids=of)
    def test_it_fits_into_a_terminal_but_for_what_is_to_be_copied(self, words: tuple[str, ...], width: int) -> None:
        shown = run(*words, "--help", terminal_width=None, env={"COLUMNS": str(width)}).stdout
        long = [
            line
            for line in shown.splitlines()
            if len(line) > min(width, 100) and " vlm-judge " not in line and "|" not in line
        ]
        assert long == []

    def test_the_tool_shows_its_commands_by_what_they_are_for_with_whole_sentences(self) -> None:
        shown = run("--help", env={"COLUMNS": "100"}).stdout
        blocks = dict(re.findall(r"^(\w[\w ]*):\n((?:  .*\n)+)", shown, re.MULTILINE))
        assert list(blocks) == ["Options", "Start", "Judge", "Trust", "Dataset", "Examples", "Exit codes"]
        listed = {title: re.findall(r"^  (\w+)  ", blocks[title], re.MULTILINE) for title in main.sections}
        assert listed == {title: list(names) for title, names in main.sections.items()}
        assert sorted(name for names in listed.values() for name in names) == sorted(main.commands)
        flat = " ".join(shown.split())
        assert [name for name, one in main.commands.items() if f"{name} {first_sentence(one)}" not in flat] == []
        assert [name for name, one in main.commands.items() if not first_sentence(one).endswith(".")] == []
        assert "..." not in shown.replace("[ARGS]...", "")

    def test_the_exit_codes_are_told(self) -> None:
        shown = " ".join(run("--help").stdout.split())
        assert [code for code, meaning in EXIT_CODES.items() if f"{code} {meaning}" not in shown] == []

    @pytest.mark.parametrize("words", LEAVES, ids=of)
    def test_the_options_of_all_commands_are_there(self, words: tuple[str, ...]) -> None:
        command = LEAVES[words]
        assert type(command) is Command
        options = {name for option in command.params for name in option.opts}
        assert ({"--json", "--quiet"} & options) == (set() if words in PAGES else {"--json", "--quiet"})


class TestJson:
    def test_the_result_is_one_object_and_the_whole_of_standard_output(self, nowhere: None) -> None:
        done = run("rubric", "list", "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        assert json.loads(done.stdout)["rubrics"][0].keys() == {"name", "summary"}
        shown = json.loads(run("rubric", "show", "image-text", "--json").stdout)
        assert shown["text"] == run("rubric", "show", "image-text").stdout

    @pytest.mark.parametrize(
        ("words", "code", "kind", "message"),
        [
            (("sweep",), 2, "UsageError", "Missing option '--project'."),
            (("judge",), 2, "UsageError", "say what to judge: --project NUMBER, or --source DATA with --out DIR"),
            (("serve", "--port", "many"), 2, "UsageError", "No such option '--json'."),
            (("rubric", "show", "art"), 1, "RubricError", "there is no ready rubric art; there are chart, "),
            (
                ("judge", "--project", "1"),
                1,
                "SettingsError",
                "no Label Studio is named; type: export LABEL_STUDIO_URL=",
            ),
            (("judge", "--source", "x", "--out", "y"), 1, "BatchError", "x is "),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_an_error_is_an_object_too_and_a_sentence_on_standard_error(
        self, nowhere: None, words: tuple[str, ...], code: int, kind: str, message: str
    ) -> None:
        done = run(*words, "--json")
        found = json.loads(done.stdout)
        assert (done.exit_code, list(found), found["error"]["type"]) == (code, ["error"], kind)
        assert found["error"]["message"].startswith(message)
        assert done.stderr.splitlines()[-1] == f"Error: {found['error']['message']}"
        without = run(*words)
        assert (without.exit_code, without.stdout) == (code, "")

    def test_a_judged_folder_is_told_in_numbers(self, nowhere: None, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_bytes(encoded(Image.new("RGB", (64, 64), "red")))
        (tmp_path / "in" / "metadata.jsonl").write_text('{"file_name": "a.png", "caption": "A red square."}\n')
        words = ("judge", "--source", "in", "--out", "out", "--engine", "scripted", "--json")
        first, second = run(*words), run(*words)
        assert first.exit_code == 0, first.output
        found = json.loads(first.stdout)
        assert found.pop("fingerprint").startswith("scripted")
        counts = {"rows": 1, "judged": 1, "already": 0, "failed": 0, "away": 0}
        assert found == {"out": str(tmp_path / "out"), **counts, "interrupted": False}
        assert json.loads(second.stdout)["already"] == 1

    def test_values_become_what_json_has(self) -> None:
        value = {1: (Path("a/b"), float("nan"), 0.5, None, True), "when": datetime(2026, 1, 2, 3, tzinfo=UTC)}
        assert plain(value) == {"1": ["a/b", None, 0.5, None, True], "when": "2026-01-02T03:00:00+00:00"}
        connection = Connection(3, "http://b:1", "VLM judge", "v1")
        assert plain(connection) == {"id": 3, "url": "http://b:1", "title": "VLM judge", "model_version": "v1"}


class TestQuiet:
    def test_progress_notes_and_warnings_are_left_out(self, capsys: pytest.CaptureFixture[str]) -> None:
        with quietly(True):
            plain_progress("Reading", every_s=0)(1, 2)
            with progress_bar("Judging") as report:
                report(1, 2)
            note("that much is left")
            logging.getLogger("backend").warning("a warning")
        assert capsys.readouterr() == ("", "")
        note("that much is left")
        plain_progress("Reading", every_s=0)(1, 2)
        assert capsys.readouterr() == ("", "that much is left\nReading: 1 of 2\n")

    def test_errors_and_the_result_stay(self, nowhere: None) -> None:
        assert run("rubric", "list", "--quiet").stdout == run("rubric", "list").stdout
        done = run("judge", "--project", "1", "--quiet")
        assert (done.exit_code, done.stderr.startswith("Error: no Label Studio is named")) == (1, True)

    def test_it_holds_for_one_command(self, nowhere: None, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("sweep", "--project", "1", "--quiet").exit_code == 1
        note("heard again")
        assert capsys.readouterr().err == "heard again\n"


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False), ("", True)])
def test_the_word_error_is_red_in_a_terminal_unless_colours_are_off(
    nowhere: None, monkeypatch: pytest.MonkeyPatch, no_color: str | None, coloured: bool
) -> None:
    """`color=True` is a terminal to click."""
    if no_color is None:
        monkeypatch.delenv("NO_COLOR", raising=False)
    else:
        monkeypatch.setenv("NO_COLOR", no_color)
    done = run("sweep", "--project", "1", color=True)
    assert done.stderr.startswith("\x1b[31m\x1b[1mError:\x1b[0m no Label" if coloured else "Error: no Label")
    assert "\x1b" not in run("sweep", "--project", "1", color=False).stderr


class TestExitCodes:
    def test_ctrl_c_ends_with_130_and_says_so(self, tmp_path: Path) -> None:
        """While the doctor waits for a Label Studio that takes the connection and says nothing."""
        import socket

        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            environment = {**os.environ, "LABEL_STUDIO_URL": url, "LABEL_STUDIO_API_KEY": "0" * 40}
            process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "sweep", "--project", "1", "--json"],
                env={**environment, "VLM_JUDGE_STORE": str(tmp_path / "s.sqlite")},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            silent.settimeout(60)
            connection, _ = silent.accept()
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            connection.close()
        assert (process.returncode, err.strip()) == (130, "Error: stopped by Ctrl-C")
        assert json.loads(out) == {"error": {"type": "Interrupted", "message": "stopped by Ctrl-C"}}

    def test_a_reader_that_goes_away_is_no_traceback(self) -> None:
        script = f"{shlex.quote(sys.executable)} -m backend.cli rubric show image-text --json | head -c 1"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
        assert (done.stdout, "Traceback" in done.stderr) == ("{", False)

    @pytest.mark.parametrize("words", [(), ("project",), ("rubric",)])
    def test_a_group_without_a_command_shows_its_help_and_no_error(self, words: tuple[str, ...]) -> None:
        done = run(*words, color=True)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.strip() == run(*words, "--help").stdout.strip()

    def test_a_file_that_cannot_be_written_is_no_traceback(self, nowhere: None) -> None:
        """A command that writes where it was told, and meets the system's refusal."""

        @click.group(cls=Group)
        def tool() -> None:
            pass

        @tool.command(settings=False)
        def write() -> None:
            Path("none/there").write_text("x", encoding="utf-8")

        done = CliRunner().invoke(tool, ["write", "--json"])
        assert (done.exit_code, done.stderr) == (1, "Error: none/there: No such file or directory\n")
        assert json.loads(done.stdout)["error"] == {
            "type": "OSError",
            "message": "none/there: No such file or directory",
        }

    def test_bench_looks_at_its_file_before_it_measures(
        self, nowhere: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def measure(*_: object) -> None:
            raise AssertionError("it is measured")

        monkeypatch.setattr("backend.bench.run.bench", measure)
        done = run("bench", "--out", "none/there.json")
        assert (done.exit_code, done.stderr) == (1, "Error: none/there.json: No such file or directory\n")
        with pytest.raises(AssertionError, match="it is measured"):
            run("bench", "--out", "here.json", catch_exceptions=False)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("more", [("--watch",), ("--failures", "f.jsonl")])
    def test_a_preview_neither_watches_nor_lists_failures(self, nowhere: None, more: tuple[str, ...]) -> None:
        done = run("judge", "--project", "1", "--preview", "2", *more)
        assert done.exit_code == 2
        assert f"Error: {more[0]}: not with --preview" in done.stderr

    @pytest.mark.parametrize("size", ["0", "257"])
    def test_a_batch_has_1_to_256_samples(self, nowhere: None, size: str) -> None:
        done = run("judge", "--project", "1", "--batch-size", size)
        assert (done.exit_code, f"{size} is not in the range 1<=x<=256" in done.stderr) == (2, True)

    @pytest.mark.parametrize(("shown", "code"), [(("failed", "judged"), 1), (("judged",), 0), ((), 0)])
    def test_a_preview_with_a_task_that_failed_is_a_failure(
        self, nowhere: None, monkeypatch: pytest.MonkeyPatch, shown: tuple[str, ...], code: int
    ) -> None:
        """What Label Studio has is told here; the commands behind are tried with a real one elsewhere."""
        verdict = Verdict((), None, {}, 0.5, Evidence((), (), "Because."), "v")
        found: dict[str, Verdict | Failure] = {"failed": Failure("1", "task 1: no image"), "judged": verdict}
        previews = [Preview(StudioTask(1, {}), found[name]) for name in shown]
        for name in ("make_studio", "make_service"):
            monkeypatch.setattr(f"backend.assemble.{name}", lambda settings: settings)
        monkeypatch.setattr("backend.judge.preview_project", lambda *_: previews)
        assert run("judge", "--project", "1", "--preview", "2").exit_code == code

    @pytest.mark.parametrize("blind", [True, False])
    def test_a_card_without_measurements_is_said_where_a_blind_slice_could_give_them(
        self, nowhere: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], blind: bool
    ) -> None:
        usual = default_label_config()
        config = with_plan(usual, AuditPlan(0.1, "0123456789")) if blind else usual
        studio = SimpleNamespace(project=lambda number: SimpleNamespace(label_config=config))
        monkeypatch.setattr("backend.assemble.make_studio", lambda settings: studio)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert _trust(load_settings(), 1) is None
        install = "pip install 'vlm-judge-label-studio[trust]'"
        said = "the card says nothing of how good the judge is: the libraries that measure it are missing; "
        assert capsys.readouterr().err == (f"{said}{install}\n" if blind else "")

    def test_an_unknown_command_is_a_usage_error_with_the_nearest_name(self) -> None:
        done = run("exprot")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "Try 'vlm-judge --help' for help." in done.stderr
