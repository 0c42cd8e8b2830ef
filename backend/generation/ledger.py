"""The output: tasks as they are written, what was dropped beside them, and the settings they were begun with."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from backend.errors import GenerationError
from backend.generation.candidates import Key, Kind, compared
from backend.generation.manifest import append_lines, put_whole, read_whole_lines, write_lines
from backend.projects import read_text

Outcome = Literal["written", "duplicate", "unwritten"]
_DROPPED = frozenset(("image_sha256", "generator", "style", "candidate", "outcome"))
"""What a line about a dropped candidate has at least."""


class Ledger:
    """`tasks.jsonl`, `tasks.dropped.jsonl` and `tasks.run.json`; a candidate is written down as soon as it is known."""

    def __init__(self, out: Path, kind: Kind) -> None:
        """Reads what an earlier run left; its unwritten candidates are forgotten, so that they are tried again."""
        self._tasks, self._kind = out, kind
        self.dropped = out.with_suffix(".dropped.jsonl")
        self._outcomes: dict[Key, Outcome] = {}
        self._texts: defaultdict[str, list[str]] = defaultdict(list)
        for number, task in enumerate(read_whole_lines(out), 1):
            try:
                key = Key.of(task["data"])
                self._texts[key.image_sha256].append(compared(kind, task["data"]))
            except (KeyError, TypeError) as exc:
                raise GenerationError(
                    f"{out}, line {number} is no generated {kind} task; choose another --out"
                ) from exc
            self._outcomes[key] = "written"
        if self.dropped.exists():
            lines = [line for line in self._dropped() if line["outcome"] == "duplicate"]
            self._outcomes |= {Key.of(line): "duplicate" for line in lines}
            write_lines(self.dropped, lines)

    def _dropped(self) -> Iterator[Mapping[str, Any]]:
        """The lines about dropped candidates. Raises GenerationError for one that is about something else."""
        for number, line in enumerate(read_whole_lines(self.dropped), 1):
            if not isinstance(line, dict) or not line.keys() >= _DROPPED:
                raise GenerationError(f"{self.dropped}, line {number} is no dropped candidate; choose another --out")
            yield line

    def outcome(self, key: Key) -> Outcome | None:
        """What became of a candidate; None when it has not been asked for."""
        return self._outcomes.get(key)

    def texts(self, image_sha256: str) -> tuple[str, ...]:
        """The texts of an image so far."""
        return tuple(self._texts[image_sha256])

    def write(self, key: Key, data: Mapping[str, Any]) -> None:
        """Add a task."""
        append_lines(self._tasks, [{"data": data}])
        self._texts[key.image_sha256].append(compared(self._kind, data))
        self._outcomes[key] = "written"

    def drop(self, key: Key, outcome: Literal["duplicate", "unwritten"], reason: str, text: str = "") -> None:
        """Note a candidate that makes no task, and why."""
        line = {
            "image_sha256": key.image_sha256,
            "generator": key.generator,
            "style": key.style,
            "candidate": key.candidate,
            "outcome": outcome,
            "reason": reason,
            "text": text,
        }
        append_lines(self.dropped, [line])
        self._outcomes[key] = outcome


def begin(out: Path, settings: Mapping[str, Any], generators: Mapping[str, Mapping[str, Any]]) -> None:
    """Note the settings of the output and what its generators are asked, `{"requests": {style: text}, ...}` each.

    An output grows by candidates, styles and generators; all else stays as it was begun. Raises GenerationError when it
    was begun otherwise.
    """
    path = out.with_suffix(".run.json")
    before = _read(path)
    for name, value in settings.items():
        _refuse_change(out, name, before.get(name, value), value)
    merged: dict[str, Any] = dict(before.get("generators", {}))
    for name, generator in generators.items():
        requests = dict(merged.get(name, {}).get("requests", {}))
        for style, text in generator["requests"].items():
            _refuse_change(out, f"the request of {name} in the style {style}", requests.get(style, text), text)
        merged[name] = {**generator, "requests": {**requests, **generator["requests"]}}
    put_whole(path, json.dumps({**settings, "generators": merged}, indent=1, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found: dict[str, Any] = json.loads(read_text(path))
    except ValueError as exc:
        raise GenerationError(f"{path} is not JSON ({exc}); mend it or choose another --out") from exc
    return found


def _refuse_change(out: Path, name: str, before: Any, now: Any) -> None:
    if before != now:
        raise GenerationError(
            f"{out} was begun with another setting: {name} was {before!r} and is {now!r} now; keep it as it was, or "
            "choose another --out"
        )
