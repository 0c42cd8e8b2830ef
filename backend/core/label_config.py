"""Reads a Label Studio label config into the facts that the judge and the exporter need."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from backend.core.audit import AuditPlan, read_plan
from backend.errors import LabelConfigError

OBJECT_TAGS = frozenset(
    {"Image", "Text", "HyperText", "Paragraphs", "Audio", "Video", "TimeSeries", "List", "Table", "PDF", "Chat"}
)
CONTROL_TAGS = frozenset(
    {"Rating", "Number", "Choices", "Taxonomy", "TextArea", "Labels", "RectangleLabels", "Rectangle", "Pairwise"}
)
"""Controls whose values can be written and read; others in a config are left alone and named."""

MOST_DEPTH = 100
"""Tags within tags; a label config that goes deeper is refused."""
MOST_CONTROLS = 1_000
"""A label config with more, which nobody could fill in, is refused."""

_CHILDREN = {"Choices": "choice", "Taxonomy": "choice", "Labels": "label", "RectangleLabels": "label"}
_CANONICAL = {tag.lower(): tag for tag in OBJECT_TAGS | CONTROL_TAGS}
"""Label Studio does not mind the case of tags."""
_WHOLE = re.compile(r"\$([^\s$]+)")
REFERENCE = re.compile(r"\$([^\W\d][\w.\[\]]*)")
"""A key of the task's data in the middle of a sentence; `$5` is a price."""


@dataclass(frozen=True, slots=True)
class ObjectTag:
    """Something shown to the annotator: an image or a text."""

    name: str
    tag: str
    key: str
    """The key in the task's data, e.g. `image` for `value="$image"`; empty for what is the same in every task."""
    several: bool = False
    """Whether the data holds a list of them, as an Image's `valueList` does."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value that a person can choose: a choice or a label."""

    value: str
    """As it is stored: the alias where there is one."""
    words: str
    """As it is shown."""
    hint: str = ""
    children: tuple[Choice, ...] = ()
    """More specific ones."""

    def walk(self) -> Iterator[Choice]:
        """Itself and everything below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Condition:
    """When a control is shown: while another one has, or has not, one of these choices."""

    control: str
    choices: tuple[str, ...]
    """Empty for any choice."""
    chosen: bool = True

    def holds(self, values: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether it holds when the controls have these choices; controls without any are absent."""
        has = values.get(self.control, ())
        return (any(choice in has for choice in self.choices) if self.choices else bool(has)) == self.chosen


@dataclass(frozen=True, slots=True)
class Control:
    """Something the annotator fills in."""

    name: str
    tag: str
    to_name: str
    """Name of the object it belongs to; of several, the names joined by commas."""
    choices: tuple[Choice, ...] = ()
    key: str = ""
    """The key in the task's data that holds the choices; empty when they are the same in every task."""
    multiple: bool = False
    """Whether several choices may be taken."""
    leaves_only: bool = False
    """Whether only the most specific choices may be taken."""
    required: bool = False
    max_rating: int = 5
    """Stars of a Rating; 0 where `maxRating` is not a whole number of at least 1."""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    heading: str = ""
    """What the form says before it; may refer to the task's data by `$key`."""
    hint: str = ""
    scope: Literal["task", "region", "item"] = "task"
    """Whether it is filled in once, for every region, or for every image of a list."""
    shown_when: tuple[Condition, ...] = ()
    """It is shown only while all of these hold."""
    remote: bool = False
    """Whether the choices come from an address that only the annotator's browser asks."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Values a person can choose from, as they are stored, in order."""
        return tuple(dict.fromkeys(item.value for choice in self.choices for item in choice.walk()))

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the objects it belongs to."""
        return tuple(name.strip() for name in self.to_name.split(","))


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """The objects and controls of a label config, in document order."""

    objects: tuple[ObjectTag, ...]
    controls: tuple[Control, ...]
    others: tuple[Control, ...] = ()
    """Controls of a kind that is not handled here, or that are repeated for every item of a list."""
    audit: AuditPlan | None = None
    """Which tasks are kept blind; None where none are."""

    def control(self, name: str) -> Control | None:
        """The control of that name, or None."""
        return next((control for control in self.controls if control.name == name), None)

    def object(self, name: str) -> ObjectTag | None:
        """The object of that name, or None."""
        return next((item for item in self.objects if item.name == name), None)

    @property
    def images(self) -> tuple[ObjectTag, ...]:
        """The objects that are images of the task."""
        return tuple(item for item in self.objects if item.tag == "Image" and item.key)

    @property
    def texts(self) -> tuple[ObjectTag, ...]:
        """The objects that are texts of the task."""
        return tuple(item for item in self.objects if item.tag in ("Text", "HyperText") and item.key)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the controls that are not handled here."""
        return tuple(control.name for control in self.others)


@lru_cache(maxsize=64)
def parse_label_config(xml: str) -> LabelConfig:
    """Read a label config.

    Raises LabelConfigError when it is not XML, declares entities, is nested too deep, has too many controls, names two
    of them alike, or has an audit plan that cannot be read.
    """
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise LabelConfigError("the label config declares a document type; remove it")
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - without a document type there is nothing to expand
    except (ElementTree.ParseError, UnicodeError) as exc:
        raise LabelConfigError(f"the label config is not valid XML: {exc}") from exc
    level = [root]
    for _ in range(MOST_DEPTH):
        level = [child for element in level for child in element]
    if level:
        raise LabelConfigError(f"the label config has more than {MOST_DEPTH} tags within each other; flatten it")
    reader = _Reader()
    reader.read(root, ())
    names = [control.name for control in (*reader.controls, *reader.others)]
    if len(names) > MOST_CONTROLS:
        raise LabelConfigError(f"the label config has {len(names):,} controls, more than {MOST_CONTROLS:,}; divide it")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LabelConfigError(f"the label config names two controls `{twice}`; give each a name of its own")
    plan = read_plan(root.attrib)
    return LabelConfig(tuple(reader.objects), tuple(reader.controls), tuple(reader.others), plan)


