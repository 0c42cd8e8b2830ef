"""The locks on the server's door: who is let in, and what every answer carries."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import logging
import re
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.logs import MASKED, request_id
from backend.settings import Settings
from backend.studio_keys import WEBHOOK_HEADER

if TYPE_CHECKING:
    from flask import Flask, Request, Response

log = logging.getLogger(__name__)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
    ),
}
"""On every answer. The page at `/` has inline styles and no script."""
CHALLENGE = 'Basic realm="vlm-judge", charset="UTF-8"'
WEBHOOK = "/webhook"

NOT_HERE = (
    "without a name and password only this machine is served; "
    "set VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD"
)
NOT_OF_OURS = "a web page of another site asks; only programs may"
NOT_BY_THIS_NAME = (
    "without a name and password this backend answers to its address, to localhost and to this machine's name only, "
    "since any name may be made to lead here; use one of these, or set VLM_JUDGE_BASIC_AUTH_USER and "
    "VLM_JUDGE_BASIC_AUTH_PASSWORD"
)
NO_KEY = (
    "name and password are missing or wrong; give what VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD "
    "say, in Label Studio under Settings > Model as basic authentication"
)
NO_WEBHOOK_KEY = (
    "this webhook brings neither the backend's name and password nor its webhook secret; connect the backend with "
    f"`vlm-judge project connect`, or add the header {WEBHOOK_HEADER} (VLM_JUDGE_WEBHOOK_SECRET) or Authorization "
    "to it in Label Studio under Settings > Webhooks"
)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHOWN_PATH_CHARS = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in."""

    status: int
    reason: str


def is_locked(settings: Settings) -> bool:
    """Whether a name and password are asked for."""
    return settings.basic_auth_password is not None


def is_loopback(address: str) -> bool:
    """Whether an IP address is this machine's own; False for anything that is not an IP address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (inner or ip).is_loopback


def shown_path(request: Request) -> str:
    """The request's path as answers and the log may show it: cut, and without what follows `/webhook/`."""
    shown = re.sub(r"(webhook/+).+", rf"\1{MASKED}", request.path, flags=re.IGNORECASE | re.DOTALL)
    return shown if len(shown) <= _SHOWN_PATH_CHARS else f"{shown[:_SHOWN_PATH_CHARS]}..."


def is_cross_site(request: Request) -> bool:
    """Whether a web page of another site sends this: a browser on this machine would otherwise let it in with us."""
    origin = request.headers.get("Origin")
    if not origin or request.method in ("GET", "HEAD"):
        return False
    return origin.partition("://")[2] != request.host


def is_foreign_name(host: str) -> bool:
    """Whether a `Host` header is another name than this machine's.

    A page of another site may have its own name resolved to 127.0.0.1; to a browser it then is of our site.
    """
    name = re.sub(r":\d+$", "", host).strip("[]").rstrip(".").lower()
    with suppress(ValueError):
        ipaddress.ip_address(name.partition("%")[0])
        return False
    return name not in ("localhost", socket.gethostname().lower())


def lock(app: Flask, settings: Settings) -> None:
    """Install the locks.

    Where a request is let in, `flask.g.authorized` says whether it may see details: it came with name and password,
    or none are set. It is False for `/health` without them, which anybody may ask, and for webhooks with the secret.
    """
    from flask import g, jsonify, request

    door = Door(settings)

    @app.before_request
    def enter() -> Any:
        given = request.headers.get("X-Request-Id", "")
        request_id.set(given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8))
        g.authorized = door.knows(request)
        refusal = Refusal(403, NOT_OF_OURS) if is_cross_site(request) else None
        if not door.is_locked and is_foreign_name(request.host):
            refusal = Refusal(403, NOT_BY_THIS_NAME)
        refusal = refusal or (None if g.authorized else door.refusal(request))
        if refusal is None:
            return None
        log.warning(
            "%s %s from %s: refused with %d", request.method, shown_path(request), request.remote_addr, refusal.status
        )
        answer = jsonify(error=refusal.reason)
        answer.status_code = refusal.status
        if refusal.status == 401:
            answer.headers["WWW-Authenticate"] = CHALLENGE
        return answer

    @app.after_request
    def mark(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers["X-Request-Id"] = request_id.get() or ""
        return response

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        request_id.set(None)  # the thread goes on to other requests


class Door:
    """What the settings ask of a request."""

    def __init__(self, settings: Settings) -> None:
        self.is_locked = is_locked(settings)
        """Whether a name and password are asked for."""
        password = settings.basic_auth_password.get_secret_value() if settings.basic_auth_password else ""
        secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else ""
        # Label Studio encodes in Latin-1 what browsers and curl encode in UTF-8.
        self._credentials = _encoded(f"{settings.basic_auth_user}:{password}") if self.is_locked else ()
        self._secrets = _encoded(secret) if secret else ()

    def knows(self, request: Request) -> bool:
        """Whether the request comes from one who may do everything."""
        if self.is_locked:
            return _is_one_of(_basic(request.headers.get("Authorization", "")), self._credentials)
        return is_loopback(request.remote_addr or "") and not (self._secrets and _is_webhook(request))

    def refusal(self, request: Request) -> Refusal | None:
        """Why a request of one who is not known is not let in; None lets it in."""
        if not self.is_locked and not is_loopback(request.remote_addr or ""):
            return Refusal(403, NOT_HERE)
        if _is_webhook(request):
            return None if self._has_secret(request) else Refusal(401, NO_WEBHOOK_KEY)
        # With wrong credentials the state is refused too, so that a connection is not made with them.
        is_probe = request.path == "/health" and request.method in ("GET", "HEAD")
        return None if is_probe and "Authorization" not in request.headers else Refusal(401, NO_KEY)

    def _has_secret(self, request: Request) -> bool:
        in_path = request.path.removeprefix(WEBHOOK).removeprefix("/").encode(errors="replace")
        in_header = request.headers.get(WEBHOOK_HEADER, "").encode("latin-1", errors="replace")
        return _is_one_of(in_path, self._secrets) | _is_one_of(in_header, self._secrets)


def _is_webhook(request: Request) -> bool:
    return request.path == WEBHOOK or request.path.startswith(f"{WEBHOOK}/")


def _encoded(secret: str) -> tuple[bytes, ...]:
    forms = [secret.encode()]
    with suppress(UnicodeEncodeError):
        forms.append(secret.encode("latin-1"))
    return tuple(forms)


def _basic(header: str) -> bytes:
    """The name, colon and password in an Authorization header; empty when it is malformed."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except ValueError:  # not base64, or not even ASCII
        return b""


def _is_one_of(given: bytes, right: Iterable[bytes]) -> bool:
    """Whether it equals one of them, in a time that does not tell how much of it is right."""
    return any([hmac.compare_digest(given, one) for one in right])
