"""The report as a page: every section of every kind of project, and its numbers are those of the facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from backend.core.measures import Estimate
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.binding import Binding
from backend.core.trust.acceptance.certificate import Certificate, Promise
from backend.core.trust.acceptance.watch import Watch
from backend.core.trust.confidence.project_quality import ProjectQuality
from backend.core.trust.labels import LabelledTask
from backend.report.page import Block, Curve, Intervals, Mark, Matrix, Measure, Notice, Paragraph, Section, Table
from backend.report.render import render
from backend.store import Store
from backend.trust.report.facts import Report, SliceCounts, Standing, make_report
from backend.trust.report.page import headlines, notices, page_of
from backend.trust.report.words import NOT_KNOWN, between, number_cell, percent, short_percent
from tests.labelled import said, task, verdict
from tests.trust_readings import PLAN, labelled_project, reading_of
from tests.trust_rich import rich_reading
from tests.unit.test_trust_report_facts import PROJECTS

IDS = (
    "certificate", "risk", "quality", "agreement", "anchoring", "confidence", "work", "groups", "biases", "diversity",
)  # fmt: skip
HERE = Binding("judge-1", "d1")
CERTIFICATE = Certificate(Promise(0.05, 0.95, 1), 0.93127, 710, 900, 142, 2, 180, 0.0438, HERE)
ON_AVERAGE = BadAccepted(0.05, 0.8, 800, 900, 8, 180, 9 / 181, HERE)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Report:
    store = Store(tmp_path_factory.mktemp("rich") / "store.db")
    return make_report(rich_reading(np.random.default_rng(4), store), store, ("source",))


@pytest.fixture
def report_of(tmp_path: Path) -> Callable[[str], Report]:
    return lambda name: make_report(PROJECTS[name](), Store(tmp_path / "store.db"))


def section(report: Report, name: str) -> Section:
    return next(each for each in page_of(report).sections if each.id == name)


K = TypeVar("K")


def of_type(blocks: Iterable[Block], kind: type[K]) -> list[K]:
    return [block for block in blocks if isinstance(block, kind)]


def standing(report: Report, *found: Certificate | BadAccepted, **more: object) -> Report:
    """The same report with something certified."""
    names = ("",) if len(found) == 1 else ("gpt", "llava")
    certificates = dict(zip(names, found, strict=False))
    return replace(report, standing=Standing(certificates, "3f9c21d07be4", report.made_at, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PROJECTS)
def test_every_project_has_a_page_with_every_section(name: str, report_of: Callable[[str], Report]) -> None:
    page = page_of(report_of(name))
    assert tuple(each.id for each in page.sections) == IDS
    assert all(each.lead or each.blocks for each in page.sections)
    assert len(page.headlines) == 3
    html = render(page)
    assert not re.search(r"\b(nan|None|inf)\b", html)


def test_an_empty_project_says_what_it_lacks(report_of: Callable[[str], Report]) -> None:
    page = page_of(report_of("empty"))
    assert [(one.value, one.level) for one in page.headlines] == [
        ("0 %", "warning"),
        ("–", "warning"),
        ("–", "warning"),
    ]
    leads = {each.id: each.lead for each in page.sections}
    assert leads["risk"] == "No blind labels yet of answers that could do without a person."
    assert leads["agreement"] == "Not measured: nobody has labelled the blind slice yet."
    assert leads["anchoring"] == "Not measured: nobody has labelled with the judge's answer on the screen yet."
    assert leads["confidence"] == "Not measured: there are no blind labels of decided verdicts."
    assert leads["work"] == "Nobody has reviewed an answer yet."
    assert leads["groups"] == "The tasks' data have no field that makes groups."
    assert dict(page.facts) | {"Made": ""} == {
        "Judge": "judge-1",
        "Tasks": "0, 0 of them judged",
        "Labelled by people": "0, by 0 people",
        "Blind labels": "0 of 0 drawn",
        "Made": "",
    }
    assert of_type(page.sections[0].blocks, Notice) == [
        Notice("neutral", "Nothing is certified", "Try it: `vlm-judge certify --project 1`.")
    ]


def test_a_project_without_a_slice_is_told_that_nothing_measures_its_judge(report_of: Callable[[str], Report]) -> None:
    [first] = notices(report_of("without a slice"))
    assert (first.level, first.title) == ("warning", "This project has no blind slice")
    assert "vlm-judge project create --title 'Cats' --audit 0.1" in first.text


def test_gaps_in_the_order_of_the_draw_are_named(report_of: Callable[[str], Report]) -> None:
    gaps = {"gpt": SliceCounts(90, 12, (4, 17), 5), "llava": SliceCounts(90, 90, (), 0)}
    assert notices(replace(report_of("one label"), slices=gaps)) == (
        Notice(
            "warning",
            "Blind tasks of gpt were passed over",
            "5 labels of later ones count once these are labelled: tasks 4, 17.",
        ),
    )
    many = {"": SliceCounts(90, 12, tuple(range(20)), 1)}
    [found] = notices(replace(report_of("one label"), slices=many))
    assert found.text == "1 label of later ones count once these are labelled: tasks 0, 1, 2, 3, 4, 5, 6, 7 ..."


def test_the_headlines_are_numbers_of_the_facts(rich: Report) -> None:
    saved, right, good = headlines(rich)
    certificate = rich.standing.certificates[""]
    assert isinstance(certificate, Certificate)
    assert saved.value == percent(certificate.accepted / rich.counts.judged)
    assert saved.sentence == "of the judged tasks need no person: at most 5 % of these are wrong, certified"
    agreed = next(each for each in rich.agreement.controls if each.control == "verdict").blind.judge.percent
    assert isinstance(agreed, Estimate)
    assert agreed.low is not None
    assert agreed.high is not None
    assert right.value == f"{100 * agreed.value:.0f} %"
    assert right.interval == f"{100 * agreed.low:.0f} to {100 * agreed.high:.0f} %"
    assert right.sentence.endswith(f"({agreed.rows} tasks)")
    assert isinstance(rich.quality, ProjectQuality)
    tuned = rich.quality.quality.tuned
    assert tuned is not None
    assert (good.value, good.interval) == (percent(tuned.value), f"{tuned.low * 100:.0f} to {tuned.high * 100:.0f} %")


def test_a_promise_on_average_is_no_promise_about_the_accepted(report_of: Callable[[str], Report]) -> None:
    found = standing(report_of("one label"), ON_AVERAGE)
    assert headlines(found)[0].sentence == (
        "of the judged tasks need no person: at most 5 % of all are accepted and wrong, on average"
    )
    assert section(found, "certificate").lead.endswith(
        "It is kept on average over draws of the blind slice; a single draw may be unlucky."
    )


def test_preferences_and_own_forms_have_a_headline_too(report_of: Callable[[str], Report]) -> None:
    """Of every three tasks people prefer the other text in two; of every four one has the number that people see."""
    pairs, own = report_of("preferences"), report_of("own form")
    drawn = [n for n in range(1, 60) if PLAN.drawn_with(n, {}) is not None]
    agreed = percent(sum(n % 3 == 0 for n in drawn) / len(drawn))
    assert (pairs.deciding, headlines(pairs)[1].value) == ("better", agreed)
    assert headlines(pairs)[1].sentence.startswith("of the judge's preferences are those of people")
    right = percent(sum(n % 4 == 2 for n in drawn) / len(drawn))
    assert (own.deciding, headlines(own)[1].value) == (None, right)
    assert headlines(own)[1].sentence == (
        "of the judge's answers, in every control at once, are those of people who did not see them "
        f"({len(drawn)} tasks)"
    )


def test_the_certificate_on_the_page_is_that_of_the_facts(rich: Report) -> None:
    found = section(rich, "certificate")
    each = rich.standing.certificates[""]
    assert isinstance(each, Certificate)
    audit = rich.standing.audit
    assert audit is not None
    above = f"Of the tasks with a confidence of {each.threshold:.4g} or more"
    assert found.blocks == (
        Notice(
            "good",
            f"{above} at most 5 % are wrong, with 95 % confidence",
            f"{each.accepted:,} of {each.tasks:,} tasks that could do without a person are above it; "
            f"{each.labels_above} blind labels lie above it, {each.errors_above} of them say the judge is wrong "
            "(look 1).",
        ),
        Paragraph(f"{rich.counts.accepted:,} tasks accepted so far."),
        Notice(
            "good",
            "The continuing audit says nothing against it",
            f"People looked again at {audit.checked} accepted tasks, blind; the judge is wrong on {audit.errors}. "
            f"At least {percent(audit.lower_bound, 1)} of the accepted are wrong, at most 5 % are promised.",
        ),
    )
    assert rich.standing.at is not None
    assert found.lead == (
        f"Certificate {rich.standing.id} of {rich.standing.at:%Y-%m-%d %H:%M} UTC. A guarantee about the draw of the "
        "blind slice and about nothing else: if this were done in 100 projects, about 95 or more would keep what is "
        "promised, however good or bad the judge."
    )


def test_what_accept_would_do_now_is_said(report_of: Callable[[str], Report]) -> None:
    found = standing(report_of("one label"), CERTIFICATE, would_accept=1)
    assert section(found, "certificate").blocks[1] == Paragraph(
        "0 tasks accepted so far. 1 more would be accepted by `vlm-judge accept` now."
    )


def test_groups_share_the_confidence_that_was_asked_for(report_of: Callable[[str], Report]) -> None:
    each = replace(CERTIFICATE, promise=Promise(0.05, 0.975, 1))
    two = {"gpt": SliceCounts(90, 90, (), 0), "llava": SliceCounts(90, 90, (), 0)}
    found = section(standing(replace(report_of("one label"), slices=two), each, each), "certificate")
    assert "if this were done in 100 projects, about 95 or more would keep what is promised" in found.lead
    assert [block.title for block in of_type(found.blocks, Notice)] == [
        f"{name}: Of the tasks with a confidence of 0.9313 or more at most 5 % are wrong, with 97.5 % confidence"
        for name in ("gpt", "llava")
    ]


def test_a_void_certificate_is_called_void_and_is_no_headline(report_of: Callable[[str], Report]) -> None:
    found = standing(report_of("one label"), CERTIFICATE, void="the judge has changed")
    assert notices(found)[0] == Notice("bad", "The certificate does not hold", "the judge has changed")
    first, *_ = section(found, "certificate").blocks
    assert isinstance(first, Notice)
    assert (first.level, first.title[:15]) == ("bad", "Void: Of the ta")
    assert (headlines(found)[0].value, headlines(found)[0].level) == ("0 %", "warning")


def test_after_acceptance_was_stopped_nobody_is_told_to_certify(report_of: Callable[[str], Report]) -> None:
    found = replace(report_of("one label"), standing=Standing({}, void="The promise is broken."))
    assert section(found, "certificate").blocks == (
        Notice("bad", "Nothing is accepted any more", "The promise is broken."),
    )


def test_the_alarm_of_the_continuing_audit_is_shown(report_of: Callable[[str], Report]) -> None:
    rung = Watch(0.05, 0.95, 20, 6, 0.0831, 14)
    found = standing(report_of("one label"), CERTIFICATE, void="broken", audit=rung)
    assert of_type(section(found, "certificate").blocks, Notice)[-1] == Notice(
        "bad",
        "The continuing audit says that the promise is broken",
        "People looked again at 20 accepted tasks, blind; the judge is wrong on 6. At least 8.3 % of the accepted are "
        "wrong, at most 5 % are promised.",
    )


def test_the_risk_curve_and_its_mark_are_those_of_the_facts(rich: Report) -> None:
    curve, table = section(rich, "risk").blocks
    assert isinstance(curve, Curve)
    each = rich.standing.certificates[""]
    assert isinstance(each, Certificate)
    assert curve.marks == (Mark(each.accepted / 1_800, each.errors_above / each.labels_above, "certified"),)
    told = [one for one in rich.risk.points if one.labels >= 30]
    assert curve.lines[0].points == tuple((one.coverage, one.risk) for one in told)
    assert curve.lines[1].points == tuple((one.coverage, one.high) for one in told)
    assert isinstance(table, Table)
    for row, saved in zip(table.rows, rich.risk.saved, strict=True):
        assert saved.point is not None
        assert row == (
            percent(saved.at_most),
            percent(saved.point.coverage),
            f"{saved.point.labels} labels, {saved.point.wrong} wrong",
        )


def test_the_rich_page_has_a_plot_for_everything(rich: Report) -> None:
    page = page_of(rich)
    titles = {block.title for each in page.sections for block in each.blocks if hasattr(block, "title")}
    assert titles >= {
        "If the surest tasks were accepted, how many of them would be wrong?",
        "How many samples of the whole project are good?",
        "How often do judge and people say the same?",
        "Who says what: verdict",
        "Who says what: realism",
        "Do people agree more with what they are shown?",
        "When the judge is 90 % sure, is it right nine times in ten?",
        "What became of the judge's answers",
        "Seconds per task",
        "By generator",
        "By source",
        "Accepted, from the shortest texts to the longest",
    }
    captions = {block.caption for each in page.sections for block in of_type(each.blocks, Table)}
    assert captions == {
        "Review saved, by the risk taken",
        "Judge and people, beyond chance",
        "People among themselves, beyond chance",
        "What confidence is worth",
        "How far texts are corrected",
        "Biases looked for",
        "How various the texts are",
        "Features asked for most",
        "Spread over metadata fields",
    }


def test_the_agreement_plot_has_the_numbers_of_the_facts(rich: Report) -> None:
    plot = of_type(section(rich, "agreement").blocks, Intervals)[0]
    assert [row.label for row in plot.rows] == ["realism", "verdict"]
    for row, control in zip(plot.rows, rich.agreement.controls, strict=True):
        for measure, outcome in zip(
            row.measures, (control.blind.judge.percent, control.blind.people.percent), strict=True
        ):
            assert isinstance(outcome, Estimate)
            assert (measure.value, measure.low, measure.high, measure.n) == (
                outcome.value,
                outcome.low,
                outcome.high,
                outcome.rows,
            )


def test_the_table_of_answers_has_people_in_rows(rich: Report) -> None:
    """The facts have the judge's answers in rows; the page reads from what is right to what the judge makes of it."""
    matrix = of_type(section(rich, "agreement").blocks, Matrix)[0]
    table = next(each for each in rich.agreement.controls if each.control == "verdict").blind.judge.confusion
    assert (matrix.row_title, matrix.column_title) == ("People", "Judge")
    assert matrix.counts == tuple(zip(*table.counts, strict=True))  # type: ignore[union-attr]


