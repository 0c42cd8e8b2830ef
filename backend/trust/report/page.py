"""The report as a page: what decides first, then everything it follows from."""

from __future__ import annotations

from backend.core.agreement import NotComputable
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.intervals import Interval
from backend.report.page import Headline, Notice, Page
from backend.trust.report.data_sections import diversity_section, group_section, own_biases_section
from backend.trust.report.facts import Report
from backend.trust.report.people_sections import agreement_section, anchoring_section, work_section
from backend.trust.report.trust_sections import certificate_section, confidence_section, quality_section, risk_section
from backend.trust.report.words import between, counted, of_interval, of_outcome, percent, share_cell

FOOTNOTES = (
    "Blind labels are those of people who did not see the judge's answer, on tasks that were drawn at random. Labels "
    "given with the answer on the screen correct data, but measure nothing: people move towards what they are shown.",
    "Intervals hold with 95 % confidence. Those of agreement, time and groups draw whole images with replacement, "
    "because several tasks about one image are not independent.",
    "Where several people labelled a task, most of those who decided say what is right; a tie or only skips count as "
    "the judge being wrong in certificates and risk, and are left out elsewhere.",
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
        tasks = ", ".join(map(str, each.missing[:8])) + (" ..." if len(each.missing) > 8 else "")
        found.append(Notice("warning", f"Blind tasks{of} were passed over", text + f"tasks {tasks}."))
    return tuple(found)


def _saved(report: Report) -> Headline:
    standing = report.standing
    if standing.certificates and not standing.void:
        accepted = sum(each.accepted for each in standing.certificates.values())
        promise = max(
            each.max_bad if isinstance(each, BadAccepted) else each.promise.max_error
            for each in standing.certificates.values()
        )
        share = accepted / max(report.counts.judged, 1)
        return Headline(
            percent(share),
            f"of the judged tasks need no person: at most {percent(promise, 1)} of these are wrong, certified",
            level="good",
            share=of_interval(Interval(share, share, share)),
        )
    return Headline(NO_NUMBER, "of the tasks are certified to need no person", level="warning")


NO_NUMBER = "0 %"


def _right(report: Report) -> Headline:
    deciding = next((each for each in report.agreement.controls if each.control in ("verdict", "preference")), None)
    measure = of_outcome(deciding.blind.judge.percent if deciding else None)
    if measure.value is None:
        return Headline("–", "agreement with people who did not see the answer is not measured yet", level="warning")
    return Headline(
        percent(measure.value),
        f"of the judge's verdicts are those of people who did not see them ({counted(measure.n or 0, 'task')})",
        between(measure),
        share=measure,
    )


def _good(report: Report) -> Headline:
    if isinstance(report.quality, NotComputable):
        return Headline("–", "the share of good samples is not measured yet", level="warning")
    found = report.quality.quality
    interval = found.tuned or found.classical
    measure = of_interval(interval)
    return Headline(
        percent(interval.value),
        f"of the samples are good (from the labels alone: {share_cell(of_interval(found.classical))})",
        between(measure),
        share=measure,
    )
