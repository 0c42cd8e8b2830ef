"""The store keeps verdicts over restarts and between threads, and says plainly when it cannot."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.core.types import Evidence, Feature, Option, Question, Scored, Span, Unscored, Verdict
from backend.errors import SettingsError
from backend.store import Store

QUESTION = Question("consistency", "How consistent?", (Option("1", "1"), Option("2", "2")))
VERDICT = Verdict(
    answers=(Scored(QUESTION, (0.25, 0.75), 0.99), Unscored(QUESTION, "no probability")),
    decision="fix",
    decision_probs={"accept": 0.25, "fix": 0.5, "reject": 0.25},
    confidence=0.5,
    evidence=Evidence((Span(0, 3, "Löwe", 0.1),), (Feature("a cat", 0.9),), "“Löwe” is not supported."),
    fingerprint="scripted-1",
)


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "verdicts?.sqlite"
    first = Store(path)
    first.verdicts.put({"a": VERDICT})
    first.close()
    assert path.exists()
    assert Store(path).verdicts.get(["a", "b"]) == {"a": VERDICT}


def test_several_threads_put_and_get(tmp_path: Path) -> None:
    store = Store(tmp_path / "verdicts.sqlite")
    keys = [str(number) for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.verdicts.put({key: VERDICT}), keys))
        assert list(threads.map(lambda key: store.verdicts.get([key]), keys)) == [{key: VERDICT} for key in keys]


def test_a_missing_folder_is_told_with_the_variable(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "verdicts.sqlite"
    with pytest.raises(SettingsError) as caught:
        Store(path)
    assert str(caught.value) == (
        f"cannot keep verdicts in {path}: unable to open database file; name another place with VLM_JUDGE_STORE"
    )


def test_a_file_of_another_kind_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(SettingsError, match=r"notes\.txt: file is not a database; .*VLM_JUDGE_STORE"):
        Store(path)
    assert path.read_text() == "not a database, " * 100
