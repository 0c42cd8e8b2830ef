"""`backend.pictures` against files made to break or to stall it: a picture or an ImageError, soon, in little memory."""

from __future__ import annotations

import multiprocessing
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from backend import pictures
from backend.errors import ImageError
from backend.pictures import FORMATS
from tests.made_pictures import RED, colours, encoded, noise, png, png_chunk, tiff

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
MAX_PIXELS = 10**6


def refusal(content: bytes, max_pixels: int = MAX_PIXELS) -> str:
    with pytest.raises(ImageError) as caught:
        pictures.decode(content, "it", max_pixels)
    return str(caught.value)


@dataclass(frozen=True)
class Bystander:
    """A process of its own, whose memory shows what decoding takes."""

    process: ProcessPoolExecutor

    def peak_mb(self, content: bytes, max_pixels: int = MAX_PIXELS) -> float:
        """How far its resident memory rises while it decodes."""
        return self.process.submit(_peak_mb, content, max_pixels).result()


@pytest.fixture(scope="module")
def bystander() -> Iterator[Bystander]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        yield Bystander(process)


def _peak_mb(content: bytes, max_pixels: int) -> float:
    def status(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))

    pictures.decode(png(1, 1, 8, 6, b"\0" + bytes(4)), "warm", 1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is forgotten
    before = status("VmRSS")
    with suppress(ImageError):
        pictures.decode(content, "it", max_pixels)
    return (status("VmHWM") - before) / 1024


def flat(kind: str, width: int, height: int) -> bytes:
    return encoded(Image.new("RGB", (width, height)), kind)


def huge_header(kind: str) -> bytes:
    """A tiny file that says it is 60000 pixels high and wide."""
    side = 60_000
    if kind == "PNG":
        return png(side, side, 8, 2, bytes(1000))
    if kind == "GIF":
        return (
            b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6) + b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0;"
        )
    if kind == "TIFF":
        return tiff(side, side, [8, 8, 8], 2, bytes(1000))
    if kind == "PPM":
        return b"P6 60000 60000 255\n" + bytes(1000)
    content = bytearray(flat(kind, 16, 16))
    if kind == "BMP":
        struct.pack_into("<ii", content, 18, side, side)
    elif kind == "JPEG":
        struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, side, side)
    elif kind == "JPEG2000":
        struct.pack_into(">II", content, content.index(b"ihdr") + 4, side, side)
    else:
        struct.pack_into(">II", content, content.index(b"ispe") + 8, side, side)
    return bytes(content)


SIDE = 4_000
BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: png(SIDE, SIDE, 8, 2, bytes(SIDE * (1 + 3 * SIDE))),
    "GIF": lambda: encoded(Image.new("P", (SIDE, SIDE)), "GIF"),
    "TIFF": lambda: encoded(Image.new("RGB", (SIDE, SIDE)), "TIFF", compression="tiff_adobe_deflate"),
    "WEBP": lambda: encoded(Image.new("RGB", (SIDE, SIDE)), "WEBP", quality=1, method=0),
}
"""4000 x 4000 pixels of one colour: 64 MB decoded, a hundredth of that or less as a file."""


