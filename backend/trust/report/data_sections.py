"""Groups that are treated differently, the judge's own biases, and how various the samples are."""

from __future__ import annotations

from backend.core.trust.bias.groups import FieldGroups, GroupStats
from backend.core.trust.diversity.features import Requested
from backend.core.trust.diversity.variety import Diversity, TextDiversity
from backend.report.page import Axis, Block, IntervalRow, Intervals, Notice, Paragraph, Section, Table
from backend.trust.report.facts import Report
from backend.trust.report.words import NOT_KNOWN, columns, counted, number_cell, of_share, percent, share_cell

_MOST_FIELDS = 8
_MOST_GROUPS = 12
_MOST_ROWS = 10


def group_section(report: Report) -> Section:
    """Acceptance and error by every metadata field."""
    found = report.groups
    if not found.fields:
        return Section("groups", "Groups", "The tasks' data have no field that makes groups.")
    blocks: list[Block] = [Notice("warning", "Groups differ", warning) for warning in found.warnings]
    if not found.warnings:
        blocks.append(
            Notice("good", "No difference between groups", f"{counted(found.tests, 'comparison')} made, none notable.")
        )
    for field in found.fields[:_MOST_FIELDS]:
        blocks.append(_of_field(field))
    fields = ", ".join(f"`{field.field}`" for field in found.fields)
    looked = f"Looked at: {fields}."
    if found.left_out:
        looked += " Not: " + "; ".join(f"`{one.field}` ({one.reason})" for one in found.left_out[:_MOST_ROWS]) + "."
    blocks.append(Paragraph(looked))
    lead = (
        "Acceptance may differ because the texts do; error, on blind labels, is the judge's own. All comparisons "
        "are made good for their number: of the warnings at most 5 % are false on average."
    )
    return Section("groups", "Groups", lead, tuple(blocks))


def own_biases_section(report: Report) -> Section:
    """Length, the judge's own family, the place of a text, and what the image matters."""
    found = report.biases
    blocks: list[Block] = [Notice("warning", "Bias", warning) for warning in found.warnings]
    blocks.append(_bias_table(report))
    quarters = next((one.quarters for one in found.length if one.quarters and one.unit == "characters"), ())
    if quarters:
        blocks.append(_bars("Accepted, from the shortest texts to the longest", quarters))
    lead = f"{counted(found.tests, 'test')}, made good for their number." if found.tests else ""
    return Section("biases", "Biases of the judge", lead, tuple(blocks))


def diversity_section(report: Report) -> Section:
    """How various texts, images, requests and groups are."""
    found = report.diversity
    blocks: list[Block] = [Notice("warning", "Little variety", warning) for warning in found.warnings]
    if found.texts is not None:
        blocks.append(_texts(found.texts))
    blocks.append(_images(found))
    if found.requested is not None:
        blocks.append(_requested(found.requested))
    fields = [*([found.languages] if found.languages else []), *found.fields]
    if fields:
        rows = tuple(
            (
                one.field,
                f"{len(one.counts):,}",
                f"{one.effective_groups:.1f}",
                ", ".join(f"{name} {number:,}" for name, number in one.counts[:3]),
                ", ".join(one.rare[:5]) or "none",
                f"{one.not_given:,}",
            )
            for one in fields
        )
        shown = columns("Field", "#Groups", "#Effective", "Largest", "Under 1\N{NO-BREAK SPACE}%", "#Without")
        note = "Effective: as many groups of equal size would be as various (exp of Shannon's entropy)."
        blocks.append(Table(shown, rows, "Spread over metadata fields", note))
    return Section("diversity", "Diversity of the samples", "", tuple(blocks))


def _of_field(field: FieldGroups) -> Block:
    title = f"By {field.field}" + (", cut at its quartiles" if field.quarters else "")
    return _bars(title, field.groups[:_MOST_GROUPS])


