"""What a push would do to a dataset on the Hub, file by file. Pure: from what is here and what is there.

A dataset may hold files that no export put there. The manifest, which is pushed along, tells ours by path and
digest: only a file that is still as an export left it is removed, and no other is written over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from backend.errors import ExportError
from exporters.exits.jsonl import FOLDER as LINES
from exporters.files.card_parts import kept_by_merging, lost_by_merging, merged_card
from exporters.files.folder import CARD, MARKER

Change = Literal["add", "replace", "remove", "same"]
_SIGNS: dict[Change, str] = {"add": "+", "replace": "~", "remove": "-", "same": "="}
_SHOWN = 10
MOST_AT_ONCE = 100
"""Files that one commit changes at most. The Hub looks at each and gives that a minute: it recommends 50 to 100."""


@dataclass(frozen=True, slots=True)
class Digests:
    """What a content is known by; the Hub tells one of the two."""

    sha256: str
    """In hex; of a file in large file storage."""
    git_oid: str
    """In hex; of a file that git keeps itself."""


@dataclass(frozen=True, slots=True)
class HereFile:
    """A file to push."""

    content: Path | bytes
    """Where it is, or what it holds."""
    size: int
    """In bytes."""
    digests: Digests


@dataclass(frozen=True, slots=True)
class ThereFile:
    """A file on the Hub."""

    size: int
    """In bytes."""
    git_oid: str
    """In hex; of the pointer where the file is in large file storage."""
    sha256: str | None
    """In hex; None where git keeps the file itself."""

    def holds(self, digests: Digests) -> bool:
        """Whether this is its content."""
        return self.git_oid == digests.git_oid if self.sha256 is None else self.sha256 == digests.sha256


@dataclass(frozen=True, slots=True)
class There:
    """The dataset on the Hub, at one commit."""

    exists: bool = False
    is_hidden: bool = False
    """Whether it may exist all the same: without a token a private dataset is not told from none."""
    private: bool = True
    commit: str | None = None
    files: Mapping[str, ThereFile] | None = None
    card: str | None = None
    manifest: Mapping[str, Digests] | None = None
    """What an export put there, by path; None where none has."""


@dataclass(frozen=True, slots=True)
class PushTarget:
    """Where a push goes, and how."""

    repo_id: str
    """As user/name."""
    private: bool = True
    create_pr: bool = False
    """Open a pull request instead of changing the dataset."""
    replace_card: bool = False
    """Write over a card that is not ours, or that was edited where it is."""
    personal: tuple[str, ...] = ()
    """Fields that must not be published; see `exporters.hub.privacy`."""
    endpoint: str | None = None
    """Of the Hub; None is the client's own default."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """What a push does to one file."""

    path: str
    change: Change
    size: int
    """In bytes; of a file to remove, as it is there."""
    content: Path | bytes | None = None
    """What is sent; None where nothing is."""


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push would do; nothing has been written yet."""

    target: PushTarget
    address: str
    """Where a browser finds the dataset."""
    there: There
    files: tuple[PlannedFile, ...]
    """By path, those that would stay as they are included."""
    left_alone: tuple[str, ...]
    """On the Hub, and not ours."""
    kept: tuple[str, ...]
    """What stays of the card that is there: `text`, names of metadata."""
    staying: int = 0
    """Files of the export that are not pushed: rows as JSON lines and their images."""

    @property
    def changes(self) -> tuple[PlannedFile, ...]:
        """What would be committed; empty when the Hub has this export already."""
        return tuple(one for one in self.files if one.change != "same")

    def steps(self, most: int = MOST_AT_ONCE) -> tuple[tuple[PlannedFile, ...], ...]:
        """The changes as commits in their order, each with the manifest of what is there then.

        One, unless there are more than `most`. Then new files come first: no card names them yet, so that whoever loads
        the dataset meanwhile gets what was there before. What changes, with card and manifest, comes in one commit, and
        what nothing names any more is removed last. A push that was cut off in between is completed by the next one. A
        pull request is not: the next push begins another, and the first stays incomplete until somebody closes it.
        """
        changes = self.changes
        if len(changes) <= most:
            return (changes,) if changes else ()
        new = [one for one in changes if one.change == "add" and one.path not in (CARD, MARKER)]
        gone = [one for one in changes if one.change == "remove"]
        turn = [one for one in changes if one not in new and one not in gone and one.path != MARKER]
        groups = [*_groups(new, most - 1), turn, *_groups(gone, most - 1)]
        content = next(one.content for one in self.files if one.path == MARKER)
        final = (read_manifest(content.decode()) if isinstance(content, bytes) else None) or {}
        known, steps = dict(self.there.manifest or {}), []
        for group in groups:
            known |= {one.path: final[one.path] for one in group if one.path in final}
            for one in group:
                if one.change == "remove":
                    known.pop(one.path, None)
            said = _manifest(known).encode()
            steps.append((*group, PlannedFile(MARKER, "replace", len(said), said)))
        return tuple(steps)

    def lines(self) -> tuple[str, ...]:
        """The plan, to read before it is carried out."""
        lines = [self._where(), *(self._of_file(one) for one in self.files)]
        sent = [one for one in self.changes if one.content is not None]
        removed = sum(one.change == "remove" for one in self.files)
        same = len(self.files) - len(self.changes)
        sending = f"{len(sent)} files to send ({in_bytes(sum(one.size for one in sent))})"
        lines.append(f"{sending}, {removed} to remove, {same} the same")
        if self.staying:
            lines.append(f"not pushed: {LINES}/ ({self.staying:,} files); the Parquet files hold the same rows")
        if self.left_alone:
            lines.append(f"left alone, no export put them there as they are: {_shown(self.left_alone)}")
        return tuple(lines)

    def _where(self) -> str:
        visibility = "private" if self.target.private else "public"
        state = f"is there, {visibility}" if self.there.exists else f"would be created, {visibility}"
        if self.there.is_hidden:
            state += ", unless it is there and private, which cannot be seen without a token"
        if not self.changes:
            return f"{self.target.repo_id} ({state}) holds this export already; a push would change nothing"
        steps = len(self.steps())
        way = "a pull request" if self.target.create_pr else "one commit" if steps == 1 else f"{steps} commits"
        return f"{self.target.repo_id} ({state}) would get {way}:"

    def _of_file(self, one: PlannedFile) -> str:
        note = ""
        if one.path == CARD and one.change == "replace":
            kept = f"kept from the one that is there: {', '.join(self.kept)}" if self.kept else ""
            note = "  (the one that is there is lost)" if self.target.replace_card else f"  ({kept})" if kept else ""
        return f"  {_SIGNS[one.change]} {one.path}  {in_bytes(one.size)}{note}"


def planned(
    target: PushTarget, address: str, here: Mapping[str, HereFile], there: There, kept: tuple[str, ...] = ()
) -> PushPlan:
    """Compare what is here, the card and the manifest as they would be there included, with what is there.

    `kept` is what `card_to_push` kept. Raises ExportError when a file that is not ours would be written over.
    """
    files, manifest = there.files or {}, there.manifest or {}
    foreign = [path for path in sorted(here) if path in files and not _is_ours(path, files[path], manifest, here[path])]
    if foreign:
        raise ExportError(
            f"{target.repo_id} holds {_shown(foreign)}, which no export put there as it is; rename or remove it there, "
            "or push to another name"
        )
    stale = [path for path, one in files.items() if path not in here and _is_left(path, one, manifest)]
    every = {
        **{path: _planned_file(path, one, files.get(path)) for path, one in here.items()},
        **{path: PlannedFile(path, "remove", files[path].size) for path in stale},
    }
    left = tuple(sorted(path for path in files if path not in every and path != ".gitattributes"))
    return PushPlan(target, address, there, tuple(every[path] for path in sorted(every)), left, kept)


def card_to_push(target: PushTarget, ours: str, theirs: str | None) -> tuple[str, tuple[str, ...]]:
    """Our card with what people wrote in theirs, and what that is: `text`, names of metadata.

    Raises ExportError where it would be lost.
    """
    if target.replace_card:
        return merged_card(ours, None), ()
    reason = lost_by_merging(ours, theirs)
    if reason is not None:
        raise ExportError(
            f"the card of {target.repo_id} {reason}, or say --replace-card to put ours in its place; nothing was pushed"
        )
    return merged_card(ours, theirs), kept_by_merging(ours, theirs)


def manifest_text(files: Mapping[str, HereFile]) -> str:
    """The manifest of these files; the card, which people may edit there, is not in it."""
    return _manifest({path: one.digests for path, one in files.items() if path not in (CARD, MARKER)})


def _manifest(digests: Mapping[str, Digests]) -> str:
    listed = {path: asdict(digests[path]) for path in sorted(digests)}
    return json.dumps({"tool": "vlm-judge", "files": listed}, indent=1) + "\n"


def _groups(files: Sequence[PlannedFile], size: int) -> list[Sequence[PlannedFile]]:
    return [files[start : start + size] for start in range(0, len(files), size)]


def read_manifest(text: str) -> Mapping[str, Digests] | None:
    """What an export put there; None where that cannot be told."""
    try:
        files: Any = json.loads(text)["files"]
        return {str(path): Digests(str(one["sha256"]), str(one["git_oid"])) for path, one in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def in_bytes(number: int) -> str:
    """A size to read, in bytes or a unit of 1000 of them."""
    if number < 1000:
        return f"{number} B"
    size = float(number)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def _planned_file(path: str, here: HereFile, there: ThereFile | None) -> PlannedFile:
    if there is not None and there.holds(here.digests):
        return PlannedFile(path, "same", here.size)
    return PlannedFile(path, "add" if there is None else "replace", here.size, here.content)


def _is_ours(path: str, there: ThereFile, manifest: Mapping[str, Digests], here: HereFile) -> bool:
    """Whether it may be written over; the card and the manifest are written with what is there in mind."""
    return path in (CARD, MARKER) or _is_left(path, there, manifest) or there.holds(here.digests)


def _is_left(path: str, there: ThereFile, manifest: Mapping[str, Digests]) -> bool:
    """Whether it is as an export left it."""
    return path in manifest and path not in (CARD, MARKER) and there.holds(manifest[path])


def _shown(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return f"{', '.join(paths[:_SHOWN])}{more}"
