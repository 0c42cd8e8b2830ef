"""Puts an export on the Hugging Face Hub in one commit or a pull request, private unless told otherwise.

First the plan: what is here, what is there, and what that changes; see `exporters.hub.plan`. Then the large files
are sent, a few at a time, and last the commit that names them; of more than a hundred files, a hundred at a time.
The Hub's other limits are far away: 100,000 files of a repository, 10,000 of a folder, 200 GB of a file, where ours
have 500 MiB. A push that was cut off goes on where it was when it
is made again: the Hub keeps what it has received whole. Where nothing differs, nothing is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from backend.errors import ExportError
from backend.hub_faults import hub_fault
from exporters.exits.jsonl import FOLDER as LINES
from exporters.files.folder import CARD, MARKER
from exporters.hub.plan import (
    Digests,
    HereFile,
    PlannedFile,
    PushPlan,
    PushTarget,
    There,
    ThereFile,
    card_to_push,
    manifest_text,
    planned,
    read_manifest,
)
from exporters.hub.privacy import check_personal

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

__all__ = ["PushPlan", "PushTarget", "Pushed", "carry_out", "check_push", "plan_push"]

_AT_ONCE = 5
"""Files that are sent together: as many as the client sends at the same time."""
_MESSAGE = "Export from Label Studio"
_AGAIN = "push again: what the Hub has received whole is not sent again"
_REMEDIES = {
    400: "the Hub does not take it as it is; see what it says",
    401: "the Hub does not accept the token; make one that may write and set HF_TOKEN to it",
    402: "the storage of the account is full or not paid for; free some, or push to another account",
    403: "the token may not write there; use a token with write permission, a name of your own, or --create-pr where "
    "you may only read",
    404: "the Hub finds no such user, organization or dataset for this token; check the name before the slash",
    409: "the dataset exists and this token cannot see it, or somebody else is changing it just now; check the name, "
    "and push again",
    412: "somebody else changed the dataset meanwhile; push again, and the plan is made anew from what is there now",
    413: "the Hub refuses so large an upload",
    422: "the Hub does not take it as it is; see what it says",
    429: "the Hub asks to slow down; push again in a few minutes",
}


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push has done."""

    plan: PushPlan
    pull_request: str | None = None
    """Where a browser finds it, if one was opened."""

    @property
    def address(self) -> str:
        """Where a browser finds the dataset."""
        return self.plan.address

    def line(self) -> str:
        """What to tell the person who pushed."""
        if not self.plan.changes:
            return f"nothing has changed: {self.address} holds this export already"
        return f"opened the pull request {self.pull_request}" if self.pull_request else f"pushed to {self.address}"


