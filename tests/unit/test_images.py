"""`backend.images` and `backend.addresses`: a real HTTP server, and pictures made to cause trouble."""

from __future__ import annotations

import base64
import io
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr

from backend.addresses import is_public
from backend.errors import ImageError
from backend.images import ImageLoader, named
from backend.settings import Settings

RED, WHITE = (255, 0, 0), (255, 255, 255)
TOKEN = "0123456789abcdef0123456789abcdef01234567"


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


PNG = encoded(Image.new("RGB", (6, 4), RED))


def data_uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@dataclass
class Server:
    """A real HTTP server; `routes` maps a path to what writes the answer."""

    routes: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def body(self, path: str, content: bytes, status: int = 200) -> str:
        def write(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        self.routes[path] = write
        return f"{self.url}{path}"

    def redirect(self, path: str, location: str) -> str:
        def write(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", location)
            handler.end_headers()

        self.routes[path] = write
        return f"{self.url}{path}"


def serve() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.seen.append((self.path, self.headers["Authorization"]))
            server.routes[self.path.partition("?")[0]](self)

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.port = listening.server_port
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def other() -> Iterator[Server]:
    yield from serve()


def loader(**changes: Any) -> ImageLoader:
    values: dict[str, Any] = {"image_hosts": ("127.0.0.1",), "fetch_timeout_s": 5.0} | changes
    return ImageLoader(Settings(**values))


def pixels(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(1 << 24)}  # type: ignore[misc,union-attr]


class TestWebAddresses:
    def test_bytes_come_as_they_are(self, server: Server) -> None:
        address = server.body("/a.png", PNG)
        assert loader().read(address) == PNG
        picture = loader().load(address)
        assert (picture.mode, picture.size, pixels(picture)) == ("RGB", (6, 4), {RED})

    def test_redirects_are_followed(self, server: Server) -> None:
        server.body("/b.png", PNG)
        server.redirect("/2", "/b.png")
        assert loader().read(server.redirect("/1", f"{server.url}/2")) == PNG

    def test_endless_redirects_end(self, server: Server) -> None:
        with pytest.raises(ImageError, match=r"redirects more than 5 times"):
            loader().read(server.redirect("/loop", "/loop"))
        assert len(server.seen) == 6

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:image/png;base64,AAAA"])
    def test_redirects_to_other_schemes_are_refused(self, server: Server, location: str) -> None:
        with pytest.raises(ImageError, match=r"only http and https addresses can be fetched"):
            loader().read(server.redirect("/x", location))

    @pytest.mark.parametrize(
        ("status", "reason"),
        [(401, "does not let us have it .status 401"), (404, "does not have it"), (500, "answered with status 500")],
    )
    def test_refusals_name_server_and_status(self, server: Server, status: int, reason: str) -> None:
        with pytest.raises(ImageError, match=rf"http://127\.0\.0\.1:{server.port}/x: .*{reason}"):
            loader().read(server.body("/x", b"no", status))

    def test_announced_size_is_refused_before_the_body(self, server: Server) -> None:
        def write(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(10**12))
            handler.end_headers()

        server.routes["/huge"] = write
        with pytest.raises(ImageError, match=r"it has 1000000000000 bytes, more than the 1000 allowed"):
            loader(max_image_bytes=1000).read(f"{server.url}/huge")

    def test_unannounced_size_is_cut_off(self, server: Server) -> None:
        def write(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            try:
                for _ in range(10_000):
                    handler.wfile.write(b"x" * 10_000)
            except OSError:
                server.seen.append(("cut off", None))

        server.routes["/flood"] = write
        with pytest.raises(ImageError, match=r"more than the 50000 bytes allowed"):
            loader(max_image_bytes=50_000).read(f"{server.url}/flood")

    @pytest.mark.parametrize("part", ["head", "body"])
    def test_dripping_ends_at_the_deadline(self, server: Server, part: str) -> None:
        def write(handler: BaseHTTPRequestHandler) -> None:
            if part == "body":
                handler.send_response(200)
                handler.end_headers()
            for _ in range(60):
                try:
                    handler.wfile.write(b"x")
                    handler.wfile.flush()
                except OSError:
                    return
                time.sleep(0.1)

        server.routes["/slow"] = write
        began = time.monotonic()
        with pytest.raises(ImageError, match=r"did not send it within 0.5 s"):
            loader(fetch_timeout_s=0.5).read(f"{server.url}/slow")
        assert time.monotonic() - began < 2

    def test_broken_off(self, server: Server) -> None:
        def write(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b"half")

        server.routes["/half"] = write
        with pytest.raises(ImageError, match=r"broke off"):
            loader().read(f"{server.url}/half")

    def test_not_http(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=lambda: listening.accept()[0].sendall(b"SSH-2.0-x\r\n\r\n"))
            thread.start()
            with pytest.raises(ImageError, match=r"broke off or does not speak HTTP"):
                loader().read(f"http://127.0.0.1:{listening.getsockname()[1]}/")
            thread.join()

    def test_nobody_listens(self) -> None:
        with pytest.raises(ImageError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            loader().read("http://127.0.0.1:9/x")

    @pytest.mark.parametrize("uri", ["pictures/a.png", "file:///etc/passwd", "C:\\a.png", "", "http://", "http://[::1"])
    def test_what_is_no_address(self, uri: str) -> None:
        with pytest.raises(ImageError, match=r"^cannot fetch "):
            loader().read(uri)


class TestPrivateAddresses:
    @pytest.mark.parametrize(
        "uri",
        [
            "http://127.0.0.1:1/x",
            "http://localhost:1/x",
            "http://[::1]:1/x",
            "http://[::ffff:127.0.0.1]:1/x",
            "http://2130706433:1/x",
            "http://169.254.169.254/latest/meta-data",
            "http://0.0.0.0:1/",
        ],
    )
    def test_are_refused_with_the_setting_that_allows_them(self, uri: str) -> None:
        with pytest.raises(ImageError, match=r"is the private address .* VLM_JUDGE_IMAGE_HOSTS"):
            loader(image_hosts=()).read(uri)

    def test_also_behind_a_redirect(self, server: Server) -> None:
        server.body("/secret", PNG)
        address = server.redirect("/open", f"http://localhost:{server.port}/secret")
        with pytest.raises(ImageError, match=r"localhost is the private address (127\.0\.0\.1|::1)"):
            loader().read(address)
        assert [path for path, _ in server.seen] == ["/open"]

    def test_a_name_is_resolved_once_and_all_its_addresses_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def resolve(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("93.184.216.34", "10.0.0.7")]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(ImageError, match=r"rebinding\.example is the private address 10\.0\.0\.7"):
            loader().read("http://rebinding.example/x")
        assert asked == ["rebinding.example"]

    def test_the_next_address_of_a_name_is_tried(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        real = socket.getaddrinfo

        def resolve(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
            if host != "two.example":
                return real(host, port, *args, **options)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        server.body("/a", PNG)
        uri = f"http://two.example:{server.port}/a"
        assert loader(image_hosts=("two.example",)).read(uri) == PNG

    @pytest.mark.parametrize(
        ("address", "public"),
        [
            ("93.184.216.34", True),
            ("2606:2800:220:1:248:1893:25c8:1946", True),
            ("10.1.2.3", False),
            ("100.64.0.1", False),
            ("192.168.1.1", False),
            ("224.0.0.1", False),
            ("fe80::1%eth0", False),
            ("fc00::1", False),
            ("::ffff:10.0.0.1", False),
            ("::ffff:93.184.216.34", True),
            ("2002:7f00:1::", False),
            ("64:ff9b::a00:1", False),
            ("64:ff9b::5db8:d822", True),
        ],
    )
    def test_what_is_public(self, address: str, public: bool) -> None:
        assert is_public(address) is public


class TestLabelStudioPaths:
    def test_the_token_goes_to_label_studio_only(self, server: Server, other: Server) -> None:
        other.body("/bucket/a.png", PNG)
        server.redirect("/data/upload/1/a.png", f"{other.url}/bucket/a.png")
        chosen = loader(label_studio_url=server.url, label_studio_api_key=SecretStr(TOKEN))
        assert chosen.read("/data/upload/1/a.png") == PNG
        assert chosen.read(f"{other.url}/bucket/a.png") == PNG
        assert server.seen == [("/data/upload/1/a.png", f"Token {TOKEN}")]
        assert other.seen == [("/bucket/a.png", None), ("/bucket/a.png", None)]

    def test_label_studio_itself_may_be_private_but_not_its_neighbours(self, server: Server, other: Server) -> None:
        server.body("/data/local-files/", PNG)
        chosen = loader(label_studio_url=server.url, image_hosts=())
        assert chosen.read("/data/local-files/?d=a/b c.png") == PNG
        assert chosen.read(f"{server.url}/data/local-files/?d=x") == PNG
        assert [path for path, _ in server.seen] == ["/data/local-files/?d=a/b%20c.png", "/data/local-files/?d=x"]
        with pytest.raises(ImageError, match=r"private address"):
            chosen.read(other.body("/a", PNG))

    def test_two_slashes_are_another_host(self, server: Server, other: Server) -> None:
        other.body("/a", PNG)
        chosen = loader(label_studio_url=server.url, label_studio_api_key=SecretStr(TOKEN), image_hosts=())
        with pytest.raises(ImageError, match=r"private address"):
            chosen.read(f"//127.0.0.1:{other.port}/a")
        assert other.seen == []

    def test_a_path_prefix_is_kept(self, server: Server) -> None:
        server.body("/labels/data/upload/a.png", PNG)
        chosen = loader(label_studio_url=f"{server.url}/labels/")
        assert chosen.read("/data/upload/a.png") == PNG
        assert chosen.read("/labels/data/upload/a.png") == PNG

    def test_unknown_label_studio(self) -> None:
        with pytest.raises(ImageError, match=r"/data/upload/a.png: .*set LABEL_STUDIO_URL"):
            loader().read("/data/upload/a.png")

    def test_missing_key_is_the_advice(self, server: Server) -> None:
        server.body("/data/upload/a.png", b"", 401)
        with pytest.raises(ImageError, match=r"status 401\); set LABEL_STUDIO_API_KEY"):
            loader(label_studio_url=server.url).read("/data/upload/a.png")

    def test_cloud_storage_goes_by_the_task(self, server: Server) -> None:
        server.body("/tasks/7/resolve/", PNG)
        chosen = loader(label_studio_url=server.url, label_studio_api_key=SecretStr(TOKEN))
        assert chosen.read("s3://bucket/a.png", task="7") == PNG
        assert server.seen == [("/tasks/7/resolve/?fileuri=czM6Ly9idWNrZXQvYS5wbmc=", f"Token {TOKEN}")]
        with pytest.raises(ImageError, match=r"s3://bucket/a.png: cloud storage is read by way of its task"):
            chosen.read("s3://bucket/a.png")


class TestDataUris:
    def test_base64_and_percent_encoding(self) -> None:
        assert loader().read(data_uri(PNG)) == PNG
        assert loader().read("data:image/x-portable-pixmap,P3%201%201%20255%20255%200%200") == b"P3 1 1 255 255 0 0"

    def test_messages_do_not_repeat_them(self) -> None:
        uri = data_uri(b"no image at all, only text" * 100)
        with pytest.raises(ImageError) as caught:
            loader().load(uri)
        assert str(caught.value) == (
            f"the data URI data:image/png;base64,bm8gaW1h... ({len(uri)} characters) is not an image that can be read; "
            "use PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
        )

    @pytest.mark.parametrize(
        ("uri", "reason"),
        [
            ("data:image/png;base64", "no comma"),
            ("data:image/png;base64,####", "base64 is damaged"),
            (data_uri(b"x" * 101), "holds 101 bytes, more than the 100 allowed"),
            (data_uri(b"x" * 1000), "more than the 100 bytes allowed"),
        ],
    )
    def test_damaged_and_large_ones(self, uri: str, reason: str) -> None:
        with pytest.raises(ImageError, match=reason):
            loader(max_image_bytes=100).read(uri)


class TestPictures:
    def load(self, content: bytes, **changes: Any) -> Image.Image:
        return loader(**changes).load(data_uri(content))

    def test_transparency_lies_on_white(self) -> None:
        half = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
        half.putpixel((1, 0), (255, 0, 0, 255))
        assert pixels(self.load(encoded(half))) == {WHITE, RED}
        palette = Image.new("P", (2, 1), 0)
        palette.putpalette([0, 0, 255, 255, 0, 0])
        palette.putpixel((1, 0), 1)
        assert pixels(self.load(encoded(palette, transparency=0))) == {WHITE, RED}
        grey = Image.new("LA", (1, 1), (0, 128))
        assert pixels(self.load(encoded(grey))) == {(127, 127, 127)}

    def test_colour_key_of_an_rgb_picture(self) -> None:
        keyed = Image.new("RGB", (2, 1), (0, 255, 0))
        keyed.putpixel((1, 0), RED)
        assert pixels(self.load(encoded(keyed, transparency=(0, 255, 0)))) == {WHITE, RED}

    def test_sixteen_bits_are_scaled_not_clipped(self) -> None:
        deep = Image.new("I;16", (2, 1))
        deep.putpixel((0, 0), 65535)
        deep.putpixel((1, 0), 32896)
        for kind in ("PNG", "TIFF"):
            picture = self.load(encoded(deep, kind))
            assert [picture.getpixel((x, 0)) for x in (0, 1)] == [WHITE, (128, 128, 128)]

    def test_floats_are_refused(self) -> None:
        with pytest.raises(ImageError, match=r"floating point values"):
            self.load(encoded(Image.new("F", (1, 1), 0.5), "TIFF"))

    def test_cmyk(self) -> None:
        assert pixels(self.load(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"))) == {WHITE}

    def test_bilevel_and_grey(self) -> None:
        assert pixels(self.load(encoded(Image.new("1", (1, 1), 1)))) == {WHITE}
        assert pixels(self.load(encoded(Image.new("L", (1, 1), 9)))) == {(9, 9, 9)}

    def test_first_frame_of_an_animation(self) -> None:
        frames = [Image.new("RGB", (3, 3), colour) for colour in (RED, (0, 0, 255))]
        for kind in ("GIF", "WEBP", "PNG"):
            options = {"lossless": True} if kind == "WEBP" else {}
            film = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
            assert pixels(self.load(film)) == {RED}

    def test_upright_by_exif(self) -> None:
        wide = Image.new("RGB", (20, 10))
        exif = Image.Exif()
        exif[0x0112] = 6
        picture = self.load(encoded(wide, "JPEG", exif=exif))
        assert picture.size == (10, 20)

    def test_too_many_pixels_are_refused_before_decoding(self) -> None:
        with pytest.raises(ImageError, match=r"has 6 x 4 = 24 pixels, more than the 23 allowed"):
            self.load(PNG, max_image_pixels=23)
        assert self.load(PNG, max_image_pixels=24).size == (6, 4)

    def test_a_bomb(self) -> None:
        def chunk(kind: bytes, content: bytes) -> bytes:
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(b"\0" * 10**6))
            + chunk(b"IEND", b"")
        )
        with pytest.raises(ImageError, match=r"too large to open|pixels, more than"):
            self.load(bomb)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF"])
    def test_a_truncated_picture_is_damaged_and_never_half_shown(self, kind: str) -> None:
        noise = Image.frombytes("RGB", (64, 64), random.Random(5).randbytes(64 * 64 * 3))
        whole = encoded(noise, kind)
        assert self.load(whole).size == (64, 64)
        with pytest.raises(ImageError, match=r"is damaged|is not an image that can be read"):
            self.load(whole[: len(whole) // 2])

    @pytest.mark.parametrize(
        ("content", "guess"),
        [
            (b"", "is empty"),
            (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
            (b"<!DOCTYPE html><title>Log in</title>", "a web page, perhaps a login page"),
            (b"%PDF-1.7", "a PDF"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        ],
    )
    def test_what_is_no_picture_is_called_by_its_name(self, content: bytes, guess: str) -> None:
        with pytest.raises(ImageError, match=guess):
            self.load(content)

    @pytest.mark.filterwarnings(
        "ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning"
    )  # Pillow's remarks on broken TIFF tags
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
    def test_damage_anywhere_gives_a_picture_or_an_image_error(self, kind: str) -> None:
        rng = random.Random(11)
        noise = Image.frombytes("RGB", (24, 24), random.Random(7).randbytes(24 * 24 * 3))
        whole = encoded(noise, kind)
        for _ in range(150):
            broken = bytearray(whole)
            for _ in range(rng.randint(1, 8)):
                broken[rng.randrange(min(len(broken), 200))] = rng.randrange(256)
            try:
                assert self.load(bytes(broken), max_image_pixels=10**6).mode == "RGB"
            except ImageError:
                continue


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("data:image/png;base64,AA", "the data URI data:image/png;base64,AA"),
        ("https://user:pass@host/a.png?X-Amz-Signature=abc", "https://host/a.png?..."),
        ("/data/local-files/?d=a.png", "/data/local-files/?d=a.png"),
        ("s3://bucket/a.png", "s3://bucket/a.png"),
    ],
)
def test_how_addresses_are_named(uri: str, shown: str) -> None:
    assert named(uri) == shown
