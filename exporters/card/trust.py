"""What was measured of the judge, as Markdown for the card: each part says its numbers, or in a sentence why not.

Numbers and words are those of `vlm-judge report`. Of the tasks' data only groups by fields that the dataset itself
holds are shown, because the others were never meant to be published.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.core.measures import NotComputable, Outcome
from backend.core.trust.agreement.project_agreement import ControlAgreement
from backend.core.trust.bias.groups import FieldGroups, GroupStats
from backend.report.page import Notice, Table
from backend.trust.report.words import (
    NOT_KNOWN,
    counted,
    number_cell,
    of_interval,
    of_outcome,
    of_share,
    percent,
    share_cell,
)
from exporters.card.words import code, prose, shortened, spoken, table
from exporters.records.provenance import provenance_of

if TYPE_CHECKING:
    from backend.trust.report.facts import Report

OWN_FIELDS = frozenset({"generator", "source", "licence", "license", "language", "lang", "locale"})
"""Fields of tasks' data that a dataset says of itself, beside its columns."""
_MOST_GROUPS = 8
_HOW_TO_READ_GROUPS = (
    "Acceptance may differ because the texts do; error is the judge's own. All comparisons together raise a false "
    "warning in at most 5 % of projects."
)
_BLIND = "`vlm-judge project create --audit 0.1` keeps a random tenth of the tasks blind"


@dataclass(frozen=True, slots=True)
class TrustParts:
    """The parts, each of one or several paragraphs."""

    short: tuple[str, ...]
    """The numbers that decide, a sentence each."""
    scope: str
    """What was measured, on what."""
    agreement: str
    anchoring: str
    confidence: str
    certificate: str
    """Empty where there never was one."""
    has_certificate: bool
    """Whether there is one and it holds."""
    quality: str
    groups: str
    biases: str
    variety: str


def trust_parts(trust: Report, columns: Collection[str]) -> TrustParts:
    """The parts; `columns` are the names of the dataset's columns."""
    standing = trust.standing
    holds = bool(standing.certificates) and not standing.void
    return TrustParts(
        short=_short(trust, holds=holds),
        scope=_scope(trust),
        agreement=_agreement(trust),
        anchoring=_anchoring(trust),
        confidence=_confidence(trust),
        certificate=_certificate(trust) if holds else _no_certificate(standing.void),
        has_certificate=holds,
        quality=_quality(trust),
        groups=_groups(trust, {*columns, *OWN_FIELDS}),
        biases=_biases(trust),
        variety=_variety(trust),
    )


def _short(trust: Report, *, holds: bool) -> tuple[str, ...]:
    said = []
    deciding = next((each for each in trust.agreement.controls if each.control == trust.deciding), None)
    right = of_outcome(deciding.blind.judge.percent if deciding else None)
    if right.value is not None:
        said.append(
            f"**Judge and people agree on {share_cell(right)}** of {counted(right.n or 0, 'task')} that people "
            "labelled without seeing the judge's answer"
        )
    if not isinstance(trust.quality, NotComputable):
        found = trust.quality.quality
        share = share_cell(of_interval(found.tuned or found.classical))
        said.append(f"**{share} of the project's samples are good**: people would accept them as they are")
    if holds:
        said += [f"**Certified**: {spoken(claim.title)}" for claim in _claims(trust)]
    return tuple(said)


def _scope(trust: Report) -> str:
    counts = trust.counts
    return (
        f"Measured on the project that this dataset comes from: {counted(counts.tasks, 'task')}, {counts.judged:,} of "
        f"them judged by {code(trust.fingerprint)}, {counts.labelled:,} labelled by "
        f"{counted(counts.people, 'person', 'people')}, {counts.blind:,} of these without seeing the judge's answer "
        "(blind) on tasks drawn at random. Intervals hold with 95 % confidence and treat tasks about one image as one "
        "observation."
    )


