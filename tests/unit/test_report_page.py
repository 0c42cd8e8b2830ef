"""The report as a page: numbers as they are shown, plots as they are drawn, and what the HTML consists of."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from math import inf, nan
from xml.etree import ElementTree as ET

import pytest

from backend.report.figures import exact, extent, headed, shown, spoken, tick_texts, ticks, triple
from backend.report.page import (
    Axis,
    Bin,
    Column,
    Curve,
    Headline,
    Histogram,
    HistogramBar,
    IntervalRow,
    Intervals,
    Line,
    Mark,
    Matrix,
    Measure,
    Notice,
    Page,
    Paragraph,
    Plot,
    Reference,
    Reliability,
    Section,
    ShareRow,
    Shares,
    Table,
    Unit,
)
from backend.report.plots import WIDTHS, Form, draw
from backend.report.render import inline, render
from backend.report.svg import clean, hatching, shortened, text_width, wrapped
from backend.report.words import EMPTY, description, numbers
from tests.report_pages import (
    AGREEMENT,
    EDGE_PLOTS,
    EMPTY_PLOTS,
    HOSTILE_PLOTS,
    LONG_PLOTS,
    LONG_WORD,
    PAGES,
    SAMPLE,
    SCRIPT,
    page_of,
)

FORMS: tuple[Form, ...] = ("wide", "narrow")
PLOTS = (
    *(block for section in SAMPLE.sections for block in section.blocks if hasattr(block, "title")),
    *EDGE_PLOTS,
    *LONG_PLOTS,
    *HOSTILE_PLOTS,
)
DRAWN = tuple(plot for plot in PLOTS if not isinstance(plot, Notice))
VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})
LEAST_CONTRAST = 4.5
"""WCAG 2.2, level AA, for text."""


def drawings(plot: Plot, form: Form = "wide") -> list[ET.Element]:
    return [ET.fromstring(one) for one in draw(plot, "plot", form)]


def by_class(drawing: ET.Element, *names: str) -> list[ET.Element]:
    return [one for one in drawing.iter() if set(names) <= set(one.get("class", "").split())]


def texts(drawing: ET.Element) -> list[str]:
    return [one.text or "" for one in drawing.iter("text")]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.714, "percent", "71 %"),
        (0.0471, "percent", "4.7 %"),
        (0.95, "percent", "95 %"),
        (0.9512, "percent", "95.1 %"),
        (0.0, "percent", "0 %"),
        (1.0, "percent", "100 %"),
        (0.0004, "percent", "<0.1 %"),
        (0.9996, "percent", ">99.9 %"),
        (-0.034, "percent", "-3.4 %"),
        (0.816, "number", "0.82"),
        (-0.001, "number", "0.00"),
        (1240, "count", "1,240"),
        (8.04, "seconds", "8 s"),
        (8.26, "seconds", "8.3 s"),
        (41.4, "seconds", "41 s"),
        (None, "percent", "–"),
        (nan, "number", "–"),
        (inf, "count", "–"),
    ],
)
def test_numbers_are_as_precise_as_they_are_read(value: float | None, unit: Unit, said: str) -> None:
    assert shown(value, unit).replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-") == said


def test_a_value_and_its_interval_have_the_same_decimals() -> None:
    # The first is 13 points long, the second 3.9 and the third ends below 20 %.
    assert triple(Measure(0.82, 0.75, 0.88), "percent") == ("82\N{NO-BREAK SPACE}%", "75", "88")
    assert triple(Measure(0.93, 0.909, 0.948), "percent") == ("93.0\N{NO-BREAK SPACE}%", "90.9", "94.8")
    assert triple(Measure(0.04, 0.009, 0.11), "percent") == ("4.0\N{NO-BREAK SPACE}%", "0.9", "11.0")
    assert triple(Measure(0.99, 0.94, 0.998), "percent") == ("99\N{NO-BREAK SPACE}%", "94", ">99")
    assert triple(Measure(0.5, 0.6, 0.4), "number") == ("0.50", "0.40", "0.60")
    assert triple(Measure(0.5, None, 0.4), "number") == ("0.50", "", "")
    assert triple(Measure(None, 0.1, 0.4), "number") == ("", "", "")


def test_tables_have_more_decimals_and_no_units() -> None:
    assert (exact(0.7145, "percent"), exact(0.8164, "number"), exact(1240, "count")) == ("71.5", "0.816", "1,240")
    assert (exact(None, "percent"), exact(-0.031, "percent")) == ("–", "\N{MINUS SIGN}3.1")
    assert (headed("wrong", "percent"), headed("kappa", "number"), headed("time", "seconds")) == (
        "wrong,\N{NO-BREAK SPACE}%",
        "kappa",
        "time,\N{NO-BREAK SPACE}s",
    )


def test_what_is_read_out_says_what_could_not_be_measured() -> None:
    assert spoken(Measure(0.82, 0.75, 0.88, 142), "percent", "labels") == (
        "82\N{NO-BREAK SPACE}%, interval 75 to 88, 142 labels"
    )
    assert spoken(Measure(None, n=7), "percent", "labels") == "not measured, 7 labels"


def test_axes_have_round_ticks() -> None:
    # Of 1, 2, 2.5, 5 times a power of ten, the least that makes no more than so many.
    assert ticks(0, 1, 5) == (0, 0.25, 0.5, 0.75, 1)
    assert ticks(0, 1, 6) == pytest.approx((0, 0.2, 0.4, 0.6, 0.8, 1))
    assert ticks(0, 3, 8, whole=True) == (0, 1, 2, 3)
    assert ticks(0, 1, 8, whole=True) == (0, 1)
    assert tick_texts((0, 0.025, 0.05), "percent") == tuple(
        f"{text}\N{NO-BREAK SPACE}%" for text in ("0.0", "2.5", "5.0")
    )
    assert tick_texts((-0.5, 0.0, 0.5), "number") == ("\N{MINUS SIGN}0.5", "0.0", "0.5")
    assert tick_texts((0, 1000), "count") == ("0", "1,000")


def test_axes_hold_all_values_and_have_a_length() -> None:
    assert extent(Axis("x", low=0.0, high=1.0), [0.3]) == (0.0, 1.0)
    assert extent(Axis("x", "number", low=0.0, high=1.0), [-0.32, 1.2]) == pytest.approx((-0.5, 1.5))
    assert extent(Axis("x"), [0.031, 0.19, None, nan]) == pytest.approx((0.0, 0.2))
    assert extent(Axis("x"), []) == (0.0, 1.0)
    assert extent(Axis("x"), [1.0]) == pytest.approx((0.9, 1.0))
    assert extent(Axis("x", "count", low=0), [0]) == (0, 1)


def test_words_are_cut_where_they_have_no_room() -> None:
    assert wrapped("Presence of the requested features", 125, 2) == ("Presence of the", "requested features")
    assert wrapped("visual-realism", 70, 2) == ("visual-", "realism")
    assert wrapped("", 100, 2) == ("",)
    assert len(wrapped(LONG_WORD, 100, 3)) == 3
    assert all(text_width(line) <= 100 for line in wrapped(LONG_WORD, 100, 3))
    assert shortened("accept", 200) == "accept"
    assert shortened("accept", 30) == "ac…"


def test_what_xml_cannot_carry_is_marked() -> None:
    assert clean("a\x00b\ud800c\ufffed\n e") == "a\ufffdb\ufffdc\ufffdd e"


INTERVALS = Intervals(
    "Agreement",
    Axis("same", low=0.0, high=1.0),
    (IntervalRow("verdict", (Measure(0.5, 0.25, 0.75, 40), Measure(None, n=2))),),
    series=("blind", "shown"),
    reference=Reference(0.8, "people"),
)
RELIABILITY = Reliability("Reliability", (Bin(0.9, 0.8, 10),), (Bin(0.8, 0.8, 10), Bin(0.2, 0.1, 0)))
CURVE = Curve(
    "Risk",
    Axis("coverage"),
    Axis("risk"),
    (Line("found", ((0.0, 0.0), (0.5, 0.02), (1.0, 0.2))),),
    marks=(Mark(0.5, 0.02, "certified"),),
    horizontal=Reference(0.05, "promised"),
)
MATRIX = Matrix("Matrix", "person", "judge", ("yes", "no"), ("yes", "no"), ((9, 1), (0, 0)))
SHARES = Shares("Shares", ("kept", "changed"), (ShareRow("verdict", (3, 1)), ShareRow("text", (0, 0))))
HISTOGRAM = Histogram("Confidence", Axis("confidence"), (HistogramBar(0.0, 0.5, (3,)), HistogramBar(0.5, 1.0, (6,))))


@pytest.mark.parametrize(
    ("plot", "said"),
    [
        (
            INTERVALS,
            "Line at 80 %: people. verdict: blind 50 %, interval 25 to 75, 40 labels; shown not measured, 2 labels.",
        ),
        (
            RELIABILITY,
            "As the judge says it: at confidence 90 %, 80 % were right, 10 labels. "
            "Calibrated: at confidence 80 %, 80 % were right, 10 labels.",
        ),
        (
            CURVE,
            "found: from risk 0 % at coverage 0 % to 20 % at 100 %. certified: coverage 50 %, risk 2 %. "
            "Line at risk 5 %: promised.",
        ),
        (MATRIX, "person yes: judge yes 9, judge no 1. person no: judge yes 0, judge no 0."),
        (SHARES, "verdict: 4 tasks, kept 75 %, changed 25 %. text: 0 tasks, kept –, changed –."),
        (HISTOGRAM, "0 % to 50 %: 3 tasks. 50 % to 100 %: 6 tasks."),
    ],
)
def test_each_plot_can_be_read_out(plot: Plot, said: str) -> None:
    assert description(plot).replace("\N{NO-BREAK SPACE}", " ") == said
    for form in FORMS:
        (drawing,) = drawings(plot, form)
        assert drawing.get("role") == "img"
        named = [drawing.find(f".//*[@id='{name}']") for name in drawing.get("aria-labelledby", "").split()]
        assert [one.text if one is not None else None for one in named] == [plot.title, description(plot)]


def test_a_long_plot_is_not_read_out_to_its_end() -> None:
    assert description(LONG_PLOTS[1]).endswith(" 40 more are in the table below.")  # 70 rows, 30 of them said


@pytest.mark.parametrize(
    ("plot", "heads", "rows"),
    [
        (
            INTERVALS,
            ("", "", "same, %", "from, %", "to, %", "labels"),
            (("verdict", "blind", "50.0", "25.0", "75.0", "40"), ("verdict", "shown", "–", "–", "–", "2")),
        ),
        (
            RELIABILITY,
            ("", "confidence of the judge, %", "share that was right, %", "labels"),
            (("As the judge says it", "90.0", "80.0", "10"), ("Calibrated", "80.0", "80.0", "10")),
        ),
        (
            CURVE,
            ("", "coverage, %", "risk, %"),
            (("found", "0.0", "0.0"), ("found", "50.0", "2.0"), ("found", "100.0", "20.0")),
        ),
        (MATRIX, ("person / judge", "yes", "no"), (("yes", "9", "1"), ("no", "0", "0"))),
        (
            SHARES,
            ("", "kept", "changed", "tasks"),
            (("verdict", "3 (75 %)", "1 (25 %)", "4"), ("text", "0 (–)", "0 (–)", "0")),
        ),
        (HISTOGRAM, ("confidence from, %", "to, %", "tasks"), (("0.0", "50.0", "3"), ("50.0", "100.0", "6"))),
    ],
)
def test_each_plot_has_its_numbers_in_a_table(plot: Plot, heads: tuple[str, ...], rows: tuple[tuple[str, ...]]) -> None:
    table = numbers(plot)
    assert tuple(column.title.replace("\N{NO-BREAK SPACE}", " ") for column in table.columns) == heads
    assert tuple(tuple(cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row) for row in table.rows) == rows


def test_a_line_of_many_points_is_thinned_but_keeps_its_ends() -> None:
    line = Line("many", tuple((at / 1000, 0.5) for at in range(1001)))
    rows = numbers(Curve("Many", Axis("x"), Axis("y"), (line,))).rows
    assert (len(rows), rows[0][1], rows[-1][1]) == (40, "0.0", "100.0")


def test_dots_and_whiskers_stand_where_the_axis_says() -> None:
    row = IntervalRow("one", (Measure(0.5, 0.25, 0.75),))
    ends = (IntervalRow("none", (Measure(0.0),)), IntervalRow("all", (Measure(1.0),)))
    for form in FORMS:
        (drawing,) = drawings(Intervals("Places", Axis("x", low=0.0, high=1.0), (row, *ends)), form)
        dots = [float(one.get("cx", "")) for one in by_class(drawing, "marker")]
        (whisker,) = by_class(drawing, "whisker")
        axis = by_class(drawing, "axis")[0]
        left, right = float(axis.get("x1", "")), float(axis.get("x2", ""))
        assert dots[1:] == pytest.approx([left, right], abs=0.02)
        assert dots[0] == pytest.approx((left + right) / 2, abs=0.02)
        assert float(whisker.get("x1", "")) == pytest.approx(left + (right - left) / 4, abs=0.02)
        assert float(whisker.get("x2", "")) == pytest.approx(right - (right - left) / 4, abs=0.02)


def test_series_differ_by_shape_as_well_as_by_colour() -> None:
    (drawing,) = drawings(replace(AGREEMENT, rows=AGREEMENT.rows[:1]))
    shapes = {one.get("class"): one.tag for one in by_class(drawing, "marker")}
    assert shapes == {"marker s0": "circle", "marker s1 hollow": "rect"}
    (parts,) = drawings(SHARES)
    assert [one.get("class") for one in by_class(parts, "hatch")] == ["hatch p1", "hatch p1"]  # legend and bar


def test_hatching_stays_in_its_rectangle() -> None:
    # Strokes where x + y, x, x - y and y are multiples of 7, from (1, 2) to (10, 8).
    assert hatching(1, 2, 9, 6, 1) == "M1 6L5 2M6 8L10 4"
    assert hatching(1, 2, 9, 6, 2) == "M7 2L7 8"
    assert hatching(1, 2, 9, 6, 3) == "M2 2L8 8M9 2L10 3"
    assert hatching(1, 2, 9, 6, 4) == "M1 7L10 7"
    assert (hatching(1, 2, 9, 6, 0), hatching(1, 2, -0.5, 6, 1)) == ("", "")


def test_parts_of_a_bar_have_their_share_of_its_length() -> None:
    (drawing,) = drawings(Shares("Shares", ("a", "b"), (ShareRow("one", (3, 1)),)))
    kept, changed = (float(one.get("width", "")) for one in by_class(drawing, "part")[2:])  # after those of the legend
    assert kept == pytest.approx(3 * changed, abs=0.05)
    assert texts(drawing)[-2:] == ["75\N{NO-BREAK SPACE}%", "25\N{NO-BREAK SPACE}%"]


def test_the_matrix_is_shaded_by_the_share_of_the_row() -> None:
    (drawing,) = drawings(MATRIX)
    shades = [one.get("style") for one in by_class(drawing, "heat")]  # 0.9 times 9/10, 1/10, and of an empty row
    assert shades == ["fill-opacity:0.81", "fill-opacity:0.09", "fill-opacity:0.00", "fill-opacity:0.00"]
    assert len(by_class(drawing, "same")) == 2


def test_rare_names_of_a_large_matrix_are_taken_together_without_losing_any() -> None:
    many = Matrix("Many", "a", "b", tuple(map(str, range(40))), tuple(map(str, range(40))), ((1,) * 40,) * 40)
    (drawing,) = drawings(many)
    fields = [int((one.text or "").replace(",", "")) for one in by_class(drawing, "count")]
    assert (len(fields), sum(fields)) == (12 * 12, 40 * 40)
    assert [text for text in texts(drawing) if "others" in text] == ["others", "29 others"]  # of columns, in two lines


def test_many_rows_are_parted_on_axes_of_the_same_length() -> None:
    parts = drawings(LONG_PLOTS[0])
    assert len(parts) == 5  # 50 rows of two series, 12 of which have room
    assert len({by_class(part, "grid")[0].attrib["x1"] for part in parts}) == 1
    assert sum(len(by_class(part, "marker", "s0")) - 1 for part in parts) == 50 - 8  # 8 could not be measured
    assert [(part.findtext("title") or "")[-8:] for part in parts] == [f"({number} of 5)" for number in range(1, 6)]


@pytest.mark.parametrize("plot", EMPTY_PLOTS, ids=lambda plot: plot.title)
def test_a_plot_of_nothing_says_so(plot: Plot) -> None:
    assert [draw(plot, "plot", form) for form in FORMS] == [(), ()]
    assert f'<p class="nothing">{EMPTY}</p>' in render(page_of("Nothing", plot))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("plot", DRAWN, ids=lambda plot: ascii(plot.title)[:20])
def test_every_drawing_is_valid_and_within_its_frame(plot: Plot, form: Form) -> None:
    for drawing in drawings(plot, form):
        width, height = (float(number) for number in drawing.get("viewBox", "").split()[2:])
        assert width == WIDTHS[form]
        assert 0 < height <= 1200
        for one in drawing.iter():
            for name, most in (
                ("x", width),
                ("x1", width),
                ("x2", width),
                ("cx", width),
                ("y", height),
                ("cy", height),
            ):
                if not one.get("x", "").endswith("%") and name in one.attrib:
                    assert -1 <= float(one.attrib[name]) <= most + 1, (one.tag, one.attrib)
            assert not re.search("nan|inf", " ".join(value for key, value in one.attrib.items() if key != "id"))


class Outline(HTMLParser):
    """What a page consists of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids.update(value or "" for name, value in attrs if name == "id")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"{tag} at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(page: Page) -> Outline:
    found = Outline()
    found.feed(render(page))
    found.close()
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_needs_nothing_else(name: str) -> None:
    found = outline(PAGES[name])
    assert (found.faults, found.open) == ([], [])
    assert [one for one, times in found.ids.items() if times > 1] == []
    assert not {"script", "img", "iframe", "object", "embed", "form", "base"} & set(found.tags)
    named = [value for _, key, value in found.attributes if key in ("aria-labelledby", "aria-describedby")]
    assert [one for value in named for one in value.split() if one not in found.ids] == []
    assert [(tag, key) for tag, key, _ in found.attributes if key.startswith("on")] == []
    targets = [value for _, key, value in found.attributes if key in ("href", "src")]
    assert {target for target in targets if not target.startswith("#")} == {"data:,"}
    assert {target[1:] for target in targets if target.startswith("#")} <= set(found.ids)


