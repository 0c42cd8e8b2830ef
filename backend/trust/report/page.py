"""The report as a page: what decides first, then everything it follows from."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.measures import NotComputable
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.certificate import Certificate
from backend.report.page import Headline, Measure, Notice, Page
from backend.trust.report.data_sections import diversity_section, group_section, own_biases_section
from backend.trust.report.facts import Report
from backend.trust.report.people_sections import agreement_section, anchoring_section, work_section
from backend.trust.report.trust_sections import certificate_section, confidence_section, quality_section, risk_section
from backend.trust.report.words import (
    NOT_KNOWN,
    between,
    counted,
    of_interval,
    of_outcome,
    percent,
    share_cell,
    short_percent,
)

FOOTNOTES = (
    "Blind labels are those of people who did not see the judge's answer, on tasks that were drawn at random. Labels "
    "given with the answer on the screen correct data, but measure nothing: people move towards what they are shown.",
    "Intervals hold with 95 % confidence. Those of agreement, time and groups draw whole images with replacement, "
    "because several tasks about one image are not independent.",
    "Where several people labelled a task, most of those who decided say what is right; a tie or only skips count as "
    "the judge being wrong in certificates and risk, and are left out elsewhere.",
    "To decide by this page whether to label on is a look at the labels too; then certify without `--only-look`.",
)


def page_of(report: Report) -> Page:
    """The page."""
    counts = report.counts
    return Page(
        title=report.title,
        subtitle=f"How far its judge can be trusted, and what needs no person ({report.kind})",
        facts=(
            ("Judge", report.fingerprint),
            ("Tasks", f"{counts.tasks:,}, {counts.judged:,} of them judged"),
            ("Labelled by people", f"{counts.labelled:,}, by {counted(counts.people, 'person', 'people')}"),
            ("Blind labels", f"{counts.blind:,} of {sum(each.drawn for each in report.slices.values()):,} drawn"),
            ("Made", f"{report.made_at:%Y-%m-%d %H:%M} UTC"),
        ),
        headlines=headlines(report),
        notices=notices(report),
        sections=(
            certificate_section(report),
            risk_section(report),
            quality_section(report),
            agreement_section(report),
            anchoring_section(report),
            confidence_section(report),
            work_section(report),
            group_section(report),
            own_biases_section(report),
            diversity_section(report),
        ),
        footnotes=FOOTNOTES,
    )


def headlines(report: Report) -> tuple[Headline, ...]:
    """The few numbers that decide."""
    return (_saved(report), _right(report), _good(report))


def notices(report: Report) -> tuple[Notice, ...]:
    """What must be known before anything else is read."""
    found = []
    if not report.slices:
        found.append(
            Notice(
                "warning",
                "This project has no blind slice",
                "Nothing here measures the judge: its answers were on the screen when people labelled. Draw a slice "
                f"before the review begins: `vlm-judge project create --title '{report.title}' --audit 0.1`.",
            )
        )
    if report.fingerprint.startswith("demo"):
        found.append(
            Notice("neutral", "The embedded judge", "It knows drawn boards of coloured shapes, and nothing else.")
        )
    if report.standing.void:
        found.append(Notice("bad", "The certificate does not hold", report.standing.void))
    missing = [(name, each) for name, each in report.slices.items() if each.missing]
    for name, each in missing:
        of = f" of {name}" if name else ""
        text = f"{counted(each.beyond, 'label')} of later ones count once these are labelled: "
        tasks = ", ".join(map(str, each.missing[:8])) + (" ..." if len(each.missing) > 8 else ".")
        found.append(Notice("warning", f"Blind tasks{of} were passed over", text + f"tasks {tasks}"))
    return tuple(found)


def _saved(report: Report) -> Headline:
    standing = report.standing
    if not standing.certificates or standing.void:
        return Headline("0 %", "of the tasks are certified to need no person", level="warning")
    found = tuple(standing.certificates.values())
    share = sum(each.accepted for each in found) / max(report.counts.judged, 1)
    return Headline(
        percent(share),
        f"of the judged tasks need no person: {_promised(found)}",
        level="good",
        share=Measure(share),
    )


def _promised(found: Sequence[Certificate | BadAccepted]) -> str:
    on_average = [each.max_bad for each in found if isinstance(each, BadAccepted)]
    if on_average:
        return f"at most {short_percent(max(on_average))} of all are accepted and wrong, on average"
    worst = max(each.promise.max_error for each in found if isinstance(each, Certificate))
    return f"at most {short_percent(worst)} of these are wrong, certified"


def _right(report: Report) -> Headline:
    deciding = next((each for each in report.agreement.controls if each.control == report.deciding), None)
    measure = of_outcome(deciding.blind.judge.percent if deciding else None)
    of = "preferences" if deciding is not None and deciding.tag == "Pairwise" else "verdicts"
    if deciding is None and report.calibration.labels:
        measure = Measure(report.calibration.right / report.calibration.labels, n=report.calibration.labels)
        of = "answers, in every control at once,"
    if measure.value is None:
        return Headline(
            NOT_KNOWN, "agreement with people who did not see the answer is not measured yet", level="warning"
        )
    return Headline(
        percent(measure.value),
        f"of the judge's {of} are those of people who did not see them ({counted(measure.n or 0, 'task')})",
        between(measure),
        share=measure,
    )


def _good(report: Report) -> Headline:
    if isinstance(report.quality, NotComputable):
        return Headline(NOT_KNOWN, "the share of good samples is not measured yet", level="warning")
    found = report.quality.quality
    interval = found.tuned or found.classical
    measure = of_interval(interval)
    return Headline(
        percent(interval.value),
        f"of the samples are good; the labels alone say {share_cell(of_interval(found.classical))}",
        between(measure),
        share=measure,
    )