def _agreement(trust: Report) -> str:
    controls = [each for each in trust.agreement.controls if each.blind.judge.tasks]
    if not controls:
        return f"Agreement with people was not measured: there are no blind labels. {_BLIND}; label these first."
    has_people = any(each.blind.people.tasks for each in controls)
    titles = ["criterion", "#tasks", "#judge and people say the same", "#beyond chance"]
    rows = [_agreed(each, has_people=has_people) for each in controls]
    said = [
        table([*titles, *(["#people among themselves"] if has_people else [])], rows),
        "Beyond chance: Cohen's kappa (weighted by squared distance for ratings), else Krippendorff's alpha; 0 is "
        "chance, 1 is perfect.",
    ]
    if not has_people:
        said.append("How well people agree among themselves was not measured: no two of them labelled the same task.")
    if trust.agreement.not_measured:
        left = "; ".join(f"{code(one.control)} ({prose(one.reason)})" for one in trust.agreement.not_measured)
        said.append(f"Not compared: {left}.")
    return "\n\n".join(said)


def _agreed(each: ControlAgreement, *, has_people: bool) -> list[str]:
    judge, people = each.blind.judge, each.blind.people
    chance: Outcome = judge.alpha if isinstance(judge.kappa, NotComputable) else judge.kappa
    cells = [code(each.control), f"{judge.tasks:,}", share_cell(of_outcome(judge.percent)), number_cell(chance)]
    return [*cells, *([share_cell(of_outcome(people.percent))] if has_people else [])]


def _anchoring(trust: Report) -> str:
    found = [each for each in trust.anchoring if of_outcome(each.difference).value is not None]
    if not found:
        return (
            "Whether people move towards an answer that they are shown was not measured: that takes labels of both "
            "kinds, blind ones and ones given with the answer on the screen."
        )
    rows = [(code(each.control), *(share_cell(of_outcome(one)) for one in (each.blind, each.shown))) for each in found]
    return "\n\n".join(
        (
            table(("criterion", "#agree without seeing it", "#agree with it on the screen"), rows),
            "The distance is what a shown answer does to people, together with the difference between the tasks: the "
            "blind ones were drawn at random.",
        )
    )


def _confidence(trust: Report) -> str:
    found = trust.calibration
    if not found.bins_before:
        return "What the judge's confidence is worth was not measured: there are no blind labels of decided verdicts."
    before, after = found.before, found.after
    said = (
        f"`judge_confidence` is off by {number_cell(before.ece)} on average (ECE), and tells right verdicts from wrong "
        f"ones with an AUROC of {number_cell(before.auroc)}, by {counted(found.labels, 'blind label')}."
    )
    if after is not None:
        calibrated = f"Calibrated ({found.method}) it would be off by {number_cell(after.ece)}"
        return f"{said} {calibrated}; the column holds it as the judge said it."
    return said + (f" It is not calibrated: {prose(found.refused.reason)}." if found.refused is not None else "")


def _claims(trust: Report) -> tuple[Notice, ...]:
    """What is certified, and by which evidence."""
    from backend.trust.report.trust_sections import certificate_section

    blocks = certificate_section(trust).blocks[: len(trust.standing.certificates)]
    return tuple(block for block in blocks if isinstance(block, Notice))


def _certificate(trust: Report) -> str:
    from backend.trust.report.trust_sections import certificate_section

    standing = trust.standing
    said = [f"- **{spoken(one.title)}.** {spoken(one.text)}" for one in _claims(trust)]
    said += ["", spoken(certificate_section(trust).lead)]
    said.append(
        "It speaks of this judge and these tasks only: any change of the model, the rubric or the data voids it. Where "
        "people disagree on a blind task or skipped it, the judge counts as wrong."
    )
    if trust.counts.accepted:
        said.append(f"{counted(trust.counts.accepted, 'task')} were accepted by it.")
    audit = standing.audit
    if audit is not None and audit.checked:
        said.append(
            f"People looked again at {counted(audit.checked, 'accepted task')}, blind, and found the judge wrong on "
            f"{audit.errors:,}."
        )
    return "\n".join(said)


def _no_certificate(void: str | None) -> str:
    return "" if void is None else f"No certificate holds: {spoken(void).rstrip('.')}."


def _quality(trust: Report) -> str:
    if isinstance(trust.quality, NotComputable):
        return f"The share of good samples was not measured: {spoken(trust.quality.reason).rstrip('.')}."
    found = trust.quality.quality
    alone = share_cell(of_interval(found.classical))
    if found.tuned is None:
        why = f" A combined estimate was refused: {spoken(found.refused).rstrip('.')}." if found.refused else ""
        return f"{alone} of the project's samples are good, by {counted(found.labels, 'blind label')}.{why}"
    return (
        f"{share_cell(of_interval(found.tuned))} of the project's samples are good, by prediction-powered inference "
        f"(PPI++): {counted(found.labels, 'blind label')} put right what the judge says of {found.tasks:,} other "
        f"tasks, so the interval holds however bad the judge is. The labels alone say {alone}; the judge alone says "
        f"{percent(found.judge_alone)}, which measures nothing."
    )


