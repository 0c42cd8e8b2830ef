"""The folder of an export: written beside its place, put there whole, and never over anything that is not ours.

What people wrote in its card is carried over to the card of the next export; see `exporters.files.card_parts`.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.errors import ExportError
from exporters.files.card_parts import lost_by_merging, merged_card

MARKER = ".vlm-judge-export.json"
CARD = "README.md"
FORM = "label_config.xml"
"""The label config of the project, by which `project create --from-dataset` makes it anew."""


def check_replaceable(out: Path) -> None:
    """Raise ExportError unless `out` is absent, empty, or an earlier export whose card people edited at most."""
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
    reason = lost_by_merging("", _text(out / CARD))
    if reason is not None:
        raise ExportError(
            f"{out / CARD} was edited since it was exported: it {reason}, or move the file elsewhere, or name another "
            "folder"
        )


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out` to write into; it takes the place of `out` when the block ends without an error."""
    out = out.expanduser().resolve()
    check_replaceable(out)
    draft = out.with_name(f".{out.name}-{secrets.token_hex(4)}")
    try:
        draft.mkdir(parents=True)
        yield draft
        _seal(out, draft)
        _replace(out, draft)
    except OSError as exc:
        raise ExportError(f"cannot write {out} ({exc}); choose a folder that you may write, with space") from exc
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _seal(out: Path, draft: Path) -> None:
    card = draft / CARD
    card.write_text(merged_card(card.read_text(encoding="utf-8"), _text(out / CARD)), encoding="utf-8")
    marker = {"tool": "vlm-judge", "files": sorted(_files(draft))}
    (draft / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")


def _replace(out: Path, draft: Path) -> None:
    if not out.exists():
        draft.rename(out)
        return
    earlier = out.with_name(f"{draft.name}-earlier")
    out.rename(earlier)
    try:
        draft.rename(out)
    except BaseException:  # Ctrl-C, too, leaves what was there
        if not out.exists():
            earlier.rename(out)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _marker(out: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((out / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) and isinstance(marker.get("files"), list) else None


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _text(path: Path) -> str | None:
    """What is in it; None where there is no such file. Raises ExportError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise ExportError(f"{path} cannot be read ({exc}); move it elsewhere, or name another folder") from exc