def check_push(repo_id: str, token: str | None, *, must_write: bool = True) -> str | None:
    """The token to push with: the given one, else the one `hf auth login` saved.

    Raises ExportError when the name is not a dataset's, or there is no token and it `must_write`, before anything
    costs time.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as exc:
        raise ExportError(f"{repo_id!r} is not a name for a dataset ({exc}); write user/name") from exc
    if "/" not in repo_id:
        raise ExportError(f"{repo_id!r} does not say whose dataset it is; write user/{repo_id}")
    found = token or get_token()
    if must_write and not found:
        raise ExportError(f"no token to push to {repo_id} with; set HF_TOKEN, or log in with `hf auth login`")
    return found


def plan_push(folder: Path, target: PushTarget, token: str | None) -> PushPlan:
    """What a push of the export in this folder would do; writes nothing.

    Rows as JSON lines stay here: with a file for every image they are too many for a repository, and the Parquet files
    say the same.
    Without a token only a public dataset can be seen. Raises ExportError, also when a push would be refused: for
    personal data, for files or a card of other people that would be lost, or for who sees the dataset.
    """
    every = _files(folder)
    paths = {name: path for name, path in every.items() if not name.startswith(f"{LINES}/")}
    check_personal(folder, target.personal)
    api = _api(target, token)
    with _hub_errors(target.repo_id):
        there = _there(api, target)
    _check_target(target, there)
    card, kept = card_to_push(target, (folder / CARD).read_text(encoding="utf-8"), there.card)
    here = {name: _here(path) for name, path in paths.items()}
    here[CARD] = _held(card.encode())
    here[MARKER] = _held(manifest_text(here).encode())
    plan = planned(target, f"{api.endpoint}/datasets/{target.repo_id}", here, there, kept)
    return replace(plan, staying=len(every) - len(paths))


def carry_out(plan: PushPlan, token: str | None) -> Pushed:
    """Do what was planned; a dataset that changed since is left as it is. Raises ExportError."""
    from huggingface_hub import CommitOperationDelete

    if not plan.changes:
        return Pushed(plan)
    target = plan.target
    api = _api(target, token)
    with _hub_errors(target.repo_id):
        commit = plan.there.commit or _created(api, target)
        pull, revision = None, None
        for step in plan.steps():
            additions = _additions(step)
            _send(api, target, additions)
            done = api.create_commit(
                target.repo_id,
                [*(CommitOperationDelete(one.path) for one in step if one.change == "remove"), *additions],
                repo_type="dataset",
                commit_message=_MESSAGE,
                create_pr=target.create_pr and revision is None,
                revision=revision,
                parent_commit=commit,
            )
            commit, pull, revision = done.oid, pull or done.pr_url, revision or done.pr_revision
    return Pushed(plan, pull)


def _send(api: HfApi, target: PushTarget, additions: list[CommitOperationAdd]) -> None:
    """Send what is large, a few files at a time."""
    for start in range(0, len(additions), _AT_ONCE):
        api.preupload_lfs_files(
            target.repo_id,
            additions[start : start + _AT_ONCE],
            repo_type="dataset",
            create_pr=target.create_pr,
            free_memory=False,
            gitignore_content="",  # or a .gitignore that is there would keep files back without a word
        )


def _additions(step: Sequence[PlannedFile]) -> list[CommitOperationAdd]:
    from huggingface_hub import CommitOperationAdd

    return [CommitOperationAdd(one.path, one.content) for one in step if one.content is not None]


def _created(api: HfApi, target: PushTarget) -> str:
    """Make the dataset; returns its first commit."""
    api.create_repo(target.repo_id, repo_type="dataset", private=target.private)
    return str(api.dataset_info(target.repo_id).sha)


def _there(api: HfApi, target: PushTarget) -> There:
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile

    try:
        info = api.dataset_info(target.repo_id)
    except RepositoryNotFoundError as exc:
        if api.token and exc.response.status_code == 401:
            raise
        return There(is_hidden=not api.token)
    commit = str(info.sha)
    entries = api.list_repo_tree(target.repo_id, recursive=True, revision=commit, repo_type="dataset")
    files = {
        one.path: ThereFile(one.size, one.blob_id, one.lfs.sha256 if one.lfs else None)
        for one in entries
        if isinstance(one, RepoFile)
    }
    read = {name: _downloaded(api, target, name, commit) for name in (CARD, MARKER) if name in files}
    manifest = read_manifest(read[MARKER]) if MARKER in read else None
    return There(
        exists=True,
        private=bool(info.private),
        commit=commit,
        files=files,
        card=read.get(CARD),
        manifest=manifest,
    )


def _downloaded(api: HfApi, target: PushTarget, name: str, commit: str) -> str:
    with TemporaryDirectory(prefix="vlm-judge-push-") as cache:
        path = api.hf_hub_download(target.repo_id, name, repo_type="dataset", revision=commit, cache_dir=cache)
        return Path(path).read_text(encoding="utf-8", errors="replace")


def _check_target(target: PushTarget, there: There) -> None:
    """Raise when it exists with the other visibility; nobody expects a push to change who sees a dataset."""
    if not there.exists:
        if target.create_pr and not there.is_hidden:
            raise ExportError(
                f"there is no dataset {target.repo_id} to open a pull request on, or the token cannot see it; push "
                "without --create-pr, or check the name"
            )
        return
    if target.private and not there.private:
        raise ExportError(f"the dataset {target.repo_id} exists and is public; say --public, or push to another name")
    if not target.private and there.private:
        raise ExportError(
            f"the dataset {target.repo_id} exists and is private; make it public in its settings on the Hub, "
            "push without --public, or push to another name"
        )


def _files(folder: Path) -> Mapping[str, Path]:
    """What is in the folder beside card and manifest, by its path: all but what has a hidden name.

    Raises ExportError when it is no export.
    """
    if not (folder / MARKER).is_file() or not (folder / CARD).is_file() or not any(folder.rglob("*.parquet")):
        raise ExportError(f"{folder} is not an export: it has no {MARKER}, {CARD} or Parquet file; export first")
    named = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in sorted(named.items()) if name != CARD and "/." not in f"/{name}"}


def _here(path: Path) -> HereFile:
    """Read once, for both of its digests."""
    size = path.stat().st_size
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            sha256.update(block)
            git.update(block)
    return HereFile(path, size, Digests(sha256.hexdigest(), git.hexdigest()))


def _held(content: bytes) -> HereFile:
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return HereFile(content, len(content), Digests(hashlib.sha256(content).hexdigest(), git.hexdigest()))


def _api(target: PushTarget, token: str | None) -> HfApi:
    from huggingface_hub import HfApi

    # False keeps the client from taking the token that is saved on this machine.
    return HfApi(endpoint=target.endpoint, token=token or False, library_name="vlm-judge")


@contextmanager
def _hub_errors(repo_id: str) -> Iterator[None]:
    """Turns what the Hub and its client raise into an ExportError with a remedy."""
    from huggingface_hub.errors import HfHubHTTPError

    unreachable = hub_fault()
    try:
        yield
    except (HfHubHTTPError, unreachable, OSError, RuntimeError, ValueError) as exc:
        # The client wraps what breaks an upload in a RuntimeError that says only which file it was.
        cause = exc.__cause__ if isinstance(exc, RuntimeError) and exc.__cause__ is not None else exc
        upload = f"; {exc}" if cause is not exc else ""
        if isinstance(cause, HfHubHTTPError):
            raise ExportError(f"pushing to {repo_id} failed with {_answered(cause)}{upload}") from exc
        if isinstance(cause, unreachable | OSError):
            raise ExportError(f"the Hub cannot be reached ({cause}{upload}); the export is finished, {_AGAIN}") from exc
        said = " ".join(str(cause).split())
        raise ExportError(
            f"pushing to {repo_id} failed: {said}; the export is finished: mend this, and {_AGAIN}"
        ) from exc


def _answered(exc: HfHubHTTPError) -> str:
    status, said = exc.response.status_code, " ".join((exc.server_message or "").split())
    remedy = _REMEDIES.get(status, f"the export is finished, {_AGAIN}")
    return f"HTTP {status}: {remedy}" + (f"; the Hub says: {said}" if said else "")