def _groups(trust: Report, public: Collection[str]) -> str:
    found = trust.groups
    if not found.fields:
        return "Groups were not compared: the tasks' data have no field that makes groups, such as `generator`."
    shown = [field for field in found.fields if field.field in public]
    said = [f"- **{spoken(_published(warning, field))}**" for field in shown for warning in field.warnings]
    if shown:
        said = said or ["No difference between these groups is notable."]
        titles = ("field", "group", "#tasks", "#accepted by the judge", "#judge wrong, on blind labels")
        said += ["", table(titles, [row for field in shown for row in _group_rows(field)]), ""]
        if any(len(field.groups) > _MOST_GROUPS for field in shown):
            said.append("Only the largest groups are shown.")
        said.append(_HOW_TO_READ_GROUPS)
    hidden = [field for field in found.fields if field not in shown]
    if hidden:
        differ = sum(bool(field.warnings) for field in hidden) or "none"
        fields = counted(len(hidden), "further field" if shown else "field")
        said += ["", f"Compared by {fields} of the tasks' data that are not part of this dataset: {differ} differ."]
    return "\n".join(said).strip()


def _group_rows(field: FieldGroups) -> list[tuple[str, ...]]:
    groups: Sequence[GroupStats] = field.groups
    if len(groups) > _MOST_GROUPS:
        groups = sorted(groups, key=lambda group: (-group.tasks, group.name))[:_MOST_GROUPS]
    return [
        (
            code(field.field),
            _name_of(field.field, group.name),
            f"{group.tasks:,}",
            share_cell(of_share(group.accepted)),
            share_cell(of_share(group.error)),
        )
        for group in groups
    ]


def _published(warning: str, field: FieldGroups) -> str:
    """The sentence with its groups as they may be named."""
    for group in sorted(field.groups, key=lambda group: -len(group.name)):
        warning = warning.replace(f"“{group.name}”", f"“{_public_name(field.field, group.name)}”")
    return warning


def _name_of(field: str, name: str) -> str:
    return prose(shortened(_public_name(field, name), 60)) or "(none)"


def _public_name(field: str, name: str) -> str:
    """The group's name; a source goes through the same hands as in the rows."""
    return (provenance_of({"source": name}).source or "") if field == "source" else name


def _biases(trust: Report) -> str:
    from backend.trust.report.data_sections import own_biases_section

    found = trust.biases
    blocks = own_biases_section(trust).blocks
    rows = [row for block in blocks if isinstance(block, Table) for row in block.rows if row[1] != NOT_KNOWN]
    said = [f"- **{spoken(warning)}**" for warning in found.warnings]
    if not rows:
        return "Biases of the judge were not measured: there is too little of what they show in."
    if not said:
        said = ["None of the biases that were looked for was found."]
    titles = ("bias", "#measured", "what it is")
    return "\n".join((*said, "", table(titles, [[prose(cell) for cell in row] for row in rows])))


def _variety(trust: Report) -> str:
    texts, images = trust.diversity.texts, trust.diversity.images
    said = []
    if texts is not None:
        again = texts.repeats.texts - texts.repeats.kept
        said.append(
            f"Of {counted(texts.texts, 'text')}, {again:,} ({percent(texts.repeats.repeated)}) repeat an earlier one, "
            f"exactly or nearly." + _median(texts.characters.quantiles)
        )
    said.append(
        f"{counted(images.images, 'image')} in {counted(images.tasks, 'task')}, at most {images.most_tasks:,} of one."
    )
    said.append(
        f"Of {images.compared:,} that were compared by looks, {images.alike:,} look like an earlier one."
        if images.compared
        else "Whether images look alike was not measured; `vlm-judge report --images` does that."
    )
    return " ".join(said)


def _median(quantiles: tuple[int, ...]) -> str:
    return f" Their median length is {quantiles[len(quantiles) // 2]:,} characters." if quantiles else ""
