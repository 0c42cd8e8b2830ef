"""Brings a new card and the card that is already there together: our part is written anew, what people wrote stays.

Ours is what stands between `<!-- vlm-judge:begin ... -->` and `<!-- vlm-judge:end -->`, and the metadata as we set
them. The first mark carries digests of what we wrote: of the text between the marks, of the text around them, and of
every value of the metadata. What differs from its digest was edited by hand. The same two cards give the same result,
byte for byte, so that nothing is pushed where nothing has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import yaml

from backend.errors import ExportError

BEGIN = "<!-- vlm-judge:begin"
END = "<!-- vlm-judge:end -->"
ALWAYS_OURS = ("configs", "dataset_info", "size_categories")
"""Metadata that describe the files: a value from before would make `load_dataset` fail or read the wrong ones."""
_NOTE = "written anew by every export, up to vlm-judge:end; what stands outside is kept"
_MARKS = f"the lines `{BEGIN} -->` and `{END}`"
_METADATA = re.compile(r"\A\s*---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_MARKED = re.compile(rf"{re.escape(BEGIN)}\b([^>]*)-->\n?(.*?)\n?{re.escape(END)}\n?", re.DOTALL)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader that libyaml makes fast, where it is there: descriptions of features are long."""
_DIGEST = re.compile(r"(\S+)=([0-9a-f]{12})\b")


@dataclass(frozen=True, slots=True)
class _Parts:
    """A card taken apart."""

    metadata: str
    """The YAML between the dashes, with its line ends; empty when there is none."""
    before: str
    """The text before our part; all of it when nothing is marked as ours."""
    ours: str | None = None
    """What is between the marks."""
    after: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    """`text` (between the marks), `around` (them), and `yaml:KEY`, of what an export wrote."""

    @property
    def around(self) -> str:
        """What people wrote beside our part."""
        return f"{self.before}\n{self.after}"


@dataclass(frozen=True, slots=True)
class _Field:
    """One key of the metadata: the lines it is written in, and its value."""

    lines: str
    value: Any


def merged_card(ours: str, theirs: str | None) -> str:
    """The new card with what people wrote in the one that is there; None or an empty one has nothing to keep.

    `ours` may be as it was computed, without marks: then all of its text is our part. Of metadata that people set,
    theirs count, but for ALWAYS_OURS. Raises ExportError where a text would be lost; see `lost_by_merging`.
    """
    reason = lost_by_merging(ours, theirs)
    if reason is not None:
        raise ExportError(f"the card {reason}")
    new, old = _parts(ours), _parts(theirs or "")
    fields = _fields(new.metadata)
    generated = {name: digest for name, digest in new.digests.items() if name.startswith("yaml:")} or {
        f"yaml:{name}": _digest(one.value) for name, one in fields.items() if name not in ALWAYS_OURS
    }
    text = new.before if new.ours is None else new.ours
    before, after = ("", "") if new.ours is None else (new.before, new.after)
    around = _digest_of_text(f"{before}\n{after}")
    if _keeps_theirs(new, old):
        before, after = old.before, old.after
        if not _written(new):
            around = old.digests.get("around", around)
    digests = {"text": _digest_of_text(text), "around": around, **generated}
    said = " ".join(f"{name}={digest}" for name, digest in digests.items())
    metadata = "".join(_merged(fields, _fields(old.metadata), old.digests))
    head = f"---\n{metadata}---\n" if metadata else ""
    ending = "" if not text or text.endswith("\n") else "\n"
    return f"{head}{before}{BEGIN} {_NOTE} {said} -->\n{text}{ending}{END}\n{after}"


def lost_by_merging(ours: str, theirs: str | None) -> str | None:
    """Why what people wrote in the card that is there would be lost, as the end of a sentence; None when it is kept."""
    new, old = _parts(ours), _parts(theirs or "")
    try:
        _fields(old.metadata), _fields(new.metadata)
    except ValueError as exc:
        return f"has metadata that cannot be read ({exc}); mend them"
    if old.ours is None:
        if not old.before.strip():
            return None
        return f"has no part that is marked as ours, so all of its text would be lost; put {_MARKS} below the text"
    if old.ours.strip() and _digest_of_text(old.ours) != old.digests.get("text"):
        return f"was edited between {_MARKS}, which is written anew; move what was written there below the second mark"
    if _keeps_theirs(new, old) is None:
        return "has other text around our part than the one to put there, and both were edited; make that text the same"
    return None


