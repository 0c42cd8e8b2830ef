"""`backend.images` over real HTTP: what servers may do, what is fetched once, and images of several pages."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from backend.assemble import make_service
from backend.core.label_config import parse_label_config
from backend.errors import ImageAway, ImageError
from backend.service import Failure, Prepared
from backend.settings import Settings
from tests.contract.picture_server import Handler, Names, PictureServer, answer, loader, serving
from tests.made_pictures import BLUE, GREEN, RED, colours, data_uri, encoded

PNG = encoded(Image.new("RGB", (6, 4), RED))


@pytest.fixture
def server() -> Iterator[PictureServer]:
    with serving() as running:
        yield running


@pytest.fixture
def other() -> Iterator[PictureServer]:
    with serving("127.0.0.2") as running:
        yield running


def refusal(address: str, task: str | None = None, **settings: object) -> str:
    with pytest.raises(ImageError) as caught:
        loader(**settings).read(address, task)
    return str(caught.value)


class TestWebAddresses:
    def test_bytes_come_as_they_are(self, server: PictureServer) -> None:
        address = server.body("/a.png", PNG)
        assert loader().read(address) == PNG
        assert server.headers == [
            {
                "Host": f"127.0.0.1:{server.port}",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "User-Agent": "vlm-judge-label-studio",
            }
        ]
        picture = loader().load(address)
        assert (picture.mode, picture.size, set(colours(picture))) == ("RGB", (6, 4), {RED})

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects_are_followed(self, server: PictureServer, status: int) -> None:
        server.body("/b.png", PNG)
        server.redirect("/2", "/b.png", status)
        assert loader().read(server.redirect("/1", f"{server.url}/2", status)) == PNG

    def test_redirects_may_name_their_target_in_utf_8(self, server: PictureServer) -> None:
        server.body("/b%C3%BC.png", PNG)
        address = server.raw("/1", b"HTTP/1.1 302 Found\r\nLocation: /b\xc3\xbc.png\r\n\r\n")
        assert loader().read(address) == PNG

    def test_endless_redirects_end(self, server: PictureServer) -> None:
        server.redirect("/pong", "/ping")
        said = refusal(server.redirect("/ping", "/pong"))
        assert said == f"cannot fetch {server.url}/ping: it redirects more than 5 times"
        assert server.paths == ["/ping", "/pong"] * 3

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:image/png;base64,AAAA"])
    def test_redirects_to_other_schemes_are_refused(self, server: PictureServer, location: str) -> None:
        scheme = location.partition(":")[0]
        said = refusal(server.redirect("/x", location))
        assert said == (f"cannot fetch {server.url}/x: only http and https addresses can be fetched, not {scheme} ones")

    def test_redirects_to_nowhere(self, server: PictureServer) -> None:
        said = refusal(server.redirect("/x", "http://[::1"))
        assert said == f"cannot fetch {server.url}/x: {server.url} redirects to something that is not an address"
        assert refusal(server.body("/y", b"", 302)).endswith(f"{server.url} answered with status 302")

    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (204, "answered with status 204"),
            (206, "answered with status 206"),
            (304, "answered with status 304"),
            (401, "does not let us have it (status 401)"),
            (403, "does not let us have it (status 403)"),
            (404, "does not have it (status 404)"),
            (503, "answered with status 503"),
        ],
    )
    def test_refusals_name_server_and_status(self, server: PictureServer, status: int, reason: str) -> None:
        address = server.body("/x", b"" if status in (204, 304) else bytes(2000), status)
        assert refusal(address, max_image_bytes=1000) == f"cannot fetch {address}: {server.url} {reason}"

    def test_passwords_in_addresses_are_neither_sent_nor_shown(self, server: PictureServer) -> None:
        address = server.body("/x", b"", 401)
        said = refusal(address.replace("://", "://ann:secret@"))
        assert said == (
            f"cannot fetch {address}: {server.url} does not let us have it (status 401); "
            "names and passwords in addresses are not sent"
        )
        assert server.seen == [("/x", None)]

    def test_announced_size_is_refused_before_the_body(self, server: PictureServer) -> None:
        address = server.raw("/huge", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        assert refusal(address, max_image_bytes=1000) == (
            f"cannot fetch {address}: it has 1000000000000 bytes, more than the 1000 allowed; make it smaller or "
            "raise VLM_JUDGE_MAX_IMAGE_BYTES"
        )

    def test_unannounced_size_is_cut_off(self, server: PictureServer) -> None:
        cut_off = threading.Event()

        def flood(handler: Handler) -> None:
            handler.send_response(200)
            handler.end_headers()
            try:
                for _ in range(10_000):
                    handler.wfile.write(b"x" * 10_000)
            except OSError:
                cut_off.set()

        server.routes["/flood"] = flood
        said = refusal(f"{server.url}/flood", max_image_bytes=50_000)
        assert said.endswith(
            "it has more than the 50000 bytes allowed; make it smaller or raise VLM_JUDGE_MAX_IMAGE_BYTES"
        )
        assert cut_off.wait(5)

    def test_a_body_in_chunks(self, server: PictureServer) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"%x\r\n%b\r\n" % (len(PNG), PNG)
        assert loader().read(server.raw("/whole", head, chunk, b"0\r\n\r\n")) == PNG
        assert "broke off" in refusal(server.raw("/half", head, chunk))

    def test_a_body_shorter_than_announced_is_no_picture(self, server: PictureServer) -> None:
        address = server.raw("/half", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", PNG)
        said = refusal(address)
        assert said.startswith(f"cannot fetch {address}: {server.url} broke off or does not speak HTTP (")

    def test_a_body_longer_than_announced_ends_where_announced(self, server: PictureServer) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG)
        assert loader().read(server.raw("/more", head, PNG, b"HTTP/1.1 200 OK\r\n\r\n")) == PNG

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
            b"HTTP/1.1 999999 OK\r\n\r\n",
            b"SSH-2.0-x\r\n\r\n",
            b"",
        ],
    )
    def test_what_is_not_http(self, server: PictureServer, head: bytes) -> None:
        address = server.raw("/x", head)
        said = refusal(address)
        assert said.startswith(f"cannot fetch {address}: {server.url} broke off or does not speak HTTP (")

    def test_compressed_bodies_are_not_unpacked(self, server: PictureServer) -> None:
        bomb = gzip.compress(bytes(10_000_000))
        for encoding in ("gzip", "GZIP", "deflate", "br", "gzip, gzip"):
            said = refusal(server.body("/bomb", bomb, Content_Encoding=encoding))
            assert said.endswith(
                "it is sent compressed although that was not asked for; have its server send it as it is"
            )
        for encoding in ("identity", "aws-chunked"):
            assert loader().read(server.body("/plain", PNG, Content_Encoding=encoding)) == PNG

    @pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n", b"interim"])
    def test_dripping_ends_at_the_deadline(self, server: PictureServer, part: bytes) -> None:
        drop = b"HTTP/1.1 100 Continue\r\n\r\n" if part == b"interim" else b"x"

        def drip(handler: Handler) -> None:
            handler.wfile.write(b"" if part == b"interim" else part)
            for _ in range(60):
                try:
                    handler.wfile.write(drop)
                except OSError:
                    return
                time.sleep(0.05)

        server.routes["/slow"] = drip
        began = time.monotonic()
        assert refusal(f"{server.url}/slow", fetch_timeout_s=0.3) == (
            f"cannot fetch {server.url}/slow: {server.url} did not send it within 0.3 s; try again or raise "
            "VLM_JUDGE_FETCH_TIMEOUT_S"
        )
        assert 0.3 <= time.monotonic() - began < 1.5

    def test_redirects_share_one_deadline(self, server: PictureServer) -> None:
        def slowly(handler: Handler) -> None:
            time.sleep(0.2)
            answer(handler, b"", 302, Location="/slow")

        server.routes["/slow"] = slowly
        began = time.monotonic()
        assert "did not send it within 0.5 s" in refusal(f"{server.url}/slow", fetch_timeout_s=0.5)
        assert time.monotonic() - began < 1.5

    def test_a_slow_name_server_ends_at_the_deadline_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asleep = threading.Event()

        def look_up(*args: object, **options: object) -> list[object]:
            asleep.wait(10)
            raise OSError("too late")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        began = time.monotonic()
        assert refusal("http://slow.example/a", fetch_timeout_s=0.3) == (
            "cannot fetch http://slow.example/a: the address of the host slow.example was not found in time; "
            "look at the name server"
        )
        assert time.monotonic() - began < 1.5
        asleep.set()

    def test_an_address_that_does_not_answer_leaves_time_for_the_next(
        self, server: PictureServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.body("/a", PNG)
        Names({"two.example": [("127.0.0.3", "127.0.0.1")]}).install(monkeypatch)
        with socket.create_server(("127.0.0.3", server.port), backlog=0) as full:
            waiting = [socket.socket() for _ in range(3)]
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(full.getsockname())
            chosen = loader(image_hosts=("two.example",), fetch_timeout_s=2.0)
            assert chosen.read(f"http://two.example:{server.port}/a") == PNG
            for client in waiting:
                client.close()

    def test_nobody_listens(self) -> None:
        assert refusal("http://127.0.0.1:9/x").startswith(
            "cannot fetch http://127.0.0.1:9/x: http://127.0.0.1:9 cannot be reached ("
        )

    def test_a_host_that_nobody_knows(self) -> None:
        assert refusal("http://nowhere.invalid/x").startswith(
            "cannot fetch http://nowhere.invalid/x: the host nowhere.invalid is not known ("
        )

    @pytest.mark.parametrize(
        ("error", "kind"),
        [(socket.EAI_AGAIN, ImageAway), (socket.EAI_NONAME, ImageError)],
        ids=["the name server is away", "nobody knows the name"],
    )
    def test_a_name_server_that_is_away_may_come_back(
        self, error: int, kind: type[ImageError], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def look_up(*args: object, **options: object) -> list[object]:
            raise socket.gaierror(error, "said by the system")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        with pytest.raises(ImageError) as caught:
            loader().read("http://pictures.example/a")
        assert type(caught.value) is kind

    def test_proxies_of_the_environment_are_not_asked(
        self, server: PictureServer, other: PictureServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url)
        assert loader().read(server.body("/a", PNG)) == PNG
        assert other.seen == []


class TestOnceAndInParallel:
    def test_what_many_tasks_show_is_fetched_once(self, server: PictureServer) -> None:
        address = server.body("/a", PNG)
        chosen = loader()
        assert [chosen.read(address, str(task)) for task in range(5)] == [PNG] * 5
        assert server.paths == ["/a"]

    def test_with_no_memory_for_it_it_is_fetched_each_time(self, server: PictureServer) -> None:
        address = server.body("/a", PNG)
        chosen = loader(image_cache_bytes=0)
        assert [chosen.read(address) for _ in range(3)] == [PNG] * 3
        assert server.paths == ["/a"] * 3

    def test_what_failed_is_tried_again(self, server: PictureServer) -> None:
        address = server.body("/a", b"", 503)
        chosen = loader()
        for _ in range(2):
            with pytest.raises(ImageError, match="status 503"):
                chosen.read(address)
        server.body("/a", PNG)
        assert chosen.read(address) == PNG
        assert server.paths == ["/a"] * 3

    def test_threads_that_ask_for_the_same_share_one_fetch(self, server: PictureServer) -> None:
        def slowly(handler: Handler) -> None:
            time.sleep(0.3)
            answer(handler, PNG)

        server.routes["/slow"] = slowly
        chosen = loader()
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(chosen.read, [f"{server.url}/slow"] * 8))
        assert found == [PNG] * 8
        assert server.paths == ["/slow"]

    def test_different_addresses_are_fetched_at_the_same_time(self, server: PictureServer) -> None:
        """Each answer waits until all eight requests are there."""
        all_there = threading.Barrier(8)

        def meet(handler: Handler) -> None:
            all_there.wait(10)
            answer(handler, handler.path.encode())

        paths = [f"/{number}" for number in range(8)]
        server.routes |= dict.fromkeys(paths, meet)
        chosen = loader()
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(chosen.read, [f"{server.url}{path}" for path in paths]))
        assert found == [path.encode() for path in paths]


class TestPages:
    XML = """<View><Image name="doc" valueList="$pages"/><Text name="caption" value="$caption"/>
      <Rating name="consistency" toName="caption"/></View>"""

    def test_come_in_order_and_a_bad_one_is_named(self, server: PictureServer, tmp_path: Path) -> None:
        pages = [encoded(Image.new("RGB", (4, 4), colour)) for colour in (RED, GREEN, BLUE)]
        addresses = [server.body("/red", pages[0]), server.body("/green", pages[1]), data_uri(pages[2])]
        service = make_service(Settings(engine="scripted", store=str(tmp_path / "s"), image_hosts=("127.0.0.1",)))
        try:
            tasks = [
                {"id": 1, "data": {"caption": "a", "pages": addresses}},
                {"id": 2, "data": {"caption": "a", "pages": [*addresses, f"{server.url}/none"]}},
            ]
            whole, lacking = service.prepare(tasks, parse_label_config(self.XML))
        finally:
            service.close()
        assert isinstance(whole, Prepared)
        assert [colours(image)[0] for image in whole.images] == [RED, GREEN, BLUE]
        assert isinstance(lacking, Failure)
        assert (lacking.task, lacking.reason) == (
            "2",
            f"task 2, `pages[3]`: cannot fetch {server.url}/none: {server.url} does not have it (status 404)",
        )
