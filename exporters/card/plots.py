"""The plots of a report as files of the dataset: SVG that needs nothing around it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.report.page import Plot
    from backend.trust.report.facts import Report

FOLDER = "plots"
ABOUT = ("agreement", "risk", "reliability")
"""What plots are about, in the order in which they are written."""
_MARGIN = 14
"""Around the drawing, in its pixels: on a page it may run over its edge a little."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_CLASSES = re.compile(r"(?:\.[\w-]+)+")
_VARIABLE = re.compile(r"var\((--[\w-]+)\)")
_NAMESPACE = "http://www.w3.org/2000/svg"


@dataclass(frozen=True, slots=True)
class PlotFile:
    """One plot of the card."""

    about: str
    """One of ABOUT."""
    path: str
    """Within the dataset's folder."""
    alt: str
    """The plot in words, with its numbers."""
    caption: str
    """How to read it."""


def write_plots(folder: Path, trust: Report | None) -> tuple[PlotFile, ...]:
    """Write what was measured as plots into the folder of a dataset; those of which nothing was measured are not there.

    Raises OSError.
    """
    if trust is None:
        return ()
    from backend.report.plots import draw

    written = []
    for about, plot in _plots(trust):
        drawings = draw(plot, about, "wide")
        for number, drawing in enumerate(drawings, start=1):
            path = folder / FOLDER / (f"{about}.svg" if len(drawings) == 1 else f"{about}-{number}.svg")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(standalone(drawing), encoding="utf-8")
            written.append(PlotFile(about, path.relative_to(folder).as_posix(), _alt(drawing), plot.caption))
    return tuple(written)


def _plots(trust: Report) -> list[tuple[str, Plot]]:
    """The plot of each section that has one."""
    from backend.report.page import Curve, Intervals, Reliability
    from backend.trust.report.people_sections import agreement_section
    from backend.trust.report.trust_sections import confidence_section, risk_section

    sections = zip(ABOUT, (agreement_section, risk_section, confidence_section), strict=True)
    return [
        (about, block)
        for about, section in sections
        for block in section(trust).blocks
        if isinstance(block, Intervals | Curve | Reliability)
    ]


def _alt(drawing: str) -> str:
    """The words that the drawing carries for those who do not see it."""
    root = ElementTree.fromstring(drawing)  # noqa: S314 - drawn by ourselves
    return f"{root.findtext('title', '')} {root.findtext('desc', '')}".strip()


def standalone(drawing: str) -> str:
    """A drawing of the report as a file of its own: on white, in the page's colours by day, without classes."""
    root = ElementTree.fromstring(drawing)  # noqa: S314 - drawn by ourselves
    for element in root.iter():
        classes = frozenset(element.attrib.pop("class", "").split())
        style = _style_of(classes)
        if style:
            element.set("style", style)
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))
    outer_width, outer_height = f"{width + 2 * _MARGIN:g}", f"{height + 2 * _MARGIN:g}"
    root.attrib.update(xmlns=_NAMESPACE, width=outer_width, height=outer_height)
    root.set("viewBox", f"{-_MARGIN} {-_MARGIN} {outer_width} {outer_height}")
    root.set("style", f"font-family: {_FONT}; {_declared(_sheet().root, {})}")
    place = {"x": str(-_MARGIN), "y": str(-_MARGIN), "width": outer_width, "height": outer_height, "fill": "#ffffff"}
    root.insert(2, ElementTree.Element("rect", place))  # behind everything, after title and description
    return ElementTree.tostring(root, encoding="unicode") + "\n"


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What the report's style sheet says of drawings."""

    variables: dict[str, str]
    """Colours by day."""
    root: dict[str, str]
    """Declarations of every drawing as a whole."""
    rules: tuple[tuple[frozenset[str], dict[str, str]], ...]
    """Classes that an element must have, and what it then looks like; later ones count more."""


@cache
def _style_of(classes: frozenset[str]) -> str:
    found: dict[str, str] = {}
    for needed, declarations in _sheet().rules:
        if needed <= classes:
            found.update(declarations)
    own = {name: value for name, value in found.items() if name.startswith("--")}
    return _declared({name: value for name, value in found.items() if name not in own}, own)


def _declared(declarations: dict[str, str], own: dict[str, str]) -> str:
    variables = {**_sheet().variables, **own}

    def value_of(text: str) -> str:
        while found := _VARIABLE.search(text):
            text = text.replace(found[0], variables[found[1]])
        return text

    return "; ".join(f"{name}: {value_of(value)}" for name, value in declarations.items())


@cache
def _sheet() -> _Sheet:
    css = files("backend.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    first = re.search(r":root\s*\{([^}]*)\}", css)
    variables = _declarations(first[1]) if first else {}
    rules: list[tuple[int, frozenset[str], dict[str, str]]] = []
    root: dict[str, str] = {}
    for selector, body in _RULE.findall(css[css.index(".plot svg {") : css.index(".printed {")]):
        plain = selector.strip()
        inner = plain.removeprefix(".plot ")
        if plain == ".plot svg":
            kept = ("font-size", "fill")
            root = {name: value for name, value in _declarations(body).items() if name in kept}
        elif _CLASSES.fullmatch(inner) and not plain.startswith(".plot."):
            classes = frozenset(inner[1:].split("."))
            rules.append((len(classes) + (inner != plain), classes, _declarations(body)))
    rules.sort(key=lambda rule: rule[0])  # as a browser weighs them: what names more classes wins, then what is later
    return _Sheet(variables, root, tuple((classes, declarations) for _, classes, declarations in rules))


def _declarations(body: str) -> dict[str, str]:
    pairs = (one.partition(":") for one in body.split(";") if ":" in one)
    return {name.strip(): value.strip() for name, _, value in pairs}
