"""Draws the pictures of the sample tasks in backend/interfaces/samples: `python -m tests.sample_pictures`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FOLDER = Path(__file__).parents[1] / "backend" / "interfaces" / "samples" / "pictures"
SIZE = (480, 360)
PAGE = (560, 640)
FINE = 3
"""Scenes are drawn so many times larger and shrunk, which makes their edges smooth."""
COLOURS = 40

Point = tuple[float, float]

RECEIPT = (
    "GREENHILL GROCERS",
    "14 Mill Lane, Ashford",
    "12 March 2025  17:42",
    "",
    "Bread, wholegrain     3.20",
    "Apples 1.4 kg         4.06",
    "Olive oil 0.5 l       8.90",
    "Tea, 40 bags          2.75",
    "",
    "TOTAL                18.91",
    "PAID BY CARD         18.91",
    "Thank you, come again",
)
LETTER_1 = (
    "Harbour Museum",
    "Quay Street 3",
    "",
    "Dear members,",
    "",
    "The museum opens its new wing on",
    "Saturday, 7 June, at ten o'clock.",
    "It shows forty model ships, two of",
    "them never seen before, and the logbook",
    "of the whaler Aurora from 1871.",
    "",
    "Entrance is free for members all week.",
    "Please turn over.",
)
LETTER_2 = (
    "Guided tours start at 11:00 and 15:00",
    "and take fifty minutes. Children build",
    "a paper boat in the workshop upstairs.",
    "",
    "We look forward to seeing you.",
    "",
    "Ida Lindqvist, director",
)
NOTICE = (
    "POOL CLOSED",
    "from 3 to 14 November",
    "",
    "The tiles of the large pool are being",
    "replaced. The small pool stays open on",
    "weekdays from 7:00 to 12:30.",
    "",
    "Season tickets are extended by two weeks.",
    "Questions: desk, telephone 0471 2206",
)


@dataclass(frozen=True, slots=True)
class Season:
    """How the house looks at one time of the year."""

    sky: str
    ground: str
    leaves: str | None
    """None for a bare tree."""
    roof: str = "#8d3b2f"


SUMMER = Season("#bfe3f5", "#8fbf6a", "#3f8f4a")
AUTUMN = Season("#e3ddd0", "#b3a45c", "#d07a2a")
WINTER = Season("#d5dde6", "#f4f6f8", None, roof="#f4f6f8")


class Scene:
    """A picture being drawn, in the units of its final size."""

    def __init__(self, background: str) -> None:
        self._image = Image.new("RGB", (SIZE[0] * FINE, SIZE[1] * FINE), background)
        self._draw = ImageDraw.Draw(self._image)

    def box(self, x: float, y: float, width: float, height: float, colour: str, radius: float = 0) -> None:
        self._draw.rounded_rectangle(
            (x * FINE, y * FINE, (x + width) * FINE, (y + height) * FINE), radius * FINE, fill=colour
        )

    def disc(self, x: float, y: float, radius: float, colour: str, squeeze: float = 1.0) -> None:
        """A disc around a point; `squeeze` is its height by its width."""
        across, down = radius * FINE, radius * squeeze * FINE
        self._draw.ellipse((x * FINE - across, y * FINE - down, x * FINE + across, y * FINE + down), fill=colour)

    def shape(self, colour: str, *corners: Point) -> None:
        self._draw.polygon([(x * FINE, y * FINE) for x, y in corners], fill=colour)

    def line(self, colour: str, width: float, *points: Point) -> None:
        scaled = [(x * FINE, y * FINE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=round(width * FINE), joint="curve")

    def arc(self, colour: str, width: float, frame: tuple[float, float, float, float], start: int, end: int) -> None:
        """A part of an ellipse within left, top, right and bottom, in degrees clockwise from three o'clock."""
        left, top, right, bottom = (edge * FINE for edge in frame)
        self._draw.arc((left, top, right, bottom), start, end, fill=colour, width=round(width * FINE))

    def finished(self) -> Image.Image:
        return self._image.resize(SIZE, Image.Resampling.LANCZOS)


