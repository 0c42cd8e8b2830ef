"""Reports as they may come: a usual one with every kind of block, one without numbers, and one full of bad words."""

from __future__ import annotations

from dataclasses import replace
from math import nan

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
)

AGREEMENT = Intervals(
    "Agreement on each criterion",
    Axis("how often judge and person say the same", low=0.5, high=1.0),
    (
        IntervalRow("Verdict", (Measure(0.84, 0.79, 0.885, 204), Measure(0.93, 0.915, 0.944, 1_240))),
        IntervalRow("Visual realism", (Measure(0.71, 0.644, 0.77, 204), Measure(0.89, 0.871, 0.906, 1_238))),
        IntervalRow("Text accuracy", (Measure(0.882, 0.83, 0.922, 204), Measure(0.95, 0.936, 0.961, 1_240))),
        IntervalRow("Image-text consistency", (Measure(0.86, 0.806, 0.902, 203), Measure(0.941, 0.927, 0.953, 1_239))),
        IntervalRow(
            "Presence of the requested features", (Measure(0.779, 0.717, 0.832, 199), Measure(0.9, 0.882, 0.916, 1_102))
        ),
        IntervalRow("Harmful content", (Measure(None, n=7), Measure(0.98, 0.9, 1.0, 51))),
    ),
    series=("blind: the person did not see the judge's answer", "shown: the person saw it"),
    reference=Reference(0.8, "two people among themselves"),
    caption="Each dot is a share, each line its 95 % interval. Where the two lie far apart, people followed the judge.",
)
GROUPS = Intervals(
    "Error by generator",
    Axis("judge was wrong", low=0.0),
    (
        IntervalRow("sdxl-turbo", (Measure(0.031, 0.009, 0.077, 96),)),
        IntervalRow("flux-1-dev", (Measure(0.0, 0.0, 0.053, 68),)),
        IntervalRow(
            "a generator whose name is longer than anybody would like it to be, version 2",
            (Measure(0.19, 0.087, 0.34, 42),),
        ),
        IntervalRow("unknown", (Measure(0.25, None, None, 4),)),
    ),
    reference=Reference(0.05, "promised"),
)
RELIABILITY = Reliability(
    "Is its confidence worth what it says?",
    (
        Bin(0.56, 0.5, 18),
        Bin(0.66, 0.52, 23),
        Bin(0.75, 0.61, 28),
        Bin(0.85, 0.7, 40),
        Bin(0.94, 0.81, 74),
        Bin(0.99, 0.93, 121),
    ),
    (Bin(0.46, 0.48, 21), Bin(0.6, 0.55, 31), Bin(0.7, 0.73, 52), Bin(0.82, 0.8, 88), Bin(0.95, 0.96, 112)),
    before_label="As the judge says it: ECE 0.11",
    after_label="Calibrated: ECE 0.02",
    caption="On the dashed line, 90 % means nine in ten. The larger a dot, the more labels it stands for.",
)
_COVERAGE = [round(0.02 * step, 2) for step in range(1, 51)]
RISK = Curve(
    "Risk against coverage",
    Axis("share of the tasks that need no person", low=0.0, high=1.0),
    Axis("wrong among them", low=0.0),
    (
        Line("wrong among the blind labels", tuple((x, round(0.004 + 0.12 * x**4, 4)) for x in _COVERAGE)),
        Line(
            "no more than this, with 95 % confidence",
            tuple((x, round(0.004 + 0.12 * x**4 + 0.028 / (x + 0.12) ** 0.7, 4)) for x in _COVERAGE),
        ),
    ),
    marks=(Mark(0.45, 0.0493, "certified: 45 % of the tasks, above a confidence of 0.93"),),
    horizontal=Reference(0.05, "promised"),
    caption="The most confident tasks come first. Further right there is less to review, and more is wrong.",
)
SAVED = Curve(
    "Review saved at each promise",
    Axis("errors allowed among accepted tasks", low=0.0),
    Axis("tasks that need no person", low=0.0, high=1.0),
    (
        Line(
            "certified", ((0.01, 0.0), (0.02, 0.0), (0.03, 0.22), (0.05, 0.45), (0.08, 0.71), (0.1, 0.78), (0.15, 0.91))
        ),
    ),
    vertical=Reference(0.05, "promised"),
    marks=(Mark(0.05, 0.45, "45 % at 5 %"), Mark(0.1, 0.78, "78 % at 10 %")),
)
CONFUSION = Matrix(
    "Who said what",
    "the person said",
    "the judge said",
    ("accept", "fix", "reject"),
    ("accept", "fix", "reject"),
    ((118, 9, 1), (7, 38, 5), (2, 9, 15)),
    "Rows are what people said blind; on the outlined fields both say the same.",
)
CHANGES = Shares(
    "What people made of the judge's answers",
    ("confirmed", "changed", "added", "removed"),
    (
        ShareRow("Verdict", (1_154, 86, 0, 0)),
        ShareRow("Visual realism", (1_101, 131, 6, 0)),
        ShareRow("Unsupported words", (402, 88, 130, 71)),
        ShareRow("Where the contradiction is", (61, 48, 12, 9)),
        ShareRow("Corrected text", (0, 0, 0, 0)),
    ),
    counted="answers",
)
VERDICTS = Shares(
    "Verdicts",
    ("accept", "fix", "reject"),
    (ShareRow("judge", (1_310, 402, 288)), ShareRow("people, blind", (128, 50, 26))),
)
CONFIDENCE = Histogram(
    "Confidence of its verdicts",
    Axis("calibrated confidence", low=0.0, high=1.0),
    tuple(
        HistogramBar(round(0.05 * at, 2), round(0.05 * at + 0.05, 2), counts)
        for at, counts in enumerate(
            (
                (0, 0), (0, 0), (0, 0), (0, 1), (1, 2), (2, 1), (2, 3), (4, 3), (5, 3), (7, 4),
                (9, 5), (12, 5), (14, 5), (20, 6), (22, 5), (31, 5), (44, 4), (60, 4), (92, 3), (131, 2),
            )
        )
    ),
    series=("right", "wrong"),
    reference=Reference(0.93, "threshold"),
    counted="blind labels",
)  # fmt: skip
FIELDS = Table(
    (
        Column("Field"),
        Column("Value"),
        Column("Tasks", numeric=True),
        Column("Accepted, %", numeric=True),
        Column("Wrong, %", numeric=True),
        Column("95 % interval", numeric=True),
    ),
    (
        ("generator", "sdxl-turbo", "1,102", "68.1", "3.1", "0.9 – 7.7"),
        ("generator", "flux-1-dev", "618", "74.9", "0.0", "0.0 – 5.3"),
        ("generator", "unknown-2", "280", "39.3", "19.0", "8.7 – 34.0"),
        ("language", "en", "1,804", "66.2", "4.4", "2.1 – 8.0"),
        ("language", "de", "196", "61.7", "5.0", "0.6 – 16.9"),
    ),
    "Acceptance and error by field",
    "Intervals by Clopper and Pearson, 95 % each: of twenty groups that do not differ, one stands out by chance.",
    flagged=(2,),
)
SAMPLE = Page(
    "How far to trust the judge: Captions of the spring set",
    "Computed from 204 blind labels, given by people who did not see the verdict, on tasks drawn at random.",
    facts=(
        ("Project", "7, 2,000 tasks"),
        ("Judge", "`Qwen2.5-VL-7B-Instruct-3f9a1c0b77de`"),
        ("Blind slice", "10 %, all labelled"),
        ("Annotators", "3"),
        ("Made", "2026-11-27 10:14 UTC"),
    ),
    headlines=(
        Headline(
            "45 %", "of the tasks need no person: of those, at most 5 % are wrong", level="good", share=Measure(0.45)
        ),
        Headline(
            "84 %",
            "of blind verdicts are the same as the person's",
            "79 to 88 %",
            share=Measure(0.84, 0.79, 0.885, 204),
        ),
        Headline("63 %", "of the project's samples are good", "58 to 68 %", share=Measure(0.63, 0.58, 0.68)),
        Headline("0.11", "its confidence is off by, before calibration; 0.02 after", level="warning"),
    ),
    notices=(
        Notice(
            "warning",
            "Where the answer is shown, people agree 9 points more often",
            "That is anchoring: only blind labels are used here. `vlm-judge project create --audit 0.2` gives more.",
        ),
    ),
    sections=(
        Section(
            "agreement",
            "Agreement",
            "Judge and people give the same verdict in 84 % of the blind tasks, about as often as two people do.",
            (
                AGREEMENT,
                CONFUSION,
                VERDICTS,
                Paragraph(
                    "Krippendorff's alpha is 0.71 between judge and people and 0.74 among people. The alternative "
                    "annotator test is passed: the judge may stand in for one of the three annotators."
                ),
            ),
        ),
        Section(
            "calibration",
            "Calibration",
            "The judge is too sure of itself; after calibration its confidence can be taken at its word.",
            (RELIABILITY, CONFIDENCE),
        ),
        Section(
            "certificate",
            "Certificate",
            "Of the tasks with a confidence of 0.93 or more, which are 45 % of the project, at most 5 % are wrong.",
            (
                Notice(
                    "good",
                    "Certified: at most 5 % wrong, with 95 % confidence",
                    "From 142 blind labels above it with 2 errors. `vlm-judge accept --project 7` accepts 900 tasks.",
                ),
                RISK,
                SAVED,
            ),
        ),
        Section(
            "review",
            "Review",
            "People kept nearly all ratings, and rewrote what the judge marked in the text every third time.",
            (
                CHANGES,
                Table(
                    (Column("Who"), Column("Tasks", numeric=True), Column("Seconds per task", numeric=True)),
                    (("anna", "712", "18"), ("ben", "528", "24")),
                    "Time",
                ),
            ),
        ),
        Section(
            "groups",
            "Groups",
            "One generator stands out.",
            (
                Notice(
                    "bad",
                    "The judge errs more often on `unknown-2`",
                    "19 % against 3 % elsewhere (interval 8.7 to 34 %).",
                ),
                GROUPS,
                FIELDS,
                Notice("neutral", "Near-duplicates were not looked for", "There are no images on this machine."),
            ),
        ),
    ),
    footnotes=(
        "Intervals are 95 % bootstrap intervals that draw whole images, 2,000 times, unless it says otherwise.",
        "The certificate is by fixed-sequence testing with exact binomial bounds; see `docs/trust.md`.",
        "Everything is void for another fingerprint, and the certificate for other tasks.",
    ),
)