def _bars(title: str, groups: tuple[GroupStats, ...]) -> Intervals:
    return Intervals(
        title,
        Axis("share of tasks", low=0, high=1),
        tuple(
            IntervalRow(
                f"{group.name or '(none)'} ({group.tasks:,})", (of_share(group.accepted), of_share(group.error))
            )
            for group in groups
        ),
        ("accepted by the judge", "judge wrong, on blind labels"),
        counted="tasks",
    )


def _bias_table(report: Report) -> Table:
    found = report.biases
    alike = "correlation with acceptance among texts that people answer alike; 0 is no bias"
    rows = [(f"length in {one.unit}", number_cell(one.given_people), alike) for one in found.length]
    family = found.family
    more = family.refused or "how much more of its own family's texts it accepts, among those people answer alike"
    rows.append((f"own family ({family.judge_model})", share_cell(of_share(family.at_same_answer)), more))
    if found.position is not None:
        place = found.position
        rows.append(("orders that disagree", share_cell(of_share(place.undecided)), "undecided preferences"))
        chance = place.refused or f"of its preferences; by chance {percent(place.by_chance)}"
        rows.append(("first of two", share_cell(of_share(place.first)), chance))
    reliance = found.reliance
    asked = reliance.refused or f"of {counted(reliance.asked, 'task')} judged with and without it"
    rows.append(("same verdict without the image", share_cell(of_share(reliance.independent)), asked))
    return Table(columns("Bias", "#Measured", "What it is"), tuple(rows), "Biases looked for")


def _texts(texts: TextDiversity) -> Table:
    repeats = texts.repeats
    rows = (
        ("texts", f"{texts.texts:,}"),
        ("repeat an earlier one, exactly or nearly", f"{repeats.texts - repeats.kept:,} ({percent(repeats.repeated)})"),
        ("repeat another of their own image", f"{repeats.on_one_image:,}"),
        ("different words", f"{texts.vocabulary:,} of {texts.words:,} (distinct-1 {texts.distinct_1:.3f})"),
        ("different pairs of words (distinct-2)", f"{texts.distinct_2:.3f}"),
        ("effective number of openings", f"{texts.effective_openings:,.1f}"),
        (f"commonest opening: “{texts.commonest_opening}”", percent(texts.commonest_opening_share)),
        ("characters, median (5 to 95 %)", _quantiles(texts.characters.quantiles)),
    )
    return Table(columns("Texts", "#"), rows, "How various the texts are")


def _quantiles(quantiles: tuple[int, ...]) -> str:
    return f"{quantiles[3]:,} ({quantiles[1]:,} to {quantiles[5]:,})" if len(quantiles) == 7 else "–"


def _images(found: Diversity) -> Paragraph:
    images = found.images
    said = (
        f"{counted(images.images, 'image')} in {counted(images.tasks, 'task')}, at most {images.most_tasks:,} of one."
    )
    if images.compared:
        said += f" Of {images.compared:,} that were looked at, {images.alike:,} look like an earlier one."
    else:
        said += " Whether some look alike was not looked at; `--images` does that."
    return Paragraph(said)


def _requested(requested: Requested) -> Block:
    common = requested.features[:_MOST_ROWS]
    found_by = {
        "#Found, judge": tuple(share_cell(of_share(one.found)) for one in common),
        "#All found, judge": tuple(share_cell(of_share(one.all_found)) for one in common),
        "#All found, people blind": tuple(share_cell(of_share(one.people_all_found)) for one in common),
    }
    known = {title: cells for title, cells in found_by.items() if set(cells) != {NOT_KNOWN}}
    rows = tuple((one.text, f"{one.tasks:,}", *cells) for one, *cells in zip(common, *known.values(), strict=True))
    shown = columns("Requested", "#Tasks", *known)
    once = f", {requested.once:,} of them once" if requested.once else ""
    note = (
        f"{requested.distinct:,} different features in {counted(requested.tasks, 'task')}{once}. "
        f"Rarest: {', '.join(requested.rarest[:5])}."
    )
    return Table(shown, rows, "Features asked for most", note)