@pytest.mark.parametrize("name", ["sample", "edges", "bare"])
def test_a_page_holds_no_address(name: str) -> None:
    page = render(PAGES[name])
    assert re.findall(r"https?:|//[a-z]|@import|url\((?!#)", page) == []


def test_every_block_is_shown() -> None:
    found = outline(SAMPLE)
    plots = sum(len(section.blocks) for section in SAMPLE.sections) - 1 - 2 - 3  # paragraph, tables and notices
    assert found.tags["figure"] == found.tags["details"] == plots == 9
    assert found.tags["svg"] == 2 * plots + 3  # wide and narrow, and the headlines' bars
    assert found.tags["table"] == plots + 2
    assert found.tags["aside"] == 4
    text = " ".join(" ".join(found.text).split())
    for said in (
        SAMPLE.subtitle,
        "of the project's samples are good",
        "58 to 68 %",
        "Warning: Where the answer is shown",
        "Attention: generator unknown-2",
        "Krippendorff's alpha is 0.71",
        SAMPLE.footnotes[0],
    ):
        assert said.replace(" %", "\N{NO-BREAK SPACE}%") in text.replace(" %", "\N{NO-BREAK SPACE}%"), said


def test_numbers_in_tables_are_set_to_the_right() -> None:
    table = Table((Column("Who"), Column("Tasks", numeric=True)), (("anna", "712"),), "Work")
    page = render(Page("Work", sections=(Section("work", "Work", "", (table,)),)))
    assert '<th scope="col"><bdi>Who</bdi></th>' in page
    assert "<td><bdi>anna</bdi></td>" in page
    assert '<td class="number"><bdi>712</bdi></td>' in page


