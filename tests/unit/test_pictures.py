"""`backend.pictures`: every kind of image file, by its pixels."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from backend import pictures
from backend.errors import ImageError
from backend.pictures import FORMATS
from tests.made_pictures import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    WHITE,
    colours,
    encoded,
    jpeg_without,
    noise,
    png,
    png_chunk,
    tiff,
    turned,
)

GREY = (128, 128, 128)


def decode(content: bytes) -> Image.Image:
    picture = pictures.decode(content, "it", 10**6)
    assert (type(picture), picture.mode) == (Image.Image, "RGB")
    return picture


def row(content: bytes) -> list[tuple[int, ...]]:
    return colours(decode(content))


def close(one: tuple[int, ...], other: tuple[int, ...], by: int) -> bool:
    return all(abs(left - right) <= by for left, right in zip(one, other, strict=True))


class TestFormats:
    @pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
    def test_each_format_that_is_named_can_be_read(self, kind: str) -> None:
        picture = decode(encoded(Image.new("RGB", (40, 30), RED), kind))
        assert picture.size == (40, 30)
        assert close(colours(picture)[600], RED, 3)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
    def test_pixels_come_as_they_were_written(self, kind: str) -> None:
        assert decode(encoded(noise(), kind)).tobytes() == noise().tobytes()

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "it is empty"),
            (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "it is an SVG drawing, which has no"),
            (b"<!DOCTYPE html><svg>Log in</svg>", "it is a web page, perhaps a login page, and no image"),
            (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "it is XML, perhaps an error"),
            (b' {"detail": "Not found."}', "it is JSON, perhaps an error"),
            (b"%PDF-1.7", "it is a PDF and no image"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is an EPS or PostScript file"),
            (encoded(Image.new("RGB", (16, 16)), "EPS"), "it is an EPS or PostScript file"),
            (encoded(Image.new("RGB", (16, 16)), "PDF"), "it is a PDF and no image"),
            (encoded(Image.new("RGB", (16, 16)), "ICO"), "it is an icon file"),
            (b"\0\0\0\x18ftypheic", "it is a HEIC photo"),
            (b"\0\0\0\x18ftypmp42", "it is a video"),
            (b"\x89PNG\r\n\x1a\n", "it is a PNG whose beginning is damaged"),
            (tiff(0, 0, [8], 1, b"\0"), "it is a TIFF that is damaged"),
            (png(0, 0, 8, 2, b""), "it is a PNG whose beginning is damaged"),
            (b"P6 0 0 255\n", "it is not an image that can be read"),
            (b"no picture at all", "it is not an image that can be read"),
        ],
    )
    def test_what_is_no_picture_is_called_by_its_name(self, content: bytes, said: str) -> None:
        with pytest.raises(ImageError) as caught:
            decode(content)
        assert str(caught.value).startswith(said)
        assert str(caught.value).endswith("; use PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF")

    def test_no_program_is_started_for_postscript(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        trace = tmp_path / "ran"
        interpreter = tmp_path / "gs"
        interpreter.write_text(f"#!/bin/sh\ntouch {trace}\n")
        interpreter.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        eps = encoded(Image.new("RGB", (16, 16)), "EPS")
        with pytest.raises(ImageError, match="EPS or PostScript"):
            decode(eps)
        assert not trace.exists()


class TestTransparency:
    """Transparent parts lie on white: alpha a of colour c shows as c * a + 255 * (1 - a)."""

    def test_rgba(self) -> None:
        picture = Image.new("RGBA", (3, 1))
        for x, pixel in enumerate([(255, 0, 0, 0), (255, 0, 0, 255), (255, 0, 0, 128)]):
            picture.putpixel((x, 0), pixel)
        for kind in ("PNG", "TIFF"):
            assert row(encoded(picture, kind)) == [WHITE, RED, (255, 127, 127)]
        assert row(encoded(picture, "WEBP", lossless=True, exact=True)) == [WHITE, RED, (255, 127, 127)]

    def test_grey_with_alpha(self) -> None:
        assert row(encoded(Image.new("LA", (1, 1), (0, 128)))) == [(127, 127, 127)]
        assert row(encoded(Image.new("LA", (1, 1), (0, 128)), "TIFF")) == [(127, 127, 127)]

    def test_palette_with_one_transparent_colour(self) -> None:
        picture = Image.new("P", (2, 1), 0)
        picture.putpalette([*BLUE, *RED])
        picture.putpixel((1, 0), 1)
        for kind in ("PNG", "GIF"):
            assert row(encoded(picture, kind, transparency=0)) == [WHITE, RED]

    def test_palette_with_an_alpha_for_each_colour(self) -> None:
        picture = Image.new("P", (3, 1))
        picture.putpalette([*RED, *GREEN, *BLUE])
        for x in (1, 2):
            picture.putpixel((x, 0), x)
        assert row(encoded(picture, transparency=bytes([0, 128, 255]))) == [WHITE, (127, 255, 127), BLUE]

    def test_colour_key(self) -> None:
        picture = Image.new("RGB", (2, 1), GREEN)
        picture.putpixel((1, 0), RED)
        assert row(encoded(picture, transparency=GREEN)) == [WHITE, RED]
        bilevel = Image.new("1", (2, 1))
        bilevel.putpixel((1, 0), 1)
        assert row(encoded(bilevel)) == [BLACK, WHITE]
        assert row(encoded(bilevel, transparency=0)) == [WHITE, WHITE]

    def test_premultiplied_alpha_of_a_tiff(self) -> None:
        half_red = bytes([128, 0, 0, 128])
        assert row(tiff(1, 1, [8] * 4, 2, half_red, {338: (3, [1])})) == [(255, 127, 127)]
        half_grey = bytes([64, 128])
        [shown] = row(tiff(1, 1, [8, 8], 1, half_grey, {338: (3, [1])}))
        assert close(shown, (191, 191, 191), 1)


class TestDepth:
    def test_sixteen_bit_grey_is_scaled_not_clipped(self) -> None:
        for kind in ("PNG", "TIFF", "JPEG2000"):
            deep = Image.new("I;16", (3, 1))
            for x, value in enumerate((65535, 32896, 1000)):
                deep.putpixel((x, 0), value)
            options = {"irreversible": False} if kind == "JPEG2000" else {}
            assert row(encoded(deep, kind, **options)) == [WHITE, GREY, (4, 4, 4)]

    def test_sixteen_bit_grey_with_a_transparent_value(self) -> None:
        rows = b"\0" + struct.pack(">3H", 1000, 1001, 65535)
        clear = png_chunk(b"tRNS", struct.pack(">H", 1000))
        assert row(png(3, 1, 16, 0, rows, clear)) == [WHITE, (4, 4, 4), WHITE]

    def test_sixteen_bit_colour(self) -> None:
        rgb = b"\0" + struct.pack(">6H", 65535, 0, 0, 0, 32896, 65535)
        assert row(png(2, 1, 16, 2, rgb)) == [RED, (0, 128, 255)]
        clear = png_chunk(b"tRNS", struct.pack(">3H", 65535, 0, 0))
        assert row(png(2, 1, 16, 2, rgb, clear)) == [WHITE, (0, 128, 255)]
        assert row(tiff(1, 1, [16] * 3, 2, struct.pack("<3H", 65535, 32896, 0))) == [(255, 128, 0)]

    def test_sixteen_bits_with_alpha(self) -> None:
        assert row(png(2, 1, 16, 4, b"\0" + struct.pack(">4H", 0, 65535, 0, 0))) == [BLACK, WHITE]
        assert row(png(2, 1, 16, 6, b"\0" + struct.pack(">8H", 65535, 0, 0, 65535, 0, 0, 0, 0))) == [RED, WHITE]

    def test_both_byte_orders_of_a_tiff(self) -> None:
        values = (65535, 32896, 0)
        assert row(tiff(3, 1, [16], 1, struct.pack("<3H", *values))) == [WHITE, GREY, BLACK]
        assert row(tiff(3, 1, [16], 1, struct.pack(">3H", *values), order=">")) == [WHITE, GREY, BLACK]

    def test_a_tiff_whose_zero_is_white(self) -> None:
        assert row(tiff(3, 1, [16], 0, struct.pack("<3H", 65535, 32639, 0))) == [BLACK, GREY, WHITE]
        assert row(tiff(3, 1, [8], 0, bytes([255, 127, 0]))) == [BLACK, GREY, WHITE]

    def test_twelve_bits(self) -> None:
        """4095 is white; 2056 = 0x808 is 2056 / 4095 * 255 = 128.03."""
        assert row(tiff(2, 1, [12], 1, bytes([0xFF, 0xF8, 0x08]))) == [WHITE, GREY]

    def test_grey_maps_of_any_depth(self) -> None:
        assert row(b"P5 2 1 65535\n" + struct.pack(">2H", 65535, 32896)) == [WHITE, GREY]
        assert row(b"P5 2 1 1000\n" + struct.pack(">2H", 1000, 0)) == [WHITE, BLACK]

    def test_few_bits(self) -> None:
        assert row(encoded(Image.new("L", (1, 1), 9))) == [(9, 9, 9)]
        assert row(png(4, 1, 1, 0, b"\0\xa0")) == [WHITE, BLACK, WHITE, BLACK]
        assert row(png(4, 1, 2, 0, b"\0\x1b")) == [BLACK, (85, 85, 85), (170, 170, 170), WHITE]
        bilevel = Image.new("1", (2, 1))
        bilevel.putpixel((1, 0), 1)
        assert row(encoded(bilevel, "TIFF", compression="group4")) == [BLACK, WHITE]

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (encoded(Image.new("F", (1, 1), 0.5), "TIFF"), "floating point"),
            (b"Pf\n1 1\n-1.0\n" + struct.pack("<f", 0.5), "floating point"),
            (tiff(1, 1, [32], 1, struct.pack("<I", 70000)), "signed or 32-bit"),
            (tiff(1, 1, [16], 1, struct.pack("<h", -5), {339: (3, [2])}), "signed or 32-bit"),
        ],
    )
    def test_values_of_unknown_range_are_refused(self, content: bytes, kind: str) -> None:
        with pytest.raises(ImageError) as caught:
            decode(content)
        assert str(caught.value) == (
            f"it holds {kind} values whose range is unknown; export it with 8 or 16 bits a channel"
        )


class TestInks:
    RGB = (200, 60, 20)
    INKS = (55, 195, 235, 0)
    """255 minus each of them, no black."""

    def cmyk(self) -> Image.Image:
        return Image.new("CMYK", (16, 16), self.INKS)

    def test_a_jpeg_holds_its_inks_inverted(self) -> None:
        content = encoded(self.cmyk(), "JPEG", quality=100)
        assert b"Adobe" in content
        assert close(row(content)[0], self.RGB, 2)

    def test_a_jpeg_without_that_mark_is_taken_the_same_way(self) -> None:
        content = jpeg_without(encoded(self.cmyk(), "JPEG", quality=100), 0xEE)
        assert b"Adobe" not in content
        assert close(row(content)[0], self.RGB, 2)

    def test_ycck(self) -> None:
        """Adobe's transform 2: cyan, magenta and yellow are stored as YCbCr, black as it is, all inverted.

        The inks 55, 195, 235, 0 are thus stored as if (55, 195, 235) were a colour; Pillow inverts what it writes, so
        it is given the complement.
        """
        luma, blue, red = Image.new("RGB", (16, 16), self.INKS[:3]).convert("YCbCr").split()
        black = Image.new("L", (16, 16), 255 - self.INKS[3])
        planes = [ImageOps.invert(plane) for plane in (luma, blue, red, black)]
        content = bytearray(encoded(Image.merge("CMYK", planes), "JPEG", quality=100))
        transform = content.index(b"Adobe") + 11
        assert content[transform] == 0
        content[transform] = 2
        assert close(row(bytes(content))[0], self.RGB, 3)

    def test_a_tiff(self) -> None:
        assert row(tiff(1, 1, [8] * 4, 5, bytes(self.INKS))) == [self.RGB]

    def test_lab(self) -> None:
        """L 50 of 100 is a grey of 119 in sRGB."""
        assert row(tiff(1, 1, [8] * 3, 8, bytes([128, 0, 0]))) == [(119, 119, 119)]


class TestOrientation:
    SHOWN = (BLACK, RED, GREEN, BLUE, WHITE, (128, 128, 128))
    """Upright, 3 wide and 2 high."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
    def test_each_of_exif_is_turned_upright(self, orientation: int, kind: str) -> None:
        size = 16
        upright = Image.new("RGB", (3, 2))
        upright.putdata(self.SHOWN)
        upright = upright.resize((3 * size, 2 * size), Image.Resampling.NEAREST)
        # How the camera held it: the inverse of each turn; all but 6 and 8 are their own.
        held = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
        stored = upright if held is None else upright.transpose(Image.Transpose(held))
        options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
        shown = decode(encoded(stored, kind, exif=turned(orientation), **options))
        assert shown.size == (3 * size, 2 * size)
        middles = [shown.getpixel((size * x + size // 2, size * y + size // 2)) for y in (0, 1) for x in (0, 1, 2)]
        assert all(close(is_, was, 4) for is_, was in zip(middles, self.SHOWN, strict=True))  # type: ignore[arg-type]

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
    def test_what_cannot_be_read_turns_nothing(self, kind: str) -> None:
        picture = Image.new("RGB", (8, 4), RED)
        for exif in (b"Exif\0\0garbage!", turned(99).tobytes()):
            assert decode(encoded(picture, kind, exif=exif)).size == (8, 4)


class TestSeveralFrames:
    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
    def test_the_first_is_taken(self, kind: str) -> None:
        frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
        options = {"lossless": True} if kind == "WEBP" else {}
        film = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert getattr(Image.open(io.BytesIO(film)), "n_frames", 1) == 2
        assert close(row(film)[0], RED, 3)

    def test_the_first_of_a_gif_may_cover_a_part(self) -> None:
        """A screen of 2 x 1 and a frame of 1 x 1 at its right: the rest is transparent."""
        frame = b",\1\0\0\0\1\0\1\0\0\2\2\x44\1\0"
        film = b"GIF89a\2\0\1\0\x80\0\0" + bytes(RED + BLUE) + b"!\xf9\4\1\0\0\1\0" + frame + b";"
        assert decode(film).size == (2, 1)
        assert row(film)[1] == RED


class TestHowAnImageIsStored:
    @pytest.mark.parametrize(
        ("kind", "form"),
        [
            ("PNG", ("image/png", ".png")),
            ("JPEG", ("image/jpeg", ".jpg")),
            ("JPEG2000", ("image/jp2", ".jp2")),
            ("TIFF", ("image/tiff", ".tif")),
            ("PPM", ("image/x-portable-anymap", ".ppm")),
        ],
    )
    def test_media_type_and_ending_follow_from_the_bytes(self, kind: str, form: tuple[str, str]) -> None:
        assert pictures.stored_as(encoded(Image.new("RGB", (8, 4), RED), kind)) == form

    def test_what_many_cameras_write_is_called_what_browsers_know_it_by(self) -> None:
        """An MPO is a JPEG with further pictures behind it; no browser knows `image/mpo`."""
        frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
        film = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
        assert Image.open(io.BytesIO(film)).format == "MPO"
        assert pictures.stored_as(film) == ("image/jpeg", ".jpg")

    def test_bytes_that_are_no_image_are_refused(self) -> None:
        with pytest.raises(ImageError, match=r"these bytes are .*; use PNG, JPEG"):
            pictures.stored_as(b"%PDF-1.7")

    def test_a_picture_of_more_pixels_than_may_be_opened_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        with pytest.raises(ImageError, match="more pixels than may be decoded; make it smaller or raise"):
            pictures.stored_as(encoded(Image.new("RGB", (8, 4), RED), "PNG"))
