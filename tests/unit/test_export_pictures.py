"""Images on their way into the dataset: read ahead in order, kept, cleaned of places, encoded anew on request."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.errors import ExportError, ImageAway, ImageError
from backend.images import ImageLoader
from backend.settings import Settings
from exporters.images.encoding import Encoding
from exporters.images.kept import KeptImages
from exporters.images.pictures import AHEAD, AS_THEY_ARE, THREADS, PictureCounts, PictureOptions, PictureReader
from exporters.records.consolidate import Outcome
from exporters.records.record import LeftOut, Record
from exporters.schema.features import Picture
from tests.datasets_made import unseen
from tests.made_pictures import data_uri, encoded, noise


def record(task: int, *uris: str | None) -> Record:
    return unseen(task, {"image": uris})


class Server:
    """Gives pictures by address, and counts who asks."""

    def __init__(self, wait_s: Callable[[str], float] = lambda uri: 0.0) -> None:
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self._wait_s = wait_s
        self._loader = ImageLoader(Settings())
        self._lock = threading.Lock()

    def read(self, uri: str, task: str | None = None) -> bytes:
        with self._lock:
            self.asked[uri] += 1
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
        time.sleep(self._wait_s(uri))
        with self._lock:
            self.at_once -= 1
        if "broken" in uri:
            raise ImageAway(f"cannot fetch {uri}: HTTP 503")
        return content_of(uri)

    def decode(self, content: bytes, name: str) -> object:
        return self._loader.decode(content, name)


def content_of(uri: str) -> bytes:
    return encoded(Image.new("RGB", (5, 4), (sum(uri.encode()) % 256, len(uri), 9)))


def picture(content: bytes, options: PictureOptions = AS_THEY_ARE) -> tuple[Picture, PictureCounts]:
    reader = PictureReader(ImageLoader(Settings()), allow_missing=False, options=options)
    [(_, found)] = reader.read_all([(record(1, data_uri(content)),)])
    [only] = found["image"]
    assert only is not None
    return only, reader.counts


def test_images_are_read_by_several_threads_and_come_in_order() -> None:
    server = Server(lambda uri: 0.03 if uri.endswith("0") else 0.005)
    outcomes: list[Outcome] = [(record(number, f"http://a/{number}"),) for number in range(60)]
    outcomes[7] = LeftOut(7, "skipped")
    outcomes[9] = (record(9, "http://a/9"), record(9, "http://a/9"))
    released: list[int] = []
    reader = PictureReader(server, allow_missing=False, release=released.append)
    found = list(reader.read_all(outcomes))
    assert [outcome for outcome, _ in found] == outcomes
    assert found[7][1] == {}
    for number, (_, pictures) in enumerate(found):
        if number != 7:
            [only] = pictures["image"]
            assert only is not None
            assert only.data == content_of(f"http://a/{number}")
    assert released == list(range(60))
    assert 2 <= server.most_at_once <= THREADS
    assert reader.counts == PictureCounts(60, 0, 0), "59 tasks, one of which has two rows"


def test_no_more_is_read_ahead_than_is_needed() -> None:
    taken: list[int] = []

    def outcomes() -> Iterator[Outcome]:
        for number in range(10_000):
            taken.append(number)
            yield (record(number, "http://a/1"),)

    reading = PictureReader(Server(), allow_missing=False).read_all(outcomes())
    for _ in range(5):
        next(reading)
    assert len(taken) == AHEAD + 5
    reading.close()


def test_images_wait_within_their_bytes_where_tasks_have_many() -> None:
    """10 images of 1 MiB a task: 4 tasks are 40 images, more than 32; all 8 would be 80 MiB, more than 64."""
    large = encoded(noise(size=592))
    assert 1.0 <= len(large) / 2**20 < 1.1

    class Large(Server):
        def read(self, uri: str, task: str | None = None) -> bytes:
            return large + uri.encode()

    taken: list[int] = []

    def outcomes() -> Iterator[Outcome]:
        for number in range(8):
            taken.append(number)
            yield (record(number, *(f"{number}-{each}" for each in range(10))),)

    waiting = []
    for given, (_, pictures) in enumerate(PictureReader(Large(), allow_missing=False).read_all(outcomes())):
        assert [one and len(one.data) for one in pictures["image"]] == [len(large) + 3] * 10
        waiting.append(len(taken) - given)
    assert waiting == [4, 4, 4, 4, 4, 3, 2, 1]


def test_the_same_content_is_decoded_once() -> None:
    decoded: list[bytes] = []

    class Watched(Server):
        def decode(self, content: bytes, name: str) -> object:
            decoded.append(content)
            return super().decode(content, name)

    reader = PictureReader(Watched(), allow_missing=False)
    list(reader.read_all([(record(0, "http://a/0"),)]))
    list(reader.read_all([(record(number, "http://a/0"),) for number in range(50)]))
    assert len(decoded) == 1


def test_failures_are_named_in_the_order_of_tasks() -> None:
    reader = PictureReader(Server(lambda uri: 0.02 if uri.endswith("3") else 0.0), allow_missing=False)
    list(reader.read_all([(record(number, f"http://a/broken-{number}", None),) for number in (3, 4)]))
    assert reader.missing == (3, 4)
    with pytest.raises(ExportError, match=r"(?s)^2 tasks have .* task 3: `image`: cannot fetch .* task 4: "):
        reader.check()


def test_what_could_not_be_read_is_missing_for_good() -> None:
    """Splits are made after the first pass; an image that is there in the second only would be in one by itself."""
    server = Server()
    contents = {"http://a/1": "http://a/broken", "http://a/2": "http://a/2"}

    class Moody(Server):
        def read(self, uri: str, task: str | None = None) -> bytes:
            return server.read(contents[uri], task)

    reader = PictureReader(Moody(), allow_missing=True)
    outcomes = [(record(number, f"http://a/{number}"),) for number in (1, 2)]
    first = [found["image"] for _, found in reader.read_all(outcomes)]
    contents["http://a/1"] = "http://a/1"
    again = [found["image"] for _, found in reader.read_all(outcomes)]
    assert [found == (None,) for found in first] == [True, False]
    assert (again, reader.missing) == (first, (1,))
    assert (server.asked["http://a/broken"], server.asked["http://a/1"], server.asked["http://a/2"]) == (1, 0, 2)


def test_what_was_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    first, second = Server(), Server()
    uris = ["http://a/1", "https://b/2", "/data/upload/1/x.png"]
    contents = [KeptImages(first, tmp_path / "kept").read(uri, "1") for uri in uris]
    assert [KeptImages(second, tmp_path / "kept").read(uri, "2") for uri in uris] == contents
    assert (sorted(first.asked), second.asked) == (sorted(uris), Counter())
    name = hashlib.sha256(b"\nhttp://a/1").hexdigest()
    assert (tmp_path / "kept" / name[:2] / name).read_bytes() == content_of("http://a/1")
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700


def test_a_file_of_cloud_storage_is_kept_for_its_task_only(tmp_path: Path) -> None:
    server = Server()
    images = KeptImages(server, tmp_path)
    for task in ("1", "2", "1"):
        images.read("s3://bucket/a.png", task)
    assert server.asked["s3://bucket/a.png"] == 2


@pytest.mark.parametrize(
    ("uri", "fetched"), [("/data/upload/1/a.png", 2), ("s3://bucket/a.png", 2), ("https://a.org/a.png", 1)]
)
def test_what_a_server_tells_is_kept_for_that_server(tmp_path: Path, uri: str, fetched: int) -> None:
    server = Server()
    for address in ("http://one:8080", "http://two:8080", "http://one:8080/"):
        KeptImages(server, tmp_path, address).read(uri, "1")
    assert server.asked[uri] == fetched


@pytest.mark.parametrize("uri", ["data:image/png;base64,AAAA", "held:image"])
def test_what_is_no_address_is_not_kept(tmp_path: Path, uri: str) -> None:
    server = Server()
    images = KeptImages(server, tmp_path)
    images.read(uri, "1")
    images.read(uri, "1")
    assert (server.asked[uri], list(tmp_path.iterdir())) == (2, [])


def test_failures_are_not_kept_and_half_files_are_none(tmp_path: Path) -> None:
    images = KeptImages(Server(), tmp_path)
    with pytest.raises(ImageError, match="503"):
        images.read("http://a/broken", "1")
    assert list(tmp_path.rglob("*")) == []


def test_a_full_disk_is_no_reason_to_stop(tmp_path: Path) -> None:
    server = Server()
    images = KeptImages(server, tmp_path, min_free_bytes=2**62)
    assert images.read("http://a/1", "1") == images.read("http://a/1", "1") == content_of("http://a/1")
    assert (server.asked["http://a/1"], list(tmp_path.iterdir())) == (2, [])


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"^cannot keep images in .*file/kept .*; name another --cache folder$"):
        KeptImages(Server(), tmp_path / "file" / "kept")


def placed(kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 1.5)})
    return encoded(noise(), kind, exif=exif)


def gps(content: bytes) -> dict[int, Any]:
    return dict(Image.open(io.BytesIO(content)).getexif().get_ifd(0x8825))


def test_the_place_is_taken_out_unless_it_is_kept() -> None:
    content = placed()
    found, counts = picture(content)
    assert (gps(content)[1], gps(found.data), counts) == ("N", {}, PictureCounts(1, 1, 0))
    assert found.sha256 == found.identity == hashlib.sha256(found.data).hexdigest()
    assert found.name == f"{found.sha256[:16]}.jpeg"
    kept, counts = picture(content, PictureOptions(keep_location=True))
    assert (kept.data, kept.sha256, counts) == (content, hashlib.sha256(content).hexdigest(), PictureCounts(1, 0, 0))
    assert kept.identity == found.identity, "the same split, whatever is kept"


def test_a_place_that_cannot_be_overwritten_costs_the_encoding_but_no_pixel() -> None:
    """EXIF that goes on in a second segment: its first one is cut off in the middle of the GPS part."""
    content = placed()
    at = content.index(b"\xff\xe1")
    size = int.from_bytes(content[at + 2 : at + 4], "big")
    exif = content[at + 10 : at + 2 + size]
    split = exif.index((52).to_bytes(4, "big")) - 30
    parts = [
        b"\xff\xe1" + (len(part) + 8).to_bytes(2, "big") + b"Exif\0\0" + part for part in (exif[:split], exif[split:])
    ]
    in_two = content[:at] + b"".join(parts) + content[at + 2 + size :]
    assert gps(in_two), "Pillow puts them together again"
    found, counts = picture(in_two)
    assert gps(found.data) == {}
    assert Image.open(io.BytesIO(found.data)).tobytes() == Image.open(io.BytesIO(content)).tobytes()
    assert counts.without_place == 1


def test_images_stay_what_they_are_when_nothing_is_asked() -> None:
    content = encoded(noise(), "BMP")
    found, counts = picture(content)
    assert (found.data, found.name[-4:], counts) == (content, ".bmp", PictureCounts(1, 0, 0))


@pytest.mark.parametrize(
    ("kind", "encoding", "expected", "size", "is_new"),
    [
        ("PNG", Encoding("jpeg"), "JPEG", (24, 24), True),
        ("PNG", Encoding("webp", 50), "WEBP", (24, 24), True),
        ("JPEG", Encoding("jpeg"), "JPEG", (24, 24), False),
        ("JPEG", Encoding("jpeg", 50), "JPEG", (24, 24), True),
        ("JPEG", Encoding("png"), "PNG", (24, 24), True),
        ("BMP", Encoding(max_pixels=576), "BMP", (24, 24), False),
        ("BMP", Encoding(max_pixels=144), "PNG", (12, 12), True),
        ("JPEG", Encoding(max_pixels=144), "JPEG", (12, 12), True),
        ("JPEG", Encoding("webp", max_pixels=100), "WEBP", (10, 10), True),
    ],
)
def test_images_are_encoded_anew_on_request(
    kind: str, encoding: Encoding, expected: str, size: tuple[int, int], is_new: bool
) -> None:
    content = encoded(noise(), kind)
    found, counts = picture(content, PictureOptions(encoding=encoding))
    with Image.open(io.BytesIO(found.data)) as image:
        assert (image.format, image.size) == (expected, size)
    assert (found.data != content, counts) == (is_new, PictureCounts(1, 0, int(is_new)))
    assert found.identity == hashlib.sha256(content).hexdigest(), "the same split as without"


def test_a_lower_quality_takes_less() -> None:
    sizes = [
        len(picture(encoded(noise(size=64)), PictureOptions(encoding=Encoding("jpeg", q)))[0].data) for q in (20, 90)
    ]
    assert sizes[0] < sizes[1] / 2


def test_an_image_that_is_encoded_anew_tells_no_place() -> None:
    found, counts = picture(placed(), PictureOptions(encoding=Encoding("webp")))
    assert (gps(found.data), counts) == ({}, PictureCounts(1, 1, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 50}, "--image-quality is for images that are encoded anew: add --image-format jpeg or webp"),
        ({"format": "png", "quality": 50}, "--image-quality is for images that are encoded anew"),
        ({"format": "jpeg", "quality": 0}, "--image-quality 0 is none; give a number from 1 to 100"),
        ({"max_pixels": 0}, "--max-pixels 0 leaves no image; give a positive number"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=f"^{message}"):
        Encoding(**options)
