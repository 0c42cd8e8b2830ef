"""What is certified, at which risk review could be saved, what confidence is worth, and how good the samples are."""

from __future__ import annotations

from backend.core.measures import NotComputable
from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.certificate import Certificate
from backend.core.trust.acceptance.risk import RiskPoint
from backend.core.trust.acceptance.watch import Watch
from backend.report.page import (
    Axis,
    Bin,
    Block,
    Curve,
    IntervalRow,
    Intervals,
    Line,
    Mark,
    Measure,
    Notice,
    Paragraph,
    Reference,
    Reliability,
    Section,
    Table,
)
from backend.trust.report.facts import Report, Standing
from backend.trust.report.words import columns, counted, number_cell, of_interval, percent, short_percent

_FEWEST_SHOWN = 30
"""Labels above a threshold for its risk to be drawn: of fewer it says next to nothing."""


def certificate_section(report: Report) -> Section:
    """What may be accepted without a person, and by which evidence."""
    standing = report.standing
    blocks: list[Block] = []
    if not standing.certificates:
        try_it = f"Try it: `vlm-judge certify --project {report.project}`."
        neither = Notice("bad", "Nothing is accepted any more", standing.void) if standing.void else None
        blocks.append(neither or Notice("neutral", "Nothing is certified", try_it))
        return Section("certificate", "Certificate", "Which tasks need no person, with a guarantee.", tuple(blocks))
    for name, each in standing.certificates.items():
        of = ("Void: " if standing.void else "") + (f"{name}: " if name else "")
        blocks.append(Notice("bad" if standing.void else "good", f"{of}{_claim(each)}", _evidence(each)))
    blocks += _acceptance(report.counts.accepted, standing)
    made = f"Certificate {standing.id} of {standing.at:%Y-%m-%d %H:%M} UTC. " if standing.at else ""
    return Section("certificate", "Certificate", made + _meaning(report), tuple(blocks))


def risk_section(report: Report) -> Section:
    """What review would be saved at which observed risk."""
    risk = report.risk
    if not risk.points:
        text = "No blind labels yet of answers that could do without a person."
        return Section("risk", "Risk and coverage", text)
    lead = f"From {counted(risk.labels, 'blind label')}. What a stricter or laxer promise would save."
    return Section("risk", "Risk and coverage", lead, (_risk_curve(report), _saved(report)))


def _risk_curve(report: Report) -> Curve:
    risk = report.risk
    told = tuple(one for one in risk.points if one.labels >= _FEWEST_SHOWN) or risk.points
    lines = [Line("wrong among the accepted", tuple((one.coverage, one.risk) for one in told))]
    if not risk.weighted:
        lines.append(Line("upper bound", tuple((one.coverage, one.high) for one in told if one.high is not None)))
    marks = tuple(
        Mark(each.accepted / risk.tasks, each.errors_above / each.labels_above, "certified")
        for each in report.standing.certificates.values()
        if isinstance(each, Certificate) and risk.tasks and each.labels_above
    )
    promised = [e.promise.max_error for e in report.standing.certificates.values() if isinstance(e, Certificate)]
    return Curve(
        "If the surest tasks were accepted, how many of them would be wrong?",
        Axis("share of all tasks accepted", low=0, high=1),
        Axis("share of wrong ones among them", low=0),
        tuple(lines),
        marks,
        horizontal=Reference(promised[0], "promised") if promised else None,
        caption="From left to right more and more tasks are accepted, the surest first. A judge that knows when it "
        "errs has a line that stays low for long. The upper bound holds for each point by itself, not for all at once.",
    )


def _saved(report: Report) -> Table:
    rows = tuple(
        (percent(one.at_most), percent(one.point.coverage if one.point else 0.0), _basis(one.point))
        for one in report.risk.saved
    )
    return Table(
        columns("#Wrong at most, observed", "#Review saved", "Seen on"),
        rows,
        "Review saved, by the risk taken",
        "What was observed on the blind labels, so it flatters: the best of many thresholds was picked. The "
        "certificate above is what may be relied on, if this table did not decide when to ask for it.",
    )


def quality_section(report: Report) -> Section:
    """The share of good samples in the whole project."""
    if isinstance(report.quality, NotComputable):
        return Section("quality", "Quality of the samples", f"Not measured: {report.quality.reason}.")
    found = report.quality.quality
    rows = [IntervalRow("the blind labels alone", (of_interval(found.classical, found.labels),))]
    if found.tuned is not None:
        rows.append(IntervalRow("labels and the judge (PPI++)", (of_interval(found.tuned),)))
    if found.plain is not None:
        rows.append(IntervalRow("labels and the judge at its word (PPI)", (of_interval(found.plain),)))
    rows.append(IntervalRow("the judge alone, no measurement", (Measure(found.judge_alone, n=found.tasks),)))
    plot = Intervals(
        "How many samples of the whole project are good?",
        Axis("share of good samples", low=0, high=1),
        tuple(rows),
        counted="tasks",
        caption="Prediction-powered inference takes the judge's verdicts on all tasks and puts them right by how far "
        "they are off where people looked. However bad the judge, the interval holds; the better it is, the shorter.",
    )
    notes: list[Block] = [plot]
    if found.refused:
        notes.append(Notice("neutral", "No combined interval", found.refused[:1].upper() + found.refused[1:] + "."))
    if report.quality.without_answer:
        left = counted(report.quality.without_answer, "blind task")
        notes.append(Paragraph(f"{left} on which people disagree, or which they skipped, are left out."))
    return Section("quality", "Quality of the samples", "Good means: people accept the text as it is.", tuple(notes))