def test_every_text_of_the_project_is_escaped(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    tasks = [replace(each, data={"generator": f"{bad}{each.task % 2}", "caption": bad}) for each in _many()]
    labelled = replace(labelled_project(tasks), title=bad, fingerprint=bad)
    html = render(page_of(make_report(reading_of(labelled), Store(tmp_path / "store.db"))))
    assert "alert(1)" in html
    assert "<script" not in html


def _many() -> Iterable[LabelledTask]:
    return (task(n, verdict("accept"), said("ann", verdict="accept")) for n in range(1, 90))


def test_numbers_are_written_as_people_read_them() -> None:
    assert [percent(value, digits) for value, digits in ((0.714, 0), (0.0213, 1), (None, 0))] == [
        "71 %",
        "2.1 %",
        NOT_KNOWN,
    ]
    assert [short_percent(value) for value in (0.05, 0.975, 1 - 0.05 / 2, 0.001)] == [
        "5 %",
        "97.5 %",
        "97.5 %",
        "0.1 %",
    ]
    assert number_cell(Estimate(0.8249, 0.771, 0.86, 30, 30)) == "0.82 (0.77–0.86)"
    assert number_cell(Estimate(-0.09, -0.19, 0.02, 30, 30)) == "-0.09 (-0.19 to 0.02)"
    assert number_cell(None) == NOT_KNOWN
    assert between(Measure(0.7, 0.66, 0.75)) == "66 to 75 %"
