"""What an output was begun with; whoever goes on with it must go on in the same way."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from backend.errors import BatchError

MANIFEST, LOCK = ".vlm-judge-batch.json", ".lock"
"""Hidden, so that `load_dataset` takes the folder for what it is: Parquet files."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The facts of one output."""

    source: str
    mark: str
    """Of the data; see `parts.Source`."""
    rows: int | None
    """None while that is not known."""
    root: str | None
    """Where the data's own image files lie."""
    part_rows: int
    fingerprint: str
    """The judge's."""
    label_config: str
    columns: Mapping[str, str]
    """Which columns are which of the task's data, where the names differ."""
    complete: bool = False
    """Whether every part is done."""


def read_manifest(out: Path) -> Manifest | None:
    """The manifest of an output; None where there is none. Raises BatchError."""
    path = out / MANIFEST
    try:
        return Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as exc:
        raise BatchError(f"{path} cannot be read ({exc}); mend it, or choose another --out") from exc


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Put it in its place, whole. Raises BatchError."""
    fresh = out / f"{MANIFEST}.new"
    try:
        fresh.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(fresh, out / MANIFEST)
    except OSError as exc:
        raise BatchError(f"cannot write {out / MANIFEST}: {exc.strerror}") from exc


def begin(out: Path, wanted: Manifest) -> Manifest:
    """Begin an output, or go on with it. Raises BatchError when it was begun otherwise, saying in what."""
    before = read_manifest(out)
    if before is None:
        if out.is_dir() and any(path.name != LOCK for path in out.iterdir()):
            raise BatchError(f"{out} is not empty and no output of this command; choose another --out, or empty it")
        out.mkdir(parents=True, exist_ok=True)
        write_manifest(out, wanted)
        return wanted
    for name, what in _KEPT.items():
        then, now = getattr(before, name), getattr(wanted, name)
        if then != now:
            shown = f": it was {then!r} and is {now!r} now" if name in ("fingerprint", "part_rows", "columns") else ""
            raise BatchError(f"{out} was begun with another {what}{shown}; keep it as it was, or choose another --out")
    kept = replace(wanted, complete=before.complete, rows=before.rows)
    write_manifest(out, kept)
    return kept


def end(out: Path, manifest: Manifest, rows: int) -> None:
    """Note that every part is done."""
    write_manifest(out, replace(manifest, rows=rows, complete=True))


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold an output. Raises BatchError while another process of this machine does."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / LOCK).open("w")
    except OSError as exc:
        raise BatchError(f"cannot write to {out}: {exc.strerror}; choose another --out") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BatchError(f"another process is judging into {out}; wait until it is done, or stop it") from exc
        except OSError:  # a file system without locks; doing the same work twice does no harm
            pass
        yield


_KEPT = {
    "fingerprint": "judge",
    "label_config": "label config",
    "mark": "state of the data, which have changed since",
    "part_rows": "--part-rows",
    "columns": "--column",
}
"""What must be as it was, and how messages say it, the most telling first."""
