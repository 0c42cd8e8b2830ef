"""Whose credentials go where when `backend.images` reads what lies on a Label Studio or in its storages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr

from backend.errors import ImageAway, ImageError
from tests.contract.picture_server import PictureServer, loader, serving
from tests.made_pictures import RED, encoded

TOKEN = "0123456789abcdef0123456789abcdef01234567"
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


class TestLabelStudio:
    def key(self, server: PictureServer, **more: object) -> dict[str, Any]:
        return {"label_studio_url": server.url, "label_studio_api_key": SecretStr(TOKEN), "image_hosts": (), **more}

    def test_its_files_are_read_with_the_key_though_it_is_private(self, server: PictureServer) -> None:
        chosen = loader(**self.key(server))
        uris = {
            "/data/upload/1/a.png": "/data/upload/1/a.png",
            "/data/local-files/?d=a/b c.png": "/data/local-files/?d=a/b%20c.png",
            f"{server.url}/data/local-files/?d=x": "/data/local-files/?d=x",
            "/storage-data/uploaded/?filepath=a": "/storage-data/uploaded/?filepath=a",
            "/tasks/7/resolve/?fileuri=czM6Ly9h": "/tasks/7/resolve/?fileuri=czM6Ly9h",
            "/projects/7/presign/?fileuri=czM6Ly9h": "/projects/7/presign/?fileuri=czM6Ly9h",
        }
        for uri, asked in uris.items():
            server.body(asked.partition("?")[0], PNG)
            assert chosen.read(uri) == PNG
            assert server.seen[-1] == (asked, f"Token {TOKEN}")

    def test_nothing_but_its_files_is_asked_for_with_the_key(self, server: PictureServer) -> None:
        chosen = loader(**self.key(server))
        for path in (
            "/api/current-user/token",
            "/user/account/",
            "/data/../api/tasks/1",
            "/data/%2e%2e/api/tasks/1",
            "/data/upload/%2E%2E/%2e./api/tasks/1",
            "/database/x",
            "/\\evil.example/x",
        ):
            with pytest.raises(ImageError):
                chosen.read(path)
            assert server.seen[-1][1] is None

    def test_its_neighbours_are_private(self, server: PictureServer, other: PictureServer) -> None:
        said = refusal(other.body("/a", PNG), **self.key(server))
        assert said == (
            f"cannot fetch {other.url}/a: where it lies is the private address 127.0.0.2, which tasks may not reach; "
            "if images are meant to come from there, add 127.0.0.2 to VLM_JUDGE_IMAGE_HOSTS"
        )

    def test_the_key_does_not_travel_with_a_redirect(self, server: PictureServer, other: PictureServer) -> None:
        other.body("/bucket/a.png", PNG)
        other.redirect("/back", f"{server.url}/data/upload/1/b.png")
        server.body("/data/upload/1/b.png", PNG)
        server.redirect("/data/upload/1/a.png", f"{other.url}/bucket/a.png")
        chosen = loader(**self.key(server, image_hosts=("127.0.0.2",)))
        assert chosen.read("/data/upload/1/a.png") == PNG
        assert chosen.read(f"{other.url}/back") == PNG
        assert other.seen == [("/bucket/a.png", None), ("/back", None)]
        assert server.seen == [("/data/upload/1/a.png", f"Token {TOKEN}"), ("/data/upload/1/b.png", f"Token {TOKEN}")]

    def test_the_same_host_on_another_port_is_not_label_studio(self, server: PictureServer) -> None:
        with serving() as neighbour:
            neighbour.body("/data/upload/1/a.png", PNG)
            chosen = loader(**self.key(server, image_hosts=("127.0.0.1",)))
            assert chosen.read(f"{neighbour.url}/data/upload/1/a.png") == PNG
            assert neighbour.seen == [("/data/upload/1/a.png", None)]

    def test_two_slashes_are_another_host(self, server: PictureServer, other: PictureServer) -> None:
        said = refusal(f"//127.0.0.2:{other.port}/data/a", **self.key(server))
        assert "is the private address 127.0.0.2" in said
        assert other.seen == []

    def test_a_path_prefix_is_kept(self, server: PictureServer) -> None:
        server.body("/labels/data/upload/a.png", PNG)
        chosen = loader(**self.key(server, label_studio_url=f"{server.url}/labels/"))
        assert chosen.read("/data/upload/a.png") == PNG
        assert chosen.read("/labels/data/upload/a.png") == PNG
        assert server.seen == [("/labels/data/upload/a.png", f"Token {TOKEN}")] * 2

    def test_refusals_say_what_to_set(self, server: PictureServer, other: PictureServer) -> None:
        assert refusal("/data/upload/a.png").endswith(
            "/data/upload/a.png: it lies on a Label Studio; set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to say on "
            "which"
        )
        server.body("/data/upload/a.png", b"", 401)
        assert refusal("/data/upload/a.png", label_studio_url=server.url).endswith(
            f"{server.url} does not let us have it (status 401); set LABEL_STUDIO_API_KEY"
        )
        server.body("/data/upload/gone.png", b"", 500)
        assert refusal("/data/upload/gone.png", **self.key(server)).endswith(
            f"{server.url} answered with status 500; it may have been deleted there"
        )
        public = other.body("/data/upload/a.png", b"", 401)
        assert refusal(public, **self.key(server, image_hosts=("127.0.0.2",))).endswith(
            f"{other.url} does not let us have it (status 401); if {other.url} is your Label Studio, set "
            "LABEL_STUDIO_URL to that: its key goes nowhere else"
        )


@pytest.mark.parametrize(
    ("uri", "encoded_uri"),
    [
        ("s3://bucket/a b/\u00fc.png", "czM6Ly9idWNrZXQvYSBiL8O8LnBuZw=="),
        ("gs://bucket/a.png", "Z3M6Ly9idWNrZXQvYS5wbmc="),
        ("azure-blob://box/a.png", "YXp1cmUtYmxvYjovL2JveC9hLnBuZw=="),
    ],
)
class TestCloudStorage:
    """A server that speaks Label Studio's route `/tasks/<id>/resolve/?fileuri=<base64>`."""

    def settings(self, server: PictureServer, *hosts: str) -> dict[str, Any]:
        key = SecretStr(TOKEN)
        return {"label_studio_url": server.url, "label_studio_api_key": key, "image_hosts": hosts}

    def test_presigned(self, server: PictureServer, other: PictureServer, uri: str, encoded_uri: str) -> None:
        """With presigning the route leads to the cloud, which must not see our key."""
        other.body("/bucket/a.png", PNG)
        server.redirect("/tasks/7/resolve/", f"{other.url}/bucket/a.png?Signature=secret", 303)
        assert loader(**self.settings(server, "127.0.0.2")).read(uri, "7") == PNG
        assert server.seen == [(f"/tasks/7/resolve/?fileuri={encoded_uri}", f"Token {TOKEN}")]
        assert other.seen == [("/bucket/a.png?Signature=secret", None)]

    def test_passed_on(self, server: PictureServer, uri: str, encoded_uri: str) -> None:
        """Without presigning Label Studio sends the bytes itself."""
        server.body("/tasks/7/resolve/", PNG, Content_Type="image/png")
        assert loader(**self.settings(server)).read(uri, "7") == PNG
        assert server.seen == [(f"/tasks/7/resolve/?fileuri={encoded_uri}", f"Token {TOKEN}")]

    def test_a_store_on_a_private_network_must_be_named(
        self, server: PictureServer, other: PictureServer, uri: str, encoded_uri: str
    ) -> None:
        server.redirect("/tasks/7/resolve/", f"{other.url}/bucket/a.png?Signature=secret", 303)
        assert refusal(uri, "7", **self.settings(server)) == (
            f"cannot fetch {uri}: where it lies is the private address 127.0.0.2, which tasks may not reach; "
            "if images are meant to come from there, add 127.0.0.2 to VLM_JUDGE_IMAGE_HOSTS"
        )
        assert other.seen == []

    def test_refusals_say_where_to_look(
        self, server: PictureServer, other: PictureServer, uri: str, encoded_uri: str
    ) -> None:
        for status, advice in {
            403: "does not let us have it (status 403); the API key's user may not see this task",
            404: "does not have it (status 404); connect a storage of this bucket to the task's project",
            424: "answered with status 424; Label Studio itself cannot read it from the bucket: see whether it is "
            "there, and the storage's keys",
        }.items():
            server.body("/tasks/7/resolve/", b"", status)
            assert refusal(uri, "7", **self.settings(server)) == f"cannot fetch {uri}: {server.url} {advice}"
        server.redirect("/tasks/7/resolve/", other.body("/bucket/a.png", b"", 403), 303)
        assert refusal(uri, "7", **self.settings(server, "127.0.0.2")) == (
            f"cannot fetch {uri}: {other.url} does not let us have it (status 403); see whether the storage's keys "
            "may read it, and whether it is there"
        )

    def test_the_task_must_be_known(self, server: PictureServer, uri: str, encoded_uri: str) -> None:
        for task in (None, "without id", "7/../8", "\u0667"):
            assert refusal(uri, task, **self.settings(server)) == (
                f"cannot fetch {uri}: cloud storage is read by way of its task, which is not known here; give a web "
                "address"
            )
        assert server.seen == []

    def test_each_task_asks_for_itself(self, server: PictureServer, uri: str, encoded_uri: str) -> None:
        """One project may open a bucket that another may not."""
        server.body("/tasks/7/resolve/", PNG)
        server.body("/tasks/8/resolve/", b"", 403)
        chosen = loader(**self.settings(server))
        assert [chosen.read(uri, "7") for _ in range(2)] == [PNG, PNG]
        with pytest.raises(ImageError, match="status 403"):
            chosen.read(uri, "8")
        assert [path.partition("?")[0] for path in server.paths] == ["/tasks/7/resolve/", "/tasks/8/resolve/"]


def test_an_image_may_come_back_while_the_label_studio_that_gives_the_token_is_away() -> None:
    import jwt

    token = jwt.encode({"token_type": "refresh", "exp": 8_000_000_000}, "k" * 32, algorithm="HS256")
    away = loader(label_studio_url="http://127.0.0.1:9", label_studio_api_key=SecretStr(token))
    with pytest.raises(ImageAway, match="nothing answers at"):
        away.read("/data/upload/1/a.png")
