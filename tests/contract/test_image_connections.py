"""One connection for image after image from the same server, and what must not be lost or let through by that."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from PIL import Image

from backend import connections
from backend.errors import ImageError
from tests.contract.picture_server import loader
from tests.made_pictures import RED, encoded

PNG = encoded(Image.new("RGB", (6, 4), RED))
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PNG), PNG)


@dataclass
class Counting:
    """A server that keeps connections open and says which request came over which of them, counted from 1."""

    port: int
    seen: list[tuple[int, str]] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


def reply(connection: socket.socket, path: str) -> bool:
    """Answer as the path says; whether the connection stays."""
    if path.startswith("drips"):
        connection.sendall(WHOLE[:-20])
        for byte in WHOLE[-20:]:
            time.sleep(0.1)
            connection.sendall(bytes([byte]))
    elif path.startswith("large"):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
    elif path.startswith("gone"):
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone")
    elif path.startswith("bare"):
        connection.sendall(WHOLE.replace(b"\r\n", b"\n", 3))
    elif path.startswith("more"):
        connection.sendall(WHOLE + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
    else:
        connection.sendall(WHOLE)
    return not path.startswith("last")


@contextmanager
def counting() -> Iterator[Counting]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = Counting(listening.getsockname()[1])

    def serve(connection: socket.socket, number: int) -> None:
        with connection:
            while asked := receive(connection):
                path = asked.split(b" ")[1].decode().lstrip("/")
                server.seen.append((number, path))
                if path.startswith("dies") and number == 1 and len(server.seen) > 1:
                    return
                try:
                    if not reply(connection, path):
                        return
                except OSError:
                    return

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            server.sockets.append(connection)
            threading.Thread(target=serve, args=(connection, len(server.sockets)), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        listening.close()


def receive(connection: socket.socket) -> bytes:
    """A request without a body; empty when the other side has hung up."""
    asked = b""
    while not asked.endswith(b"\r\n\r\n"):
        try:
            piece = connection.recv(4096)
        except OSError:
            return b""
        if not piece:
            return b""
        asked += piece
    return asked


@pytest.fixture
def server() -> Iterator[Counting]:
    with counting() as running:
        yield running


def test_images_from_one_server_come_over_one_connection(server: Counting) -> None:
    images = loader()
    assert [images.read(server.url(str(number))) for number in range(3)] == [PNG] * 3
    assert server.seen == [(1, "0"), (1, "1"), (1, "2")]


def test_a_server_that_ends_its_lines_another_way_is_read_and_its_connection_not_used_again(server: Counting) -> None:
    images = loader()
    assert [images.read(server.url(f"bare-{number}")) for number in range(2)] == [PNG] * 2
    assert server.seen == [(1, "bare-0"), (2, "bare-1")]


def test_threads_share_connections_but_never_one_at_a_time(server: Counting) -> None:
    images = loader()
    found: list[bytes] = []

    def read(thread: int) -> None:
        found.extend(images.read(server.url(f"{thread}-{number}")) for number in range(10))

    threads = [threading.Thread(target=read, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [PNG] * 40
    assert len(server.seen) == 40
    assert len(server.sockets) <= 4


def test_a_connection_that_the_server_has_closed_is_made_anew(server: Counting) -> None:
    images = loader()
    assert images.read(server.url("last")) == PNG
    time.sleep(0.05)
    assert images.read(server.url("next")) == PNG
    assert server.seen == [(1, "last"), (2, "next")]


def test_a_kept_connection_that_breaks_under_a_request_is_tried_once_more_on_a_new_one(server: Counting) -> None:
    images = loader()
    assert images.read(server.url("first")) == PNG
    assert images.read(server.url("dies")) == PNG
    assert server.seen == [(1, "first"), (1, "dies"), (2, "dies")]


def test_a_connection_waits_no_longer_than_it_may(server: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "KEPT_S", 0.05)
    images = loader()
    assert images.read(server.url("first")) == PNG
    time.sleep(0.1)
    assert images.read(server.url("second")) == PNG
    assert server.seen == [(1, "first"), (2, "second")]


def test_no_more_connections_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_KEPT", 1)
    with counting() as one, counting() as other:
        images = loader()
        for server in (one, other, one, other, other):
            assert images.read(server.url(str(len(server.seen)))) == PNG
    assert [number for number, _ in one.seen] == [1, 2]
    assert [number for number, _ in other.seen] == [1, 2, 2]


def test_the_deadline_is_that_of_the_fetch_not_of_the_connection(server: Counting) -> None:
    images = loader(fetch_timeout_s=0.6)
    assert images.read(server.url("first")) == PNG
    time.sleep(0.5)
    assert images.read(server.url("second")) == PNG
    with pytest.raises(ImageError, match=r"did not send it within 0\.6 s"):
        images.read(server.url("drips"))
    assert server.seen == [(1, "first"), (1, "second"), (1, "drips")]


@pytest.mark.parametrize("path", ["large", "gone", "more"])
def test_what_was_not_read_never_becomes_another_images_bytes(server: Counting, path: str) -> None:
    images = loader()
    try:
        assert images.read(server.url(path)) == PNG
    except ImageError:
        assert path in ("large", "gone")
    time.sleep(0.05)
    assert images.read(server.url("next")) == PNG
    assert server.seen == [(1, path), (2, "next")]


def test_trust_does_not_pass_on_with_a_connection(server: Counting) -> None:
    """A connection to a private address, made for a host that is trusted, serves no fetch that is not."""
    place = connections.Place(f"http://127.0.0.1:{server.port}", True, None)
    trusted = connections.Connection(place)
    kept = connections.KeptConnections()
    images = loader()
    images.read(server.url("first"))
    kept.keep(trusted)
    assert kept.take(place) is None, "it was never opened"
    assert images._fetcher._kept.take(connections.Place(place.origin, False, None)) is None
    assert images._fetcher._kept.take(place) is not None
