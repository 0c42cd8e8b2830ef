"""Puts an export on the Hugging Face Hub in one commit, private unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import ExportError
from exporters.folder import CARD

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

_REMEDIES = {
    401: "the Hub does not accept the token; make one that may write and set HF_TOKEN to it",
    403: "the token may not write there; use a token with write permission, or a name of your own",
    404: "the Hub finds no such user, organization or dataset for this token; check the name before the slash",
    409: "somebody else changed the dataset meanwhile; push again",
    413: "the Hub refuses so large an upload",
    429: "the Hub asks to slow down; push again in a few minutes",
}


def check_push(repo_id: str, token: str | None) -> str:
    """The token to push with: the given one, else the one `hf auth login` saved.

    Raises ExportError when there is none or the name is not a dataset's, before anything costs time.
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
    if not found:
        raise ExportError(f"no token to push to {repo_id} with; set HF_TOKEN, or log in with `hf auth login`")
    return found


def push(
    folder: Path, repo_id: str, *, private: bool = True, token: str | None = None, endpoint: str | None = None
) -> str:
    """Upload the data and the card of an export; returns the dataset's address.

    Shards of an earlier push are removed in the same commit, and what has not changed is not sent. A
    dataset that exists with the other visibility is left alone. Raises ExportError.
    """
    from huggingface_hub import HfApi

    token = check_push(repo_id, token)
    files = sorted([*folder.glob("data/*.parquet"), folder / CARD])
    if not (folder / CARD).is_file() or len(files) < 2:
        raise ExportError(f"{folder} is not an export: it has no {CARD} or no data/*.parquet; export first")
    api = HfApi(endpoint=endpoint, token=token, library_name="vlm-judge")
    with _hub_errors(repo_id):
        address = str(api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True))
        _check_visibility(api, repo_id, private=private)
        api.create_commit(
            repo_id,
            _operations(api, repo_id, folder, files),
            repo_type="dataset",
            commit_message="Export from Label Studio",
        )
    return address


def _operations(
    api: HfApi, repo_id: str, folder: Path, files: list[Path]
) -> list[CommitOperationAdd | CommitOperationDelete]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    ours = {path.relative_to(folder).as_posix(): path for path in files}
    there = api.list_repo_files(repo_id, repo_type="dataset")
    stale = [name for name in there if name.startswith("data/") and name.endswith(".parquet") and name not in ours]
    return [
        *(CommitOperationDelete(name) for name in stale),
        *(CommitOperationAdd(name, path) for name, path in ours.items()),
    ]


def _check_visibility(api: HfApi, repo_id: str, *, private: bool) -> None:
    """Raise when the dataset exists with the other visibility; nobody expects a push to change who sees it."""
    is_private = api.dataset_info(repo_id).private
    if private and not is_private:
        raise ExportError(f"the dataset {repo_id} exists and is public; say --public, or push to another name")
    if not private and is_private:
        raise ExportError(
            f"the dataset {repo_id} exists and is private; make it public in its settings on the Hub, "
            "push without --public, or push to another name"
        )


@contextmanager
def _hub_errors(repo_id: str) -> Iterator[None]:
    """Turns what the Hub and its client raise into an ExportError with a remedy."""
    from huggingface_hub.errors import HfHubHTTPError

    # The client's own HTTP library, which differs between its versions but always has this name here.
    unreachable: type[Exception] = import_module("huggingface_hub.utils").httpx.HTTPError
    try:
        yield
    except HfHubHTTPError as exc:
        status = exc.response.status_code
        remedy = _REMEDIES.get(status, "push again later; the export itself is finished")
        raise ExportError(f"pushing to {repo_id} failed with HTTP {status}: {remedy}") from exc
    except (unreachable, OSError) as exc:
        raise ExportError(f"the Hub cannot be reached ({exc}); the export is finished, push it again later") from exc
    except (RuntimeError, ValueError) as exc:
        raise ExportError(f"pushing to {repo_id} failed: {exc}; the export is finished, push it again later") from exc