class TestSize:
    def test_more_pixels_than_allowed_are_refused_before_decoding(self) -> None:
        said = refusal(flat("PNG", 6, 4), 23)
        assert said == (
            "it has 6 x 4 = 24 pixels, more than the 23 allowed; make it smaller or raise VLM_JUDGE_MAX_IMAGE_PIXELS"
        )
        assert pictures.decode(flat("PNG", 6, 4), "it", 24).size == (6, 4)

    @pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "PPM", "BMP", "JPEG", "JPEG2000", "AVIF"])
    def test_a_header_that_promises_billions_is_refused_at_once(self, kind: str) -> None:
        said = "it has more than the 100000000 pixels allowed; make it smaller or raise VLM_JUDGE_MAX_IMAGE_PIXELS"
        if kind == "AVIF":  # whose decoder has a limit of its own
            said = "it is an AVIF that is damaged; use PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
        began = time.monotonic()
        assert refusal(huge_header(kind), 100_000_000) == said
        assert time.monotonic() - began < 1

    def test_a_limit_beyond_pillows_own_is_obeyed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        assert pictures.decode(flat("PNG", 10, 10), "it", 100).size == (10, 10)
        assert "pixels allowed; make it smaller" in refusal(flat("PNG", 20, 20), 100)

    @pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "WEBP"])
    def test_files_that_blow_up_are_refused_without_the_memory(self, kind: str, bystander: Bystander) -> None:
        bomb = BOMBS[kind]()
        assert len(bomb) < 640_000
        assert "16000000 pixels, more than the 15000000 allowed" in refusal(bomb, 15_000_000)
        assert bystander.peak_mb(bomb, 15_000_000) < 20
        assert bystander.peak_mb(bomb, 16_000_000) > 60

    def test_a_frame_larger_than_its_screen_counts(self) -> None:
        film = b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\2\2\x44\1\0;"
        assert "more than the 1000000 pixels allowed" in refusal(film)

    def test_a_large_tile_in_a_small_picture_is_refused(self) -> None:
        packed = zlib.compress(bytes(1000))
        content = tiff(1, 1, [8] * 3, 2, packed, {259: (3, [8])}, tile=16384)
        assert refusal(content) == (
            "it has tiles of 16384 x 16384 pixels, more than the 1000000 allowed; save it with smaller ones"
        )
        tiled = tiff(1, 1, [8] * 3, 2, bytes(RED) + bytes(16 * 16 * 3 - 3), tile=16)
        assert colours(pictures.decode(tiled, "it", MAX_PIXELS)) == [RED]

    @pytest.mark.parametrize("chunk", [b"zTXt", b"iTXt", b"iCCP"])
    def test_compressed_remarks_do_not_blow_up(self, chunk: bytes, bystander: Bystander) -> None:
        packed = zlib.compress(bytes(100_000_000))
        start = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[chunk]
        content = png(1, 1, 8, 2, b"\0" + bytes(RED), png_chunk(chunk, start + packed))
        assert bystander.peak_mb(content) < 20

    def test_more_data_than_pixels_are_left_alone(self, bystander: Bystander) -> None:
        content = png(1, 1, 8, 2, b"\0" + bytes(RED) + bytes(100_000_000))
        assert colours(pictures.decode(content, "it", MAX_PIXELS)) == [RED]
        assert bystander.peak_mb(content) < 20

    def test_large_pictures_are_decoded_one_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pictures, "LARGE_PIXELS", 100)
        small, large = flat("PNG", 10, 10), flat("PNG", 10, 11)
        done: list[tuple[int, int]] = []
        with pictures._LARGE:
            thread = threading.Thread(target=lambda: done.append(pictures.decode(large, "it", MAX_PIXELS).size))
            thread.start()
            assert pictures.decode(small, "it", MAX_PIXELS).size == (10, 10)
            thread.join(0.2)
            assert (thread.is_alive(), done) == (True, [])
        thread.join(5)
        assert done == [(10, 11)]


class TestTime:
    def test_a_jpeg_of_very_many_scans(self) -> None:
        content = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
        scans = [at for at in range(len(content)) if content.startswith(b"\xff\xda", at)]
        assert 2 < len(scans) < 20
        more = content[scans[-1] : -2] * 100
        assert refusal(content[:-2] + more + content[-2:]) == (
            "it is a JPEG of more than 100 scans, made to keep us busy; save it anew"
        )
        assert pictures.decode(content, "it", MAX_PIXELS).size == (64, 64)

    def test_what_is_unpacked_slowly_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pictures, "MAX_SLOW_PIXELS", 100)
        runs = b"\x0a\0\0\0" * 10 + b"\0\1"
        header = struct.pack("<IiiHHIIiiII", 40, 10, 10, 1, 8, 1, len(runs), 0, 0, 256, 0)
        bitmap = b"BM" + struct.pack("<IHHI", 1078 + len(runs), 0, 0, 1078) + header + bytes(1024) + runs
        for content in (b"P2 10 10 255\n" + b"7 " * 100, b"P5 10 10 254\n" + bytes(100), bitmap):
            assert pictures.decode(content, "it", MAX_PIXELS).size == (10, 10)
        wider = bitmap[:18] + struct.pack("<i", 11) + bitmap[22:]
        for content in (b"P2 10 11 255\n" + b"7 " * 110, b"P5 10 11 254\n" + bytes(110), wider):
            assert refusal(content) == (
                "it is packed in a way that takes too long to unpack for more than 100 pixels; save it as PNG"
            )
        assert pictures.decode(b"P5 10 11 255\n" + bytes(110), "it", MAX_PIXELS).size == (10, 11)


