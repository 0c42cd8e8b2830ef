"""`backend.images` without a network: data URIs, what messages show of an address, and settings that are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from backend.errors import ImageError, SettingsError
from backend.images import ImageLoader, named
from backend.settings import Settings
from tests.made_pictures import RED, colours, data_uri, encoded

PNG = encoded(Image.new("RGB", (6, 4), RED))


def loader(**changes: Any) -> ImageLoader:
    return ImageLoader(Settings(**changes))


class TestDataUris:
    @pytest.mark.parametrize(
        ("uri", "content"),
        [
            (data_uri(PNG), PNG),
            (data_uri(PNG).replace("data:", "DATA:").replace("base64", "BASE64"), PNG),
            (data_uri(PNG).replace("/png", "/png;charset=utf-8"), PNG),
            (data_uri(PNG).replace("+", "%2B").replace("=", "%3D"), PNG),
            (data_uri(PNG)[:40] + "\n " + data_uri(PNG)[40:], PNG),
            ("data:image/x-portable-pixmap,P3%201%201%20255%20255%200%200", b"P3 1 1 255 255 0 0"),
            ("data:,", b""),
            ("data:,\u00fc", b"\xc3\xbc"),
        ],
    )
    def test_base64_and_percent_encoding(self, uri: str, content: bytes) -> None:
        assert loader().read(uri) == content

    def test_they_are_pictures(self) -> None:
        picture = loader().load(data_uri(PNG))
        assert (picture.mode, picture.size, set(colours(picture))) == ("RGB", (6, 4), {RED})

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
            ("data:image/png;base64", "it has no comma, so it holds no data"),
            ("data:image/png;base64,####", "its base64 is damaged (Only base64 data is allowed); encode it anew"),
            ("data:image/png;base64,AAA", "its base64 is damaged (Incorrect padding); encode it anew"),
            ("data:,\ud800", "it holds half a character (a lone surrogate); encode it anew"),
            (data_uri(b"x" * 101), "it holds 101 bytes, more than the 100 allowed"),
            (data_uri(b"x" * 1000), "it holds more than the 100 bytes allowed"),
        ],
    )
    def test_damaged_and_large_ones(self, uri: str, reason: str) -> None:
        with pytest.raises(ImageError) as caught:
            loader(max_image_bytes=100).read(uri)
        assert str(caught.value) == f"cannot fetch {named(uri)}: {reason}"

    def test_they_take_no_room_among_what_was_fetched(self) -> None:
        chosen = loader()
        assert chosen.read(data_uri(PNG)) == PNG
        assert chosen.cached_bytes == 0


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("data:image/png;base64,AA", "the data URI data:image/png;base64,AA"),
        ("DATA:image/png;base64," + "A" * 99, "the data URI DATA:image/png;base64,AAAAAAAA... (121 characters)"),
        ("https://user:pass@host/a.png?X-Amz-Signature=abc", "https://host/a.png?..."),
        ("HTTPS://user:pass@host/a.png", "HTTPS://host/a.png"),
        ("//user:pass@host/a.png", "//host/a.png"),
        ("ftp://user:pass@host/a.png", "ftp://host/a.png"),
        ("s3://key:secret@bucket/a.png", "s3://bucket/a.png"),
        ("s3://bucket/a@b.png", "s3://bucket/a@b.png"),
        ("s3://bucket/a?b#1.png", "s3://bucket/a?b#1.png"),
        ("/data/local-files/?d=a.png", "/data/local-files/?d=a.png"),
        ("/data/local-files/?d=http://x/a@b.png", "/data/local-files/?d=http://x/a@b.png"),
        ("pictures/a.png", "pictures/a.png"),
        ("http://host/\x1b[31m\r\nERROR all is lost", "http://host/?[31m??ERROR all is lost"),
        ("https://host/" + "a" * 400, "https://host/" + "a" * 287 + "..."),
        ("https://host/@me/a.png", "https://host/@me/a.png"),
        ("www.host/a.png?sig=secret", "www.host/a.png?..."),
        ("http:/me:secret@host/a.png", "an address of 26 characters"),
        ("http:\\\\me:secret@host/a.png", "an address of 27 characters"),
        ("http://host/a.png#sig=secret", "http://host/a.png?..."),
        ("http://me:secret/x@host/a.png", "an address of 29 characters"),
        ("http://me:se?cret@host/a.png", "an address of 28 characters"),
        ("b" * 400, "b" * 300 + "..."),
        ("", ""),
    ],
)
def test_how_addresses_are_named(uri: str, shown: str) -> None:
    assert named(uri) == shown


@pytest.mark.parametrize("address", ["localhost:8080", "ftp://labels.example", "http://", "http://[::1", "labels"])
def test_a_label_studio_that_is_no_address(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^LABEL_STUDIO_URL is not an address \(.*\); write it as http://127"):
        loader(label_studio_url=address)


def test_an_image_host_that_is_no_host() -> None:
    with pytest.raises(SettingsError, match=r"^VLM_JUDGE_IMAGE_HOSTS names 'http://files.internal', which is no host"):
        loader(image_hosts=("files.internal", "http://files.internal"))
