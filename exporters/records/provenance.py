"""What a task's data say of where its text and its image come from. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from exporters.records.record import Provenance

_ITSELF = re.compile(r"(data|blob):", re.IGNORECASE)
_MACHINE_PATH = re.compile(r"\.{0,2}[/\\]|~|file:|[a-z]:[/\\]", re.IGNORECASE)
_UPWARDS = re.compile(r"(^|[/\\])\.\.([/\\]|$)")
_LOCAL_FILE = re.compile(r"(?:^|local-files/?)\?(?:[^#]*&)?d=([^&#]*)", re.IGNORECASE)
"""How Label Studio addresses a file of the machine that it runs on."""
_PASSWORD = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#]*@", re.IGNORECASE)
_SIGNED = re.compile(
    r"[?&;#](?:[^=&;#]*(?:token|secret|pass|pwd|auth|credential|signature|session|key)"
    r"|sig|x-amz-|x-goog-|fileuri)[^=&;#]*=",
    re.IGNORECASE,
)
"""Words that let in whoever has the address, or, as `fileuri` of Label Studio's, hide a place in somebody's storage."""


def provenance_of(data: Mapping[str, Any]) -> Provenance:
    """What the data hold as `generator`, `source` and `licence` (or `license`): `vlm-judge generate` writes them.

    A source is published as it is, but for what is nobody's business: of a path on somebody's machine only the file's
    name is kept, of an address neither a password nor a query that is signed, and nothing of one that is the image.
    """
    source = _text(data, "source")
    return Provenance(
        _text(data, "generator"), _public(source) if source else None, _text(data, "licence") or _text(data, "license")
    )


def _text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value.strip() or None if isinstance(value, str) else None


def _public(source: str) -> str | None:
    if _ITSELF.match(source):
        return None
    if local := _LOCAL_FILE.search(source):
        return _name(unquote(local[1]))
    address = _PASSWORD.sub(r"\1", source)
    if _SIGNED.search(address):
        address = re.split(r"[?#]", address, maxsplit=1)[0]
    upwards = "://" not in address and _UPWARDS.search(address)
    return _name(address) if upwards or _MACHINE_PATH.match(address) else address or None


def _name(path: str) -> str | None:
    """The file's name, the last of the path."""
    name = re.split(r"[/\\]", path)[-1]
    return None if name in ("", ".", "..", "~") or name.startswith("?") else name
