"""Fetching from addresses that strangers wrote: every connection goes to a checked address, or is not made."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchError(Exception):
    """An address could not be fetched; the message is a sentence without the address."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one fetch may cost at most."""

    max_bytes: int
    timeout_s: float
    """For the whole fetch, redirects and all."""


def is_public(address: str) -> bool:
    """Whether an IP address is on the open internet, also behind the IPv6 forms that embed an IPv4 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def origin(url: httpx.URL) -> str:
    """Scheme, host and port of an address, the port always written."""
    port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
    return f"{url.scheme}://{url.host}:{port}"


def fetch(
    url: httpx.URL,
    limits: Limits,
    trusted: Callable[[httpx.URL], bool],
    headers: Callable[[httpx.URL], Mapping[str, str]],
) -> bytes:
    """The body of a GET, redirects followed. Raises FetchError.

    `trusted` says of each hop whether its host may have a private address; `headers` gives each hop's own headers, so
    that a token never travels on. Host names are resolved once per hop, every address they have is checked, and the
    connection goes to an address that was checked. Proxies set in the environment are not used: they would resolve
    names again, out of our sight.
    """
    deadline = time.monotonic() + limits.timeout_s
    for _ in range(MAX_REDIRECTS + 1):
        if url.scheme not in ("http", "https") or not url.host:
            raise FetchError(f"only http and https addresses can be fetched, not {url.scheme or 'relative'} ones")
        status, body, location = _get(url, limits, deadline, trusted(url), headers(url))
        if status not in _REDIRECTS or location is None:
            return _checked(status, body, url)
        try:
            url = url.join(location)
        except (httpx.InvalidURL, ValueError) as exc:
            raise FetchError(f"{origin(url)} redirects to something that is not an address") from exc
    raise FetchError(f"it redirects more than {MAX_REDIRECTS} times")


def _get(
    url: httpx.URL, limits: Limits, deadline: float, trusted: bool, headers: Mapping[str, str]
) -> tuple[int, bytes, str | None]:
    sent = [
        (b"Host", url.netloc),
        (b"Accept", b"*/*"),
        (b"Accept-Encoding", b"identity"),
        (b"Connection", b"close"),
    ]
    sent += [(name.encode(), value.encode()) for name, value in headers.items()]
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), limits.timeout_s)}
    pool = httpcore.ConnectionPool(network_backend=_CheckedNetwork(trusted, deadline), http2=False)
    try:
        with pool, pool.stream("GET", target, headers=sent, extensions=extensions) as response:
            fields = {name.lower(): value for name, value in response.headers}
            location = fields[b"location"].decode("latin-1") if b"location" in fields else None
            if response.status in _REDIRECTS:
                return response.status, b"", location
            return response.status, _body(response.iter_stream(), fields, limits.max_bytes), location
    except httpcore.TimeoutException as exc:
        raise FetchError(f"{origin(url)} did not send it within {limits.timeout_s:g} s") from exc
    except (httpcore.ConnectError, httpcore.NetworkError) as exc:
        raise FetchError(f"{origin(url)} cannot be reached ({exc})") from exc
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as exc:
        raise FetchError(f"{origin(url)} broke off or does not speak HTTP ({exc})") from exc


def _body(pieces: Iterable[bytes], fields: Mapping[bytes, bytes], max_bytes: int) -> bytes:
    announced = fields.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > max_bytes:
        raise FetchError(f"it has {int(announced)} bytes, more than the {max_bytes} allowed")
    if fields.get(b"content-encoding", b"identity").lower() not in (b"", b"identity"):
        raise FetchError("it is sent compressed although that was not asked for")
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > max_bytes:
            raise FetchError(f"it has more than the {max_bytes} bytes allowed")
    return bytes(body)


def _checked(status: int, body: bytes, url: httpx.URL) -> bytes:
    if status in (401, 403):
        raise FetchError(f"{origin(url)} does not let us have it (status {status})")
    if status == 404:
        raise FetchError(f"{origin(url)} does not have it (status 404)")
    if status >= 300:
        raise FetchError(f"{origin(url)} answered with status {status}")
    return body


class _CheckedNetwork(httpcore.NetworkBackend):
    """Resolves a name once, refuses it if any of its addresses is private, and connects to what was checked."""

    def __init__(self, trusted: bool, deadline: float) -> None:
        self._trusted = trusted
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise FetchError(f"the host {host} is not known ({exc})") from exc
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        private = [address for address in addresses if not self._trusted and not is_public(address)]
        if private:
            raise FetchError(
                f"{host} is the private address {private[0]}, which tasks may not reach; "
                f"if images are meant to come from there, add {host} to VLM_JUDGE_IMAGE_HOSTS"
            )
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(addresses[-1], port, local_address, socket_options)

    def _connect(
        self, address: str, port: int, local_address: str | None, socket_options: Any
    ) -> httpcore.NetworkStream:
        left_s = _left_s(self._deadline)
        return _TimedStream(
            self._inner.connect_tcp(address, port, left_s, local_address, socket_options), self._deadline
        )


class _TimedStream(httpcore.NetworkStream):
    """A connection on which everything together ends at the deadline, however slowly the other side drips."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left_s(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left_s(self._deadline))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, _left_s(self._deadline))
        return _TimedStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left_s