def test_what_stands_between_backticks_is_code_and_nothing_else_is_markup() -> None:
    assert inline("run `a <b>` at 5 % & go") == "run <code>a &lt;b&gt;</code> at 5\N{NO-BREAK SPACE}% &amp; go"
    assert inline("a ` b") == "a ` b"


def test_bad_words_stay_words() -> None:
    page = render(PAGES["hostile"])
    assert SCRIPT not in page
    assert "<img" not in page
    assert [character for character in ("\x00", "\x08", "\x1b", "\ufffe") if character in page] == []
    page.encode("utf-8")
    assert "".join(outline(PAGES["hostile"]).text).count(SCRIPT) > 100


def test_a_headline_has_a_bar_only_where_it_is_a_share() -> None:
    def bars(headline: Headline) -> list[str]:
        page = render(Page("One", headlines=(headline,)))
        return re.findall(r'<(?:rect class="range" x|circle cx)="[^"]*"(?: y="2" width="[^"]*")?', page)

    assert bars(Headline("0.11", "off")) == []
    assert bars(Headline("84 %", "same", share=Measure(0.84, 0.79, 0.885))) == [
        '<rect class="range" x="79.0%" y="2" width="9.50%"',
        '<circle cx="84.0%"',
    ]
    assert bars(Headline("45 %", "saved", share=Measure(0.45))) == ['<circle cx="45.0%"']
    assert bars(Headline("none", "saved", share=Measure(nan, 0.1, 0.2))) == []


