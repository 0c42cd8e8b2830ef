"""Turns a page into one HTML file that needs nothing else: no script, no font, no address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from backend.report.figures import interval, known
from backend.report.page import Headline, Level, Notice, Page, Paragraph, Plot, Section, Table
from backend.report.plots import draw
from backend.report.words import EMPTY, numbers

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

SIGNS: dict[Level, tuple[str, str]] = {
    "good": ("✓", "Good"),
    "warning": ("!", "Warning"),
    "bad": ("✕", "Problem"),
    "neutral": ("i", "Note"),
}
"""What stands before a notice, and what is read out instead."""
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Control characters, lone surrogates and non-characters: no text of a page may have them."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """A plot as the template shows it."""

    name: str
    title: str
    caption: str
    wide: tuple[Markup, ...]
    narrow: tuple[Markup, ...]
    numbers: Table


@dataclass(frozen=True, slots=True)
class _Part:
    """A section as the template shows it."""

    section: Section
    blocks: tuple[tuple[str, Paragraph | Notice | Table | _Figure], ...]
    """Each with the name of the macro that shows it."""


def render(page: Page) -> str:
    """The whole page. Characters that no page may have become replacement marks."""
    return _template().render(
        page=page,
        parts=[_part(section, number) for number, section in enumerate(page.sections, start=1)],
        signs=SIGNS,
        empty=EMPTY,
    )


def _part(section: Section, number: int) -> _Part:
    blocks: list[tuple[str, Paragraph | Notice | Table | _Figure]] = []
    for at, block in enumerate(section.blocks, start=1):
        match block:
            case Paragraph():
                blocks.append(("paragraph", block))
            case Notice():
                blocks.append(("notice", block))
            case Table():
                blocks.append(("table", block))
            case _:
                blocks.append(("figure", _figure(block, f"plot-{number}-{at}")))
    return _Part(section, tuple(blocks))


def _figure(plot: Plot, name: str) -> _Figure:
    from markupsafe import Markup

    # Built as a tree, so that all text in it is escaped already.
    wide, narrow = (tuple(Markup(one) for one in draw(plot, name, form)) for form in ("wide", "narrow"))  # noqa: S704
    return _Figure(name, plot.title, plot.caption, wide, narrow, numbers(plot))


def inline(text: str) -> Markup:
    """Text with what stands between backticks as code, and percent signs kept on the line of their number."""
    from markupsafe import Markup, escape

    pieces = re.split("`([^`]+)`", re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", _clean(text)))
    shown = (Markup("<code>{}</code>").format(piece) if at % 2 else escape(piece) for at, piece in enumerate(pieces))
    return Markup("").join(shown)


def bar(headline: Headline) -> tuple[float, float | None, float | None] | None:
    """Value and both ends of a headline in percent, for its bar; None where it has none."""
    value = known(headline.share.value) if headline.share else None
    if headline.share is None or value is None:
        return None
    low, high = interval(headline.share) or (None, None)
    return _percent(value), None if low is None else _percent(low), None if high is None else _percent(high)


def _percent(share: float) -> float:
    return round(min(max(share, 0.0), 1.0) * 100, 2)


def _allowed(value: object) -> object:
    """Applied to everything that is written into the page; markup was cleaned when it was made."""
    return _clean(value) if type(value) is str else value


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("backend.report"),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_allowed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["inline"] = inline
    environment.filters["bar"] = bar
    return environment.get_template("report.html.j2")
