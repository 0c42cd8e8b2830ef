"""What the card says in passing: licence, languages, limits, and how to cite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from exporters.card.metadata import languages, licence_of
from exporters.card.words import code, one_line
from exporters.records.tally import Counts

if TYPE_CHECKING:
    from exporters.card.page import CardFacts

FLAGS = {
    "instructions": "something in the text or the image speaks to the judge",
    "image-independent": "the judge would say the same without the image",
    "own-family": "the text is by a model of the judge's own family",
}
_DEMO = "demo"
_MOST_NAMED = 8
"""Of what the data say in words of their own, so many are named; there may be one for every row."""
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def told(words: Mapping[str, str], numbers: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Name, rows and meaning of those that have rows."""
    return [(name, numbers[name], text) for name, text in words.items() if numbers.get(name)]


def by_number(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    """As code, the most frequent first."""
    return [(code(name), number) for name, number in sorted(numbers.items(), key=lambda item: (-item[1], item[0]))]


def named(numbers: Mapping[str, int], what: str = "rows") -> str:
    """The most frequent with how many of `what` they have, and how many more there are."""
    found = by_number(numbers)
    more = len(found) - _MOST_NAMED
    shown = ", ".join(f"{name} ({number:,} {what})" for name, number in found[:_MOST_NAMED])
    return f"{shown} and {more:,} more" if more > 0 else shown


def licence(facts: CardFacts) -> str:
    """What is known of it, in a sentence or two."""
    counts = facts.counts
    name = facts.licence or licence_of(counts)
    if name is not None:
        return code(name) + ("." if facts.licence else ", as every row says.")
    if not counts.licences:
        return "Not known: the data name none. Ask whoever published the images before using them."
    said = named(counts.licences)
    silent = counts.rows_out - sum(counts.licences.values())
    rest = f"; {silent:,} rows name none" if silent else ""
    return f"Not the same for all rows, see the column `licence`: {said}{rest}."


def language(counts: Counts) -> str:
    """What tasks say of it."""
    if not counts.languages:
        return "Not known: the tasks' data have no field `language`."
    said = named(counts.languages, "tasks")
    silent = counts.tasks_out - sum(counts.languages.values())
    unknown = "" if languages(counts) else "; none of this is a code of ISO 639"
    return f"{said}" + (f"; {silent:,} tasks do not say" if silent else "") + f"{unknown}."


def limits(facts: CardFacts) -> list[str]:
    """What to know before using the rows, as far as the counts tell."""
    counts = facts.counts
    alone = counts.decided_by.get("judge only", 0)
    accepted = counts.decided_by.get("judge accepted", 0)
    found = []
    if alone:
        found.append(f"**{alone:,} of {counts.rows_out:,} rows were seen by no person** (`decided_by` = `judge only`).")
    if accepted:
        found.append(f"{accepted:,} rows were accepted without a person (`decided_by` = `judge accepted`).")
    if len(counts.fingerprints) > 1:
        found.append("Several judges have answered (`fingerprint`); their numbers are not on one scale.")
    if facts.trust is not None:
        measured = facts.trust.fingerprint
        others = sum(rows for name, rows in counts.fingerprints.items() if name != measured)
        if others:
            found.append(f"What was measured is about {code(measured)}; {others:,} rows are by another judge.")
    if any(name.startswith(_DEMO) for name in counts.fingerprints):
        found.append(
            "The embedded demo judge knows only drawn scenes of coloured shapes and a word. What it says about "
            "anything else means nothing."
        )
    found += [f"{number:,} rows carry the flag `{name}`: {text}." for name, number, text in told(FLAGS, counts.flags)]
    if counts.missing_images:
        found.append(
            f"{len(counts.missing_images):,} tasks have a null image: it could not be read when the dataset was made."
        )
    if counts.disagreeing:
        found.append(f"In {counts.disagreeing:,} of {counts.several:,} rows with several annotations, people disagree.")
    return found


def citation(facts: CardFacts) -> str:
    """A BibTeX entry; who wrote it is known only as the repository's owner, and its year from the newest answer."""
    title = re.sub(r"[{}\\\"`%#$&~^_]", " ", one_line(facts.title))
    is_public = bool(_REPOSITORY.fullmatch(facts.load_from)) and not facts.load_from.startswith(".")
    owner, _, name = facts.load_from.partition("/") if is_public else ("", "", "")
    key = "-".join(re.findall(r"[a-z0-9]+", (name or title).lower())) or "dataset"
    newest = facts.counts.newest
    fields = [
        ("author", f"{{{owner}}}" if owner else ""),
        ("title", f"{{{' '.join(title.split()) or 'Dataset'}}}"),
        ("year", str(newest.year) if newest else ""),
        ("howpublished", f"\\url{{https://huggingface.co/datasets/{facts.load_from}}}" if owner else ""),
        ("note", "Exported from Label Studio with VLM Judge"),
    ]
    lines = [f"  {name} = {{{value}}}," for name, value in fields if value]
    return "\n".join((f"@misc{{{key},", *lines, "}"))