def kept_by_merging(ours: str, theirs: str | None) -> tuple[str, ...]:
    """What of the card that is there stays: `text` and names of metadata; see `merged_card`."""
    new, old = _parts(ours), _parts(theirs or "")
    text = ("text",) if _keeps_theirs(new, old) and old.around.strip() else ()
    ours_now = {name: one.value for name, one in _fields(new.metadata).items()}
    return text + tuple(
        name
        for name, one in _fields(old.metadata).items()
        if _by_hand(name, one, old.digests) and ours_now.get(name) != one.value
    )


def _parts(card: str) -> _Parts:
    card = card.replace("\r\n", "\n")
    found = _METADATA.match(card)
    metadata, text = (found[1], card[found.end() :]) if found else ("", card)
    marked = _MARKED.search(text)
    if marked is None or text.count(BEGIN) != 1 or text.count(END) != 1:
        return _Parts(metadata, text)
    digests = dict(_DIGEST.findall(marked[1]))
    return _Parts(metadata, text[: marked.start()], marked[2], text[marked.end() :], digests)


def _written(parts: _Parts) -> bool:
    """Whether somebody wrote beside our part."""
    return parts.ours is not None and bool(parts.around.strip())


def _keeps_theirs(new: _Parts, old: _Parts) -> bool | None:
    """Whether the text around our part is that of the old card; None when both were edited, each in another way."""
    if old.ours is None:
        return False
    base, mine, theirs = old.digests.get("around"), _digest_of_text(new.around), _digest_of_text(old.around)
    if not _written(new) or mine in (base, theirs):
        return True
    return False if not _written(old) or theirs == base else None


def _fields(metadata: str) -> dict[str, _Field]:
    """The keys in their order. Raises ValueError for what is not a plain YAML mapping of one key per line."""
    try:
        root = yaml.compose(metadata, Loader=_Loader)
        if root is None:
            return {}
        if not isinstance(root, yaml.MappingNode) or root.flow_style:
            raise ValueError("they are no list of keys and values")
        lines = metadata.splitlines(keepends=True)
        starts = [0, *(key.start_mark.line for key, _ in root.value[1:]), len(lines)]
        blocks = ["".join(lines[start:end]) for start, end in pairwise(starts)]
        read = [(block, yaml.load(block, _Loader)) for block in blocks]  # noqa: S506 - a safe loader
    except yaml.YAMLError as exc:
        raise ValueError(" ".join(str(exc).split())) from exc
    return {str(name): _Field(block, value) for block, one in read for name, value in one.items()}


def _merged(ours: Mapping[str, _Field], theirs: Mapping[str, _Field], digests: Mapping[str, str]) -> list[str]:
    """The lines of all keys: theirs in their order, then those of ours that they lack."""
    lines = []
    for name, one in theirs.items():
        if _by_hand(name, one, digests):
            lines.append(one.lines)
        elif name in ours:
            lines.append(_lines_of(name, _with_their_configs(name, ours[name].value, theirs), one, ours[name]))
    return [*lines, *(one.lines for name, one in ours.items() if name not in theirs)]


def _lines_of(name: str, value: Any, *written: _Field) -> str:
    """The value as it is written already, else in the usual form."""
    same = (one.lines for one in written if one.value == value)
    return next(same, None) or yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True)


def _by_hand(name: str, one: _Field, digests: Mapping[str, str]) -> bool:
    return name not in ALWAYS_OURS and digests.get(f"yaml:{name}") != _digest(one.value)


def _with_their_configs(name: str, ours: Any, metadata: Mapping[str, _Field]) -> Any:
    """Our entries with those of configs that somebody added: their files are not where an export puts its own."""
    if name not in ("configs", "dataset_info") or not isinstance(ours, list):
        return ours
    own = {one.get("config_name") for one in ours}
    listed = {one.get("config_name"): json.dumps(one, default=str) for one in _entries(metadata, "configs")}
    added = {config for config, said in listed.items() if config not in own and f"data/{config}/" not in said}
    kept = (one for one in _entries(metadata, name) if one.get("config_name") in added)
    return [*ours, *({key: value for key, value in one.items() if key != "default"} for one in kept)]


def _entries(metadata: Mapping[str, _Field], name: str) -> list[dict[str, Any]]:
    value = metadata[name].value if name in metadata else None
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _digest(value: Any) -> str:
    return _short(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str))


def _digest_of_text(text: str) -> str:
    """The same however lines end and whatever blank lines stand around."""
    return _short("\n".join(line.rstrip() for line in text.splitlines()).strip())


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