def test_a_page_of_one_section_needs_no_contents() -> None:
    one = Section("one", "One", "First.", (Paragraph("Text."),))
    assert "<nav" not in render(Page("P", sections=(one,)))
    assert outline(Page("P", sections=(one, replace(one, id="two")))).tags["nav"] == 1


def palettes() -> dict[str, dict[str, str]]:
    """The page's colours by name, for light and for dark."""
    css = files("backend.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{\n((?:[^}]*--page: #[^}]*))\}", css)[:2]
    return {
        name: dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))
        for name, block in (("light", light), ("dark", dark))
    }


def light_of(color: str) -> float:
    """Relative luminance, by WCAG 2.2."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, bright = sorted((light_of(one), light_of(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_signs_stand_out_from_what_is_behind_them(scheme: str) -> None:
    colors = palettes()[scheme]
    on_text = ["page", "card", "p0", "p1", "p2", "p3", "p4", "heat", "code"]
    faint = [name for name in on_text if contrast(colors["text"], colors[name]) < LEAST_CONTRAST]
    faint += [
        name
        for name in ("good", "warning", "bad", "neutral")
        if contrast(colors["card"], colors[name]) < LEAST_CONTRAST
    ]
    faint += [name for name in ("s0", "s1", "s2", "s3") if contrast(colors["card"], colors[name]) < 3]  # for graphics
    assert faint == []