class _Reader:
    """Goes through the tags in document order and remembers, per open tag, the last heading that no control took."""

    def __init__(self) -> None:
        self.objects: list[ObjectTag] = []
        self.controls: list[Control] = []
        self.others: list[Control] = []
        self._headings = [""]
        self._repeated = False

    def read(self, element: ElementTree.Element, shown_when: tuple[Condition, ...]) -> None:
        tag = _CANONICAL.get(element.tag.lower(), element.tag)
        name, to_name = element.get("name"), element.get("toName")
        shown_when += _condition(element)
        if tag == "Header":
            self._headings[-1] = _line(element.get("value") or "".join(element.itertext()))
        elif name and to_name:
            self._control(element, Control(name, tag, to_name, shown_when=shown_when))
        elif name and tag in OBJECT_TAGS:
            self._object(element, name, tag)
        else:
            self._group(element, tag, shown_when)

    def _group(self, element: ElementTree.Element, tag: str, shown_when: tuple[Condition, ...]) -> None:
        outside, before = self._repeated, self._named
        self._repeated = outside or tag == "Repeater"
        self._headings.append("")
        for child in element:
            self.read(child, shown_when)
        heading = self._headings.pop()
        self._repeated = outside
        if heading and self._named == before:
            self._headings[-1] = heading

    @property
    def _named(self) -> int:
        return len(self.objects) + len(self.controls) + len(self.others)

    def _object(self, element: ElementTree.Element, name: str, tag: str) -> None:
        listed = element.get("valueList")
        value = listed or element.get("value") or ""
        if self._repeated:
            return
        self.objects.append(ObjectTag(name, tag, _key(value), several=bool(listed)))
        if tag == "Text" and not _key(value):
            self._headings[-1] = _line(value)

    def _control(self, element: ElementTree.Element, bare: Control) -> None:
        if self._repeated or bare.tag not in CONTROL_TAGS:
            self.others.append(bare)
        else:
            self.controls.append(_control(element, bare, self._take_heading()))

    def _take_heading(self) -> str:
        """The nearest heading, of this tag or one around it; taken once, so that it is not said of the next control."""
        for depth in reversed(range(len(self._headings))):
            if self._headings[depth]:
                heading, self._headings[depth] = self._headings[depth], ""
                return heading
        return ""


def _control(element: ElementTree.Element, bare: Control, heading: str) -> Control:
    tag, get = bare.tag, element.get
    child = _CHILDREN.get(tag)
    rating = get("maxRating") or "5"
    return Control(
        name=bare.name,
        tag=tag,
        to_name=bare.to_name,
        choices=_choices(element, child) if child else (),
        key=_key(get("value") or "") if child else "",
        multiple=get("choice") == "multiple",
        leaves_only=_true(get("leafsOnly")),
        required=_true(get("required")),
        max_rating=int(rating) if re.fullmatch(r"[1-9]\d{0,5}", rating, re.ASCII) else 0,
        minimum=_number(get("min")),
        maximum=_number(get("max")),
        step=_number(get("step")),
        heading=heading or _line(get("title") or get("label") or ""),
        hint=_line(get("hint") or get("placeholder") or ""),
        scope=_scope(element),
        shown_when=bare.shown_when,
        remote=bool(get("apiUrl")),
    )


def _choices(element: ElementTree.Element, child: str) -> tuple[Choice, ...]:
    """The nearest choices below a tag; those inside another choice are its children."""
    found: list[Choice] = []
    for item in element:
        value = item.get("value") or item.get("alias")
        if item.tag.lower() != child:
            found += _choices(item, child)
        elif value:
            hint = _line(item.get("hint") or re.sub(r"<[^<>]*>", " ", item.get("html") or ""))
            found.append(Choice(item.get("alias") or value, _line(value), hint, _choices(item, child)))
    return tuple(found)


def _scope(element: ElementTree.Element) -> Literal["task", "region", "item"]:
    if _true(element.get("perRegion")) or element.get("visibleWhen") == "region-selected":
        return "region"
    return "item" if _true(element.get("perItem")) else "task"


def _condition(element: ElementTree.Element) -> tuple[Condition, ...]:
    when, other = element.get("visibleWhen"), element.get("whenTagName")
    if when not in ("choice-selected", "choice-unselected") or not other:
        return ()
    wanted = element.get("whenChoiceValue") or ""
    choices = tuple(dict.fromkeys(choice for choice in (wanted, *wanted.split(",")) if choice))
    return (Condition(other, choices, chosen=when == "choice-selected"),)


def _key(value: str) -> str:
    found = _WHOLE.fullmatch(value.strip()) or REFERENCE.search(value)
    return found.group(1) if found else ""


def _true(value: str | None) -> bool:
    return (value or "").lower() == "true"


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "nan")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _line(text: str) -> str:
    return " ".join(text.split())
