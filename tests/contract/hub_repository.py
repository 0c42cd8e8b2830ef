"""The datasets of the emulated Hub: their files, commits and pull requests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GITATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n"
    for pattern in ("*.parquet", "*.tar", "*.zip", "*.gz", "*.jpg", "*.jpeg", "*.png", "*.webp")
).encode()
"""What the Hub gives a new dataset, shortened to what an export may hold."""
MOST_REGULAR_BYTES = 10 * 2**20
"""Of a file that git keeps itself."""


class Refusal(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str, code: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.body = status, code, {"error": message, **facts}


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
class HubPull:
    """A pull request: the summary of its commit, where it starts, and all files with what it changes."""

    title: str
    parent: str
    files: dict[str, HubFile]

    @property
    def head(self) -> str:
        """Its commit."""
        listed = sorted((path, found.git_oid) for path, found in self.files.items())
        return hashlib.sha1(f"{self.title}{self.parent}{listed}".encode()).hexdigest()


@dataclass(slots=True)
class HubRepo:
    """One dataset: its visibility, its files, and the summaries of its commits, oldest first."""

    private: bool
    files: dict[str, HubFile]
    commits: list[str] = field(default_factory=lambda: ["initial commit"])
    pulls: list[HubPull] = field(default_factory=list)
    """Those that were opened; the first is number 1."""

    @property
    def head(self) -> str:
        """The commit that `main` points to."""
        return hashlib.sha1("\n".join(self.commits).encode()).hexdigest()

    def commit_of(self, revision: str) -> str:
        """The commit that a revision names: `main`, a pull request or a commit. Raises Refusal."""
        heads = {"main": self.head, **{f"refs/pr/{n}": pull.head for n, pull in enumerate(self.pulls, start=1)}}
        if revision not in heads and revision not in heads.values():
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return heads.get(revision, revision)

    def at(self, revision: str) -> dict[str, HubFile]:
        """The files that a revision names. Raises Refusal."""
        commit = self.commit_of(revision)
        return next((pull.files for pull in self.pulls if pull.head == commit != self.head), self.files)

    def merge(self, number: int) -> None:
        """Bring a pull request into `main`, as its owner would by a button."""
        pull = self.pulls[number - 1]
        self.files = dict(pull.files)
        self.commits.append(f"{pull.title} (#{number})")


def entry(path: str, found: HubFile) -> Mapping[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": found.git_oid, "size": len(found.content)}
    if found.is_lfs:
        entry["lfs"] = {"oid": found.sha256, "size": len(found.content), "pointerSize": 130}
    return entry
