"""An export goes to a Hub and comes back, by the real clients on both ways."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.errors import ExportError
from exporters.push import check_push, push
from tests.contract import hub_emulator

TOKEN = "hf_write"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny export of three rows in two shards."""
    return make_export(tmp_path / "export", ["a", "b"], ["c"])


def make_export(folder: Path, *shards: list[str]) -> Path:
    from datasets import Dataset

    (folder / "data").mkdir(parents=True)
    for index, texts in enumerate(shards):
        path = folder / "data" / f"train-{index:05d}-of-{len(shards):05d}.parquet"
        Dataset.from_dict({"text": texts}).to_parquet(path)
    metadata = "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
    (folder / "README.md").write_text(f"---\n{metadata}---\n# {len(shards)} shards\n", encoding="utf-8")
    (folder / ".vlm-judge-export.json").write_text("{}", encoding="utf-8")
    return folder


def visible_files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def files_of(repo: Any) -> dict[str, bytes]:
    return {path: found.content for path, found in repo.files.items() if path != ".gitattributes"}


def test_a_push_is_one_commit_to_a_private_dataset(hub: Any, folder: Path) -> None:
    address = push(folder, "me/dots", token=TOKEN, endpoint=hub.address)
    repo = hub.repos["me/dots"]
    assert address == f"{hub.address}/datasets/me/dots"
    assert repo.private
    assert repo.commits == ["initial commit", "Export from Label Studio"]
    assert files_of(repo) == visible_files(folder)
    assert [path for path, found in repo.files.items() if found.is_lfs] == [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
    ]


def test_a_dataset_is_public_only_when_told(hub: Any, folder: Path) -> None:
    push(folder, "me/dots", private=False, token=TOKEN, endpoint=hub.address)
    assert not hub.repos["me/dots"].private


def test_what_was_pushed_loads_by_name(hub: Any, folder: Path, tmp_path: Path) -> None:
    push(folder, "me/dots", token=TOKEN, endpoint=hub.address)
    code = 'import datasets; print(datasets.load_dataset("me/dots", split="train")["text"][:])'
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=hub_emulator.environment(hub.address, TOKEN, tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "['a', 'b', 'c']\n", done.stderr


def test_the_files_read_back_equal(hub: Any, folder: Path, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    push(folder, "me/dots", token=TOKEN, endpoint=hub.address)
    api = HfApi(endpoint=hub.address, token=TOKEN)
    there = {
        name: Path(api.hf_hub_download("me/dots", name, repo_type="dataset", cache_dir=tmp_path / "cache")).read_bytes()
        for name in api.list_repo_files("me/dots", repo_type="dataset")
        if name != ".gitattributes"
    }
    assert there == visible_files(folder)


def test_a_second_push_removes_the_shards_of_the_first(hub: Any, folder: Path, tmp_path: Path) -> None:
    push(folder, "me/dots", token=TOKEN, endpoint=hub.address)
    hub.repos["me/dots"].files["notes.md"] = hub_emulator.HubFile(b"by hand", is_lfs=False)
    smaller = make_export(tmp_path / "smaller", ["d"])
    push(smaller, "me/dots", token=TOKEN, endpoint=hub.address)
    assert files_of(hub.repos["me/dots"]) == {**visible_files(smaller), "notes.md": b"by hand"}
    assert len(hub.repos["me/dots"].commits) == 3


def test_an_unchanged_export_changes_nothing(hub: Any, folder: Path) -> None:
    push(folder, "me/dots", token=TOKEN, endpoint=hub.address)
    commits = list(hub.repos["me/dots"].commits)
    push(folder, "me/dots", token=TOKEN, endpoint=hub.address)
    assert hub.repos["me/dots"].commits == commits


@pytest.mark.parametrize(("before", "wanted"), [("public", "private"), ("private", "public")])
def test_a_push_never_changes_who_sees_a_dataset(hub: Any, folder: Path, before: str, wanted: str) -> None:
    hub.repos["me/dots"] = hub_emulator.HubRepo(before == "private", {})
    with pytest.raises(ExportError, match=f"^the dataset me/dots exists and is {before}; "):
        push(folder, "me/dots", private=wanted == "private", token=TOKEN, endpoint=hub.address)
    assert hub.repos["me/dots"] == hub_emulator.HubRepo(before == "private", {})


@pytest.mark.parametrize(
    ("repo_id", "token", "message"),
    [
        ("me/dots", "hf_wrong", "HTTP 401: the Hub does not accept the token; .* HF_TOKEN"),
        ("others/dots", TOKEN, "HTTP 403: the token may not write there; use a token with write permission"),
    ],
)
def test_refusals_say_what_to_do(hub: Any, folder: Path, repo_id: str, token: str, message: str) -> None:
    with pytest.raises(ExportError, match=f"^pushing to {repo_id} failed with {message}") as caught:
        push(folder, repo_id, token=token, endpoint=hub.address)
    assert token not in str(caught.value)
    assert hub.repos == {}


def test_a_hub_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ExportError, match=r"^the Hub cannot be reached .* push it again later$"):
        push(folder, "me/dots", token=TOKEN, endpoint="http://127.0.0.1:9")


def test_what_is_not_an_export_is_not_pushed(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# mine", encoding="utf-8")
    with pytest.raises(ExportError, match="is not an export"):
        push(tmp_path, "me/dots", token=TOKEN, endpoint=hub.address)
    assert hub.log == []


@pytest.mark.parametrize(
    ("repo_id", "message"),
    [("dots", "does not say whose dataset it is; write user/dots"), ("me/do ts", "is not a name for a dataset")],
)
def test_names_are_checked_before_anything_else(repo_id: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        check_push(repo_id, TOKEN)


def test_a_token_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ExportError, match=r"^no token to push to me/dots with; set HF_TOKEN"):
        check_push("me/dots", None)
