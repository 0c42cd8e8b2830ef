"""How people and the judge agree, what people do with its answers, and how long it takes them."""

from __future__ import annotations

from collections.abc import Callable

from backend.core.measures import NotComputable
from backend.core.trust.agreement.corrections import Edits
from backend.core.trust.agreement.project_agreement import Agreement, ControlAgreement
from backend.core.trust.agreement.raters import Confusion
from backend.report.page import (
    Axis,
    Block,
    IntervalRow,
    Intervals,
    Matrix,
    Measure,
    Notice,
    Paragraph,
    Section,
    ShareRow,
    Shares,
    Table,
)
from backend.trust.report.facts import Report
from backend.trust.report.words import (
    NOT_KNOWN,
    columns,
    counted,
    number_cell,
    of_outcome,
    percent,
    spread_cell,
)

_MOST_TABLES = 3
_MOST_ANSWERS = 8
"""Larger tables of who said what are left to the JSON."""


def agreement_section(report: Report) -> Section:
    """The judge beside people, and people beside each other, on blind labels."""
    controls = [each for each in report.agreement.controls if each.blind.judge.tasks]
    if not controls:
        return Section("agreement", "Agreement", "Not measured: nobody has labelled the blind slice yet.")
    plot = Intervals(
        "How often do judge and people say the same?",
        Axis("share of tasks on which both say the same", low=0, high=1),
        tuple(
            IntervalRow(each.control, (of_outcome(each.blind.judge.percent), of_outcome(each.blind.people.percent)))
            for each in controls
        ),
        ("judge and people", "people among themselves"),
        counted="tasks",
        caption="Where people do not agree among themselves, the judge cannot agree with all of them.",
    )
    blocks: list[Block] = [plot, _coefficients(controls, "judge", lambda each: each.blind.judge)]
    if any(each.blind.people.tasks for each in controls):
        blocks.append(_coefficients(controls, "people", lambda each: each.blind.people))
    blocks += _tables(controls)
    blocks += _standing_in(report)
    if report.agreement.not_measured:
        left = "; ".join(f"`{one.control}`: {one.reason}" for one in report.agreement.not_measured)
        blocks.append(Paragraph(f"Not compared: {left}."))
    lead = "On blind labels only: by people who could not see what the judge says."
    if report.agreement.weighted:
        lead += " Groups were drawn unevenly, so tasks count with one over the probability of their draw."
    return Section("agreement", "Agreement", lead, tuple(blocks))


def anchoring_section(report: Report) -> Section:
    """Whether people agree more with an answer that they have before them."""
    found = [each for each in report.anchoring if of_outcome(each.shown).value is not None]
    if not found:
        lead = "Not measured: nobody has labelled with the judge's answer on the screen yet."
        return Section("anchoring", "Blind and shown", lead)
    plot = Intervals(
        "Do people agree more with what they are shown?",
        Axis("share of tasks on which judge and person say the same", low=0, high=1),
        tuple(IntervalRow(each.control, (of_outcome(each.blind), of_outcome(each.shown))) for each in found),
        ("without seeing it", "with it on the screen"),
        counted="tasks",
        caption="The distance is what a shown answer does to people, and to any measurement made with it on the "
        "screen. It also holds the difference between the tasks: the blind ones are drawn at random, the shown ones "
        "mostly the doubtful ones, which are reviewed first.",
    )
    apart = [each for each in found if _is_apart(of_outcome(each.difference))]
    said = [Paragraph(each.sentence) for each in apart]
    if even := [f"`{each.control}`" for each in found if each not in apart]:
        said.append(Paragraph(f"No more of a difference than chance explains: {', '.join(even)}."))
    lead = "Labels given with the answer on the screen correct data; they do not measure the judge."
    return Section("anchoring", "Blind and shown", lead, (plot, *said))


def work_section(report: Report) -> Section:
    """What is left of the judge's form, how far texts are corrected, and the time it takes."""
    blocks: list[Block] = []
    if report.use.labels:
        rows = tuple(
            ShareRow(each.control, (each.use.confirmed, each.use.changed, each.use.added, each.use.removed))
            for each in report.use.controls
            if each.use.confirmed + each.use.changed + each.use.added + each.use.removed
        )
        blocks.append(
            Shares(
                "What became of the judge's answers",
                ("confirmed", "changed", "added", "removed"),
                rows,
                counted="labels",
                caption="Added: the judge left it empty. Removed: the person emptied it.",
            )
        )
    blocks += _corrections(report)
    blocks += _time(report)
    if not blocks:
        return Section("work", "Work", "Nobody has reviewed an answer yet.")
    lead = f"What people did with {counted(report.use.labels, 'pre-filled form')}, and what it cost them."
    return Section("work", "Work", lead, tuple(blocks))