def house(season: Season) -> Image.Image:
    """A house with a red door and two windows, a tree at its right, the sun at the top left."""
    scene = Scene(season.sky)
    scene.disc(70, 62, 30, "#f6c445")
    scene.disc(130, 420, 300, season.ground, 0.5)
    scene.disc(420, 430, 300, season.ground, 0.5)
    scene.box(120, 150, 170, 130, "#f3e6cf")
    scene.shape(season.roof, (104, 154), (205, 80), (306, 154))
    scene.box(186, 205, 40, 75, "#c0322b", 3)
    scene.disc(218, 244, 3, "#f3e6cf")
    for x in (138, 240):
        scene.box(x, 180, 34, 34, "#5d7f99", 2)
        scene.line("#f3e6cf", 3, (x + 17, 180), (x + 17, 214))
        scene.line("#f3e6cf", 3, (x, 197), (x + 34, 197))
    scene.box(368, 180, 16, 100, "#6b4a32")
    for x, y, to_x, to_y in ((376, 200, 340, 150), (376, 190, 412, 140), (376, 190, 372, 120)):
        scene.line("#6b4a32", 6, (x, y), (to_x, to_y))
    if season.leaves:
        for x, y, radius in ((346, 150, 34), (406, 146, 34), (376, 116, 40), (376, 166, 34)):
            scene.disc(x, y, radius, season.leaves)
    return scene.finished()


def harbour() -> Image.Image:
    """A boat with a white sail on the sea, a lighthouse with red bands at the right, two gulls."""
    scene = Scene("#cfe8f2")
    scene.box(0, 215, 480, 145, "#3f7fa6")
    for y, x in ((240, 40), (262, 250), (300, 110), (326, 330)):
        scene.line("#7fb2cf", 3, (x, y), (x + 70, y))
    scene.disc(420, 250, 90, "#7d7468", 0.45)
    for index, colour in enumerate(("#f5f1e8", "#c0322b", "#f5f1e8", "#c0322b", "#f5f1e8")):
        top, wide = 92 + 26 * index, 15 + 2.4 * index
        scene.shape(
            colour, (420 - wide, top), (420 + wide, top), (420 + wide + 2.4, top + 26), (420 - wide - 2.4, top + 26)
        )
    scene.box(406, 66, 28, 26, "#f6c445", 3)
    scene.shape("#5a2c27", (400, 68), (420, 48), (440, 68))
    scene.line("#5b4632", 5, (170, 92), (170, 232))
    scene.shape("#ffffff", (176, 98), (176, 212), (258, 212))
    scene.shape("#e8eef0", (164, 112), (164, 212), (104, 212))
    scene.shape("#8a4b2d", (92, 230), (262, 230), (232, 264), (116, 264))
    for x, y in ((300, 70), (338, 96)):
        scene.arc("#4a5560", 3, (x - 16, y, x, y + 14), 190, 350)
        scene.arc("#4a5560", 3, (x, y, x + 16, y + 14), 190, 350)
    return scene.finished()


def fruit() -> Image.Image:
    """A bowl with three red apples and a banana on a table, a blue cup at its right."""
    scene = Scene("#efe3d3")
    scene.box(0, 232, 480, 128, "#b98252")
    scene.line("#a06d40", 3, (0, 290), (480, 290))
    scene.arc("#d9b02f", 24, (196, 60, 316, 214), 330, 90)
    for x, y in ((142, 176), (196, 160), (250, 178)):
        scene.disc(x, y, 33, "#bf2f2a")
        scene.disc(x - 11, y - 12, 7, "#de6a5e")
        scene.line("#5b3c22", 4, (x, y - 30), (x + 5, y - 44))
    scene.shape("#e9eef0", (92, 190), (304, 190), (262, 276), (134, 276))
    scene.box(140, 272, 116, 12, "#cfd8db", 4)
    scene.arc("#2f62a8", 9, (398, 196, 442, 244), 270, 90)
    scene.box(348, 182, 72, 86, "#2f62a8", 8)
    scene.disc(384, 184, 36, "#3f2a1c", 0.2)
    return scene.finished()


