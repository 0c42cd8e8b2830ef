"""Fetching what strangers' addresses name: so many bytes, so much time, and each hop's own credentials."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import httpcore
import httpx

from backend.addresses import Exchange, FetchError, origin
from backend.connections import Connection, KeptConnections, Place

MAX_REDIRECTS = 5
USER_AGENT = b"vlm-judge-label-studio"
"""Some hosts, Wikimedia's among them, refuse a request that does not say who asks."""
_REDIRECTS = (301, 302, 303, 307, 308)
_PLAIN = (b"", b"identity", b"aws-chunked")
"""Encodings of a body that is not compressed; the last is what S3 stores leave over from the upload."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one fetch may cost at most."""

    max_bytes: int
    timeout_s: float
    """For the whole fetch, look-ups of names, redirects and all."""


class Fetcher:
    """Fetches from several threads at a time; a connection serves one fetch after the other while it is not idle long.

    Host names are resolved once per connection, every address they have is checked, and the connection goes to an
    address that was checked. Proxies set in the environment are not used: they would resolve names again, out of our
    sight.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept = KeptConnections()

    def fetch(
        self, url: httpx.URL, trusted: Callable[[httpx.URL], bool], headers: Callable[[httpx.URL], Mapping[str, str]]
    ) -> bytes:
        """The body of a GET, redirects followed. Raises FetchError.

        `trusted` says of each hop whether its host may have a private address; `headers` gives each hop's own headers,
        so that a token never travels on.
        """
        deadline_s = time.monotonic() + self._limits.timeout_s
        for _ in range(MAX_REDIRECTS + 1):
            if url.scheme not in ("http", "https") or not url.host:
                raise FetchError(f"only http and https addresses can be fetched, not {url.scheme or 'relative'} ones")
            status, body, location = self._get(url, deadline_s, trusted(url), headers(url))
            if status not in _REDIRECTS or location is None:
                return _checked(status, body, url)
            try:
                url = url.join(location)
            except (httpx.InvalidURL, ValueError) as exc:
                raise FetchError(f"{origin(url)} redirects to something that is not an address") from exc
        raise FetchError(f"it redirects more than {MAX_REDIRECTS} times")

    def _get(
        self, url: httpx.URL, deadline_s: float, trusted: bool, headers: Mapping[str, str]
    ) -> tuple[int, bytes, str | None]:
        """Status, body and Location; only the body of status 200 is read. Raises FetchError."""
        at = origin(url)
        sent = _sent(url, headers)
        place = Place(at, trusted, _certificates() if url.scheme == "https" else None)
        try:
            if kept := self._kept.take(place):
                # A server may close a connection that waits at any time; a new one then tells what is so.
                with suppress(httpcore.NetworkError, httpcore.RemoteProtocolError):
                    return self._asked(kept, url, sent, deadline_s)
            return self._asked(Connection(place), url, sent, deadline_s)
        except httpcore.TimeoutException as exc:
            raise FetchError(
                f"{at} did not send it within {self._limits.timeout_s:g} s; "
                "try again or raise VLM_JUDGE_FETCH_TIMEOUT_S",
                at,
            ) from exc
        except (httpcore.ConnectError, httpcore.NetworkError) as exc:
            raise FetchError(f"{at} cannot be reached ({exc}){_about_trust(exc)}", at) from exc
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as exc:
            raise FetchError(f"{at} broke off or does not speak HTTP ({exc})", at) from exc

    def _asked(
        self, connection: Connection, url: httpx.URL, sent: list[tuple[bytes, bytes]], deadline_s: float
    ) -> tuple[int, bytes, str | None]:
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        exchange = Exchange(deadline_s)
        try:
            with connection.get(target, sent, exchange) as response:
                fields = {name.lower(): value for name, value in response.headers}
                body = _body(response.iter_stream(), fields, self._limits.max_bytes) if response.status == 200 else b""
        except BaseException:
            connection.close()
            raise
        if exchange.is_whole(len(body)):
            self._kept.keep(connection)
        else:
            connection.close()
        return response.status, body, _location(fields)


def _sent(url: httpx.URL, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    sent = [
        (b"Host", url.netloc),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"identity"),
        (b"User-Agent", USER_AGENT),
    ]
    return sent + [(name.encode(), value.encode()) for name, value in headers.items()]


def _location(fields: Mapping[bytes, bytes]) -> str | None:
    """Where it redirects to; browsers, too, take it for UTF-8."""
    location = fields.get(b"location")
    return None if location is None else location.decode(errors="replace")


def _body(pieces: Iterable[bytes], fields: Mapping[bytes, bytes], max_bytes: int) -> bytes:
    raise_it = "make it smaller or raise VLM_JUDGE_MAX_IMAGE_BYTES"
    announced = fields.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > max_bytes:
        raise FetchError(f"it has {int(announced)} bytes, more than the {max_bytes} allowed; {raise_it}")
    if fields.get(b"content-encoding", b"").strip().lower() not in _PLAIN:
        raise FetchError("it is sent compressed although that was not asked for; have its server send it as it is")
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > max_bytes:
            raise FetchError(f"it has more than the {max_bytes} bytes allowed; {raise_it}")
    return bytes(body)


def _checked(status: int, body: bytes, url: httpx.URL) -> bytes:
    if status == 200:
        return body
    at = origin(url)
    if status in (401, 403):
        said = f"{at} does not let us have it (status {status})"
        unsent = "; names and passwords in addresses are not sent" if url.userinfo else ""
        raise FetchError(f"{said}{unsent}", at, status)
    if status == 404:
        raise FetchError(f"{at} does not have it (status 404)", at, status)
    raise FetchError(f"{at} answered with status {status}", at, status)


def _about_trust(exc: Exception) -> str:
    """What to do where a certificate is not accepted."""
    if "CERTIFICATE_VERIFY_FAILED" not in str(exc):
        return ""
    return "; if its certificate is signed by an authority of your own, name that in SSL_CERT_FILE"


def _certificates() -> ssl.SSLContext:
    """Which certificates are accepted, as the environment says now. Raises FetchError."""
    return _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _tls(certificates: str | None, folder: str | None) -> ssl.SSLContext:
    """Which certificates are accepted: what SSL_CERT_FILE or SSL_CERT_DIR name, else certifi's.

    Made once, because reading the authorities takes longer than most fetches. Raises FetchError.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as exc:
        raise FetchError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be read ({exc})") from exc
