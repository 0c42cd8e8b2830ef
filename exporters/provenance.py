"""What a task's data say of where its text and its image come from. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from exporters.record import Provenance

_MACHINE_PATH = re.compile(r"[/\\~]|file:|[A-Za-z]:[/\\]")
_PASSWORD = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#]*@", re.IGNORECASE)
_SIGNED = re.compile(r"[?&](x-amz-|x-goog-|sig|signature|token|access_token|key|api_?key)[^=&]*=", re.IGNORECASE)


def provenance_of(data: Mapping[str, Any]) -> Provenance:
    """What the data hold as `generator`, `source` and `licence` (or `license`): `vlm-judge generate` writes them.

    A source is published as it is, but for what is nobody's business: of a path on somebody's machine only the file's
    name is kept, of an address neither a password nor a query that is signed.
    """
    source = _text(data, "source")
    return Provenance(
        _text(data, "generator"), _public(source) if source else None, _text(data, "licence") or _text(data, "license")
    )


def _text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value.strip() or None if isinstance(value, str) else None


def _public(source: str) -> str | None:
    if _MACHINE_PATH.match(source):
        return re.split(r"[/\\]", source)[-1] or None
    address = _PASSWORD.sub(r"\1", source)
    return address.partition("?")[0] if _SIGNED.search(address) else address
