"""An export goes to a Hub and comes back, by the real clients on both ways."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from backend.errors import ExportError
from exporters.files.folder import MARKER, fresh_folder
from exporters.hub.push import Pushed, PushTarget, carry_out, check_push, plan_push
from tests.contract import hub_emulator

TOKEN = "hf_write"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(64)
SHARDS = {"default/train-00000-of-00002-aa": ["a", "b"], "default/train-00001-of-00002-aa": ["c"]}
CARD = """---
pretty_name: Dots
tags:
- vlm-judge
configs:
- config_name: default
  data_files:
  - split: train
    path: data/default/train-*-{mark}.parquet
  default: true
- config_name: all
  data_files:
  - split: train
    path: data/all/train-*.parquet
---
# Dots

{shards} shards.
"""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits seconds before it tries again; here it does not."""
    monkeypatch.setattr("huggingface_hub.utils._http.time", types.SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny export: two configs, a plot and the other exits."""
    return make_export(tmp_path / "export", {**SHARDS, "all/train-00000-of-00001-bb": ["a", "b", "c", "d"]})


def make_export(out: Path, shards: dict[str, list[str]], mark: str = "aa", **columns: list[Any]) -> Path:
    """What an export writes, through the folder that it writes to."""
    write: Callable[..., None] = pyarrow.parquet.write_table
    with fresh_folder(out) as draft:
        for name, texts in shards.items():
            path = draft / "data" / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = {"text": texts, "task_id": list(range(1, len(texts) + 1)), **columns}
            write(pyarrow.table(table), path)
        for name, content in {"plots/who.png": PICTURE, "jsonl/all.jsonl": b"{}\n", "croissant.json": b"{}"}.items():
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_bytes(content)
        (draft / "README.md").write_text(CARD.format(mark=mark, shards=len(shards)), encoding="utf-8")
    return out


def push(hub: Any, folder: Path, repo_id: str = "me/dots", *, token: str = TOKEN, **how: Any) -> Pushed:
    return carry_out(plan_push(folder, target(hub, repo_id, **how), token), token)


def target(hub: Any, repo_id: str = "me/dots", **how: Any) -> PushTarget:
    return PushTarget(repo_id, endpoint=hub.address, **how)


def visible_files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in (MARKER, "all.jsonl"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def files_of(files: Any) -> dict[str, bytes]:
    return {path: found.content for path, found in files.items() if path not in (".gitattributes", MARKER)}


def put_by_hand(hub: Any, name: str, content: bytes) -> None:
    repo = hub.repos["me/dots"]
    repo.files[name] = hub_emulator.HubFile(content, is_lfs=name.endswith((".parquet", ".png")))
    repo.commits.append(f"Edit {name}")


def edit_card(hub: Any, old: str, new: str) -> str:
    card = hub.repos["me/dots"].files["README.md"].content.decode()
    assert old in card
    put_by_hand(hub, "README.md", card.replace(old, new).encode())
    return str(card.replace(old, new))


def card_there(hub: Any) -> str:
    return str(hub.repos["me/dots"].files["README.md"].content.decode())


def test_a_push_is_one_commit_to_a_private_dataset(hub: Any, folder: Path) -> None:
    done = push(hub, folder)
    repo = hub.repos["me/dots"]
    assert done.address == f"{hub.address}/datasets/me/dots"
    assert done.line() == f"pushed to {hub.address}/datasets/me/dots"
    assert repo.private
    assert repo.commits == ["initial commit", "Export from Label Studio"]
    assert files_of(repo.files) == visible_files(folder)
    assert sorted(path for path, found in repo.files.items() if found.is_lfs) == [
        "data/all/train-00000-of-00001-bb.parquet",
        "data/default/train-00000-of-00002-aa.parquet",
        "data/default/train-00001-of-00002-aa.parquet",
        "plots/who.png",
    ]


def test_a_dataset_is_public_only_when_told(hub: Any, folder: Path) -> None:
    push(hub, folder, private=False)
    assert not hub.repos["me/dots"].private


def test_what_was_pushed_loads_by_name_also_from_a_pull_request(hub: Any, folder: Path, tmp_path: Path) -> None:
    push(hub, folder)
    push(hub, make_export(tmp_path / "more", {"default/train-00000-of-00001-cc": ["e"]}, "cc"), create_pr=True)
    code = (
        "from datasets import load_dataset as load\n"
        'print(load("me/dots", split="train")["text"][:], load("me/dots", "all", split="train")["text"][:])\n'
        'print(load("me/dots", split="train", revision="refs/pr/1")["text"][:])'
    )
    printed = hub_emulator.run(code, hub.address, TOKEN, tmp_path / "home")
    assert printed == "['a', 'b', 'c'] ['a', 'b', 'c', 'd']\n['e']\n"


def test_the_files_read_back_equal(hub: Any, folder: Path, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    push(hub, folder)
    api = HfApi(endpoint=hub.address, token=TOKEN)
    there = {
        name: Path(api.hf_hub_download("me/dots", name, repo_type="dataset", cache_dir=tmp_path / "cache")).read_bytes()
        for name in api.list_repo_files("me/dots", repo_type="dataset")
        if name not in (".gitattributes", MARKER)
    }
    assert there == visible_files(folder)


def test_large_files_are_sent_in_parts(hub: Any, folder: Path) -> None:
    hub.part_bytes = 300
    push(hub, folder)
    assert files_of(hub.repos["me/dots"].files) == visible_files(folder)
    largest = (folder / "data/all/train-00000-of-00001-bb.parquet").stat().st_size
    oid = hub.repos["me/dots"].files["data/all/train-00000-of-00001-bb.parquet"].sha256
    parts = [name for name in hub.log if name.startswith(f"PUT /lfs/part/{oid}/")]
    assert len(parts) == -(-largest // 300)


def test_a_second_push_removes_the_files_of_the_first_and_no_other(hub: Any, folder: Path, tmp_path: Path) -> None:
    hub.most_listed = 3
    push(hub, folder)
    put_by_hand(hub, "notes.md", b"by hand")
    put_by_hand(hub, "data/extra/rows.parquet", b"by hand")
    smaller = make_export(tmp_path / "smaller", {"default/train-00000-of-00001-cc": ["d"]}, "cc")
    push(hub, smaller)
    theirs = {"notes.md": b"by hand", "data/extra/rows.parquet": b"by hand"}
    assert files_of(hub.repos["me/dots"].files) == {**visible_files(smaller), **theirs}
    assert hub.repos["me/dots"].commits[-2:] == ["Edit data/extra/rows.parquet", "Export from Label Studio"]


def test_a_file_of_ours_that_somebody_changed_is_not_removed(hub: Any, folder: Path, tmp_path: Path) -> None:
    push(hub, folder)
    put_by_hand(hub, "data/all/train-00000-of-00001-bb.parquet", b"mended by hand")
    done = push(hub, make_export(tmp_path / "smaller", SHARDS))
    assert done.plan.left_alone == ("data/all/train-00000-of-00001-bb.parquet",)
    assert hub.repos["me/dots"].files["data/all/train-00000-of-00001-bb.parquet"].content == b"mended by hand"


@pytest.mark.parametrize("before", ["nothing", "ours"])
def test_a_file_of_somebody_else_is_not_written_over(hub: Any, folder: Path, before: str) -> None:
    if before == "ours":
        push(hub, folder)
        make_export(folder, SHARDS)
        (folder / "croissant.json").write_bytes(b"{ }")
    else:
        hub.repos["me/dots"] = hub_emulator.HubRepo(True, {})
    put_by_hand(hub, "croissant.json", b"by hand")
    commits = list(hub.repos["me/dots"].commits)
    with pytest.raises(ExportError, match=r"^me/dots holds croissant.json, which no export put there as it is; rename"):
        push(hub, folder)
    assert hub.repos["me/dots"].commits == commits


def test_an_unchanged_export_writes_nothing_at_all(hub: Any, folder: Path, tmp_path: Path) -> None:
    push(hub, folder)
    before, hub.log = list(hub.repos["me/dots"].commits), []
    done = push(hub, folder)
    assert done.line() == f"nothing has changed: {hub.address}/datasets/me/dots holds this export already"
    again = make_export(tmp_path / "again", {**SHARDS, "all/train-00000-of-00001-bb": ["a", "b", "c", "d"]})
    assert push(hub, again).plan.changes == ()
    assert hub.repos["me/dots"].commits == before
    assert {asked.split()[0] for asked in hub.log} == {"GET", "HEAD"}


def test_a_pull_request_leaves_the_dataset_as_it_is_until_it_is_merged(hub: Any, folder: Path, tmp_path: Path) -> None:
    push(hub, folder)
    before = dict(hub.repos["me/dots"].files)
    smaller = make_export(tmp_path / "smaller", SHARDS)
    done = push(hub, smaller, create_pr=True)
    repo = hub.repos["me/dots"]
    assert done.pull_request == f"{hub.address}/datasets/me/dots/discussions/1"
    assert done.line() == f"opened the pull request {done.pull_request}"
    assert (repo.files, len(repo.commits)) == (before, 2)
    assert files_of(repo.pulls[0].files) == visible_files(smaller)
    repo.merge(1)
    assert push(hub, smaller).plan.changes == ()


def test_a_pull_request_needs_no_right_to_write(hub: Any, folder: Path) -> None:
    hub.repos["others/dots"] = hub_emulator.HubRepo(False, {})
    with pytest.raises(
        ExportError, match=r"HTTP 403: the token may not write there; .* --create-pr where you may only"
    ):
        push(hub, folder, "others/dots", private=False)
    push(hub, folder, "others/dots", private=False, create_pr=True)
    assert files_of(hub.repos["others/dots"].pulls[0].files) == visible_files(folder)
    assert hub.repos["others/dots"].files == {}


def test_there_is_no_pull_request_on_nothing(hub: Any, folder: Path) -> None:
    with pytest.raises(ExportError, match=r"^there is no dataset me/dots to open a pull request on"):
        push(hub, folder, create_pr=True)
    assert hub.repos == {}


def test_the_plan_says_what_would_change_and_changes_nothing(hub: Any, folder: Path, tmp_path: Path) -> None:
    push(hub, folder)
    put_by_hand(hub, "notes.md", b"by hand")
    edit_card(hub, "tags:", "license: mit\ntags:")
    smaller = make_export(tmp_path / "smaller", {**SHARDS, "default/train-00001-of-00002-aa": ["e"]})
    before = json.dumps([repr(repo) for repo in hub.repos.values()])
    hub.log.clear()
    lines = plan_push(smaller, target(hub), TOKEN).lines()
    assert json.dumps([repr(repo) for repo in hub.repos.values()]) == before
    assert {asked.split()[0] for asked in hub.log} == {"GET", "HEAD"}
    # Sizes are of Parquet files, whose writer may change; what is said beside them is not.
    assert [re.sub(r"\d+ B|\d\.\d kB", "N", line) for line in lines] == [
        "me/dots (is there, private) would get one commit:",
        "  ~ .vlm-judge-export.json  N",
        "  ~ README.md  N  (kept from the one that is there: license)",
        "  = croissant.json  N",
        "  - data/all/train-00000-of-00001-bb.parquet  N",
        "  = data/default/train-00000-of-00002-aa.parquet  N",
        "  ~ data/default/train-00001-of-00002-aa.parquet  N",
        "  = plots/who.png  N",
        "3 files to send (N), 1 to remove, 3 the same",
        "not pushed: jsonl/ (1 files); the Parquet files hold the same rows",
        "left alone, no export put them there as they are: notes.md",
    ]
    assert "  = plots/who.png  72 B" in lines  # 8 bytes of signature and 64 zeros


def test_a_plan_of_a_new_dataset_and_of_an_unchanged_one(hub: Any, folder: Path) -> None:
    first = plan_push(folder, target(hub), TOKEN)
    assert first.lines()[0] == "me/dots (would be created, private) would get one commit:"
    assert {one.change for one in first.files} == {"add"}
    carry_out(first, TOKEN)
    again = plan_push(folder, target(hub, create_pr=True), TOKEN).lines()
    assert again[0] == "me/dots (is there, private) holds this export already; a push would change nothing"
    assert again[-2] == "0 files to send (0 B), 0 to remove, 7 the same"


def test_a_plan_needs_no_token_where_everybody_may_read(hub: Any, folder: Path) -> None:
    push(hub, folder, private=False)
    assert plan_push(folder, target(hub, private=False), None).changes == ()
    assert check_push("me/dots", None, must_write=False) in (None, TOKEN)
    hidden = plan_push(folder, target(hub, "me/secret"), None).lines()[0]
    assert hidden == (
        "me/secret (would be created, private, unless it is there and private, which cannot be seen without a token) "
        "would get one commit:"
    )


def test_a_plan_is_made_with_a_token_that_may_only_read(hub: Any, folder: Path) -> None:
    push(hub, folder)
    assert plan_push(folder, target(hub), "hf_read").changes == ()
    with pytest.raises(ExportError, match=r"HTTP 403: .*the Hub says: Forbidden: you must use a write token"):
        push(hub, folder, "me/other", token="hf_read")
    assert list(hub.repos) == ["me/dots"]


def test_a_push_that_was_cut_goes_on_where_it_was(hub: Any, tmp_path: Path) -> None:
    shards = {f"default/train-{index:05d}-of-00008-aa": [str(index)] for index in range(8)}
    folder = make_export(tmp_path / "export", shards)
    hub.room = 6
    with pytest.raises(ExportError, match=r"^the Hub cannot be reached \(.*Error while uploading 'data/.*push again: "):
        push(hub, folder)
    assert (len(hub.stored), hub.repos["me/dots"].commits) == (6, ["initial commit"])
    arrived, hub.room, hub.log = set(hub.stored), None, []
    push(hub, folder)
    sent = {asked.rpartition("/")[2] for asked in hub.log if asked.startswith("PUT /lfs/")}
    assert sent == set(hub.stored) - arrived
    assert len(sent) == 3  # of eight shards and a plot six had arrived
    assert files_of(hub.repos["me/dots"].files) == visible_files(folder)
    assert hub.repos["me/dots"].commits == ["initial commit", "Export from Label Studio"]


def many(out: Path, mark: str, count: int = 120) -> Path:
    """An export of more files than a commit should hold."""
    names = (f"default/train-{number:05d}-of-{count:05d}-{mark}" for number in range(count))
    return make_export(out, {name: [f"{mark} {name}"] for name in names}, mark)


@pytest.mark.parametrize("create_pr", [False, True])
def test_more_files_than_the_hub_can_look_at_are_several_commits(hub: Any, tmp_path: Path, create_pr: bool) -> None:
    hub.repos["me/dots"] = hub_emulator.HubRepo(True, {})
    first, second = many(tmp_path / "first", "aa"), many(tmp_path / "second", "bb", 105)
    done = push(hub, first, create_pr=create_pr)
    repo = hub.repos["me/dots"]
    where = done.plan.lines()[0].partition(" would get ")[2]
    assert where == ("a pull request:" if create_pr else "3 commits:")
    if create_pr:
        assert (done.pull_request, len(repo.pulls), repo.files) == (f"{done.address}/discussions/1", 1, {})
        repo.merge(1)
    else:
        assert repo.commits[1:] == ["Export from Label Studio"] * 3
    assert files_of(repo.files) == visible_files(first)
    put_by_hand(hub, "notes.md", b"by hand")
    assert push(hub, first).plan.changes == ()
    push(hub, second)
    assert files_of(repo.files) == {**visible_files(second), "notes.md": b"by hand"}
    assert push(hub, second).plan.changes == ()


def test_a_push_that_was_cut_between_its_commits_leaves_nothing_behind(hub: Any, tmp_path: Path) -> None:
    push(hub, many(tmp_path / "first", "aa"))
    before = card_there(hub)
    hub.room = 110
    with pytest.raises(ExportError, match="push again: what the Hub has received whole is not sent again"):
        push(hub, many(tmp_path / "second", "bb"))
    repo, hub.room = hub.repos["me/dots"], None
    added = [path for path in repo.files if "-bb" in path]
    assert (len(added), card_there(hub)) == (99, before), "whoever loads it has what was there before"
    third = make_export(tmp_path / "third", {"default/train-00000-of-00001-cc": ["c"]}, "cc")
    push(hub, third)
    assert files_of(repo.files) == visible_files(third)


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub: Any, folder: Path) -> None:
    hub.unanswered = "commit"
    with pytest.raises(ExportError, match=r"^the Hub cannot be reached"):
        push(hub, folder)
    hub.unanswered = None
    assert push(hub, folder).plan.changes == ()
    assert len(hub.repos["me/dots"].commits) == 2


def test_a_dataset_that_changed_since_it_was_looked_at_is_left_as_it_is(hub: Any, folder: Path, tmp_path: Path) -> None:
    push(hub, folder)
    plan = plan_push(make_export(tmp_path / "smaller", SHARDS), target(hub), TOKEN)
    edited = edit_card(hub, "<!-- vlm-judge:begin", "Thanks to all.\n\n<!-- vlm-judge:begin")
    with pytest.raises(ExportError, match="HTTP 412: somebody else changed the dataset meanwhile; push again"):
        carry_out(plan, TOKEN)
    assert card_there(hub) == edited
    push(hub, tmp_path / "smaller")
    assert "\n---\nThanks to all.\n\n<!-- vlm-judge:begin" in card_there(hub)


def test_a_file_list_there_keeps_nothing_back(hub: Any, folder: Path) -> None:
    files = {
        ".gitattributes": hub_emulator.HubFile(b"*.parquet filter=lfs\n", is_lfs=False),
        ".gitignore": hub_emulator.HubFile(b"*.parquet\n*.json\n", is_lfs=False),
    }
    hub.repos["me/dots"] = hub_emulator.HubRepo(True, files)
    push(hub, folder)
    there = files_of(hub.repos["me/dots"].files)
    assert there == {**visible_files(folder), ".gitignore": b"*.parquet\n*.json\n"}


def test_what_people_wrote_in_the_card_there_survives(hub: Any, folder: Path, tmp_path: Path) -> None:
    push(hub, folder)
    edit_card(hub, "tags:\n- vlm-judge\n", "license: mit\ntags:\n- vlm-judge\n- medical # by hand\n")
    put_by_hand(hub, "README.md", card_there(hub).encode() + b"\n## Thanks\n\nTo all.\n")
    push(hub, make_export(tmp_path / "more", {"default/train-00000-of-00001-cc": ["e"]}, "cc"))
    card = card_there(hub)
    head = "---\npretty_name: Dots\nlicense: mit\ntags:\n- vlm-judge\n- medical # by hand\nconfigs:\n"
    assert card.startswith(head)
    assert "path: data/default/train-*-cc.parquet" in card
    assert "-aa.parquet" not in card
    assert re.search(r"-->\n# Dots\n\n1 shards\.\n<!-- vlm-judge:end -->\n\n## Thanks\n\nTo all\.\n\Z", card)
    assert push(hub, tmp_path / "more").plan.changes == ()


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (b"---\nlicense: mit\n---\n# Mine\n", "has no part that is marked as ours, so all of its text would be lost"),
        (b"---\nlicense: [mit\n---\n", "has metadata that cannot be read"),
    ],
)
def test_a_card_of_somebody_else_is_lost_only_when_told(hub: Any, folder: Path, card: bytes, reason: str) -> None:
    hub.repos["me/dots"] = hub_emulator.HubRepo(True, {})
    put_by_hand(hub, "README.md", card)
    with pytest.raises(ExportError, match=rf"^the card of me/dots {reason}.* or say --replace-card"):
        push(hub, folder)
    assert card_there(hub) == card.decode()
    plan = plan_push(folder, target(hub, replace_card=True), TOKEN)
    assert any(line.endswith("(the one that is there is lost)") for line in plan.lines())
    carry_out(plan, TOKEN)
    assert card_there(hub) == (folder / "README.md").read_text(encoding="utf-8")


def test_a_card_that_holds_metadata_alone_loses_nothing(hub: Any, folder: Path) -> None:
    hub.repos["me/dots"] = hub_emulator.HubRepo(True, {})
    put_by_hand(hub, "README.md", b"---\nlicense: mit\n---\n")
    push(hub, folder)
    assert card_there(hub).startswith("---\nlicense: mit\npretty_name: Dots\n")


def test_our_part_edited_there_is_lost_only_when_told(hub: Any, folder: Path) -> None:
    push(hub, folder)
    edited = edit_card(hub, "3 shards.", "Three shards, checked by me.")
    with pytest.raises(ExportError, match=r"^the card of me/dots was edited between the lines `<!-- vlm-judge:begin"):
        push(hub, folder)
    assert card_there(hub) == edited


def test_personal_data_are_not_published(hub: Any, tmp_path: Path) -> None:
    meta = ['{"author": {"email": "ada@example.org"}}', '{"author": {}}']
    folder = make_export(tmp_path / "export", {"default/train-00000-of-00001-aa": ["a", "b"]}, meta=meta)
    with pytest.raises(ExportError, match=r"the key `email` in the text of column `meta` of config default: task 1\."):
        push(hub, folder, personal=("name", "email"))
    assert (hub.repos, hub.log) == ({}, [])
    push(hub, folder, personal=("name",))


@pytest.mark.parametrize(("before", "wanted"), [("public", "private"), ("private", "public")])
def test_a_push_never_changes_who_sees_a_dataset(hub: Any, folder: Path, before: str, wanted: str) -> None:
    hub.repos["me/dots"] = hub_emulator.HubRepo(before == "private", {})
    with pytest.raises(ExportError, match=f"^the dataset me/dots exists and is {before}; "):
        push(hub, folder, private=wanted == "private")
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
        push(hub, folder, repo_id, token=token)
    assert token not in str(caught.value)
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ("POST /api/repos/create", 409, "the dataset exists and this token cannot see it, or somebody else"),
        ("POST /api/repos/create", 402, "the storage of the account is full or not paid for"),
        ("POST /api/datasets/me/dots/commit", 409, "the dataset exists and .* is changing it just now"),
        ("POST /api/datasets/me/dots/commit", 400, "the Hub does not take it as it is"),
        ("POST /api/datasets/me/dots/commit", 404, "the Hub finds no such user, organization or dataset"),
        ("POST /api/datasets/me/dots/preupload", 429, "the Hub asks to slow down; push again in a few minutes"),
        ("POST /datasets/me/dots.git/info/lfs", 503, "the export is finished, push again: what the Hub has received"),
        ("PUT /lfs", 403, "the token may not write there.*; Error while uploading 'data/"),
    ],
)
def test_what_the_hub_refuses_is_told_with_its_words(
    hub: Any, folder: Path, asked: str, status: int, message: str
) -> None:
    hub.refusals[asked] = status, "because of the moon"
    with pytest.raises(ExportError, match=f"^pushing to me/dots failed with HTTP {status}: {message}") as caught:
        push(hub, folder)
    assert "the Hub says: because of the moon" in " ".join(str(caught.value).split())
    assert [repo.commits for repo in hub.repos.values()] in ([], [["initial commit"]])


def test_metadata_that_the_hub_does_not_take_are_told(hub: Any, folder: Path) -> None:
    hub.refusals["POST /api/validate-yaml"] = 400, "Invalid metadata"
    with pytest.raises(ExportError, match=r"^pushing to me/dots failed: Invalid metadata in README.md\..*: mend this"):
        push(hub, folder)
    assert hub.repos["me/dots"].commits == ["initial commit"]


def test_a_hub_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ExportError, match=r"^the Hub cannot be reached .*; the export is finished, push again"):
        plan_push(folder, PushTarget("me/dots", endpoint="http://127.0.0.1:9"), TOKEN)


def test_what_is_not_an_export_is_not_pushed(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# mine", encoding="utf-8")
    with pytest.raises(ExportError, match="is not an export"):
        push(hub, tmp_path)
    assert hub.log == []


@pytest.mark.parametrize(
    ("repo_id", "message"),
    [("dots", "does not say whose dataset it is; write user/dots"), ("me/do ts", "is not a name for a dataset")],
)
def test_names_are_checked_before_anything_else(repo_id: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        check_push(repo_id, TOKEN)


def test_a_token_is_needed_to_write_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    assert check_push("me/dots", None, must_write=False) is None
    with pytest.raises(ExportError, match=r"^no token to push to me/dots with; set HF_TOKEN"):
        check_push("me/dots", None)
