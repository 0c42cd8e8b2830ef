"""A Hugging Face Hub on this machine: what `huggingface_hub` 2.4 and `datasets` 5.2 say to it when they push and load.

It speaks the LFS protocol only. A client that would rather use Xet storage has to be told not to, by
HF_HUB_DISABLE_XET=1; everything else is the client's own path.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

GITATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"


def environment(address: str, token: str, home: Path) -> dict[str, str]:
    """Of a process that knows this hub alone, with nothing cached but in its own home."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_ENDPOINT": address,
        "HF_TOKEN": token,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }


@dataclass(slots=True)
class HubFile:
    """A file at the head of a repository."""

    content: bytes
    is_lfs: bool

    @property
    def git_oid(self) -> str:
        """What git calls the blob: for LFS that of the pointer."""
        content = self.content
        if self.is_lfs:
            pointer = f"oid sha256:{self.sha256}\nsize {len(content)}\n"
            content = f"version https://git-lfs.github.com/spec/v1\n{pointer}".encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def sha256(self) -> str:
        """The name of the content in LFS."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(slots=True)
class HubRepo:
    """One dataset: its visibility, its files, and the summaries of its commits, oldest first."""

    private: bool
    files: dict[str, HubFile]
    commits: list[str] = field(default_factory=lambda: ["initial commit"])

    @property
    def head(self) -> str:
        """The commit that `main` points to."""
        return hashlib.sha1("\n".join(self.commits).encode()).hexdigest()


@dataclass(slots=True)
class Hub:
    """The state behind the server; tests read it."""

    token: str = "hf_write"
    owners: tuple[str, ...] = ("me",)
    """Namespaces that the token may write to."""
    repos: dict[str, HubRepo] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    """LFS contents by their SHA-256."""
    log: list[str] = field(default_factory=list)
    """Requests as `METHOD path`, in order."""
    address: str = ""


class Refusal(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str, code: str = "", **facts: str) -> None:
        super().__init__(message)
        self.status, self.code, self.body = status, code, {"error": message, **facts}


@contextmanager
def running_hub(**state: Any) -> Iterator[Hub]:
    """A hub that serves on a free port of this machine until the block ends."""
    hub = Hub(**state)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urlsplit(self.path)
        path = unquote(split.path)
        self.hub.log.append(f"{self.command} {path}")
        try:
            parts = path.strip("/").split("/")
            if path.startswith("/lfs/"):
                return self._store(parts[1], body)
            if ".git/info/lfs/objects/batch" in path:
                return self._json(self._batch(json.loads(body)))
            if "/resolve/" in path:
                return self._resolve(parts)
            self._json(self._api(path, parts[1:], body, parse_qs(split.query)))
        except Refusal as exc:
            self._send(exc.status, json.dumps(exc.body).encode(), {"X-Error-Code": exc.code})

    def _api(self, path: str, parts: list[str], body: bytes, query: Mapping[str, list[str]]) -> Any:
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body))
        if parts[0] != "datasets" or len(parts) < 3:
            raise Refusal(404, f"this emulator does not know {path}")
        name, what = "/".join(parts[1:3]), parts[3] if len(parts) > 3 else ""
        repo = self._repo(name, write=what in ("preupload", "commit"))
        if what in ("", "revision"):
            return self._info(name, repo)
        if what == "preupload":
            return self._preupload(repo, json.loads(body))
        if what == "commit":
            return self._commit(name, repo, body)
        if what == "tree":
            recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
            return self._tree(repo, "/".join(parts[5:]), recursive=recursive)
        if what == "paths-info":
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode()).get("paths", [])
            return self._paths(repo, wanted)
        raise Refusal(404, f"this emulator does not know {path}")

    def _repo(self, name: str, *, write: bool = False) -> HubRepo:
        repo = self.hub.repos.get(name)
        if write:
            self._check_token()
        if repo is None or (repo.private and not self._has_token()):
            raise Refusal(404 if self._has_token() else 401, "Repository not found", "RepoNotFound")
        if write and name.split("/")[0] not in self.hub.owners:
            raise Refusal(403, "You do not have the rights to write here")
        return repo

    def _has_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def _check_token(self) -> None:
        if not self._has_token():
            raise Refusal(401, "Invalid username or password.")

    def _create(self, wanted: Mapping[str, Any]) -> Any:
        self._check_token()
        owner = wanted.get("organization") or self.hub.owners[0]
        name = f"{owner}/{wanted['name']}"
        if owner not in self.hub.owners:
            raise Refusal(403, f"You don't have the rights to create a dataset under the namespace {owner!r}")
        if name in self.hub.repos:
            raise Refusal(409, "You already created this dataset repo", url=f"{self.hub.address}/datasets/{name}")
        files = {".gitattributes": HubFile(GITATTRIBUTES, is_lfs=False)}
        self.hub.repos[name] = HubRepo(wanted.get("visibility") == "private", files)
        return {"url": f"{self.hub.address}/datasets/{name}", "name": name, "id": name}

    def _validate(self, wanted: Mapping[str, Any]) -> Any:
        has_metadata = wanted["content"].startswith("---\n")
        return {"errors": [], "warnings": [] if has_metadata else [{"message": "empty or missing yaml metadata"}]}

    def _info(self, name: str, repo: HubRepo) -> Any:
        siblings = [{"rfilename": path} for path in sorted(repo.files)]
        facts = {"disabled": False, "gated": False, "tags": [], "downloads": 0, "likes": 0}
        return {"_id": "0", "id": name, "sha": repo.head, "private": repo.private, "siblings": siblings, **facts}

    def _preupload(self, repo: HubRepo, wanted: Mapping[str, Any]) -> Any:
        def mode(path: str) -> Mapping[str, Any]:
            there = repo.files.get(path)
            upload = "lfs" if path.endswith(".parquet") else "regular"
            oid = None if there is None else there.sha256 if there.is_lfs else there.git_oid
            return {"path": path, "uploadMode": upload, "shouldIgnore": False, "oid": oid}

        return {"files": [mode(item["path"]) for item in wanted["files"]]}

    def _batch(self, wanted: Mapping[str, Any]) -> Any:
        self._check_token()
        objects = [{"oid": item["oid"], "size": item["size"]} for item in wanted["objects"]]
        for item in objects:
            if item["oid"] not in self.hub.stored:
                item["actions"] = {"upload": {"href": f"{self.hub.address}/lfs/{item['oid']}", "header": {}}}
        return {"transfer": "basic", "objects": objects}

    def _store(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refusal(400, "the content does not match its name")
        self.hub.stored[oid] = body
        self._send(200, b"", {})

    def _commit(self, name: str, repo: HubRepo, body: bytes) -> Any:
        summary = ""
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                summary = value["summary"]
            elif item["key"] == "file":
                repo.files[value["path"]] = HubFile(base64.b64decode(value["content"]), is_lfs=False)
            elif item["key"] == "lfsFile":
                repo.files[value["path"]] = HubFile(self.hub.stored[value["oid"]], is_lfs=True)
            elif item["key"] == "deletedFile":
                del repo.files[value["path"]]
            else:
                raise Refusal(400, f"this emulator does not know {item['key']}")
        repo.commits.append(summary)
        address = f"{self.hub.address}/datasets/{name}/commit/{repo.head}"
        return {"success": True, "commitOid": repo.head, "commitUrl": address}

    def _tree(self, repo: HubRepo, under: str, *, recursive: bool) -> Any:
        prefix = f"{under}/" if under else ""
        inside = [path for path in sorted(repo.files) if path.startswith(prefix)]
        if under and not inside:
            raise Refusal(404, f"{under} does not exist", "EntryNotFound")
        folders = {prefix + path[len(prefix) :].split("/")[0] for path in inside if "/" in path[len(prefix) :]}
        shown = inside if recursive else [path for path in inside if "/" not in path[len(prefix) :]]
        listed = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)]
        return listed + [_entry(path, repo.files[path]) for path in shown]

    def _paths(self, repo: HubRepo, wanted: list[str]) -> Any:
        found = [_entry(path, repo.files[path]) for path in wanted if path in repo.files]
        folders = [path for path in wanted if any(name.startswith(f"{path}/") for name in repo.files)]
        return found + [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]

    def _resolve(self, parts: list[str]) -> None:
        start = parts.index("resolve")
        repo, path = self._repo("/".join(parts[start - 2 : start])), "/".join(parts[start + 2 :])
        if path not in repo.files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        found = repo.files[path]
        etag = found.sha256 if found.is_lfs else found.git_oid
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": repo.head, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            return self._send(200, found.content, headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        end = min(int(last) + 1 if last else len(found.content), len(found.content))
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(found.content)}"
        self._send(206, found.content[int(first) : end], headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(path: str, found: HubFile) -> Mapping[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": found.git_oid, "size": len(found.content)}
    if found.is_lfs:
        entry["lfs"] = {"oid": found.sha256, "size": len(found.content), "pointerSize": 130}
    return entry