def _is_apart(difference: Measure) -> bool:
    """Whether the interval of a difference leaves 0 out."""
    return difference.low is not None and difference.high is not None and not difference.low <= 0 <= difference.high


def _coefficients(controls: list[ControlAgreement], who: str, of: Callable[[ControlAgreement], Agreement]) -> Table:
    title = "Judge and people" if who == "judge" else "People among themselves"
    shown = columns("Control", "#Tasks", "#Cohen's kappa", "#Krippendorff's alpha", "#Gwet's AC")
    rows = tuple(
        (
            each.control,
            f"{found.tasks:,}",
            number_cell(found.kappa),
            number_cell(found.alpha),
            number_cell(found.ac),
        )
        for each in controls
        if (found := of(each)).tasks
    )
    reasons = {
        outcome.reason
        for each in controls
        for outcome in (of(each).kappa, of(each).alpha, of(each).ac)
        if isinstance(outcome, NotComputable) and of(each).tasks
    }
    note = "Stars count with their distance (quadratic weights, ordinal alpha). Kappa comes out low where nearly all "
    note += "tasks get the same answer, AC does not."
    note += f" {NOT_KNOWN}: {'; '.join(sorted(reasons))}." if reasons else ""
    return Table(shown, rows, f"{title}, beyond chance", note)


def _tables(controls: list[ControlAgreement]) -> list[Block]:
    """Who says what when the other says what, of the controls with few answers."""
    found: list[Block] = []
    for each in sorted(controls, key=lambda one: one.measured_as != "answers"):  # what decides comes first
        table = each.blind.judge.confusion
        if isinstance(table, Confusion) and len(table.categories) <= _MOST_ANSWERS and len(found) < _MOST_TABLES:
            names = tuple(str(category) for category in table.categories)
            counts = tuple(zip(*table.counts, strict=True))
            found.append(Matrix(f"Who says what: {each.control}", "People", "Judge", names, names, counts))
    return found


def _standing_in(report: Report) -> list[Block]:
    found = report.standing_in
    if isinstance(found, NotComputable):
        return [Paragraph(f"May the judge stand in for a person? Not tested: {found.reason}.")]
    title = "The judge may stand in for a person" if found.passed else "The judge may not stand in for a person"
    text = (
        f"Alternative annotator test on `{found.control}`: it wins against {percent(found.winning_rate)} of "
        f"{counted(len(found.people), 'person', 'people')}, with a handicap of {found.epsilon:.2f} for the cost of "
        "people; half are needed."
    )
    return [Notice("good" if found.passed else "warning", title, f"{text} {found.caution or ''}".strip())]


def _corrections(report: Report) -> list[Block]:
    if report.corrections is None:
        return []
    sides = (("blind", report.corrections.blind), ("shown", report.corrections.shown))
    rows = tuple(
        (f"{side}: from the {start}", *_edits(edits))
        for side, found in sides
        if found.labels
        for start, edits in (("original text", found.from_candidate), ("judge's proposal", found.from_judge))
        if edits.texts
    )
    if not rows:
        return []
    shown = columns("Corrected texts", "#Texts", "#Left as they were", "#Characters changed", "#Per character")
    note = "Median with quartiles of the edits (Levenshtein) to what the person wrote."
    return [Table(shown, rows, "How far texts are corrected", note)]


def _edits(edits: Edits) -> tuple[str, str, str, str]:
    changed, rate = spread_cell(edits.characters, digits=0), spread_cell(edits.character_rate, digits=2)
    return f"{edits.texts:,}", f"{edits.same:,}", changed, rate


def _time(report: Report) -> list[Block]:
    time = report.time
    sides = (("blind", time.blind), ("with the answer on the screen", time.shown))
    rows = tuple(
        IntervalRow(name, (of_outcome(side.median),))
        for name, side in sides
        if of_outcome(side.median).value is not None
    )
    if not rows:
        return []
    ratio = of_outcome(time.ratio)
    said = "" if ratio.value is None else f" Shown over blind: {number_cell(time.ratio)}."
    left = time.blind.without_time + time.shown.without_time
    caption = "Medians, because a tab that was left open over lunch makes any mean useless." + said
    caption += f" {counted(left, 'label')} without a time are left out." if left else ""
    return [Intervals("Seconds per task", Axis("seconds", "seconds", low=0), rows, counted="labels", caption=caption)]
