"""The file with the tasks that could not be judged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backend.errors import SettingsError
from backend.failure_file import FailureFile
from backend.service import Failure


def test_there_is_no_file_while_nothing_fails(tmp_path: Path) -> None:
    failures = FailureFile(tmp_path / "failures.jsonl")
    assert (failures.count, list(tmp_path.iterdir())) == (0, [])


def test_every_failure_is_a_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    failures = FailureFile(path)
    failures.add(Failure("7", "task 7, `image`: “Löwe” 🐈 cannot be had\nat all"))
    assert path.read_text(encoding="utf-8") == (
        '{"task": "7", "reason": "task 7, `image`: “Löwe” 🐈 cannot be had\\nat all"}\n'
    )
    failures.add(Failure("without id", "no image", transient=True))
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [
        {"task": "7", "reason": "task 7, `image`: “Löwe” 🐈 cannot be had\nat all"},
        {"task": "without id", "reason": "no image"},
    ]
    assert failures.count == 2


def test_half_a_character_is_written_so_that_it_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    FailureFile(path).add(Failure("7", 'name "\ud83d\x00" \udcff\\'))
    assert json.loads(path.read_text(encoding="utf-8")) == {"task": "7", "reason": 'name "\ud83d\x00" \udcff\\'}


def test_what_an_earlier_run_left_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    path.write_text("from yesterday\n")
    failures = FailureFile(path)
    assert not path.exists()
    failures.add(Failure("1", "today"))
    assert path.read_text() == '{"task": "1", "reason": "today"}\n'


def test_a_place_where_nothing_can_be_written_is_told_before_anything_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "failures.jsonl"
    with pytest.raises(SettingsError) as caught:
        FailureFile(path)
    assert str(caught.value) == (
        f"cannot write the failures to {path}: No such file or directory; name another with --failures"
    )
    with pytest.raises(SettingsError) as caught:
        FailureFile(tmp_path)
    assert str(caught.value) == (
        f"cannot write the failures to {tmp_path}: Is a directory; name another with --failures"
    )


def test_a_place_that_is_lost_later_is_told_and_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "failures.jsonl"
    path.parent.mkdir()
    failures = FailureFile(path)
    path.parent.rmdir()
    with pytest.raises(SettingsError, match="No such file or directory; name another with --failures"):
        failures.add(Failure("1", "why"))
    assert failures.count == 0


def test_a_pipe_is_written_to_and_left_there(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    failures = FailureFile(path)
    failures.add(Failure("1", "why"))
    assert os.read(reader, 1000) == b'{"task": "1", "reason": "why"}\n'
    assert path.is_fifo()
    os.close(reader)
