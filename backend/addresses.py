"""Which addresses may be fetched from: every connection goes to a checked address, or is not made."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

import httpcore
import httpx

from backend.errors import SettingsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "169.254.169.254",  # AWS, Google, Azure, Oracle, DigitalOcean, OpenStack
        "fd00:ec2::254",  # AWS
        "169.254.170.2",  # AWS ECS
        "169.254.170.23",  # AWS EKS
        "fd00:ec2::23",  # AWS EKS
        "168.63.129.16",  # Azure; a public address by its number
        "100.100.100.200",  # Alibaba
    )
)
"""Where clouds tell a machine its own credentials. No setting lets an image come from there."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_RESERVED = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("3fff::/20"))
"""Not public by the registries of today, which Python 3.11 does not know."""

_MOST_HEAD_BYTES = 100 * 2**10
"""Of an answer's head; a longer one httpcore refuses."""
_NO_END = -1
"""Where a head ends that is too long: nowhere."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/@?#\[\]\\*,]+)(?::(?P<port>\d{1,5}))?", re.ASCII)


class FetchError(Exception):
    """An address could not be fetched; the message is a sentence without the address."""

    def __init__(self, message: str, at: str = "", status: int = 0, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing
        """Whether the name server was away."""
        self.at = at
        """Origin of the hop that failed; empty when there was none."""
        self.status = status
        """What it answered; 0 when it did not."""


class TrustedHosts:
    """Hosts that may have private addresses, as VLM_JUDGE_IMAGE_HOSTS names them: each with or without a port."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Raises SettingsError for what is not a host."""
        self._known = frozenset(_trusted(entry) for entry in entries)

    def __contains__(self, url: httpx.URL) -> bool:
        host = _plain(url.host)
        return (host, None) in self._known or (host, port_of(url)) in self._known


def is_public(address: str) -> bool:
    """Whether an IP address is on the open internet, also behind the IPv6 forms that embed an IPv4 one."""
    ip = _parsed(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_IPV6:
        return False
    if ip in METADATA or any(ip in network for network in _RESERVED):
        return False
    return ip.is_global and not ip.is_multicast


def port_of(url: httpx.URL) -> int:
    """The port that an address means, written or not; 0 for schemes that are not fetched."""
    return url.port or _DEFAULT_PORTS.get(url.scheme, 0)


def origin(url: httpx.URL) -> str:
    """Scheme, host and port of an address, the port always written."""
    return f"{url.scheme}://{url.host}:{port_of(url)}"


class Exchange:
    """One request and its answer on a connection: when it must have ended, and how much has come of it."""

    def __init__(self, deadline_s: float) -> None:
        """`deadline_s` is on the steady clock."""
        self._deadline_s = deadline_s
        self._came = 0
        self._head = bytearray()
        """What came, while its first empty line is looked for."""
        self._end: int | None = None
        """Bytes of the head, its empty line included; None while that has not come."""

    def left_s(self) -> float:
        """Seconds until the deadline. Raises httpcore.ReadTimeout when there are none."""
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return left_s

    def note(self, piece: bytes) -> None:
        """Take in what came."""
        self._came += len(piece)
        if self._end is not None:
            return
        looked_at = max(0, len(self._head) - 3)  # an empty line may have begun in the piece before
        self._head += piece
        line = self._head.find(b"\r\n\r\n", looked_at)
        if line >= 0:
            self._end = line + 4
        elif len(self._head) > _MOST_HEAD_BYTES:
            self._end = _NO_END
        if self._end is not None:
            self._head.clear()

    def is_whole(self, body_bytes: int) -> bool:
        """Whether what came was one head and a body of this length: not more, which a next answer would begin with."""
        return self._end not in (None, _NO_END) and self._came == self._end + body_bytes


class CheckedNetwork(httpcore.NetworkBackend):
    """Resolves a name once, refuses it if any of its addresses is private, and connects to what was checked.

    A name whose answers change between check and connection gains nothing: there is no second answer. The deadline
    of the exchange at hand holds for the look-up, the connection and everything that is read from it.
    """

    def __init__(self, trusted: bool) -> None:
        self.exchange = Exchange(0.0)
        """What is under way; a connection outlives it and is given the next one."""
        self._trusted = trusted
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """A connection to one of the host's addresses. Raises FetchError and httpcore's errors."""
        addresses = _resolved(host, port, self.exchange)
        _check(host, addresses, self._trusted)
        for tried, address in enumerate(addresses[:-1]):
            share_s = self.exchange.left_s() / (len(addresses) - tried)
            try:
                return self._connect(address, port, share_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(addresses[-1], port, self.exchange.left_s(), local_address, socket_options)

    def _connect(
        self, address: str, port: int, timeout_s: float, local_address: str | None, socket_options: Any
    ) -> httpcore.NetworkStream:
        stream = self._inner.connect_tcp(address, port, timeout_s, local_address, socket_options)
        return _TimedStream(stream, self)


class _TimedStream(httpcore.NetworkStream):
    """A connection on which everything together ends at the deadline, however slowly the other side drips."""

    def __init__(self, inner: httpcore.NetworkStream, network: CheckedNetwork) -> None:
        self._inner = inner
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        piece = self._inner.read(max_bytes, self._network.exchange.left_s())
        self._network.exchange.note(piece)
        return piece

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._network.exchange.left_s())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._network.exchange.left_s())
        return _TimedStream(inner, self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _resolved(host: str, port: int, exchange: Exchange) -> list[str]:
    """Every address of a host, in the system's order of preference, without doubles.

    The system's look-up knows no deadline, so a thread of its own waits for it.
    """
    answer: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:
            answer.set_exception(exc)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        found = answer.result(exchange.left_s())
    except TimeoutError as exc:
        raise FetchError(
            f"the address of the host {host} was not found in time; look at the name server", is_passing=True
        ) from exc
    except (OSError, UnicodeError) as exc:
        again = isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_AGAIN
        raise FetchError(f"the host {host} is not known ({exc}); check its name", is_passing=again) from exc
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _check(host: str, addresses: Iterable[str], trusted: bool) -> None:
    for address in addresses:
        place = "where it lies" if host == address else host
        if _parsed(address) in METADATA:
            raise FetchError(
                f"{place} is {address}, where clouds tell a machine its credentials; no image may come from there"
            )
        if not trusted and not is_public(address):
            raise FetchError(
                f"{place} is the private address {address}, which tasks may not reach; "
                f"if images are meant to come from there, add {host} to VLM_JUDGE_IMAGE_HOSTS"
            )


def _parsed(address: str) -> Address:
    """The address, or the IPv4 one that it embeds."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip


def _trusted(entry: str) -> tuple[str, int | None]:
    bare = f"[{entry}]" if entry.count(":") > 1 and not entry.startswith("[") else entry
    parts = _HOST.fullmatch(bare)
    try:
        if parts is None or int(parts["port"] or 0) > 65535:
            raise ValueError("no host")
        return _plain(httpx.URL(f"http://{parts['host']}/").host), int(parts["port"]) if parts["port"] else None
    except (httpx.InvalidURL, ValueError) as exc:
        raise SettingsError(
            f"VLM_JUDGE_IMAGE_HOSTS names {entry!r}, which is no host; write hosts as in files.internal,10.0.0.7:9000"
        ) from exc


def _plain(host: str) -> str:
    """A host as it is compared: without a last dot, IPv6 in its short form."""
    plain = host.lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        return plain