def confidence_section(report: Report) -> Section:
    """What the judge's confidence is worth, before and after calibration."""
    found = report.calibration
    if not found.bins_before:
        return Section("confidence", "Confidence", "Not measured: there are no blind labels of decided verdicts.")
    plot = Reliability(
        "When the judge is 90 % sure, is it right nine times in ten?",
        tuple(Bin(one.mean_prob, one.share_true, one.rows) for one in found.bins_before),
        tuple(Bin(one.mean_prob, one.share_true, one.rows) for one in found.bins_after) or None,
        after_label=f"Calibrated ({found.method})" if found.method else "Calibrated",
        caption="Points on the diagonal mean what they say; below it the judge is too sure of itself.",
    )
    names = (("ECE", "ece"), ("Brier", "brier"), ("AUROC", "auroc"))
    rows = tuple(
        (title, number_cell(getattr(found.before, name)), number_cell(getattr(found.after, name, None)))
        for title, name in names
    )
    table = Table(
        columns("Measure", "#Before", "#After"),
        rows,
        "What confidence is worth",
        "ECE and Brier: lower is better. AUROC: 1 tells right from wrong perfectly, 0.5 is a coin; this decides how "
        "much review can be saved. After: on labels that the curve had not seen.",
    )
    blocks: list[Block] = [plot, table]
    if found.refused is not None:
        blocks.append(Notice("neutral", "Not calibrated", f"{found.refused.reason}."))
    lead = f"{counted(found.labels, 'blind label')}, on {found.right:,} of which the judge is right."
    return Section("confidence", "Confidence", lead, tuple(blocks))


def _meaning(report: Report) -> str:
    """What is promised; groups share the probability of a broken promise, so together they are as sure as was asked."""
    found = report.standing.certificates.values()
    confidences = [each.promise.confidence for each in found if isinstance(each, Certificate)]
    if not confidences:
        return "It is kept on average over draws of the blind slice; a single draw may be unlucky."
    together = 100 * (1 - (1 - confidences[0]) * max(len(report.slices), 1))
    return (
        "A guarantee about the draw of the blind slice and about nothing else: if this were done in 100 projects, "
        f"about {together:.4g} or more would keep what is promised, however good or bad the judge."
    )


def _claim(each: Certificate | BadAccepted) -> str:
    if isinstance(each, BadAccepted):
        return (
            f"At most {short_percent(each.max_bad)} of all tasks that could do without a person are accepted and wrong "
            f"from a confidence of {each.threshold:.4g} on, on average over slices"
        )
    above = f"Of the tasks with a confidence of {each.threshold:.4g} or more"
    most, sure = short_percent(each.promise.max_error), short_percent(each.promise.confidence)
    return f"{above} at most {most} are wrong, with {sure} confidence"


def _evidence(each: Certificate | BadAccepted) -> str:
    if isinstance(each, BadAccepted):
        seen = f"{each.errors_above} of {each.labels} blind labels are above it and wrong"
    else:
        seen = f"{each.labels_above} blind labels lie above it, {each.errors_above} of them say the judge is wrong"
        seen += f" (look {each.promise.look})" if each.promise.look else ""
    return f"{each.accepted:,} of {each.tasks:,} tasks that could do without a person are above it; {seen}."


def _acceptance(accepted: int, standing: Standing) -> list[Block]:
    said = f"{counted(accepted, 'task')} accepted so far."
    if standing.would_accept:
        said += f" {standing.would_accept:,} more would be accepted by `vlm-judge accept` now."
    return [Paragraph(said), *([_audit(standing.audit)] if standing.audit and standing.audit.checked else [])]


def _audit(audit: Watch) -> Notice:
    text = (
        f"People looked again at {counted(audit.checked, 'accepted task')}, blind; the judge is wrong on "
        f"{audit.errors}. At least {percent(audit.lower_bound, 1)} of the accepted are wrong, at most "
        f"{short_percent(audit.promise)} are promised."
    )
    if audit.alarm_at is None:
        return Notice("good", "The continuing audit says nothing against it", text)
    return Notice("bad", "The continuing audit says that the promise is broken", text)


def _basis(point: RiskPoint | None) -> str:
    return f"{counted(point.labels, 'label')}, {point.wrong} wrong" if point else "no threshold has so few"