SEEDS = {
    **{kind: encoded(noise(size=64), kind) for kind in FORMATS},
    "MPO": encoded(noise(size=64), "MPO", save_all=True, append_images=[noise(size=64, seed=6)]),
    "progressive": encoded(noise(size=64), "JPEG", progressive=True),
    "inks": encoded(noise("CMYK", 64), "JPEG"),
    "palette": encoded(noise(size=64).quantize(16), transparency=bytes([0, 100])),
    "deep": encoded(noise("I;16", 64), transparency=3),
    "alpha": encoded(noise("RGBA", 64)),
    "animated PNG": encoded(noise(size=64), "PNG", save_all=True, append_images=[noise(size=64, seed=6)]),
    "animated WebP": encoded(noise(size=64), "WEBP", save_all=True, append_images=[noise(size=64, seed=6)]),
    "LZW": encoded(noise(size=64), "TIFF", compression="tiff_lzw"),
    "JPEG in TIFF": encoded(noise(size=64), "TIFF", compression="jpeg"),
    "bare JPEG 2000": encoded(noise("RGBA", 64), "JPEG2000", no_jp2=True, irreversible=True),
}


class TestDamage:
    @pytest.mark.parametrize("kind", [name for name in SEEDS if name != "MPO"])
    def test_half_a_file_is_damaged_and_never_half_shown(self, kind: str) -> None:
        whole = SEEDS[kind]
        assert pictures.decode(whole, "it", MAX_PIXELS).size == (64, 64)
        said = refusal(whole[: len(whole) // 2])
        assert said.startswith("it is ")
        assert said.endswith(("; export it anew", "; use PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"))

    @pytest.mark.parametrize("kind", SEEDS)
    def test_cut_off_anywhere_it_is_whole_or_damaged(self, kind: str) -> None:
        whole = SEEDS[kind]
        for end in range(0, len(whole), max(1, len(whole) // 40)):
            outcome(whole[:end])

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    @pytest.mark.parametrize("kind", SEEDS)
    def test_damage_anywhere_gives_a_picture_or_an_image_error(self, kind: str, data: st.DataObject) -> None:
        broken = bytearray(SEEDS[kind])
        header = st.integers(0, min(300, len(broken) - 1))
        anywhere = st.integers(0, len(broken) - 1)
        for at in data.draw(st.lists(st.one_of(header, anywhere), min_size=1, max_size=8)):
            broken[at] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(broken)))
        del broken[cut : cut + data.draw(st.integers(0, 8))]
        outcome(bytes(broken))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=300), st.sampled_from(sorted(SEEDS)))
    def test_any_bytes_behind_a_good_beginning(self, behind: bytes, kind: str) -> None:
        outcome(SEEDS[kind][:40] + behind)


def outcome(content: bytes) -> None:
    """A whole picture within the limits, or an ImageError; anything else fails the test."""
    with suppress(ImageError):
        picture = pictures.decode(content, "it", MAX_PIXELS)
        assert picture.mode == "RGB"
        assert 0 < picture.width * picture.height <= MAX_PIXELS
        assert len(picture.tobytes()) == 3 * picture.width * picture.height


def test_threads_decode_side_by_side() -> None:
    """Nothing is shared but the gate for large ones: eight threads, each its own pictures."""
    made = [noise(size=32, seed=seed) for seed in range(64)]
    files = [encoded(picture, ("PNG", "TIFF", "BMP")[number % 3]) for number, picture in enumerate(made)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda content: pictures.decode(content, "it", MAX_PIXELS).tobytes(), files))
    assert found == [picture.tobytes() for picture in made]
