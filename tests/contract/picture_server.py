"""HTTP servers on this machine for what images are fetched from, and names that lead to them."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from backend.images import ImageLoader
from backend.settings import Settings

Handler = BaseHTTPRequestHandler
Route = Callable[[BaseHTTPRequestHandler], None]


def answer(handler: Handler, content: bytes, status: int = 200, **headers: str) -> None:
    """Send a whole answer; underscores in names of headers stand for hyphens."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


@dataclass
class PictureServer:
    """A real HTTP server; `routes` maps a path to what writes the answer; `seen` is what was asked of it."""

    host: str
    port: int
    scheme: str = "http"
    routes: dict[str, Route] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Authorization header of each request."""
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its origin."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _ in self.seen]

    def body(self, path: str, content: bytes, status: int = 200, **headers: str) -> str:
        """Answer so from now on; the address."""
        self.routes[path] = lambda handler: answer(handler, content, status, **headers)
        return f"{self.url}{path}"

    def redirect(self, path: str, location: str, status: int = 302) -> str:
        """Lead elsewhere from now on; the address."""
        return self.body(path, b"", status, Location=location)

    def raw(self, path: str, *pieces: bytes) -> str:
        """Write these bytes and hang up, whatever HTTP says; the address."""

        def write(handler: Handler) -> None:
            for piece in pieces:
                handler.wfile.write(piece)

        self.routes[path] = write
        return f"{self.url}{path}"


@contextmanager
def serving(host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[PictureServer]:
    """A server on a free port of an address of this machine, until the end of the block."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.seen.append((self.path, self.headers["Authorization"]))
            server.headers.append(dict(self.headers))
            server.routes.get(self.path.partition("?")[0], _nothing)(self)

        def log_message(self, *args: object) -> None:
            pass

    class Listening(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients hang up here on purpose."""

    listening = Listening((host, 0), Answering)
    if context is not None:
        listening.socket = context.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    server = PictureServer(host, listening.server_port, "https" if context else "http")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def _nothing(handler: Handler) -> None:
    answer(handler, b"", 404)


@dataclass
class Names:
    """A name server for invented names; what has addresses of its own is looked up as ever.

    Each name has a list of answers, one for each time that it is asked for; the last one stays.
    """

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def install(self, patch: pytest.MonkeyPatch) -> Names:
        """Take the place of the system's look-up."""
        system = socket.getaddrinfo

        def look_up(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
            if host not in self.answers:
                return list(system(host, port, *args, **options))
            self.asked.append(host)
            left = self.answers[host]
            addresses = left.pop(0) if len(left) > 1 else left[0]
            return [entry for address in addresses for entry in system(address, port, *args, **options)]

        patch.setattr(socket, "getaddrinfo", look_up)
        return self


def loader(**changes: Any) -> ImageLoader:
    """A loader that may fetch from 127.0.0.1 and gives up after five seconds, unless told otherwise."""
    values: dict[str, Any] = {"image_hosts": ("127.0.0.1",), "fetch_timeout_s": 5.0} | changes
    return ImageLoader(Settings(**values))