def balloons() -> Image.Image:
    """A large balloon with yellow and red stripes and a small blue one over green hills with a river."""
    scene = Scene("#d8ecf6")
    scene.disc(110, 400, 230, "#6fa35b", 0.55)
    scene.disc(390, 410, 240, "#5a8f4d", 0.6)
    scene.shape("#5aa0c8", (236, 290), (250, 290), (300, 360), (196, 360))
    for width, colour in ((74, "#e5b53a"), (52, "#c0322b"), (30, "#e5b53a"), (11, "#c0322b")):
        scene.disc(170, 117, width, colour, 77 / width)
    scene.line("#6b4a32", 2, (140, 184), (156, 222))
    scene.line("#6b4a32", 2, (200, 184), (184, 222))
    scene.box(154, 220, 32, 22, "#7a5230", 3)
    scene.disc(360, 104, 34, "#2f62a8", 1.1)
    scene.line("#6b4a32", 2, (350, 138), (354, 154))
    scene.line("#6b4a32", 2, (370, 138), (366, 154))
    scene.box(352, 153, 16, 11, "#7a5230", 2)
    return scene.finished()


def plant(stage: int) -> Image.Image:
    """A pot on a window sill: 1 bare earth, 2 a sprout with two leaves, 3 a flower with red petals."""
    scene = Scene("#e6edf0")
    scene.box(60, 30, 360, 220, "#cfe6f3", 6)
    scene.line("#ffffff", 8, (240, 30), (240, 250))
    scene.box(0, 286, 480, 74, "#d9cbb4")
    if stage == 2:
        scene.line("#4c8a45", 7, (240, 206), (240, 168))
    if stage == 3:
        scene.line("#4c8a45", 8, (240, 206), (240, 110))
    if stage > 1:
        scene.disc(220, 180, 22, "#4c8a45", 0.45)
        scene.disc(262, 170, 22, "#4c8a45", 0.45)
    if stage == 3:
        for x, y in ((240, 66), (240, 114), (216, 90), (264, 90), (223, 73), (257, 73), (223, 107), (257, 107)):
            scene.disc(x, y, 17, "#c8372f")
        scene.disc(240, 90, 17, "#f0c23c")
    scene.shape("#b4623c", (188, 206), (292, 206), (278, 300), (202, 300))
    scene.box(180, 198, 120, 20, "#c8734a", 4)
    scene.disc(240, 202, 52, "#4b3526", 0.12)
    return scene.finished()


def shelf(tidy: bool) -> Image.Image:
    """A shelf with two boards: books in heaps, or eight books upright above and a lamp below."""
    scene = Scene("#ece7df")
    scene.box(70, 50, 340, 262, "#9a6f47", 4)
    for y in (62, 186):
        scene.box(82, y, 316, 114, "#f4efe6")
    colours = ("#bf2f2a", "#2f62a8", "#3f8f4a", "#e0a52f", "#6b4f8f", "#2f8f8f", "#bf2f2a", "#2f62a8")
    if tidy:
        for index, colour in enumerate(colours):
            scene.box(96 + 26 * index, 84, 22, 92, colour, 2)
        scene.shape("#e0a52f", (300, 206), (340, 206), (362, 248), (278, 248))
        scene.line("#4a4a4a", 6, (320, 248), (320, 290))
        scene.box(296, 288, 48, 8, "#4a4a4a", 3)
        return scene.finished()
    for index, colour in enumerate(colours[:5]):
        scene.box(104 + 9 * (index % 3), 158 - 18 * index, 112, 16, colour, 2)
    for index, colour in enumerate(colours[5:]):
        x = 250 + 40 * index
        scene.shape(colour, (x, 176), (x + 22, 176), (x + 64, 96), (x + 42, 88))
    for x, colour in ((110, "#e0a52f"), (230, "#3f8f4a"), (300, "#6b4f8f")):
        scene.box(x, 276, 88, 18, colour, 2)
    return scene.finished()


