"""The folder of an export: written beside its place, put there whole, and never over anything that is not ours."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.errors import ExportError

MARKER = ".vlm-judge-export.json"
CARD = "README.md"


def check_replaceable(out: Path) -> None:
    """Raise ExportError unless `out` is absent, empty, or an earlier export as we left it."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ExportError(f"{out} is a file; name a folder to export to")
    present = _files(out)
    if not present and not any(out.iterdir()):
        return
    marker = _marker(out)
    if marker is None:
        raise ExportError(f"{out} is not empty and not an earlier export; name another folder, or empty it yourself")
    foreign = sorted(present - {*marker["files"], MARKER})
    if foreign:
        raise ExportError(f"{out} holds other files than an export ({', '.join(foreign[:5])}); move them elsewhere")
    card = out / CARD
    if card.exists() and _digest(card) != marker["card_sha256"]:
        raise ExportError(f"{card} was edited since it was exported; move it elsewhere, or name another folder")


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out` to write into; it takes the place of `out` when the block ends without an error."""
    out = out.expanduser().resolve()
    check_replaceable(out)
    draft = out.with_name(f".{out.name}-{secrets.token_hex(4)}")
    try:
        draft.mkdir(parents=True)
        yield draft
        _seal(draft)
        _replace(out, draft)
    except OSError as exc:
        raise ExportError(f"cannot write {out} ({exc}); choose a folder that you may write, with space") from exc
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _seal(folder: Path) -> None:
    marker = {"tool": "vlm-judge", "files": sorted(_files(folder)), "card_sha256": _digest(folder / CARD)}
    (folder / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")


def _replace(out: Path, draft: Path) -> None:
    if not out.exists():
        draft.rename(out)
        return
    earlier = out.with_name(f"{draft.name}-earlier")
    out.rename(earlier)
    try:
        draft.rename(out)
    except OSError:
        earlier.rename(out)
        raise
    shutil.rmtree(earlier)


def _marker(out: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((out / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) and {"files", "card_sha256"} <= marker.keys() else None


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