SCRIPT = "<script>document.title='taken'</script>"
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 6
BAD = f"{SCRIPT}<img src=x onerror=alert(1)>\"'&amp;]]>--><!-- \x00\x08\x1b \ud800 \ufffe \u202eeurt `{SCRIPT}"
"""What a task's data may hold at its worst."""
LABELS = (BAD, LONG_WORD, "图像与文本的一致性和真实性", "مطابقة الصورة والنص", "🦊" * 30, "", " ")

EMPTY_PLOTS: tuple[Plot, ...] = (
    Intervals("No rows", Axis("share"), ()),
    Reliability("No labels", (), ()),
    Curve("No lines", Axis("x"), Axis("y"), (), (Mark(0.5, 0.5, "alone"),)),
    Matrix("No names", "a", "b", (), (), ()),
    Shares("No bars", (), ()),
    Histogram("No values", Axis("x"), ()),
)
EDGE_PLOTS: tuple[Plot, ...] = (
    Intervals("One row, at none", Axis("share"), (IntervalRow("only", (Measure(0.0, 0.0, 0.0, 0),)),)),
    Intervals("One row, at all", Axis("share"), (IntervalRow("only", (Measure(1.0, 1.0, 1.0, 3),)),)),
    Intervals("Nothing measured", Axis("share"), (IntervalRow("none", (Measure(None), Measure(nan, 0.1, 0.2, 1))),),
              ("a", "b")),
    Intervals("Kappa", Axis("Cohen's kappa", "number"), (
        IntervalRow("below chance", (Measure(-0.32, -0.6, 0.01, 20),)),
        IntervalRow("half known", (Measure(0.4, 0.2, None, 20),)),
    ), reference=Reference(0.0, "chance")),
    Reliability("One bin", (Bin(1.0, 0.0, 1),)),
    Reliability("At both ends", (Bin(0.0, 0.0, 1), Bin(1.0, 1.0, 100_000)), (Bin(nan, 0.5, 3), Bin(0.5, 0.5, 0))),
    Curve("One point", Axis("x"), Axis("y"), (Line("one", ((0.5, 0.5),)),), (Mark(0.5, 0.5, "here"),)),
    Curve("At the corners", Axis("x"), Axis("y", "count"), (
        Line("rising", ((0.0, 0.0), (1.0, 1.0))), Line("falling", ((0.0, 1.0), (1.0, 0.0))), Line("nothing", ()),
        Line("lost", ((nan, 1.0),)), Line("fifth", ((0.0, 0.5), (1.0, 0.5))),
    ), tuple(Mark(x, y, f"at {x}, {y}") for x in (0.0, 0.01, 1.0) for y in (0.0, 0.03, 1.0)),
        Reference(0.0, "none"), Reference(1.0, "all of them")),
    Curve("Many points", Axis("tasks", "count"), Axis("time", "seconds"),
          (Line("time", tuple((float(at), at % 97 / 7) for at in range(5_000))),)),
    Matrix("One field", "a", "b", ("yes",), ("yes",), ((0,),)),
    Matrix("Numbers", "person", "judge", tuple("12345"), tuple("12345"),
           tuple(tuple(1_234_567 * (row == column) + row for column in range(5)) for row in range(5))),
    Matrix("Many names", "person", "judge", tuple(f"species {at}" for at in range(30)),
           tuple(f"species {at}" for at in range(31)),
           tuple(tuple((row * column) % 7 for column in range(31)) for row in range(30))),
    Shares("Slivers", tuple("abcdef"), (ShareRow("all", (1, 999, 1, 1, 1, 1)), ShareRow("one", (0, 0, 0, 0, 0, 5)))),
    Histogram("One value", Axis("seconds per task", "seconds"), (HistogramBar(4.0, 4.0, (1,)),)),
    Histogram("Nothing in it", Axis("share"), (HistogramBar(0.0, 1.0, (0,)),)),
)  # fmt: skip
LONG_PLOTS: tuple[Plot, ...] = (
    replace(
        AGREEMENT,
        title="Many rows",
        rows=tuple(
            replace(AGREEMENT.rows[at % 6], label=f"{AGREEMENT.rows[at % 6].label}, part {at}") for at in range(50)
        ),
    ),
    Shares("Many bars", ("right", "wrong"), tuple(ShareRow(f"group {at}", (at, 70 - at)) for at in range(70))),
)
HOSTILE_PLOTS: tuple[Plot, ...] = (
    Intervals(BAD, Axis(BAD), tuple(IntervalRow(label, (Measure(0.5, 0.4, 0.6, 1_000_000),)) for label in LABELS),
              (BAD,), Reference(0.5, BAD), BAD, BAD),
    Reliability(BAD, (Bin(0.5, 0.6, 10),), (Bin(0.5, 0.5, 10),), LONG_WORD, BAD, BAD, LONG_WORD, BAD),
    Curve(LONG_WORD, Axis(BAD), Axis(LONG_WORD), tuple(Line(label, ((0.0, 0.1), (1.0, 0.9))) for label in LABELS),
          (Mark(0.5, 0.5, BAD), Mark(0.5, 0.5, LONG_WORD)), Reference(0.7, LONG_WORD), Reference(0.2, BAD), BAD),
    Matrix(BAD, BAD, LONG_WORD, LABELS, LABELS, tuple(tuple(range(7)) for _ in LABELS)),
    Shares(BAD, LABELS, tuple(ShareRow(label, (3, 2, 2, 1, 1, 1, 1)) for label in LABELS), BAD),
    Histogram(BAD, Axis(LONG_WORD), (HistogramBar(0.0, 0.5, (1,) * 7), HistogramBar(0.5, 1.0, (2,) * 7)), LABELS,
              Reference(0.5, LONG_WORD), LONG_WORD),
)  # fmt: skip


