"""A Hugging Face Hub on this machine: what `huggingface_hub` 2.4 and `datasets` 5.2 say to it when they push and load.

It knows repositories, their commits and pull requests, and large file storage with single and multipart uploads, and
it can be told to refuse, or to cut a connection. It speaks the LFS protocol only. A client that would rather use Xet
storage has to be told not to, by HF_HUB_DISABLE_XET=1; everything else is the client's own path.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import yaml

from tests.contract.hub_repository import GITATTRIBUTES, MOST_REGULAR_BYTES, HubFile, HubPull, HubRepo, Refusal, entry

__all__ = ["Hub", "HubFile", "HubRepo", "environment", "running_hub"]


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


def run(code: str, address: str, token: str, home: Path) -> str:
    """What this Python prints in a process that knows this hub alone; fails with what it says when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(address, token, home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(slots=True)
class Hub:
    """The state behind the server; tests read it."""

    token: str = "hf_write"
    reading_token: str = "hf_read"
    """Of the same user, without the right to write."""
    owners: tuple[str, ...] = ("me",)
    """Namespaces that the user may write to."""
    repos: dict[str, HubRepo] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    """LFS contents by their SHA-256."""
    log: list[str] = field(default_factory=list)
    """Requests as `METHOD path`, in order."""
    address: str = ""
    part_bytes: int | None = None
    """Larger files are uploaded in parts of this size."""
    most_listed: int = 1000
    """Entries on a page of a listing."""
    most_committed: int = 100
    """Files of a commit that can be looked at before its time is over."""
    room: int | None = None
    """So many uploads arrive whole; of the others the connection is cut in the middle. None cuts none."""
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and message to answer requests with whose `METHOD path` holds this."""
    unanswered: str | None = None
    """Requests whose `METHOD path` holds this are carried out, and the connection is cut before the answer."""
    parts: dict[str, bytes] = field(default_factory=dict)
    """What has arrived of multipart uploads, by `oid/number`."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Unanswered(Exception):
    """The request was carried out, and nobody will be told."""


@contextmanager
def running_hub(**state: Any) -> Iterator[Hub]:
    """A hub that serves on a free port of this machine until the block ends."""
    hub = Hub(**state)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
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
        split = urlsplit(self.path)
        parts = [unquote(part) for part in split.path.strip("/").split("/")]
        asked = f"{self.command} /{'/'.join(parts)}"
        self.hub.log.append(asked)
        length = int(self.headers.get("Content-Length") or 0)
        if self.command == "PUT" and not self._has_room():
            self.rfile.read(length // 2)
            return self._cut()
        body = self.rfile.read(length)
        try:
            for words, (status, message) in self.hub.refusals.items():
                if words in asked:
                    raise Refusal(status, message)
            self._route(parts, body, parse_qs(split.query))
        except Unanswered:
            self._cut()
        except Refusal as exc:
            message = exc.body["error"].split("\n")[0]
            headers = {"Content-Type": "application/json", "X-Error-Code": exc.code, "X-Error-Message": message}
            self._send(exc.status, json.dumps(exc.body).encode(), headers)

    def _has_room(self) -> bool:
        with self.hub.lock:
            if self.hub.room is None:
                return True
            self.hub.room -= 1
            return self.hub.room >= 0

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _route(self, parts: list[str], body: bytes, query: Mapping[str, list[str]]) -> None:
        if parts[0] == "lfs":
            return self._storage(parts[1:], body)
        if parts[-3:] == ["lfs", "objects", "batch"]:
            name = f"{parts[1]}/{parts[2].removesuffix('.git')}"
            return self._json(self._batch(name, json.loads(body)))
        if "resolve" in parts:
            return self._resolve(parts)
        found = self._api(parts[1:], body, query)
        if isinstance(found, list) and "tree" in parts:
            return self._page(found, query)
        self._json(found)

    def _api(self, parts: list[str], body: bytes, query: Mapping[str, list[str]]) -> Any:
        if parts == ["repos", "create"]:
            return self._create(json.loads(body))
        if parts == ["validate-yaml"]:
            return self._validate(json.loads(body))
        if parts[0] != "datasets" or len(parts) < 3:
            raise Refusal(404, f"this emulator does not know {'/'.join(parts)}")
        name, what = "/".join(parts[1:3]), parts[3] if len(parts) > 3 else ""
        to_pull = "create_pr" in query
        revision = parts[4] if len(parts) > 4 else "main"
        is_pull = to_pull or revision.startswith("refs/pr/")
        repo = self._repo(name, write=what in ("preupload", "commit"), to_pull=is_pull)
        files = repo.at(revision)
        if what in ("", "revision"):
            return self._info(name, repo, revision)
        if what == "preupload":
            return self._preupload(files, json.loads(body))
        if what == "commit":
            return self._commit(name, repo, body, revision, to_pull=to_pull)
        if what == "tree":
            recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
            return self._tree(files, "/".join(parts[5:]), recursive=recursive)
        if what == "paths-info":
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode()).get("paths", [])
            return self._paths(files, wanted)
        raise Refusal(404, f"this emulator does not know {'/'.join(parts)}")

    def _repo(self, name: str, *, write: bool = False, to_pull: bool = False) -> HubRepo:
        self._check_token(needed=write)
        is_mine = name.split("/")[0] in self.hub.owners and self._token() is not None
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not is_mine):
            raise Refusal(404 if self._token() else 401, "Repository not found", "RepoNotFound")
        if write and not (is_mine or to_pull):
            raise Refusal(403, "You don't have the required permissions to write to this dataset")
        return repo

    def _token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def _check_token(self, *, needed: bool) -> None:
        """Of a request without one only what needs none is answered; one that nobody has given out never is."""
        token = self._token()
        if token not in (None, self.hub.token, self.hub.reading_token):
            raise Refusal(401, "Invalid credentials in Authorization header")
        if needed and token is None:
            raise Refusal(401, "Invalid username or password.")
        if needed and token == self.hub.reading_token:
            raise Refusal(403, "Forbidden: you must use a write token to do that")

    def _create(self, wanted: Mapping[str, Any]) -> Any:
        self._check_token(needed=True)
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
        metadata = wanted["content"].partition("---\n")[2].partition("\n---")[0]
        if not wanted["content"].startswith("---\n"):
            return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
        try:
            yaml.safe_load(metadata)
        except yaml.YAMLError as exc:
            raise Refusal(400, "Invalid metadata", errors=[{"message": str(exc)}], warnings=[]) from exc
        return {"errors": [], "warnings": []}

    def _info(self, name: str, repo: HubRepo, revision: str) -> Any:
        siblings = [{"rfilename": path} for path in sorted(repo.at(revision))]
        facts = {"disabled": False, "gated": False, "tags": [], "downloads": 0, "likes": 0}
        sha = repo.commit_of(revision)
        return {"_id": "0", "id": name, "sha": sha, "private": repo.private, "siblings": siblings, **facts}

    def _preupload(self, files: Mapping[str, HubFile], wanted: Mapping[str, Any]) -> Any:
        ignored = wanted.get("gitIgnore")
        if ignored is None:
            ignored = files[".gitignore"].content.decode() if ".gitignore" in files else ""
        patterns = files[".gitattributes"].content.decode() if ".gitattributes" in files else ""
        large = [line.split()[0] for line in patterns.splitlines() if "filter=lfs" in line]

        def mode(path: str, size: int) -> Mapping[str, Any]:
            there = files.get(path)
            is_large = size > MOST_REGULAR_BYTES or any(fnmatch(path.split("/")[-1], pattern) for pattern in large)
            oid = None if there is None else there.sha256 if there.is_lfs else there.git_oid
            is_ignored = any(fnmatch(path, pattern) for pattern in ignored.split())
            upload = "lfs" if is_large else "regular"
            return {"path": path, "uploadMode": upload, "shouldIgnore": is_ignored, "oid": oid}

        return {"files": [mode(item["path"], item["size"]) for item in wanted["files"]]}

    def _batch(self, name: str, wanted: Mapping[str, Any]) -> Any:
        self._repo(name, write=True, to_pull="ref" not in wanted)
        objects = [{"oid": item["oid"], "size": item["size"]} for item in wanted["objects"]]
        for item in objects:
            if item["oid"] not in self.hub.stored:
                item["actions"] = self._upload(item["oid"], item["size"])
        return {"transfer": "basic", "objects": objects}

    def _upload(self, oid: str, size: int) -> Any:
        base, step = f"{self.hub.address}/lfs", self.hub.part_bytes
        verify = {"href": f"{base}/verify/{oid}", "header": {}}
        if step is None or size <= step:
            return {"upload": {"href": f"{base}/whole/{oid}", "header": {}}, "verify": verify}
        parts = {str(number): f"{base}/part/{oid}/{number}" for number in range(1, -(-size // step) + 1)}
        header = {"chunk_size": str(step), **parts}
        return {"upload": {"href": f"{base}/complete/{oid}", "header": header}, "verify": verify}

    def _storage(self, parts: list[str], body: bytes) -> None:
        what, oid = parts[:2]
        if what == "part":
            self.hub.parts[f"{oid}/{parts[2]}"] = body
            return self._send(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        if what == "verify":
            if len(self.hub.stored.get(oid, b"")) != json.loads(body)["size"]:
                raise Refusal(404, "the object has not arrived")
            return self._json({})
        content = body if what == "whole" else self._joined(oid, json.loads(body)["parts"])
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refusal(400, "the content does not match its name")
        self.hub.stored[oid] = content
        self._json({})

    def _joined(self, oid: str, listed: list[Mapping[str, Any]]) -> bytes:
        parts = [self.hub.parts[f"{oid}/{item['partNumber']}"] for item in listed]
        if [item["etag"] for item in listed] != [f'"{hashlib.md5(part).hexdigest()}"' for part in parts]:
            raise Refusal(400, "the parts are not those that arrived")
        return b"".join(parts)

    def _commit(self, name: str, repo: HubRepo, body: bytes, revision: str, *, to_pull: bool) -> Any:
        header, *items = [json.loads(line) for line in body.splitlines()]
        head = repo.commit_of(revision)
        parent, summary = header["value"].get("parentCommit", head), header["value"]["summary"]
        pull = repo.pulls[int(revision.rpartition("/")[2]) - 1] if revision.startswith("refs/pr/") else None
        with self.hub.lock:
            if parent != head:
                raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            if len(items) > self.hub.most_committed:
                raise Refusal(504, "Gateway Time-out")
            files = dict(pull.files if pull else repo.files)
            for item in items:
                self._apply(files, item["key"], item["value"])
            if pull:
                pull.files = files
            elif not to_pull:
                repo.files = files
                repo.commits.append(summary)
            else:
                repo.pulls.append(HubPull(summary, parent, files))
        if self.hub.unanswered and self.hub.unanswered in f"{self.command} {self.path}":
            raise Unanswered
        oid = pull.head if pull else repo.pulls[-1].head if to_pull else repo.head
        address = f"{self.hub.address}/datasets/{name}"
        opened = {"pullRequestUrl": f"{address}/discussions/{len(repo.pulls)}"} if to_pull else {}
        return {"success": True, "commitOid": oid, "commitUrl": f"{address}/commit/{oid}", **opened}

    def _apply(self, files: dict[str, HubFile], key: str, value: Mapping[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            content = base64.b64decode(value["content"])
            if len(content) > MOST_REGULAR_BYTES:
                raise Refusal(400, f"{path} is too large for git")
            files[path] = HubFile(content, is_lfs=False)
        elif key == "lfsFile":
            if value["oid"] not in self.hub.stored:
                raise Refusal(400, f"LFS pointer pointed to a file that does not exist: {path}")
            files[path] = HubFile(self.hub.stored[value["oid"]], is_lfs=True)
        elif key == "deletedFile":
            if path not in files:
                raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
            del files[path]
        else:
            raise Refusal(400, f"this emulator does not know {key}")

    def _tree(self, files: Mapping[str, HubFile], under: str, *, recursive: bool) -> Any:
        prefix = f"{under}/" if under else ""
        inside = [path for path in sorted(files) if path.startswith(prefix)]
        if under and not inside:
            raise Refusal(404, f"{under} does not exist", "EntryNotFound")
        folders = {prefix + path[len(prefix) :].split("/")[0] for path in inside if "/" in path[len(prefix) :]}
        shown = inside if recursive else [path for path in inside if "/" not in path[len(prefix) :]]
        listed = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)]
        return listed + [entry(path, files[path]) for path in shown]

    def _page(self, entries: list[Any], query: Mapping[str, list[str]]) -> None:
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.hub.most_listed
        kept = {name: values[0] for name, values in query.items()}
        following = f"{self.hub.address}{urlsplit(self.path).path}?{urlencode({**kept, 'cursor': end})}"
        headers = {"Link": f'<{following}>; rel="next"'} if end < len(entries) else {}
        self._send(200, json.dumps(entries[start:end]).encode(), {"Content-Type": "application/json", **headers})

    def _paths(self, files: Mapping[str, HubFile], wanted: list[str]) -> Any:
        found = [entry(path, files[path]) for path in wanted if path in files]
        folders = [path for path in wanted if any(name.startswith(f"{path}/") for name in files)]
        return found + [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]

    def _resolve(self, parts: list[str]) -> None:
        start = parts.index("resolve")
        repo, path = self._repo("/".join(parts[start - 2 : start])), "/".join(parts[start + 2 :])
        files = repo.at(parts[start + 1])
        if path not in files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        found = files[path]
        etag = found.sha256 if found.is_lfs else found.git_oid
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": repo.commit_of(parts[start + 1]), "Accept-Ranges": "bytes"}
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