def page(lines: Sequence[str], *, heading: bool = True, mono: bool = False) -> Image.Image:
    """A printed page, with its first line as a larger heading; a monospaced one keeps its columns."""
    paper = Image.new("RGB", PAGE, "#fbfaf5")
    draw = ImageDraw.Draw(paper)
    y = 60.0
    for number, line in enumerate(lines):
        font = ImageFont.load_default(31 if number == 0 and heading else 25)
        if mono:
            for column, letter in enumerate(line):
                draw.text((60 + 16.5 * column + 8, y), letter, "#26231f", font, anchor="ma")
        else:
            draw.text((46, y), line, "#26231f", font)
        y += 42
    return paper


def rainfall() -> Image.Image:
    """Columns of a year's rainfall: 62, 48, 55, 71, 90 and 34 mm from January to June."""
    from matplotlib.axes import Axes

    def draw(axes: Axes) -> None:
        bars = axes.bar(["Jan", "Feb", "Mar", "Apr", "May", "Jun"], [62, 48, 55, 71, 90, 34], color="#3f7fa6")
        axes.bar_label(bars, fontsize=9)
        axes.set(title="Rainfall in Ashford, 2024", ylabel="mm", ylim=(0, 100))

    return _chart(draw)


def temperatures() -> Image.Image:
    """Two lines: Oslo from -4 to 17 and back to -2, Rome from 8 to 26 and back to 10 degrees, every second month."""
    from matplotlib.axes import Axes

    def draw(axes: Axes) -> None:
        months = ["Jan", "Mar", "May", "Jul", "Sep", "Nov"]
        axes.plot(months, [-4, 0, 11, 17, 11, -2], marker="o", color="#2f62a8", label="Oslo")
        axes.plot(months, [8, 12, 19, 26, 21, 10], marker="s", color="#c0322b", label="Rome")
        axes.set(title="Mean temperature", ylabel="°C", ylim=(-10, 30))
        axes.grid(axis="y", color="#dddddd")
        axes.legend(loc="upper left")

    return _chart(draw)


def energy() -> Image.Image:
    """Bars of a town's electricity: wind 41, sun 27, water 19, gas 13 %."""
    from matplotlib.axes import Axes

    def draw(axes: Axes) -> None:
        bars = axes.barh(["Gas", "Water", "Sun", "Wind"], [13, 19, 27, 41], color="#5a8f4d")
        axes.bar_label(bars, fmt="%d %%", padding=3, fontsize=9)
        axes.set(title="Electricity of Lindholm by source", xlim=(0, 50), xlabel="share in %")

    return _chart(draw)


def _chart(draw: Callable[..., None]) -> Image.Image:
    """A figure of 560 x 400 pixels."""
    from matplotlib.figure import Figure

    figure = Figure((5.6, 4.0), 100, layout="constrained")
    draw(figure.add_subplot())
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return Image.open(content).convert("RGB")


def pictures() -> Mapping[str, Image.Image]:
    """All of them, by the names of their files."""
    return {
        "house-summer": house(SUMMER),
        "house-autumn": house(AUTUMN),
        "house-winter": house(WINTER),
        "harbour": harbour(),
        "fruit": fruit(),
        "balloons": balloons(),
        **{f"plant-{stage}": plant(stage) for stage in (1, 2, 3)},
        "shelf-before": shelf(tidy=False),
        "shelf-after": shelf(tidy=True),
        "chart-rainfall": rainfall(),
        "chart-temperatures": temperatures(),
        "chart-energy": energy(),
        "receipt": page(RECEIPT, heading=False, mono=True),
        "letter-1": page(LETTER_1),
        "letter-2": page(LETTER_2, heading=False),
        "notice": page(NOTICE),
    }


def save(picture: Image.Image, path: Path, colours: int = COLOURS) -> None:
    """As a PNG with a palette, a fraction of the size."""
    picture.quantize(colours, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures().items():
        save(picture, FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