def page_of(title: str, *plots: Plot) -> Page:
    """A page with nothing but plots."""
    return Page(title, sections=(Section("plots", "Plots", "", plots),))


EDGES = page_of("Edges", *EMPTY_PLOTS, *EDGE_PLOTS, *LONG_PLOTS)
HOSTILE = Page(
    BAD,
    BAD,
    facts=((BAD, LONG_WORD), (LONG_WORD, BAD)),
    headlines=(Headline(LONG_WORD, BAD, BAD, "bad", Measure(2.0, -1.0, nan)), Headline(BAD, LONG_WORD)),
    notices=(Notice("warning", BAD, BAD), Notice("bad", LONG_WORD, LONG_WORD)),
    sections=(
        Section(
            "text",
            BAD,
            LONG_WORD,
            (
                Paragraph(BAD),
                Paragraph(LONG_WORD),
                Table((Column(BAD), Column(LONG_WORD, numeric=True)), ((LONG_WORD, BAD), (BAD, "1")), BAD, BAD, (0,)),
                Table((), (), "Without columns"),
            ),
        ),
        Section("plots", LONG_WORD, BAD, HOSTILE_PLOTS),
    ),
    footnotes=(BAD, LONG_WORD),
)
BARE = Page("Nothing yet")
PAGES = {"sample": SAMPLE, "edges": EDGES, "hostile": HOSTILE, "bare": BARE}
